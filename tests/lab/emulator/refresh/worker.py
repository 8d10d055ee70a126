"""The work of an instance refresh: replace instances in batches, wait, bake, and roll back."""

import copy
import math
import os
from collections.abc import Callable
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from emulator import clock
from emulator.lock import BACKEND
from emulator.patches.launches import choices, note_activity
from emulator.patches.parameters import resolve
from emulator.refresh.model import GroupGone, Refresh, Stop

LAUNCH_SECONDS = float(os.environ.get("LAB_LAUNCH_SECONDS", "20"))
HEALTH_TIMEOUT_SECONDS = float(os.environ.get("LAB_HEALTH_TIMEOUT_SECONDS", "600"))
SLOW_SECONDS = float(os.environ.get("LAB_SLOW_SECONDS", "300"))
HEALTH_TAG = "imgtest:health"

Progress = Callable[[int, int], None]


def run(refresh: Refresh) -> None:
    try:
        _forward(refresh)
    except Stop as stop:
        _stopped(refresh, stop)
    except GroupGone:
        refresh.status, refresh.reason = "Failed", "The Auto Scaling group was deleted."
    except Exception as error:  # a bug of the emulator must be seen, not hang the client
        refresh.status, refresh.reason = "Failed", f"emulator: {error!r}"
    refresh.ended = clock.now()


def _forward(refresh: Refresh) -> None:
    _wait(refresh, 1, watch=False)
    with BACKEND:
        todo = _to_replace(refresh)
        refresh.left = len(todo)
        refresh.status = "InProgress" if refresh.status == "Pending" else refresh.status
    _wait_for_protected(refresh, todo)
    _check(refresh, watch=True)
    total = len(todo)
    _roll(refresh, todo, refresh.target, True, lambda done, left: refresh.progress(done, left, total))
    bake = refresh.number("BakeTime", 0)
    if bake:
        refresh.status = "Baking"
        _wait(refresh, bake, watch=True)
    with BACKEND:
        _check(refresh, watch=True)
        if refresh.desired:
            _apply(refresh)
        refresh.percentage, refresh.left, refresh.status = 100, 0, "Successful"


def _to_replace(refresh: Refresh) -> list[Any]:
    """AWS: SkipMatching, ScaleInProtectedInstances, StandbyInstances of RefreshPreferences."""
    todo = list(refresh.group.instance_states)
    if _true(refresh.preferences.get("SkipMatching")):
        wanted = _launches(refresh.target)
        todo = [state for state in todo if getattr(state, "lab_launched", None) not in wanted]
    if refresh.preferences.get("ScaleInProtectedInstances", "Wait") == "Ignore":
        todo = [state for state in todo if not state.protected_from_scale_in]
    if refresh.preferences.get("StandbyInstances", "Wait") == "Ignore":
        todo = [state for state in todo if state.lifecycle_state != "Standby"]
    return todo


def _wait_for_protected(refresh: Refresh, todo: list[Any]) -> None:
    """AWS: with `Wait`, "Amazon EC2 Auto Scaling waits one hour" for protected instances, then fails."""

    def protected() -> bool:
        return any(state.protected_from_scale_in for state in todo)

    if refresh.preferences.get("ScaleInProtectedInstances", "Wait") != "Wait" or not protected():
        return
    _wait(refresh, 3600, watch=True)
    if protected():
        raise Stop("protected", "Instances are protected from scale in")


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _launches(target: Any) -> set[tuple[str, str, str, str]]:
    """AWS "Use an instance refresh with skip matching": launch template, its version and instance types are compared,
    for a mixed instances policy those of every override."""
    resolved = [
        (template.id, str(version.number), kind or version.instance_type, image or version.image_id)
        for template, version, kind, image in choices(target)
    ]
    return {(*rest, resolve(target.account_id, target.region, image)) for *rest, image in resolved}


def _check(refresh: Refresh, watch: bool) -> None:
    backend = refresh.backend
    if backend.autoscaling_groups.get(refresh.group.name) is not refresh.group:
        raise GroupGone
    if refresh.signal == "cancel" or (refresh.signal == "rollback" and refresh.status != "RollbackInProgress"):
        raise Stop(refresh.signal)
    if not watch:
        return
    names = refresh.preferences.get("AlarmSpecification", {}).get("Alarms", [])
    alarms = cloudwatch_backends[backend.account_id][backend.region_name].alarms
    ringing = [name for name in names if name in alarms and alarms[name].state_value == "ALARM"]
    if ringing:
        raise Stop("alarm", ", ".join(ringing))


def _wait(refresh: Refresh, aws_seconds: float, watch: bool) -> None:
    clock.wait(aws_seconds, lambda: _check(refresh, watch))


def _roll(refresh: Refresh, todo: list[Any], target: Any, watch: bool, progress: Progress) -> None:
    """Batches by MinHealthyPercentage and MaxHealthyPercentage, with checkpoints."""
    size = max(1, refresh.group.desired_capacity or 1)
    low, high = refresh.number("MinHealthyPercentage", 90), refresh.number("MaxHealthyPercentage", 100)
    batch = max(1, size * (100 - low) // 100, size * (high - 100) // 100)
    checkpoints = [int(value) for value in refresh.preferences.get("CheckpointPercentages", [])] if watch else []
    total, done = len(todo), 0
    while todo:
        count = batch
        if checkpoints:
            count = min(count, max(1, math.ceil(total * checkpoints[0] / 100) - done))
        now, todo = todo[:count], todo[count:]
        _replace(refresh, now, target, watch)
        done += len(now)
        progress(done, len(todo))
        if checkpoints and done * 100 >= checkpoints[0] * total:
            last = checkpoints.pop(0)
            if not checkpoints and last < 100:
                return
            if todo:
                refresh.reason = "Waiting for checkpoint delay"
                _wait(refresh, refresh.number("CheckpointDelay", 3600), watch)
                refresh.reason = None


def _replace(refresh: Refresh, olds: list[Any], target: Any, watch: bool) -> None:
    """One batch: terminate, launch, wait until InService, healthy and warm; launch comes first above 100 %."""
    launch_first = refresh.number("MaxHealthyPercentage", 100) > 100
    if not launch_first:
        _terminate(refresh, olds)
    fresh = _launch(refresh, len(olds), target)
    if len(fresh) < len(olds):
        raise Stop("launch", getattr(target, "last_failed_launch", None) or "Launching EC2 instance failed.")
    _wait(refresh, LAUNCH_SECONDS, watch)
    _await_health(refresh, fresh, watch)
    if launch_first:
        _terminate(refresh, olds)
    group = refresh.group
    default = getattr(group, "default_instance_warmup", None)
    warmup = refresh.preferences.get("InstanceWarmup", default)
    _wait(refresh, float(warmup if warmup is not None else group.health_check_grace_period or 0), watch)
    with BACKEND:
        refresh.backend.update_attached_elbs(group.name)
        refresh.backend.update_attached_target_groups(group.name)


def _terminate(refresh: Refresh, olds: list[Any]) -> None:
    with BACKEND:
        for state in olds:
            state.lifecycle_state = "Terminating"
            note_activity(refresh.group, f"Terminating EC2 instance: {state.instance.id}", "Successful")
        refresh.group.instance_states = [state for state in refresh.group.instance_states if state not in olds]
        alive = [state.instance.id for state in olds if state.instance.state != "terminated"]
        if alive:
            refresh.backend.ec2_backend.terminate_instances(alive)


def _launch(refresh: Refresh, count: int, target: Any) -> list[Any]:
    with BACKEND:
        target.instance_states = []
        # Overrides go on taking turns from batch to batch.
        target.lab_turn = len(refresh.fresh_ids)
        target.lab_activities = refresh.group.__dict__.setdefault("lab_activities", [])
        target.replace_autoscaling_group_instances(count, target.get_propagated_tags())
        fresh: list[Any] = target.instance_states
        for state in fresh:
            state.instance.autoscaling_group = state.auto_scaling_group = refresh.group
            state.lifecycle_state = "Pending"
        refresh.group.instance_states = [*refresh.group.instance_states, *fresh]
        refresh.fresh_ids += [state.instance.id for state in fresh]
    return fresh


def _await_health(refresh: Refresh, fresh: list[Any], watch: bool) -> None:
    with BACKEND:
        sick = [state for state in fresh if _health(refresh, state) != "ok"]
        slow = [state for state in sick if _health(refresh, state) == "slow"]
        endless = any(_health(refresh, state) == "never" for state in sick)
        for state in fresh:
            state.health_status = "Unhealthy" if state in sick else state.health_status
            state.lifecycle_state = "InService"
    waited = 0.0
    while any(state.health_status != "Healthy" for state in fresh):
        _wait(refresh, 5, watch)
        waited += 5
        if waited >= SLOW_SECONDS:
            for state in slow:
                state.health_status = "Healthy"
        if waited >= HEALTH_TIMEOUT_SECONDS and not endless:
            count = sum(state.health_status != "Healthy" for state in fresh)
            raise Stop("health", f"{count} instance(s) failed to become healthy")


def _health(refresh: Refresh, state: Any) -> str:
    return _tagged(refresh.backend, state.instance.image_id)


def _tagged(backend: Any, image_id: str) -> str:
    """The lab's own switch: an AMI tagged imgtest:health=fail, =slow, =never or =stuck."""
    image = backend.ec2_backend.amis.get(image_id)
    tags = {tag["key"]: tag["value"] for tag in image.get_tags()} if image else {}
    return tags.get(HEALTH_TAG, "ok")


def _apply(refresh: Refresh) -> None:
    group, desired = refresh.group, refresh.desired
    group.mixed_instances_policy = copy.deepcopy(desired.get("MixedInstancesPolicy"))
    group._set_launch_configuration(None, desired.get("LaunchTemplate"), group.mixed_instances_policy)


def _stopped(refresh: Refresh, stop: Stop) -> None:
    if stop.kind == "cancel":
        _settle(refresh)
        refresh.status, refresh.reason = "Cancelled", "Cancelled due to user request."
        return
    wants = stop.kind == "rollback" or _true(refresh.preferences.get("AutoRollback"))
    if not wants or not refresh.reversible():
        refresh.status, refresh.reason = "Failed", stop.reason()
        return
    asked = stop.kind == "rollback"
    refresh.reason = "Rolled back due to user request." if asked else f"Automatic rollback: {stop.reason()}"
    refresh.rollback = {
        "RollbackReason": refresh.reason, "RollbackStartTime": clock.now(),
        "PercentageCompleteOnRollback": refresh.percentage, "InstancesToUpdateOnRollback": refresh.left,
    }
    refresh.status = "RollbackInProgress"
    try:
        _roll_back(refresh)
        refresh.percentage, refresh.status = 0, "RollbackSuccessful"
    except Stop as again:
        cancelled = again.kind == "cancel"
        refresh.status = "Cancelled" if cancelled else "RollbackFailed"
        refresh.reason = "Cancelled due to user request." if cancelled else again.reason()


def _settle(refresh: Refresh) -> None:
    """API Reference, InstanceRefresh, Status: between the request and Cancelled it is Cancelling, without a limit. In
    the lab that passes at once, except where an image is tagged imgtest:health=stuck: there it takes an hour."""
    backend = refresh.backend
    images = [image or version.image_id for _, version, _, image in choices(refresh.target)]
    if any(_tagged(backend, resolve(backend.account_id, backend.region_name, image)) == "stuck" for image in images):
        clock.wait(3600, lambda: None)


def _roll_back(refresh: Refresh) -> None:
    """Replace what this refresh launched by instances of the old configuration, and fill up what failed to launch."""
    group, start = refresh.group, refresh.percentage
    with BACKEND:
        todo = [state for state in group.instance_states if state.instance.id in refresh.fresh_ids]
        missing = max(0, (group.desired_capacity or 0) - len(group.instance_states))
        surplus = max(0, len(group.instance_states) - (group.desired_capacity or 0))
    # A batch that launches first and is cut short leaves more instances than the group wants, and those to be
    # replaced still run: the newest go without successors. User Guide, "Undo changes with a rollback": the group
    # returns to its previous state, which is also its desired capacity.
    todo, extra = todo[: len(todo) - surplus], todo[len(todo) - surplus :]
    _terminate(refresh, extra)
    total = max(len(todo), 1)

    def progress(_: int, left: int) -> None:
        refresh.percentage = start * left // total

    _roll(refresh, todo, refresh.old_target, False, progress)
    if missing:
        with BACKEND:
            refresh.old_target.instance_states = []
            group.set_desired_capacity(group.desired_capacity)
