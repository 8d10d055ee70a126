"""The registries, the images that ctl makes, and the proxy's faults."""

import hashlib
import json
import tempfile
import unittest
from pathlib import Path
from typing import Any

from labctl import oci
from labtest import Json, ctl, fetch, lab

ACCEPT = {"Accept": f"{oci.INDEX}, {oci.MANIFEST}"}


class RegistryTest(unittest.TestCase):
    def setUp(self) -> None:
        self.repo = f"t/{self._testMethodName.replace('_', '-')}"
        self.proxy = f"http://{lab()['IMGCTL_LAB_REGISTRY_FAULTS']}"
        self.addCleanup(fetch, "DELETE", f"{self.proxy}/_faults")

    def push(self, tag: str, *arguments: str) -> str:
        return ctl("push", f"{self.repo}:{tag}", *arguments).rpartition("@")[2]

    def get(self, reference: str, method: str = "GET") -> tuple[int, Any, bytes]:
        return fetch(method, f"{self.proxy}/v2/{self.repo}/manifests/{reference}", headers=ACCEPT)

    def put(self, tag: str) -> tuple[int, Any, bytes]:
        body = self.get("1")[2]
        return fetch(
            "PUT", f"{self.proxy}/v2/{self.repo}/manifests/{tag}", body, headers={"Content-Type": oci.MANIFEST}
        )

    def fault(self, *arguments: str) -> None:
        ctl("registry-fault", *arguments)

    def test_images_are_valid_and_reproducible(self) -> None:
        arguments = ("--arch", "amd64,arm64", "--label", "org.opencontainers.image.revision=abc")
        digest = self.push("1", *arguments)
        self.assertEqual(self.push("1", *arguments), digest)
        status, headers, body = self.get("1")
        self.assertEqual((status, headers["Docker-Content-Digest"]), (200, digest))
        self.assertEqual("sha256:" + hashlib.sha256(body).hexdigest(), digest)
        entry = json.loads(body)["manifests"][1]
        self.assertEqual(entry["platform"], {"os": "linux", "architecture": "arm64"})
        manifest: Json = json.loads(self.get(entry["digest"])[2])
        config = json.loads(fetch("GET", f"{self.proxy}/v2/{self.repo}/blobs/{manifest['config']['digest']}")[2])
        self.assertEqual((config["architecture"], config["created"]), ("arm64", oci.CREATED))
        self.assertEqual(config["config"]["Labels"], {"org.opencontainers.image.revision": "abc"})

    def test_retag(self) -> None:
        digest = self.push("1")
        ctl("retag", f"{self.repo}:1", "prod")
        self.assertEqual(self.get("prod", "HEAD")[1]["Docker-Content-Digest"], digest)

    def test_the_closed_registry(self) -> None:
        digest = self.push("1", "--user", "ci:s3cret")
        base = f"http://{lab()['IMGCTL_LAB_REGISTRY_AUTH']}/v2/{self.repo}/manifests/{digest}"
        self.assertEqual(fetch("GET", base, headers=ACCEPT)[0], 401)

    def test_layouts(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            digests = [ctl("layout", directory, "--tag", tag, "--arch", "amd64,arm64") for tag in ("1", "2", "1")]
            index = json.loads(Path(directory, "index.json").read_text())
            self.assertEqual({entry["digest"] for entry in index["manifests"]}, set(digests))
            for blob in Path(directory, "blobs/sha256").iterdir():
                self.assertEqual(hashlib.sha256(blob.read_bytes()).hexdigest(), blob.name)
            self.assertTrue(Path(directory, "oci-layout").exists())

    def test_statuses(self) -> None:
        self.push("1")
        for status in (401, 403, 404, 500):
            self.fault("status", "--status", str(status))
            self.assertEqual(self.get("1")[0], status)
        self.fault("status", "--status", "429", "--retry-after", "7")
        status, headers, body = self.get("1")
        self.assertEqual((status, headers["Retry-After"], b"TOOMANYREQUESTS" in body), (429, "7", True))
        self.assertEqual(self.get("1")[0], 200)

    def test_reset(self) -> None:
        self.push("1")
        self.fault("reset")
        self.assertRaises(OSError, self.get, "1")
        self.assertEqual(self.get("1")[0], 200)

    def test_lies_about_content(self) -> None:
        digest = self.push("1")
        self.fault("wrong-digest")
        self.assertNotEqual(self.get("1", "HEAD")[1]["Docker-Content-Digest"], digest)
        self.fault("corrupt")
        _, headers, body = self.get("1")
        self.assertEqual(headers["Docker-Content-Digest"], digest)
        self.assertNotEqual("sha256:" + hashlib.sha256(body).hexdigest(), digest)

    def test_a_tag_that_moves(self) -> None:
        digests = [self.push(tag) for tag in ("1", "2")]
        self.fault("moving-tag", "--from", "1", "--to", "2")
        seen = [self.get("1", "HEAD")[1]["Docker-Content-Digest"] for _ in range(3)]
        self.assertEqual(seen, [digests[0], digests[1], digests[1]])

    def test_immutable_tags(self) -> None:
        self.push("1")
        self.fault("immutable", "--style", "ecr", "--repo", self.repo)
        status, _, body = self.put("1")
        self.assertEqual((status, json.loads(body)["errors"][0]["code"]), (400, "TAG_INVALID"))
        self.assertIn(b"tag is immutable", body)
        self.assertEqual(self.put("new")[0], 201)

    def test_pushes_without_location(self) -> None:
        self.push("1")
        self.assertIsNotNone(self.put("2")[1]["Location"])
        self.fault("no-location")
        status, headers, _ = self.put("3")
        self.assertEqual((status, headers["Location"]), (201, None))

    def test_what_was_asked_is_told(self) -> None:
        self.push("1")
        for method in ("HEAD", "GET"):
            fetch(method, f"{self.proxy}/v2/{self.repo}/manifests/1")
        told = json.loads(fetch("GET", f"{self.proxy}/_calls")[2])["calls"][-2:]
        path = f"/v2/{self.repo}/manifests/1"
        self.assertEqual(told, [{"method": "HEAD", "path": path}, {"method": "GET", "path": path}])

    def test_tags_in_pages(self) -> None:
        for tag in ("1", "2", "3", "4", "5"):
            self.push(tag)
        self.fault("paged-tags", "--size", "2")
        path: str | None = f"/v2/{self.repo}/tags/list"
        pages = []
        while path:
            _, headers, body = fetch("GET", self.proxy + path)
            pages.append(json.loads(body)["tags"])
            link = headers["Link"]
            path = link[1 : link.index(">")] if link else None
        self.assertEqual(pages, [["1", "2"], ["3", "4"], ["5"]])


if __name__ == "__main__":
    unittest.main()
