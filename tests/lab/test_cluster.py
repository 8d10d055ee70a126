"""The lab's API server answers as a real one did: the recorded requests, and what they must lead to."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from cluster import recorded
from labtest import LabTest, lab

Json = dict[str, Any]
OLD = "registry.example.com/shop/web@sha256:" + "1" * 64
NEW = "registry.example.com/shop/web@sha256:" + "2" * 64
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"


def image_patch(name: str, image: str) -> Json:
    return {"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}}


class ClusterTest(LabTest):
    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Json]:
        url = f"http://{lab()['IMGCTL_LAB_KUBERNETES']}{path}"
        headers = {"Authorization": "Bearer lab", "Content-Type": kind}
        request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def make(self, name: str) -> str:
        images = {"app": OLD, "sidecar": "x.example.com/proxy:1"}
        self.ask("POST", "/_lab/workload", {"workload": f"deployment/{name}", "images": images, "replicas": 2})
        return f"/apis/apps/v1/namespaces/shop/deployments/{name}"

    def images(self, answer: Json) -> list[str]:
        return [c["name"] for c in answer["spec"]["template"]["spec"]["containers"]]

    def test_refusals_have_the_recorded_bodies(self) -> None:
        path = self.make("web")
        stale = [{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}]
        failing = [{"op": "test", "path": "/spec/template/spec/containers/0/image", "value": "other"}]
        missing = [{"op": "replace", "path": "/spec/template/spec/containers/7/image", "value": "x"}]
        for status, name, answer in [
            (409, "409-stale-resource-version", self.ask("PATCH", path, stale, JSON_PATCH)),
            (422, "422-json-patch-test-failed", self.ask("PATCH", path, failing, JSON_PATCH)),
            (422, "422-json-patch-missing-path", self.ask("PATCH", path, missing, JSON_PATCH)),
            (404, "404-deployment", self.ask("GET", path.replace("/web", "/nope"))),
        ]:
            self.assertEqual(answer, (status, recorded.refusal(name)), name)

    def test_patches_do_to_containers_what_they_do_on_a_real_server(self) -> None:
        path = self.make("patches") + "?dryRun=All"
        # patches/dryrun-typo-container-adds-one, dryrun-merge-patch-drops-sidecar, dryrun-smp-image
        self.assertEqual(self.images(self.ask("PATCH", path, image_patch("ap", NEW), STRATEGIC)[1]), ["ap", "app", "sidecar"])
        self.assertEqual(self.images(self.ask("PATCH", path, image_patch("app", NEW), MERGE)[1]), ["app"])
        answer = self.ask("PATCH", path, image_patch("app", NEW), STRATEGIC)[1]
        self.assertEqual(answer["metadata"]["generation"], 2)
        self.assertEqual(self.ask("GET", path)[1]["metadata"]["generation"], 1, "a dry run stores nothing")

    def test_generation_goes_up_with_annotations_and_not_with_nothing(self) -> None:
        path = self.make("generations")
        first = self.ask("PATCH", path, image_patch("app", OLD), STRATEGIC)[1]["metadata"]
        self.assertEqual(first["generation"], 1, "patches/noop-same-image")
        note = {"metadata": {"annotations": {"kubernetes.io/change-cause": "imgctl"}}}
        self.assertEqual(self.ask("PATCH", path, note, MERGE)[1]["metadata"]["generation"], 2)

    def test_a_rollout_goes_through_the_recorded_moments(self) -> None:
        path = self.make("moments")
        written = self.ask("PATCH", path, image_patch("app", NEW), STRATEGIC)[1]
        self.assertLess(written["status"]["observedGeneration"], written["metadata"]["generation"])
        end = time.monotonic() + 10
        seen: list[tuple[int, int]] = []
        while time.monotonic() < end:
            status = self.ask("GET", path)[1]["status"]
            seen.append((status["replicas"], status.get("updatedReplicas", 0)))
            reasons = {c["type"]: c["reason"] for c in status["conditions"]}
            if seen[-1] == (2, 2) and reasons["Progressing"] == "NewReplicaSetAvailable":
                break
        self.assertIn((3, 1), seen, "one more while it lasts")
        self.assertEqual(seen[-1], (2, 2))

    def test_lists_come_in_pages(self) -> None:
        for number in range(5):
            self.make(f"page-{number}")
        path = "/apis/apps/v1/namespaces/shop/deployments?limit=2"
        first = self.ask("GET", path)[1]
        self.assertEqual(len(first["items"]), 2)
        second = self.ask("GET", f"{path}&continue={first['metadata']['continue']}")[1]
        self.assertNotEqual(first["items"], second["items"])
        self.assertEqual(self.ask("GET", "/apis/apps/v1/namespaces/none/deployments")[1]["items"], [])
