"""What a real API server said (fixtures/kubernetes): the shapes of objects, pods and refusals."""

import copy
import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FOLDER = Path(__file__).resolve().parents[3] / "fixtures/kubernetes"


def snapshot(name: str) -> Json:
    return json.loads((FOLDER / "snapshots" / f"{name}.json").read_text())


_SEEDS: dict[str, Json] = {}


def workload(kind: str) -> Json:
    """A complete object of this kind, and one of its ready pods. CronJobs are made from the Deployment's template."""
    if kind not in _SEEDS:
        name = {"statefulset": "statefulset-01-complete", "daemonset": "daemonset-01-complete"}.get(
            kind, "deployment-01-created-complete"
        )
        _SEEDS[kind] = snapshot(name)
    return copy.deepcopy(_SEEDS[kind])


def refusal(name: str, **words: str) -> Json:
    """The body of a refusal, with the names in it replaced."""
    text = (FOLDER / "errors" / f"{name}.json").read_text()
    for old, new in words.items():
        text = text.replace(old, new)
    return json.loads(text)


def too_many() -> str:
    return (FOLDER / "errors" / "429-too-many-requests.txt").read_text()


def _waiting(name: str, reason: str) -> Json:
    for pod in snapshot(name)["pods"]:
        for status in pod["status"].get("containerStatuses", []):
            if status["state"].get("waiting", {}).get("reason") == reason:
                return {"status": pod["status"], "container": status}
    raise LookupError(f"{name} has no pod with {reason}")


def pull_failure() -> Json:
    return copy.deepcopy(_waiting("deployment-05-image-pull-backoff", "ImagePullBackOff"))


def crash() -> Json:
    return copy.deepcopy(_waiting("deployment-07-crash-loop", "CrashLoopBackOff"))
