"""`/_lab/` of the cluster: makes workloads, changes them as others would, arms faults, and tells what runs."""

import collections
from typing import Any

from cluster import controllers, pods
from cluster.api import Api, shown

Json = dict[str, Any]
Answer = tuple[int, Any]


def handle(api: Api, method: str, path: str, query: Json, body: Any) -> Answer:
    try:
        with api.world.lock:
            controllers.catch_up(api.world)
            return 200, WORDS[(method, path)](api, query if body is None else body)
    except (KeyError, ValueError) as problem:
        return 400, {"error": f"{method} {path}: {problem!r}"}


def _key(body: Json) -> tuple[str, str, str]:
    kind, _, name = body["workload"].partition("/")
    return f"{kind}s", body.get("namespace", "shop"), name


def make(api: Api, body: Json) -> Json:
    for number in range(body.get("count", 0)):
        api.world.create({**body, "workload": f"{body['workload']}-{number}"})
    return {} if "count" in body else shown(api.world.create(body))


def show(api: Api, body: Json) -> Json:
    key = _key(body)
    thing = api.world.workloads[key]
    template = thing["spec"].get("template") or thing["spec"]["jobTemplate"]["spec"]["template"]
    spec = template["spec"]
    runs: collections.Counter[str] = collections.Counter()
    found = api.world.pods_of(key[0], thing) if key[0] != "cronjobs" else []
    for pod in found:
        if pods.ready(pod):
            runs[pods.image(pod)] += 1
    containers = spec["containers"] + spec.get("initContainers", [])
    history = [kept for kept in api.world.history if kept[0] == key[0] and kept[2].startswith(key[2] + "-")]
    return {
        "images": {c["name"]: c["image"] for c in containers}, "runs": dict(sorted(runs.items())),
        "pods": [pod["metadata"]["name"] for pod in found], "object": shown(thing), "history": len(history),
    }


def edit(api: Api, body: Json) -> Json:
    key = _key(body)
    thing = api.world.workloads[key]
    content_type = body.get("type", "application/merge-patch+json")
    return api._patch(key[0], thing, {"fieldManager": "kubectl-edit"}, content_type, body["patch"])


def pod(api: Api, body: Json) -> Json:
    key = _key(body)
    found = api.world.pods_of(key[0], api.world.workloads[key])[0]
    for container in (found["spec"]["containers"][0], found["status"]["containerStatuses"][0]):
        container["image"] = body["image"]
    api.world.stamp(found)
    return shown(found)


def delete(api: Api, body: Json) -> Json:
    api.world.delete(*_key(body))
    return {}


def drop_history(api: Api, body: Json) -> Json:
    key = _key(body)
    now = api.world.revision(key[0], api.world.workloads[key])
    mine = [k for k in api.world.history if k[0] == key[0] and k[2].startswith(key[2] + "-") and k[2] != now]
    for old in mine:
        del api.world.history[old]
    return {"dropped": len(mine)}


def behave(api: Api, body: Json) -> Json:
    if body["as"] not in pods.BEHAVIOURS:
        raise ValueError(f"as must be one of {', '.join(pods.BEHAVIOURS)}")
    api.world.behaviours[body["image"]] = body["as"]
    for found in api.world.pods.values():
        if body["image"] in pods.image(found):
            api.world.wake(found["belongs"])
    return {}


def fault(api: Api, body: Json) -> Json:
    with api.faults.lock:
        api.faults.all.append({"times": 1, **body})
    return {}


def no_faults(api: Api, _: Json) -> Json:
    with api.faults.lock:
        api.faults.all.clear()
    return {}


def calls(api: Api, body: Json) -> Json:
    since = int(body.get("since", 0))
    return {"calls": api.calls[since:], "next": len(api.calls)}


def reset(api: Api, _: Json) -> Json:
    api.world.reset()
    return no_faults(api, {})


WORDS = {
    ("POST", "workload"): make, ("GET", "workload"): show, ("POST", "edit"): edit, ("POST", "pod"): pod,
    ("POST", "delete"): delete, ("POST", "drop-history"): drop_history, ("POST", "behave"): behave,
    ("POST", "fault"): fault, ("DELETE", "faults"): no_faults, ("GET", "calls"): calls, ("POST", "reset"): reset,
}

