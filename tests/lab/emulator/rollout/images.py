"""What a container image does when it is started: the lab's own switch, and the digest that a tag means."""

import hashlib
import urllib.error
import urllib.request
from typing import Any

HEALTH = ("ok", "slow", "exit", "pull", "unhealthy")
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json,application/vnd.oci.image.manifest.v1+json,"
    "application/vnd.docker.distribution.manifest.list.v2+json,application/vnd.docker.distribution.manifest.v2+json"
)

# Image or digest → its behaviour; forgotten by a reset.
_known: dict[str, dict[str, Any]] = {}


def forget() -> None:
    _known.clear()


def learn(image: str, **fields: Any) -> dict[str, Any]:
    _known.setdefault(image, {}).update({key: value for key, value in fields.items() if value is not None})
    return _known[image]


def behaviour(image: str) -> dict[str, Any]:
    """By the image as it is written, else by its digest."""
    return _known.get(image) or _known.get(image.partition("@")[2]) or {}


def digest(image: str) -> str | None:
    """What the agent reports as imageDigest; None when the image cannot be pulled."""
    told = behaviour(image)
    if told.get("health") == "pull":
        return None
    if told.get("digest"):
        return str(told["digest"])
    _, at, pinned = image.partition("@")
    host = image.partition("/")[0]
    if host.startswith(("127.0.0.1:", "localhost:")):
        return _ask_registry(image)
    return pinned if at else "sha256:" + hashlib.sha256(image.encode()).hexdigest()


def _ask_registry(image: str) -> str | None:
    """A registry on loopback is asked, as the agent's pull would."""
    host, _, rest = image.partition("/")
    name, at, reference = rest.partition("@")
    if at:
        name = name.rpartition(":")[0] if ":" in name else name
    else:
        name, _, reference = rest.rpartition(":") if ":" in rest else (rest, "", "latest")
    request = urllib.request.Request(
        f"http://{host}/v2/{name}/manifests/{reference}", method="HEAD", headers={"Accept": MANIFESTS}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.headers.get("Docker-Content-Digest") or reference
    except (urllib.error.HTTPError, OSError):
        return None
