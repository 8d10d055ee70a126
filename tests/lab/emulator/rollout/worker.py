"""The work of a service deployment: start and stop tasks within the percentages, give up, and roll back."""

import math
import os
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from emulator import clock
from emulator.lock import BACKEND
from emulator.rollout import images
from emulator.rollout.model import Revision, Rollout, ServiceGone, Stop, Task, count, new_row, say, tasks, wanted

START_SECONDS = float(os.environ.get("LAB_TASK_SECONDS", "20"))
SLOW_SECONDS = float(os.environ.get("LAB_SLOW_SECONDS", "300"))
UNHEALTHY_SECONDS = 60.0
STEADY_SECONDS = 10.0


def run(rollout: Rollout) -> None:
    try:
        _forward(rollout)
    except Stop as stop:
        with BACKEND:
            back = _stopped(rollout, stop)
        if back:
            _roll_back(rollout, back)
    except ServiceGone:
        pass
    except Exception as error:  # a bug of the emulator must be seen, not hang the client
        rollout.move("STOPPED", f"emulator: {error!r}")


def _forward(rollout: Rollout) -> None:
    _wait(rollout, 1)
    with BACKEND:
        _check(rollout)
        rollout.started = clock.now()
        rollout.move("IN_PROGRESS", "The service deployment is in progress.")
    _roll(rollout, rollout.target, rollout.row, watch=True)
    with BACKEND:
        _check(rollout)
        _complete(rollout, rollout.row, rollout.target)
        rollout.move("SUCCESSFUL", "The service deployment completed successfully.")


def _complete(rollout: Rollout, row: dict[str, Any], revision: Revision) -> None:
    service = rollout.service
    row.update(rolloutState="COMPLETED", rolloutStateReason=f"ECS deployment {row['id']} completed.", updatedAt=clock.now())
    service.lab_current = service.lab_completed = revision
    say(service, f"(deployment {row['id']}) deployment completed.")
    say(service, "has reached a steady state.")


def _check(rollout: Rollout) -> None:
    service = rollout.service
    known = service._backend.services.get(f"{service.cluster_name}:{service.name}")
    if known is not service or service.status != "ACTIVE":
        raise ServiceGone
    if rollout.signal:
        raise Stop(rollout.signal)
    alarms = rollout.configuration().get("alarms") or {}
    if alarms.get("enable") and rollout.rollback is None:
        backend = cloudwatch_backends[service._account_id][service.region_name]
        for name in alarms.get("alarmNames") or []:
            if name in backend.alarms and backend.alarms[name].state_value == "ALARM":
                rollout.reason_alarm = name
                raise Stop("alarm", name)


def _wait(rollout: Rollout, aws_seconds: float) -> None:
    clock.wait(aws_seconds, lambda: _check(rollout))


def _roll(rollout: Rollout, revision: Revision, row: dict[str, Any], watch: bool) -> None:
    while True:
        with BACKEND:
            _check(rollout)
            started, stopped = _batch(rollout, revision, row)
            done = not started and not stopped and _is_done(rollout, row)
        if done:
            return _wait(rollout, STEADY_SECONDS)
        if started:
            _start(rollout, started, watch)
        else:
            _wait(rollout, 2)


def _is_done(rollout: Rollout, row: dict[str, Any]) -> bool:
    now = wanted(rollout.service)
    mine = [task for task in now if task.row is row and task.last == "RUNNING"]
    return len(mine) == len(now) == int(rollout.service.desired_count)


def _batch(rollout: Rollout, revision: Revision, row: dict[str, Any]) -> tuple[list[Task], int]:
    """AWS: minimumHealthyPercent is a floor of running tasks, rounded up; maximumPercent a ceiling of running and
    pending ones, rounded down."""
    service, configuration = rollout.service, rollout.configuration()
    desired = int(service.desired_count)
    row["desiredCount"] = desired
    low = math.ceil(desired * int(configuration.get("minimumHealthyPercent", 100)) / 100)
    high = desired * int(configuration.get("maximumPercent", 200)) // 100
    now = wanted(service)
    fresh = [task for task in now if task.row is row]
    old = [task for task in now if task.row is not row]
    running = sum(task.last == "RUNNING" for task in now)
    missing = max(0, desired - len(fresh))
    room = max(0, high - len(now))
    surplus = max(0, len(now) - desired) if not missing else max(0, missing - room)
    # One that does not run yet is no part of the floor.
    idle = [task for task in old if task.last != "RUNNING"]
    healthy = [task for task in old if task.last == "RUNNING"]
    going = [*idle, *healthy[: max(0, min(running - low, surplus - len(idle)))]]
    for task in going:
        task.stop("Scaling activity initiated by (deployment " + row["id"] + ")", "ServiceSchedulerInitiated")
    if going:
        say(service, f"has stopped {len(going)} running tasks: " + " ".join(f"(task {_id(task)})" for task in going) + ".")
    started = [Task(service, revision, row) for _ in range(min(missing, room + len(going)))]
    if not missing and len(fresh) > desired:
        for task in fresh[desired:]:
            task.stop("Scaling activity initiated by (deployment " + row["id"] + ")", "ServiceSchedulerInitiated")
    tasks(service).extend(started)
    if started:
        say(service, f"has started {len(started)} tasks: " + " ".join(f"(task {_id(task)})" for task in started) + ".")
    count(service)
    return started, len(going)


def _id(task: Task) -> str:
    return task.arn.rpartition("/")[2]


def _start(rollout: Rollout, started: list[Task], watch: bool) -> None:
    """A task's images decide how it ends: they run, do not come, or make it stop."""
    told = [_behaviour(task) for task in started]
    slow = any(each.get("health") == "slow" for each in told)
    _wait(rollout, SLOW_SECONDS if slow else START_SECONDS)
    with BACKEND:
        _check(rollout)
        for task, each in zip(started, told):
            if task.desired == "RUNNING":
                _settle(task, each)
        count(rollout.service)
    if any(each.get("health") == "unhealthy" for each in told):
        _wait(rollout, UNHEALTHY_SECONDS)
    with BACKEND:
        _check(rollout)
        for task, each in zip(started, told):
            if task.last == "RUNNING" and each.get("health") == "unhealthy":
                task.stop("Task failed container health checks", "ServiceSchedulerInitiated")
                task.health = "UNHEALTHY"
        failed = [task for task in started if task.desired == "STOPPED" and task.reason and "Scaling" not in task.reason]
        rollout.failed += len(failed)
        started[0].row["failedTasks"] += len(failed)
        count(rollout.service)
        if watch and failed and rollout.breaker().get("enable") and rollout.failed >= rollout.threshold():
            raise Stop("breaker")
    if failed:
        _wait(rollout, 5)


def _behaviour(task: Task) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for image, digest in task.revision.digests.values():
        each = images.behaviour(image)
        if digest is None and not each.get("health"):
            each = {"health": "pull"}
        told = each if each.get("health", "ok") != "ok" else told
    return told


def _settle(task: Task, told: dict[str, Any]) -> None:
    health = told.get("health", "ok")
    if health == "pull":
        image = next(image for image, _ in task.revision.digests.values())
        reason = told.get("reason") or f"CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref {image}: not found"
        task.stop(reason, "TaskFailedToStart", container=reason)
    elif health == "exit":
        reason = told.get("reason") or "Essential container in task exited"
        task.stop(reason, "EssentialContainerExited", int(told.get("exit_code", 1)), told.get("container_reason"))
    else:
        task.run()


REASONS = {
    "breaker": ("Service deployment rolled back because the circuit breaker threshold was exceeded.", "ECS deployment circuit breaker: tasks failed to start."),
    "alarm": ("Service deployment rolled back because of CloudWatch alarms.", "ECS deployment failed: alarm detected."),
    "stop": ("Service deployment rolled back because of a user initiated stop.", "ECS deployment stopped by the user."),
}


def _stopped(rollout: Rollout, stop: Stop) -> Revision | None:
    """The revision to return to, if AWS rolls back."""
    if stop.kind == "superseded":
        rollout.move("STOPPED", "Service deployment stopped because a newer service deployment began.")
        return None
    service, row = rollout.service, rollout.row
    rollout.triggered = stop.kind
    words, of_row = REASONS[stop.kind]
    row.update(rolloutState="FAILED", rolloutStateReason=of_row, updatedAt=clock.now())
    say(service, f"(deployment {row['id']}) deployment failed: " + ("tasks failed to start." if stop.kind == "breaker" else "alarm detected." if stop.kind == "alarm" else "stopped."))
    wants = {
        "stop": True, "breaker": rollout.breaker().get("rollback"),
        "alarm": (rollout.configuration().get("alarms") or {}).get("rollback"),
    }[stop.kind]
    completed = service.__dict__.get("lab_completed")
    if not wants or completed is None:
        # AWS: "The rollback option is not in use for the failure detection mechanism and the service fails": STOPPED.
        for task in [task for task in wanted(service) if task.row is row and task.last != "RUNNING"]:
            task.stop("Deployment failed", "ServiceSchedulerInitiated")
        count(service)
        rollout.move("STOPPED", words.replace("rolled back", "stopped"))
        return None
    rollout.signal = None
    rollout.rollback = {"reason": words, "startedAt": clock.now(), "serviceRevisionArn": completed.arn}
    rollout.move("ROLLBACK_REQUESTED", words)
    found: Revision = completed
    return found


def _roll_back(rollout: Rollout, revision: Revision) -> None:
    """AWS: the revision that completed last becomes the PRIMARY deployment again."""
    service, failed = rollout.service, rollout.row
    try:
        with BACKEND:
            _check(rollout)
            row = new_row(service, revision, "in progress")
            row["rolloutStateReason"] = f"ECS deployment circuit breaker: rolling back to deploymentId {row['id']}."
            failed["status"] = "ACTIVE"
            rollout.back_row = row
            service.deployments.insert(0, row)
            service.task_definition = revision.definition.arn
            # Tasks of the revision that is returned to are its own again: they need not be replaced.
            for task in wanted(service):
                if task.revision is revision:
                    task.row = row
            say(service, f"rolling back to deployment {row['id']}.")
            count(service)
            rollout.move("ROLLBACK_IN_PROGRESS", rollout.reason)
        _roll(rollout, revision, row, watch=False)
        with BACKEND:
            _complete(rollout, row, revision)
            rollout.move("ROLLBACK_SUCCESSFUL", rollout.rollback["reason"] if rollout.rollback else rollout.reason)
    except Stop:
        rollout.move("STOPPED", "Service deployment stopped because a newer service deployment began.")
    except ServiceGone:
        pass
