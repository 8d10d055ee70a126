"""What the cluster holds: workloads, their pods and histories, and the version stamp of everything."""

import copy
import hashlib
import json
import threading
import time
import uuid
from typing import Any

from cluster import pods, recorded

Json = dict[str, Any]

KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "cronjobs": "CronJob"}
NODES = 3
# One look of controllers and kubelet; a progress deadline of 600 seconds lasts as many looks as follow.
LOOK_SECONDS = 0.02
DEADLINE_LOOKS = 60
AWAKE_LOOKS = 100


def hashed(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


class World:
    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.version = 1000
            self.workloads: dict[tuple[str, str, str], Json] = {}
            self.pods: dict[tuple[str, str], Json] = {}
            self.owned: dict[tuple[str, str, str], dict[str, Json]] = {}
            self.history: dict[tuple[str, str, str], Json] = {}
            self.behaviours: dict[str, str] = {}
            # How many more looks a workload gets: one that has been at rest for long is left alone.
            self.awake: dict[tuple[str, str, str], int] = {}
            self.looked = time.monotonic()

    def stamp(self, thing: Json) -> None:
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)

    def wake(self, key: tuple[str, str, str]) -> None:
        if key[0] != "cronjobs":
            self.awake[key] = AWAKE_LOOKS

    def behaviour(self, image: str) -> str:
        found = [kind for word, kind in self.behaviours.items() if word in image]
        return found[-1] if found else "good"

    # ---- workloads

    def create(self, body: Json) -> Json:
        """A workload that has been complete for a while."""
        kind, _, name = body["workload"].partition("/")
        plural, namespace = f"{kind}s", body.get("namespace", "shop")
        thing: Json = recorded.workload(kind)["object"]
        meta: Json = thing["metadata"]
        meta |= {"name": name, "namespace": namespace, "uid": str(uuid.uuid4()), "generation": 1}
        meta["labels"] = {"app.kubernetes.io/name": name, **body.get("labels", {})}
        meta["annotations"] = {**meta.get("annotations", {}), **body.get("annotations", {})}
        if "managers" in body:
            meta["managedFields"] = [{"manager": m, "operation": "Update", "time": pods.stamp()} for m in body["managers"]]
        if "owner" in body:
            meta["ownerReferences"] = [body["owner"]]
        spec: Json = thing["spec"]
        template = spec["template"]
        spec["selector"]["matchLabels"] = template["metadata"]["labels"] = {"app": name}
        self._containers(template["spec"], body)
        spec |= body.get("spec", {})
        if kind == "cronjob":
            thing = self._cronjob(thing, body)
        elif kind != "daemonset":
            spec["replicas"] = body.get("replicas", 3)
        self.stamp(thing)
        self.workloads[(plural, namespace, name)] = thing
        if kind != "cronjob":
            self._populate(plural, thing)
        return thing

    @staticmethod
    def _containers(spec: Json, body: Json) -> None:
        seed = spec["containers"]
        images: Json = body["images"]
        spec["containers"] = [{**copy.deepcopy(seed[0]), "name": n, "image": i} for n, i in images.items()]
        if body.get("init"):
            plain = {"resources": {}, "imagePullPolicy": "IfNotPresent"}
            spec["initContainers"] = [{"name": n, "image": i, **plain} for n, i in body["init"].items()]

    @staticmethod
    def _cronjob(thing: Json, body: Json) -> Json:
        template = thing["spec"]["template"]
        template["spec"]["restartPolicy"] = "OnFailure"
        spec = {"schedule": "0 3 * * *", "suspend": False, "jobTemplate": {"spec": {"template": template}}}
        return {
            "kind": "CronJob", "apiVersion": "batch/v1", "metadata": thing["metadata"],
            "spec": {**spec, **body.get("spec", {})}, "status": {},
        }

    def _populate(self, plural: str, thing: Json) -> None:
        self.keep(plural, thing)
        for ordinal in range(NODES if plural == "daemonsets" else thing["spec"]["replicas"]):
            pod = self.start(plural, thing, ordinal)
            for _ in range(pods.STARTS):
                pods.look(pod, "good", False)
        status = thing["status"]
        status["observedGeneration"] = 1
        if plural == "statefulsets":
            status["currentRevision"] = status["updateRevision"] = self.revision(plural, thing)

    def delete(self, plural: str, namespace: str, name: str) -> None:
        self.workloads.pop((plural, namespace, name), None)
        self.awake.pop((plural, namespace, name), None)
        for pod in self.owned.pop((plural, namespace, name), {}):
            del self.pods[(namespace, pod)]

    # ---- history: ReplicaSets and ControllerRevisions

    def revision(self, plural: str, thing: Json) -> str:
        return f"{thing['metadata']['name']}-{hashed(thing['spec']['template'])}"

    def keep(self, plural: str, thing: Json) -> bool:
        """The present template is kept. True: it was not known before."""
        key = (plural, thing["metadata"]["namespace"], self.revision(plural, thing))
        if key in self.history:
            return False
        meta = thing["metadata"]
        owner = {"kind": thing["kind"], "name": meta["name"], "uid": meta["uid"], "controller": True}
        kept: Json = {"metadata": {"name": key[2], "namespace": key[1], "uid": str(uuid.uuid4()), "ownerReferences": [owner]}}
        template = copy.deepcopy(thing["spec"]["template"])
        if plural == "deployments":
            template["metadata"]["labels"]["pod-template-hash"] = key[2].rpartition("-")[2]
            kept |= {"spec": {"template": template}, "plural": "replicasets"}
        else:
            kept |= {"data": {"spec": {"template": {"$patch": "replace", **template}}}, "plural": "controllerrevisions"}
        self.stamp(kept)
        self.history[key] = kept
        return True

    # ---- pods

    def start(self, plural: str, thing: Json, ordinal: int, revision: str | None = None) -> Json:
        meta = thing["metadata"]
        revision = revision or self.revision(plural, thing)
        kept = self.history[(plural, meta["namespace"], revision)]
        template = copy.deepcopy((kept.get("spec") or kept["data"]["spec"])["template"])
        controller = {"kind": thing["kind"], "name": meta["name"], "uid": meta["uid"]}
        labels = {"controller-revision-hash": revision}
        name = f"{meta['name']}-{uuid.uuid4().hex[:5]}"
        if plural == "deployments":
            controller = {"kind": "ReplicaSet", "name": revision, "uid": kept["metadata"]["uid"]}
            labels = {}
            name = f"{revision}-{uuid.uuid4().hex[:5]}"
        elif plural == "statefulsets":
            name = f"{meta['name']}-{ordinal}"
        seed = recorded.workload(thing["kind"].lower())["pods"][0]
        owner = {"apiVersion": "apps/v1", **controller, "controller": True}
        pod = pods.make(seed, name, meta["namespace"], template, labels, owner)
        pod |= {"belongs": (plural, meta["namespace"], meta["name"]), "revision": revision, "ordinal": ordinal}
        self.stamp(pod)
        self.pods[(meta["namespace"], name)] = pod
        self.owned.setdefault(pod["belongs"], {})[name] = pod
        return pod

    def pods_of(self, plural: str, thing: Json) -> list[Json]:
        meta = thing["metadata"]
        owned = self.owned.get((plural, meta["namespace"], meta["name"]), {})
        return sorted(owned.values(), key=lambda pod: pod["ordinal"])

    def remove(self, pod: Json) -> None:
        self.pods.pop((pod["metadata"]["namespace"], pod["metadata"]["name"]), None)
        self.owned[pod["belongs"]].pop(pod["metadata"]["name"], None)
        self.wake(pod["belongs"])
        self.version += 1
