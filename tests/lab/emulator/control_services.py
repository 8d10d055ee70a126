"""Control requests that make, change and show ECS services, and say how container images behave."""

import collections
import copy
import io
import json
from typing import Any

from moto.ecs.models import ecs_backends

from emulator import clock
from emulator.control_input import Body, ControlError, account_of, region_of, required
from emulator.rollout import images
from emulator.rollout.api import begin, run_at_once, scale
from emulator.rollout.model import count, rollouts, wanted

CONTAINER = {"cpu": 64, "memory": 128, "essential": True}


def _backend(body: Body) -> Any:
    return ecs_backends[account_of(body)][region_of(body)]


def _cluster(body: Body) -> Any:
    backend, name = _backend(body), str(body.get("cluster") or "main")
    if name not in backend.clusters:
        backend.create_cluster(name, None, None, None, None, None)
    return backend.clusters[name]


def service_of(body: Body, field: str = "name") -> Any:
    name = str(required(body, field))
    found = _backend(body).services.get(f"{body.get('cluster') or 'main'}:{name}")
    if found is None:
        raise ControlError(f"no ECS service {name} in {region_of(body)}")
    return found


def _register(backend: Any, family: str, like: Any, changes: Body) -> Any:
    """A revision like another one, as a person or a pipeline would register it."""
    definition = backend.register_task_definition(
        family=family, container_definitions=changes["containers"], tags=changes.get("tags") or None,
        memory=like.memory if like else None, cpu=like.cpu if like else None,
    )
    taken = backend.__dict__.setdefault("lab_revisions", {})
    taken[family] = max(taken.get(family, 0), definition.revision)
    definition.registered_at, definition.registered_by = clock.now(), "arn:aws:iam::123456789012:user/colleague"
    return definition


def make_service(body: Body) -> Body:
    """POST /_lab/service: a service that has run for a while."""
    backend, cluster, name = _backend(body), _cluster(body), str(required(body, "name"))
    if f"{cluster.name}:{name}" in backend.services:
        raise ControlError(f"service {name} exists already")
    image = body.get("image")
    own = [{**CONTAINER, "name": str(body.get("container") or "app"), "image": str(image)}] if image else []
    containers = [*own, *({**CONTAINER, **each} for each in body.get("containers") or [])]
    if not containers and not body.get("task_definition"):
        raise ControlError("missing field: image")
    given = body.get("task_definition")
    definition = (
        backend.describe_task_definition(str(given)) if given
        else _register(backend, str(body.get("family") or name), None, {"containers": containers, "tags": body.get("tags")})
    )
    controller = {"type": str(body.get("controller") or "ECS")}
    service = backend.create_service(
        cluster.name, name, int(body.get("size", 2)), definition.arn, deployment_controller=controller,
        scheduling_strategy=body.get("scheduling") or None, launch_type=body.get("launch_type"),
    )
    configuration: Body = {
        "minimumHealthyPercent": int(body.get("min_percent", 100)), "maximumPercent": int(body.get("max_percent", 200))
    }
    breaker = body.get("circuit_breaker")
    if breaker is not None:
        configuration["deploymentCircuitBreaker"] = {"enable": True, "rollback": breaker != "stop"}
    if body.get("alarms"):
        configuration["alarms"] = {"alarmNames": body["alarms"], "enable": True, "rollback": True}
    service.deployment_configuration = configuration
    if controller["type"] == "ECS":
        run_at_once(service, definition)
    return show_service({**body, "name": name})


def make_services(body: Body) -> Body:
    """POST /_lab/services: many alike, `prefix-001` and so on."""
    total, prefix = int(required(body, "count")), str(body.get("prefix") or "service")
    rest = {key: value for key, value in body.items() if key not in ("count", "prefix", "name")}
    names = [f"{prefix}-{index:0{len(str(total))}d}" for index in range(1, total + 1)]
    for name in names:
        make_service({**rest, "name": name})
    return {"count": total, "names": names}


def watch_service(body: Body) -> Body:
    """POST /_lab/service/watch: from now on `min_running` is the lowest number of running tasks ever seen."""
    service = service_of(body)
    service.lab_lowest = service.running_count
    return {"min_running": service.lab_lowest}


def show_service(body: Body) -> Body:
    """GET /_lab/service?name=...: what the service really runs."""
    service = service_of(body)
    running = [task for task in wanted(service) if task.last == "RUNNING"]
    by_image = collections.Counter(
        f"{name} {digest or image}" for task in running for name, (image, digest) in task.revision.digests.items()
    )
    family = service.task_definition.rpartition("/")[2].rpartition(":")[0] if service.task_definition else ""
    revisions = _backend(body).task_definitions.get(family, {})
    return {
        "name": service.name, "cluster": service.cluster_name, "region": service.region_name, "account": account_of(body),
        "status": service.status, "task_definition": service.task_definition, "desired": int(service.desired_count),
        "running": len(running), "min_running": service.__dict__.get("lab_lowest"), "by_image": dict(by_image),
        "by_revision": dict(collections.Counter(task.revision.definition.arn.rpartition(":")[2] for task in running)),
        "revisions": {str(number): each.status for number, each in sorted(revisions.items())},
        "deployments": [
            {"arn": each.arn, "status": each.status, "reason": each.reason, "failed": each.failed}
            for each in rollouts(service)
        ],
    }


def set_container_image(body: Body) -> Body:
    """POST /_lab/container-image: how containers of an image (or digest) behave from now on."""
    health = body.get("health")
    if health is not None and health not in images.HEALTH:
        raise ControlError(f"health is one of {', '.join(images.HEALTH)}")
    image = str(required(body, "image"))
    fields = ("health", "digest", "exit_code", "reason", "container_reason")
    return {"image": image, **images.learn(image, **{name: body.get(name) for name in fields})}


def change_service(body: Body) -> Body:
    """POST /_lab/service/change: done behind imgctl's back."""
    kind = str(required(body, "kind"))
    if kind not in CHANGES:
        raise ControlError(f"kind is one of {', '.join(sorted(CHANGES))}")
    service = service_of(body)
    result = CHANGES[kind](_backend(body), service, body) or {}
    return {**result, "service": show_service(body)}


def _new_revision(backend: Any, service: Any, body: Body) -> Any:
    now = backend.describe_task_definition(service.task_definition)
    containers = copy.deepcopy(now.container_definitions)
    chosen = next((each for each in containers if each["name"] == body.get("container")), containers[0])
    if body.get("image"):
        chosen["image"] = str(body["image"])
    if body.get("environment"):
        chosen["environment"] = [{"name": key, "value": value} for key, value in body["environment"].items()]
    if body.get("memory"):
        chosen["memory"] = int(body["memory"])
    return _register(backend, now.family, now, {"containers": containers, "tags": now.tags})


def _register_only(backend: Any, service: Any, body: Body) -> Body:
    return {"task_definition": _new_revision(backend, service, body).arn}


def _update(backend: Any, service: Any, body: Body) -> Body:
    """Like a pipeline's UpdateService: a deployment begins. `at_once`: it has ended well before anybody looks."""
    definition = _new_revision(backend, service, body) if not body.get("to") else backend.describe_task_definition(str(body["to"]))
    service.task_definition = definition.arn
    if body.get("at_once"):
        for task in wanted(service):
            task.stop("Scaling activity initiated by (deployment)", "ServiceSchedulerInitiated")
        run_at_once(service, definition)
    else:
        begin(service, definition)
    return {"task_definition": definition.arn}


def _state(backend: Any, service: Any, body: Body) -> Body:
    """A revision deregistered (inactive), deleted and still referred to (delete-in-progress), or gone (deleted)."""
    name, state = str(body.get("revision") or service.task_definition), str(required(body, "state"))
    definition = backend.describe_task_definition(name)
    known = {"active": "ACTIVE", "inactive": "INACTIVE", "delete-in-progress": "DELETE_IN_PROGRESS"}
    if state == "deleted":
        del backend.task_definitions[definition.family][definition.revision]
    elif state in known:
        definition.status = known[state]
    else:
        raise ControlError("state is one of active, inactive, delete-in-progress, deleted")
    return {"task_definition": definition.arn, "state": state}


def _scale(_: Any, service: Any, body: Body) -> None:
    service.desired_count = int(required(body, "size"))
    scale(service)


def _stray(backend: Any, service: Any, body: Body) -> None:
    """Some tasks run another revision, and no deployment knows of it."""
    from emulator.rollout.model import Revision

    revision = Revision(service, _new_revision(backend, service, body))
    for task in wanted(service)[: int(body.get("count", 1))]:
        task.revision = revision
    count(service)


def _delete(_: Any, service: Any, body: Body) -> None:
    service._backend.delete_service(service.cluster_name, service.name, True)


def ask(moto: Any, body: Body) -> Any:
    """POST /_lab/ecs: any action of ECS itself, as a pipeline of somebody else would call it."""
    raw = json.dumps(body.get("parameters") or {}).encode()
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/", "SCRIPT_NAME": "", "QUERY_STRING": "",
        "CONTENT_TYPE": "application/x-amz-json-1.1", "CONTENT_LENGTH": str(len(raw)), "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80", "HTTP_HOST": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(raw), "wsgi.errors": io.StringIO(), "wsgi.version": (1, 0),
        "HTTP_X_AMZ_TARGET": f"AmazonEC2ContainerServiceV20141113.{required(body, 'action')}",
        "HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=testing/20200101/{region_of(body)}/ecs/aws4_request, "
        "SignedHeaders=host, Signature=0",
    }
    status: list[str] = []
    answer = b"".join(moto(environ, lambda line, *_: status.append(line)))
    if not status[0].startswith("200"):
        raise ControlError(answer.decode("utf-8", "replace"))
    return json.loads(answer)


CHANGES: dict[str, Any] = {
    "register": _register_only, "update": _update, "state": _state, "scale": _scale, "stray": _stray, "delete": _delete,
}
