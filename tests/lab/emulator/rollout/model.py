"""Service revisions, service deployments and the tasks of services, and what Describe shows of them."""

import uuid
from typing import Any

from moto.ecs.models import mock_random

from emulator import clock
from emulator.rollout import images

ACTIVE = ("PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
MAX_EVENTS = 100


class Stop(Exception):
    """Ends the work in progress; `kind` says why."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


class ServiceGone(Exception):
    """The service was deleted under the deployment, or everything was reset."""


def number() -> str:
    return str(mock_random.randint(10**18, 10**19))


def arn(service: Any, kind: str) -> str:
    prefix = service.arn.rpartition(":service/")[0]
    return f"{prefix}:{kind}/{service.cluster_name}/{service.name}/{number()}"


class Revision:
    """AWS: ServiceRevision: the workload that one deployment brings; its image digests are resolved once."""

    def __init__(self, service: Any, definition: Any) -> None:
        self.arn, self.service, self.definition = arn(service, "service-revision"), service, definition
        self.created = clock.now()
        self.digests = {
            each["name"]: (each["image"], images.digest(each["image"])) for each in definition.container_definitions
        }

    def view(self) -> dict[str, Any]:
        shown = [
            {"containerName": name, "image": image, **({"imageDigest": digest} if digest else {})}
            for name, (image, digest) in self.digests.items()
        ]
        return {
            "serviceRevisionArn": self.arn, "serviceArn": self.service.arn, "clusterArn": self.service.cluster_arn,
            "taskDefinition": self.definition.arn, "launchType": self.service.launch_type, "containerImages": shown,
            "createdAt": self.created,
        }


class Task:
    """A task that a service runs. Stock moto's tasks are those of RunTask."""

    def __init__(self, service: Any, revision: Revision, row: dict[str, Any]) -> None:
        self.service, self.revision, self.row = service, revision, row
        self.arn = f"{service.cluster_arn.replace(':cluster/', ':task/')}/{uuid.uuid4().hex}"
        self.desired, self.last, self.health = "RUNNING", "PENDING", "UNKNOWN"
        self.stop_code: str | None = None
        self.reason: str | None = None
        self.container_reason: str | None = None
        self.exit_code: int | None = None
        self.created, self.stopped = clock.now(), None

    def run(self) -> None:
        self.last, self.health = "RUNNING", "HEALTHY"

    def stop(self, reason: str, code: str, exit_code: int | None = None, container: str | None = None) -> None:
        self.desired = self.last = "STOPPED"
        self.reason, self.stop_code, self.exit_code, self.container_reason = reason, code, exit_code, container
        self.stopped = clock.now()

    def view(self) -> dict[str, Any]:
        containers = []
        for name, (image, digest) in self.revision.digests.items():
            seen = {
                "name": name, "image": image, "lastStatus": self.last, "taskArn": self.arn,
                "containerArn": self.arn.replace(":task/", ":container/") + "/" + name,
                # AWS: Container.imageDigest is known once the image was pulled.
                "imageDigest": digest if self.last != "PENDING" else None,
                "exitCode": self.exit_code, "reason": self.container_reason, "healthStatus": self.health,
            }
            containers.append({key: value for key, value in seen.items() if value is not None})
        fields = {
            "taskArn": self.arn, "clusterArn": self.service.cluster_arn, "group": f"service:{self.service.name}",
            "taskDefinitionArn": self.revision.definition.arn, "startedBy": self.row["id"], "desiredStatus": self.desired,
            "lastStatus": self.last, "healthStatus": self.health, "launchType": self.service.launch_type,
            "createdAt": self.created, "stoppedAt": self.stopped, "stoppedReason": self.reason,
            "stopCode": self.stop_code, "containers": containers,
        }
        return {key: value for key, value in fields.items() if value is not None}


class Rollout:
    """AWS: ServiceDeployment."""

    def __init__(self, service: Any, revision: Revision) -> None:
        self.service, self.target = service, revision
        self.arn = arn(service, "service-deployment")
        current = service.__dict__.get("lab_current")
        self.sources: list[Revision] = [current] if current else []
        self.status, self.reason = "PENDING", "The service deployment is pending."
        self.created = self.updated = clock.now()
        self.started = self.finished = self.stopped = None
        self.rollback: dict[str, Any] | None = None
        self.signal: str | None = None
        self.triggered: str | None = None
        self.failed = 0
        self.row = new_row(service, revision, "in progress")

    def active(self) -> bool:
        return self.status in ACTIVE

    def configuration(self) -> dict[str, Any]:
        found: dict[str, Any] = self.service.__dict__.get("deployment_configuration") or {}
        return found

    def breaker(self) -> dict[str, Any]:
        found: dict[str, Any] = self.configuration().get("deploymentCircuitBreaker") or {}
        return found

    def threshold(self) -> int:
        """AWS: half the desired count, at least 3 and at most 200 tasks."""
        return min(200, max(3, -(-int(self.service.desired_count) // 2)))

    def move(self, status: str, reason: str) -> None:
        self.status, self.reason, self.updated = status, reason, clock.now()
        if status not in ACTIVE:
            self.finished = clock.now()
        if status == "STOPPED":
            self.stopped = clock.now()

    def brief(self) -> dict[str, Any]:
        fields = {
            "serviceDeploymentArn": self.arn, "serviceArn": self.service.arn, "clusterArn": self.service.cluster_arn,
            "createdAt": self.created, "startedAt": self.started, "finishedAt": self.finished, "status": self.status,
            "statusReason": self.reason, "targetServiceRevisionArn": self.target.arn,
        }
        return {key: value for key, value in fields.items() if value is not None}

    def view(self) -> dict[str, Any]:
        fields = self.brief()
        del fields["targetServiceRevisionArn"]
        on = self.breaker().get("enable")
        state = "DISABLED" if not on else "TRIGGERED" if self.triggered == "breaker" else "MONITORING"
        if on and state == "MONITORING" and not self.active():
            state = "MONITORING_COMPLETE"
        alarms = (self.configuration().get("alarms") or {})
        ringing = [self.reason_alarm] if self.triggered == "alarm" else []
        rest = {
            "updatedAt": self.updated, "stoppedAt": self.stopped, "rollback": self.rollback,
            "targetServiceRevision": self._summary(self.target),
            "sourceServiceRevisions": [self._summary(each) for each in self.sources],
            "deploymentConfiguration": self.configuration() or None,
            "deploymentCircuitBreaker": {
                "status": state, "failureCount": self.failed, "threshold": self.threshold() if on else 0
            },
            "alarms": {
                "status": "TRIGGERED" if ringing else "MONITORING" if alarms.get("enable") else "DISABLED",
                "alarmNames": alarms.get("alarmNames") or [], "triggeredAlarmNames": ringing,
            },
        }
        return {**fields, **{key: value for key, value in rest.items() if value is not None}}

    reason_alarm = ""

    def _summary(self, revision: Revision) -> dict[str, Any]:
        mine = [task for task in tasks(self.service) if task.revision is revision and task.desired == "RUNNING"]
        return {
            "arn": revision.arn, "requestedTaskCount": int(self.service.desired_count),
            "runningTaskCount": sum(task.last == "RUNNING" for task in mine),
            "pendingTaskCount": sum(task.last == "PENDING" for task in mine),
        }


def new_row(service: Any, revision: Revision, words: str) -> dict[str, Any]:
    """AWS: Deployment, one of `Service.deployments`."""
    name = f"ecs-svc/{number()}"
    return {
        "id": name, "status": "PRIMARY", "taskDefinition": revision.definition.arn,
        "desiredCount": int(service.desired_count), "runningCount": 0, "pendingCount": 0, "failedTasks": 0,
        "createdAt": clock.now(), "updatedAt": clock.now(), "launchType": service.launch_type,
        "rolloutState": "IN_PROGRESS", "rolloutStateReason": f"ECS deployment {name} {words}.",
    }


def tasks(service: Any) -> list[Task]:
    found: list[Task] = service.__dict__.setdefault("lab_tasks", [])
    return found


def wanted(service: Any) -> list[Task]:
    """Those that are to run: the ones that are stopped stay visible for an hour, and do not count."""
    return [task for task in tasks(service) if task.desired == "RUNNING"]


def rollouts(service: Any) -> list[Rollout]:
    """Newest first."""
    found: list[Rollout] = service.__dict__.setdefault("lab_rollouts", [])
    return found


def say(service: Any, text: str) -> None:
    """AWS: "Viewing Amazon ECS service event messages": newest first, at most 100."""
    service.events.insert(0, {"id": str(uuid.uuid4()), "createdAt": clock.now(), "message": f"(service {service.name}) {text}"})
    del service.events[MAX_EVENTS:]


def count(service: Any) -> None:
    """Brings the counts of the service and its deployments up to date; an old deployment without tasks goes."""
    now = wanted(service)
    for row in service.deployments:
        mine = [task for task in now if task.row is row]
        row["runningCount"] = sum(task.last == "RUNNING" for task in mine)
        row["pendingCount"] = sum(task.last == "PENDING" for task in mine)
    service.deployments = [
        row for row in service.deployments if row["status"] == "PRIMARY" or any(task.row is row for task in now)
    ]
    service.running_count = sum(task.last == "RUNNING" for task in now)
    service.pending_count = sum(task.last == "PENDING" for task in now)
    lowest = service.__dict__.get("lab_lowest")
    if lowest is not None:
        service.lab_lowest = min(lowest, service.running_count)
