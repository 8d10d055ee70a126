"""What controllers and kubelets do with every look: one step of each rollout, and the status that tells of it.

The status goes through the moments that were recorded of real controllers (fixtures/kubernetes/snapshots): observed a
look after the write, counts left out where they are nought, conditions in the controller's words.
"""

import time
from typing import Any

from cluster import pods
from cluster.world import AWAKE_LOOKS, DEADLINE_LOOKS, LOOK_SECONDS, NODES, World

Json = dict[str, Any]


def catch_up(world: World) -> None:
    """Every look that is due by now."""
    due = int((time.monotonic() - world.looked) / LOOK_SECONDS)
    world.looked += due * LOOK_SECONDS
    for _ in range(min(due, AWAKE_LOOKS)):
        look(world)


def look(world: World) -> None:
    for key in list(world.awake):
        world.awake[key] -= 1
        if world.awake[key] < 0:
            del world.awake[key]
            continue
        thing = world.workloads[key]
        # Seen whole by somebody who asked: only then what dies afterwards tells whether he looked again.
        doomed = thing.get("seen_whole", 0) > 0
        kinds = [(pod, world.behaviour(pods.image(pod))) for pod in world.pods_of(key[0], thing)]
        changed = [pod for pod, kind in kinds if pods.look(pod, kind, doomed)]
        for pod in changed:
            world.stamp(pod)
        before = str(thing["status"])
        STEPS[key[0]](world, thing)
        if str(thing["status"]) != before:
            world.stamp(thing)
        if changed or str(thing["status"]) != before:
            world.wake(key)


def _observed(world: World, plural: str, thing: Json) -> bool:
    """False: this look was spent on seeing what was written."""
    if thing["status"].get("observedGeneration", 0) >= thing["metadata"]["generation"]:
        return True
    thing["status"]["observedGeneration"] = thing["metadata"]["generation"]
    world.keep(plural, thing)
    thing["patience"] = DEADLINE_LOOKS
    return False


def _split(world: World, plural: str, thing: Json) -> tuple[list[Json], list[Json]]:
    now = world.revision(plural, thing)
    all_pods = world.pods_of(plural, thing)
    return [p for p in all_pods if p["revision"] == now], [p for p in all_pods if p["revision"] != now]


def _is_ready(pod: Json) -> bool:
    return pods.ready(pod)


# ---- Deployment: maxSurge 1, maxUnavailable 0


def deployment(world: World, thing: Json) -> None:
    seen = _observed(world, "deployments", thing)
    paused = thing["spec"].get("paused", False)
    wanted = thing["spec"]["replicas"]
    if seen and not paused:
        _roll(world, thing, wanted)
    new, old = _split(world, "deployments", thing)
    ready = [p for p in new + old if _is_ready(p)]
    numbers = {
        "replicas": len(new + old), "updatedReplicas": len(new), "readyReplicas": len(ready),
        "availableReplicas": len(ready), "unavailableReplicas": max(0, wanted - len(ready)),
    }
    status = thing["status"]
    moved = any(status.get(key, 0) != value for key, value in numbers.items())
    thing["patience"] = DEADLINE_LOOKS if moved else thing.get("patience", DEADLINE_LOOKS) - 1
    for key, value in numbers.items():
        if value:
            status[key] = value
        else:
            status.pop(key, None)
    complete = len(new) == wanted and not old and len(ready) == wanted
    _conditions(world, thing, complete, len(ready) >= wanted, paused)


def _roll(world: World, thing: Json, wanted: int) -> None:
    new, old = _split(world, "deployments", thing)
    ready = [p for p in new + old if _is_ready(p)]
    broken = [p for p in old if not _is_ready(p)]
    if broken:
        world.remove(broken[0])
    elif len(new) < wanted and len(new) + len(old) < wanted + 1:
        world.start("deployments", thing, len(new))
    elif old and len(ready) > wanted:
        world.remove(old[0])
    elif len(new) > wanted:
        world.remove(new[-1])


def _conditions(world: World, thing: Json, complete: bool, available: bool, paused: bool) -> None:
    revision = thing["current"] = world.revision("deployments", thing)
    old = {c["type"]: c for c in thing["status"].get("conditions", [])}
    was = old.get("Progressing", {}).get("reason")
    if paused:
        progressing = ("Unknown", "DeploymentPaused", "Deployment is paused")
    elif complete or (was == "NewReplicaSetAvailable" and thing.get("settled") == revision):
        thing["settled"] = revision
        progressing = ("True", "NewReplicaSetAvailable", f'ReplicaSet "{revision}" has successfully progressed.')
    elif thing["patience"] <= 0:
        progressing = ("False", "ProgressDeadlineExceeded", f'ReplicaSet "{revision}" has timed out progressing.')
    else:
        progressing = ("True", "ReplicaSetUpdated", f'ReplicaSet "{revision}" is progressing.')
    word = "Available" if available else "Unavailable"
    state = ("True" if available else "False", f"MinimumReplicas{word}", f"Deployment has {'' if available else 'no '}minimum availability.")
    thing["status"]["conditions"] = [
        _condition(old, "Available", *state), _condition(old, "Progressing", *progressing),
    ]


def _condition(old: Json, kind: str, status: str, reason: str, message: str) -> Json:
    same = old.get(kind, {})
    if (same.get("status"), same.get("reason"), same.get("message")) == (status, reason, message):
        return same
    now = pods.stamp()
    return {
        "type": kind, "status": status, "lastUpdateTime": now, "lastTransitionTime": now, "reason": reason,
        "message": message,
    }


# ---- StatefulSet: ordered; a pod that is not ready is waited for, whatever it was made from (kubernetes/kubernetes#67250)


def stateful_set(world: World, thing: Json) -> None:
    seen = _observed(world, "statefulsets", thing)
    spec, status = thing["spec"], thing["status"]
    strategy = spec.get("updateStrategy", {})
    partition = strategy.get("rollingUpdate", {}).get("partition", 0)
    update = world.revision("statefulsets", thing)
    status["updateRevision"] = update
    if seen:
        _roll_set(world, thing, update, partition, strategy.get("type", "RollingUpdate"))
    all_pods = world.pods_of("statefulsets", thing)
    ready = [p for p in all_pods if _is_ready(p)]
    new = [p for p in all_pods if p["revision"] == update]
    if len(new) == spec["replicas"] == len(ready):
        status["currentRevision"] = update
    current = [p for p in all_pods if p["revision"] == status["currentRevision"]]
    numbers = {
        "readyReplicas": len(ready), "currentReplicas": len(current), "updatedReplicas": len(new),
    }
    status |= {"replicas": len(all_pods), "availableReplicas": len(ready)}
    for key, value in numbers.items():
        if value:
            status[key] = value
        else:
            status.pop(key, None)


def _roll_set(world: World, thing: Json, update: str, partition: int, strategy: str) -> None:
    there = {p["ordinal"]: p for p in world.pods_of("statefulsets", thing)}
    parallel = thing["spec"].get("podManagementPolicy") == "Parallel"
    for ordinal in range(thing["spec"]["replicas"]):
        if ordinal not in there:
            held = ordinal < partition or strategy == "OnDelete"
            world.start("statefulsets", thing, ordinal, thing["status"]["currentRevision"] if held else update)
            return
        if not _is_ready(there[ordinal]) and not parallel:
            return
    if strategy == "OnDelete":
        return
    for ordinal in sorted(there, reverse=True):
        if ordinal < partition:
            return
        if there[ordinal]["revision"] != update:
            world.remove(there[ordinal])
            return
        if not _is_ready(there[ordinal]):
            return


# ---- DaemonSet: maxUnavailable 1


def daemon_set(world: World, thing: Json) -> None:
    seen = _observed(world, "daemonsets", thing)
    new, old = _split(world, "daemonsets", thing)
    by_hand = thing["spec"].get("updateStrategy", {}).get("type") == "OnDelete"
    if seen:
        missing = [n for n in range(NODES) if n not in {p["ordinal"] for p in new + old}]
        if missing:
            world.start("daemonsets", thing, missing[0])
        elif old and not by_hand:
            broken = [p for p in old if not _is_ready(p)]
            if broken or all(_is_ready(p) for p in new + old):
                world.remove((broken or old)[0])
    new, old = _split(world, "daemonsets", thing)
    ready = [p for p in new + old if _is_ready(p)]
    numbers = {
        "updatedNumberScheduled": len(new), "numberAvailable": len(ready), "numberUnavailable": NODES - len(ready),
    }
    status = thing["status"]
    status |= {"currentNumberScheduled": len(new + old), "desiredNumberScheduled": NODES, "numberReady": len(ready)}
    for key, value in numbers.items():
        if value:
            status[key] = value
        else:
            status.pop(key, None)


STEPS = {"deployments": deployment, "statefulsets": stateful_set, "daemonsets": daemon_set}
