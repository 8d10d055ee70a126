"""Task definitions: every field that is registered, their order, and what becomes of them after they are deregistered.

AWS: "Amazon ECS task definition states" (task-definition-state.html), API reference of RegisterTaskDefinition,
ListTaskDefinitions, DeregisterTaskDefinition and DeleteTaskDefinitions. Stock moto drops enableFaultInjection and the
registration's facts, lists in no order, deletes at once, numbers revisions anew, and lets services use INACTIVE ones.
"""

from typing import Any

from moto.core.responses import ActionResult
from moto.ecs.exceptions import EcsClientException, TaskDefinitionNotFoundException
from moto.ecs.models import EC2ContainerServiceBackend, TaskDefinition
from moto.ecs.responses import EC2ContainerServiceResponse as Response

from emulator import clock
from emulator.patches.paging import decode, page

_stock_register = Response.register_task_definition
_stock_deregister = EC2ContainerServiceBackend.deregister_task_definition
_stock_last = EC2ContainerServiceBackend._get_last_task_definition_revision_id
_stock_describe = Response.describe_task_definition


def usable(backend: Any, name: str) -> Any:
    """AWS: a service is neither made with nor pointed at one that is not ACTIVE."""
    definition = backend.describe_task_definition(name)
    if definition.status != "ACTIVE":
        raise EcsClientException("TaskDefinition is inactive")
    return definition


def register_task_definition(self: Any) -> ActionResult:
    params = self._get_params()
    backend, family = self.ecs_backend, params["family"]
    for each in params.get("tags") or []:
        if str(each.get("key", "")).startswith("aws:"):
            raise EcsClientException("Tag keys can not start with 'aws:'.")
    names = [each.get("name") for each in params.get("containerDefinitions") or []]
    if not names or len(set(names)) != len(names):
        raise EcsClientException("Container definitions should not be empty, and their names unique.")
    _stock_register(self)
    # AWS: "the revision is incremented the next time you create a task definition with that name".
    taken = backend.__dict__.setdefault("lab_revisions", {})
    number = max(backend.task_definitions[family])
    definition = backend.task_definitions[family][number]
    wanted = max(number, taken.get(family, 0) + 1)
    if wanted != number:
        del backend.task_definitions[family][number]
        definition.revision, definition.arn = wanted, definition.arn.rpartition(":")[0] + f":{wanted}"
        backend.task_definitions[family][wanted] = definition
    taken[family] = wanted
    definition.enable_fault_injection = params.get("enableFaultInjection")
    definition.network_mode = params.get("networkMode") or definition.network_mode
    definition.registered_at, definition.registered_by = clock.now(), "arn:aws:iam::123456789012:user/ci"
    definition.requires_attributes = [{"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"}]
    return ActionResult({"taskDefinition": definition, "tags": params.get("tags") or []})


def describe_task_definition(self: Any) -> ActionResult:
    """AWS: without a revision, the newest ACTIVE one of the family."""
    backend, name = self.ecs_backend, self._get_param("taskDefinition")
    if ":" not in name.split("/")[-1]:
        live = [each for each in backend.task_definitions.get(name, {}).values() if each.status == "ACTIVE"]
        if not live:
            raise TaskDefinitionNotFoundException()
        definition = max(live, key=lambda each: each.revision)
        answer: dict[str, Any] = {"taskDefinition": definition}
        if "TAGS" in self._get_param("include", []):
            answer["tags"] = definition.tags
        return ActionResult(answer)
    return _stock_describe(self)


def list_task_definitions(self: Any) -> ActionResult:
    backend, family = self.ecs_backend, self._get_param("familyPrefix")
    status = self._get_param("status") or "ACTIVE"
    found = [
        definition for name, revisions in backend.task_definitions.items() if family in (None, name)
        for definition in revisions.values() if definition.status == status
    ]
    down = self._get_param("sort") == "DESC"
    found.sort(key=lambda each: (each.family, each.revision), reverse=down)
    size = min(100, self._get_int_param("maxResults", 100))
    arns, token = page([each.arn for each in found], decode(self._get_param("nextToken")) or 0, size)
    return ActionResult({"taskDefinitionArns": arns, "nextToken": token})


def deregister_task_definition(self: Any, task_definition_str: str) -> Any:
    definition = _stock_deregister(self, task_definition_str)
    definition.deregistered_at = clock.now()
    return definition


def delete_task_definitions(self: Any) -> ActionResult:
    """AWS: INACTIVE becomes DELETE_IN_PROGRESS, and goes for good once no service or task refers to it: in the lab,
    when the control endpoint is told so."""
    deleted, failures = [], []
    for name in self._get_param("taskDefinitions"):
        try:
            definition = self.ecs_backend.describe_task_definition(name)
        except TaskDefinitionNotFoundException:
            failures.append({"arn": name, "reason": "The specified task definition does not exist. Specify a valid account, family, revision and try again."})
            continue
        if definition.status == "ACTIVE":
            failures.append({"arn": name, "reason": "The specified task definition is still in ACTIVE status. Please deregister the target and try again."})
            continue
        definition.status, definition.delete_requested_at = "DELETE_IN_PROGRESS", clock.now()
        deleted.append(definition)
    return ActionResult({"taskDefinitions": deleted, "failures": failures})


def install() -> None:
    for action in (
        register_task_definition, describe_task_definition, list_task_definitions, delete_task_definitions,
    ):
        setattr(Response, action.__name__, action)
    EC2ContainerServiceBackend.deregister_task_definition = deregister_task_definition
    TaskDefinition.enable_fault_injection = TaskDefinition.registered_at = TaskDefinition.registered_by = None
    TaskDefinition.deregistered_at = TaskDefinition.delete_requested_at = TaskDefinition.requires_attributes = None
