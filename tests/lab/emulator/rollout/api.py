"""The actions of services, tasks and service deployments."""

import threading
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import camelcase_to_underscores
from moto.ecs.exceptions import ECSException, EcsClientException, InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend, Service
from moto.ecs.responses import EC2ContainerServiceResponse as Response

from emulator.patches.paging import decode, page
from emulator.rollout import definitions
from emulator.rollout.model import ACTIVE, Revision, Rollout, Task, count, new_row, rollouts, say, tasks, wanted
from emulator.rollout.worker import run

CONTROLLED = (
    "Unable to update task definition on services with a CODE_DEPLOY deployment controller. "
    "Use AWS CodeDeploy to trigger a new deployment."
)
# What CreateService and UpdateService take and stock moto does not keep.
KEPT = (
    "deploymentConfiguration", "capacityProviderStrategy", "healthCheckGracePeriodSeconds", "enableExecuteCommand",
    "enableECSManagedTags", "placementConstraints", "placementStrategy", "availabilityZoneRebalancing",
)
# Changes of these begin a deployment (Developer Guide "Updating Amazon ECS service parameters").
DEPLOYS = ("taskDefinition", "networkConfiguration", "platformVersion", "capacityProviderStrategy", "launchType")


class ServiceDeploymentNotFoundException(ECSException):
    code = "ServiceDeploymentNotFoundException"
    message = "The service deploy ARN that you specified in the StopServiceDeployment doesn't exist."


class ConflictException(ECSException):
    code = "ConflictException"


class ServiceNotActiveException(ECSException):
    code = "ServiceNotActiveException"
    message = "Service was not ACTIVE."


# moto finds an error's shape through the module that its class says it comes from.
for _error in (ServiceDeploymentNotFoundException, ConflictException, ServiceNotActiveException):
    _error.__module__ = "moto.ecs.exceptions"

_stock_create = Response.create_service
_stock_update = EC2ContainerServiceBackend.update_service
_stock_delete = EC2ContainerServiceBackend.delete_service
_stock_stop = EC2ContainerServiceBackend.stop_task


def _keep(service: Any, params: dict[str, Any]) -> None:
    for name in KEPT:
        if params.get(name) is not None:
            setattr(service, camelcase_to_underscores(name), params[name])


def begin(service: Any, definition: Any) -> Rollout:
    """A new deployment takes the place of the one under way."""
    for other in rollouts(service):
        if other.active():
            other.signal = "superseded"
    rollout = Rollout(service, Revision(service, definition))
    for row in service.deployments:
        row["status"] = "ACTIVE"
    service.deployments = [rollout.row, *service.deployments]
    rollouts(service).insert(0, rollout)
    count(service)
    threading.Thread(target=run, args=(rollout,), daemon=True).start()
    return rollout


def run_at_once(service: Any, definition: Any) -> None:
    """The lab's short way: a service whose first deployment has ended well."""
    revision = Revision(service, definition)
    rollout = Rollout(service, revision)
    rollout.started = rollout.created
    rollout.row.update(rolloutState="COMPLETED", rolloutStateReason=f"ECS deployment {rollout.row['id']} completed.")
    for _ in range(int(service.desired_count)):
        task = Task(service, revision, rollout.row)
        task.run()
        tasks(service).append(task)
    service.deployments, service.lab_current, service.lab_completed = [rollout.row], revision, revision
    rollouts(service).insert(0, rollout)
    rollout.move("SUCCESSFUL", "The service deployment completed successfully.")
    say(service, "has reached a steady state.")
    count(service)


def create_service(self: Any) -> ActionResult:
    params = self._get_params()
    if params.get("taskDefinition"):
        definitions.usable(self.ecs_backend, params["taskDefinition"])
    result = _stock_create(self)
    service = self.ecs_backend._get_service(params.get("cluster", "default"), params["serviceName"])
    _keep(service, params)
    if service.deployment_controller["type"] == "ECS":
        service.deployments = []
        begin(service, self.ecs_backend.describe_task_definition(service.task_definition))
    return result


def update_service(self: Any) -> ActionResult:
    params, backend = self._get_params(), self.ecs_backend
    service = backend._get_service(params.get("cluster", "default"), params["service"].split("/")[-1])
    if service.status != "ACTIVE":
        raise ServiceNotActiveException()
    if params.get("taskDefinition") and service.deployment_controller["type"] != "ECS":
        raise InvalidParameterException(CONTROLLED)
    if params.get("taskDefinition"):
        definition = definitions.usable(backend, params["taskDefinition"])
    elif service.task_definition:
        definition = backend.describe_task_definition(service.task_definition)
    deploys = params.get("forceNewDeployment") or any(
        params.get(name) is not None and name != "taskDefinition" for name in DEPLOYS
    ) or (params.get("taskDefinition") and definition.arn != service.task_definition)
    _keep(service, params)
    if params.get("desiredCount") is not None:
        service.desired_count = int(params["desiredCount"])
    if params.get("networkConfiguration") is not None:
        service.network_configuration = params["networkConfiguration"]
    if service.deployment_controller["type"] == "ECS":
        service.task_definition = definition.arn
        if deploys:
            begin(service, definition)
        else:
            scale(service)
    return ActionResult({"service": service})


def scale(service: Any) -> None:
    """Outside a deployment the scheduler keeps the desired count by itself."""
    if any(rollout.active() for rollout in rollouts(service)) or not service.deployments:
        return
    row, revision = service.deployments[0], service.__dict__.get("lab_current")
    now = wanted(service)
    for task in now[int(service.desired_count):]:
        task.stop("Scaling activity initiated by (deployment " + row["id"] + ")", "ServiceSchedulerInitiated")
    for _ in range(int(service.desired_count) - len(now)):
        if revision:
            task = Task(service, revision, row)
            task.run()
            tasks(service).append(task)
    row["desiredCount"] = int(service.desired_count)
    count(service)


def delete_service(self: Any, cluster_name: str, service_name: str, force: bool) -> Any:
    service = _stock_delete(self, cluster_name, service_name, force)
    for task in wanted(service):
        task.stop("Service deleted", "ServiceSchedulerInitiated")
    service.deployments = []
    return service


def describe_services(self: Any, cluster_str: str, names: list[str]) -> Any:
    """AWS: "You may specify up to 10 services to describe in a single operation"."""
    if len(names) > 10:
        raise InvalidParameterException("Services cannot be more than 10.")
    return _stock_describe(self, cluster_str, names)


_stock_describe = EC2ContainerServiceBackend.describe_services


def _service_tasks(backend: Any, cluster: str) -> list[Task]:
    name = cluster.split("/")[-1]
    return [task for service in backend.services.values() if service.cluster_name == name for task in tasks(service)]


def list_tasks(self: Any) -> ActionResult:
    """AWS: ListTasks: desiredStatus is RUNNING unless given; 100 at a time."""
    backend, cluster = self.ecs_backend, self._get_param("cluster", "default")
    backend._get_cluster(cluster)
    status = self._get_param("desiredStatus") or "RUNNING"
    service = self._get_param("serviceName")
    if service:
        backend._get_service(cluster, service.split("/")[-1])
    found = [task for task in _service_tasks(backend, cluster) if task.desired == status]
    if service:
        found = [task for task in found if task.service.name == service.split("/")[-1]]
    arns = [task.arn for task in found]
    if not service:
        stock = backend.list_tasks(cluster, self._get_param("containerInstance"), self._get_param("family"), self._get_param("startedBy"), None, status)
        family, by = self._get_param("family"), self._get_param("startedBy")
        arns = [task.arn for task in found if (not family or task.revision.definition.family == family) and (not by or task.row["id"] == by)]
        arns += [task.task_arn for task in stock]
    size = min(100, self._get_int_param("maxResults", 100))
    shown, token = page(arns, decode(self._get_param("nextToken")) or 0, size)
    return ActionResult({"taskArns": shown, "nextToken": token})


_stock_describe_tasks = Response.describe_tasks


def describe_tasks(self: Any) -> ActionResult:
    """AWS: DescribeTasks: up to 100; a task that is not there is a failure, reason MISSING."""
    cluster, ids = self._get_param("cluster", "default"), self._get_param("tasks", [])
    if len(ids) > 100:
        raise InvalidParameterException("Tasks cannot be more than 100.")
    known = {task.arn.rpartition("/")[2]: task for task in _service_tasks(self.ecs_backend, cluster)}
    mine = [known[each.rpartition("/")[2]] for each in ids if each.rpartition("/")[2] in known]
    if not mine:
        return _stock_describe_tasks(self)
    rest = [each for each in ids if each.rpartition("/")[2] not in known]
    stock = self.ecs_backend.describe_tasks(cluster, rest) if rest else []
    return ActionResult({"tasks": [*(task.view() for task in mine), *stock], "failures": []})


def stop_task(self: Any, cluster_str: str, task_str: str, reason: str) -> Any:
    """AWS: StopTask: the service's scheduler starts another one."""
    for task in _service_tasks(self, cluster_str):
        if task.arn.rpartition("/")[2] == task_str.rpartition("/")[2]:
            task.stop(reason or "Task stopped by user", "UserInitiated")
            scale(task.service)
            return task.view()
    return _stock_stop(self, cluster_str, task_str, reason)


def _every(backend: Any) -> list[Rollout]:
    return [rollout for service in backend.services.values() for rollout in rollouts(service)]


def list_service_deployments(self: Any) -> ActionResult:
    params = self._get_params()
    service = self.ecs_backend._get_service(params.get("cluster", "default"), params["service"].split("/")[-1])
    wants = params.get("status") or []
    rows = [rollout.brief() for rollout in rollouts(service) if not wants or rollout.status in wants]
    size = min(100, int(params.get("maxResults") or 20))
    shown, token = page(rows, decode(params.get("nextToken")) or 0, size)
    return ActionResult({"serviceDeployments": shown, "nextToken": token})


def describe_service_deployments(self: Any) -> ActionResult:
    wants = self._get_param("serviceDeploymentArns", [])
    if len(wants) > 20:
        raise InvalidParameterException("You can specify up to 20 service deployment ARNs.")
    known = {rollout.arn: rollout for rollout in _every(self.ecs_backend)}
    found = [known[arn].view() for arn in wants if arn in known]
    failures = [{"arn": arn, "reason": "MISSING"} for arn in wants if arn not in known]
    return ActionResult({"serviceDeployments": found, "failures": failures})


def describe_service_revisions(self: Any) -> ActionResult:
    wants = self._get_param("serviceRevisionArns", [])
    if len(wants) > 20:
        raise InvalidParameterException("You can specify up to 20 service revision ARNs.")
    known = {revision.arn: revision for rollout in _every(self.ecs_backend) for revision in (rollout.target, *rollout.sources)}
    found = [known[arn].view() for arn in wants if arn in known]
    failures = [{"arn": arn, "reason": "MISSING"} for arn in wants if arn not in known]
    return ActionResult({"serviceRevisions": found, "failures": failures})


def stop_service_deployment(self: Any) -> ActionResult:
    """AWS: "Stopping Amazon ECS service deployments": the one stop type is ROLLBACK, the default."""
    arn, kind = self._get_param("serviceDeploymentArn"), self._get_param("stopType") or "ROLLBACK"
    if kind != "ROLLBACK":
        raise InvalidParameterException(f"Stop type {kind} is not supported.")
    rollout = next((each for each in _every(self.ecs_backend) if each.arn == arn), None)
    if rollout is None:
        raise ServiceDeploymentNotFoundException()
    if rollout.status not in ACTIVE:
        raise ConflictException(f"The service deployment {arn} is in status {rollout.status} and can't be stopped.")
    if rollout.status in ("PENDING", "IN_PROGRESS"):
        if rollout.service.__dict__.get("lab_completed") is None:
            raise EcsClientException("There is no service revision to roll back to.")
        rollout.signal = "stop"
        rollout.move("ROLLBACK_REQUESTED", "Rollback requested by the user.")
    return ActionResult({"serviceDeploymentArn": arn})


def install() -> None:
    definitions.install()
    for action in (
        create_service, update_service, list_tasks, describe_tasks, list_service_deployments,
        describe_service_deployments, describe_service_revisions, stop_service_deployment,
    ):
        setattr(Response, action.__name__, action)
    for change in (delete_service, describe_services, stop_task):
        setattr(EC2ContainerServiceBackend, change.__name__, change)
    # AWS: Service.availabilityZoneRebalancing. Stock: absent, and Terraform shows a difference for ever.
    Service.availability_zone_rebalancing = "DISABLED"
    stock_init = Service.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        """AWS: Service.networkConfiguration is absent without awsvpc. Stock: `{}`, on which the Terraform provider
        (5.100) panics. AWS: `deployments` is only for the ECS controller."""
        stock_init(self, *args, **kwargs)
        self.running_count = self.pending_count = 0
        if not self.network_configuration:
            self.network_configuration = None

    Service.__init__ = init
