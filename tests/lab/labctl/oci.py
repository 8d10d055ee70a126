"""Tiny but valid OCI images: the same arguments give the same bytes, and so the same digest.

Formats: OCI Image Specification (image manifest, image index, image configuration, image layout).
"""

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
CREATED = "2025-01-01T00:00:00Z"

Json = dict[str, Any]


@dataclass
class Image:
    """A manifest or index with everything it refers to, ready to be pushed in this order."""

    media_type: str
    body: bytes
    blobs: list[bytes] = field(default_factory=list)
    children: list["Image"] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return sha256(self.body)

    def descriptor(self) -> Json:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _encode(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _layer(content: str) -> tuple[bytes, str]:
    """A gzipped tar with one file, and the digest of the tar inside."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        data = content.encode()
        info = tarfile.TarInfo("bin/app")
        info.size, info.mode, info.mtime = len(data), 0o755, 0
        archive.addfile(info, io.BytesIO(data))
    raw = tar.getvalue()
    return gzip.compress(raw, mtime=0), sha256(raw)


def single(name: str, arch: str, labels: dict[str, str], created: str = CREATED) -> Image:
    layer, diff_id = _layer(f"#!/bin/sh\necho {name} {arch} {json.dumps(labels, sort_keys=True)}\n")
    config = _encode(
        {
            "created": created, "architecture": arch, "os": "linux",
            "config": {"Cmd": ["/bin/app"], "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": created, "created_by": "imgctl lab"}],
        }
    )
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)},
        "layers": [{"mediaType": LAYER, "digest": sha256(layer), "size": len(layer)}],
    }
    return Image(MANIFEST, _encode(manifest), [config, layer])


def build(name: str, archs: list[str], labels: dict[str, str], created: str = CREATED) -> Image:
    """One manifest for one architecture, an index for several."""
    images = [single(name, arch, labels, created) for arch in archs]
    if len(images) == 1:
        return images[0]
    entries = [
        {**image.descriptor(), "platform": {"os": "linux", "architecture": arch}}
        for image, arch in zip(images, archs, strict=True)
    ]
    return Image(INDEX, _encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}), [], images)


def write_layout(directory: Path, image: Image, tag: str) -> None:
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)

    def put(data: bytes) -> None:
        (blobs / sha256(data).removeprefix("sha256:")).write_bytes(data)

    for one in [image, *image.children]:
        for data in [*one.blobs, one.body]:
            put(data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    entry = {**image.descriptor(), "annotations": {"org.opencontainers.image.ref.name": tag}}
    path = directory / "index.json"
    known = json.loads(path.read_text())["manifests"] if path.exists() else []
    others = [m for m in known if m.get("annotations") != entry["annotations"]]
    path.write_bytes(_encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*others, entry]}))
