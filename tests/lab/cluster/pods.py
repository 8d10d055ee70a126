"""Pods as the lab's kubelet has them: ready after a while, or as the image's behaviour says."""

import contextlib
import copy
import datetime
import functools
import urllib.request
import uuid
from typing import Any

from cluster import recorded
from labctl.registry import ANY_MANIFEST

Json = dict[str, Any]

BEHAVIOURS = ("good", "pull-error", "crash", "die", "unready")
# In looks of the kubelet: how long a pod takes to start.
STARTS = 2


def stamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make(seed: Json, name: str, namespace: str, template: Json, labels: Json, owner: Json) -> Json:
    """A pod that has just been scheduled."""
    pod = copy.deepcopy(seed)
    pod["metadata"] = {
        "name": name, "namespace": namespace, "uid": str(uuid.uuid4()), "resourceVersion": "1",
        "creationTimestamp": stamp(), "labels": {**template["metadata"]["labels"], **labels}, "ownerReferences": [owner],
    }
    pod["spec"] = copy.deepcopy(template["spec"])
    pod["age"] = 0
    _pending(pod)
    return pod


def image(pod: Json) -> str:
    """The behaviour of a pod is that of its first container's image."""
    return pod["spec"]["containers"][0]["image"]


def ready(pod: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


def look(pod: Json, behaviour: str, doomed: bool) -> bool:
    """One look of the kubelet; `doomed`: pods that die do so now. True: something changed."""
    pod["age"] += 1
    before = copy.deepcopy(pod["status"])
    age = pod["age"]
    if age < STARTS:
        pass
    elif behaviour == "pull-error":
        _wait(pod, recorded.pull_failure(), {})
    elif behaviour == "crash" or (behaviour == "die" and doomed):
        _wait(pod, recorded.crash(), {"restartCount": 2})
    else:
        _run(pod, behaviour != "unready")
    return pod["status"] != before


def _conditions(is_ready: bool) -> list[Json]:
    value = "True" if is_ready else "False"
    return [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": value}]


def _pending(pod: Json) -> None:
    pod["status"] = {"phase": "Pending", "conditions": _conditions(False), "startTime": stamp()}
    pod["status"]["containerStatuses"] = [
        {
            "name": c["name"], "image": c["image"], "imageID": "", "ready": False, "restartCount": 0, "lastState": {},
            "state": {"waiting": {"reason": "ContainerCreating"}},
        }
        for c in pod["spec"]["containers"]
    ]


def pulled(reference: str) -> str:
    """As containerd tells it: the repository and a digest. Of a tag, the one that its registry has for it; where there
    is no such registry, one that the lab makes up."""
    name, tag, digest = _parts(reference)
    return f"{name}@{digest or _asked(name, tag) or 'sha256:' + uuid.uuid5(uuid.NAMESPACE_URL, reference).hex * 2}"


def _parts(reference: str) -> tuple[str, str, str]:
    name, _, digest = reference.partition("@")
    before, _, tag = name.rpartition(":")
    return (before, tag, digest) if before and "/" not in tag else (name, "latest", digest)


@functools.cache
def _asked(name: str, tag: str) -> str | None:
    host, _, path = name.partition("/")
    if not host.startswith("127.0.0.1:"):
        return None
    request = urllib.request.Request(f"http://{host}/v2/{path}/manifests/{tag}", method="HEAD", headers={"Accept": ANY_MANIFEST})
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=2) as reply:
        return reply.headers["Docker-Content-Digest"]
    return None


def _run(pod: Json, is_ready: bool) -> None:
    pod["status"] |= {"phase": "Running", "conditions": _conditions(is_ready)}
    for status in pod["status"]["containerStatuses"]:
        running = {"running": {"startedAt": pod["status"]["startTime"]}}
        status |= {"state": running, "ready": is_ready, "imageID": pulled(status["image"])}


def _wait(pod: Json, shape: Json, more: Json) -> None:
    """The first container is in trouble, with the words of a recorded one."""
    pod["status"] |= {"phase": shape["status"]["phase"], "conditions": _conditions(False)}
    first = pod["status"]["containerStatuses"][0]
    wrong = shape["container"]
    first |= {"state": wrong["state"], "lastState": wrong["lastState"], "ready": False, "imageID": ""} | more
    text = first["state"]["waiting"].get("message", "").replace(wrong["image"], first["image"])
    first["state"]["waiting"]["message"] = text
