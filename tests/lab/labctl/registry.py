"""Pushing to a registry with plain HTTP (OCI Distribution Specification, "Push")."""

import base64
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPResponse

from labctl import oci

ANY_MANIFEST = ", ".join((oci.INDEX, oci.MANIFEST, oci.DOCKER_LIST, oci.DOCKER_MANIFEST))


class Refused(Exception):
    pass


class Registry:
    def __init__(self, host: str, user: str | None = None) -> None:
        self.base = f"http://{host}"
        self.headers: dict[str, str] = {}
        if user:
            self.headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()

    def call(self, method: str, url: str, body: bytes | None = None, **headers: str) -> HTTPResponse:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(url, data=body, method=method, headers={**self.headers, **named})
        try:
            reply: HTTPResponse = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace").strip()
            raise Refused(f"{method} {url}: HTTP {error.code} {text}") from error
        return reply

    def has(self, repo: str, digest: str) -> bool:
        try:
            self.call("HEAD", f"{self.base}/v2/{repo}/blobs/{digest}").close()
        except Refused:
            return False
        return True

    def put_blob(self, repo: str, data: bytes) -> None:
        digest = oci.sha256(data)
        if self.has(repo, digest):
            return
        begun = self.call("POST", f"{self.base}/v2/{repo}/blobs/uploads/")
        location = urllib.parse.urljoin(self.base, begun.headers["Location"])
        joint = "&" if "?" in location else "?"
        target = f"{location}{joint}{urllib.parse.urlencode({'digest': digest})}"
        self.call("PUT", target, data, Content_Type="application/octet-stream").close()

    def put_manifest(self, repo: str, reference: str, media_type: str, body: bytes) -> None:
        self.call("PUT", f"{self.base}/v2/{repo}/manifests/{reference}", body, Content_Type=media_type).close()

    def push(self, repo: str, tag: str, image: oci.Image) -> str:
        for child in image.children:
            self.push(repo, child.digest, child)
        for blob in image.blobs:
            self.put_blob(repo, blob)
        self.put_manifest(repo, tag, image.media_type, image.body)
        return image.digest

    def retag(self, repo: str, old: str, new: str) -> str:
        reply = self.call("GET", f"{self.base}/v2/{repo}/manifests/{old}", Accept=ANY_MANIFEST)
        body = reply.read()
        self.put_manifest(repo, new, reply.headers["Content-Type"], body)
        return oci.sha256(body)
