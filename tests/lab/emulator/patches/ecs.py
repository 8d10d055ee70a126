"""Amazon ECS: enough of a service for the Terraform provider and for reading what runs. There is no rollout engine."""

from typing import Any

from moto.core.utils import utcnow
from moto.ecs.models import EC2ContainerServiceBackend, Service, mock_random


def install() -> None:
    stock_update = EC2ContainerServiceBackend.update_service

    def update_service(self: Any, properties: dict[str, Any]) -> Any:
        """AWS: UpdateService: the service and its PRIMARY deployment name the task definition by ARN.
        Stock: stores "family:revision" as given and leaves the deployment at the old one."""
        wanted = properties.get("task_definition")
        service = stock_update(self, properties)
        if not wanted:
            return service
        arn = self.describe_task_definition(wanted).arn
        service.task_definition = arn
        if service.deployments and service.deployments[0]["taskDefinition"] != arn:
            service.deployments[0] = {
                **service.deployments[0], "taskDefinition": arn,
                "id": f"ecs-svc/{mock_random.randint(10**18, 10**19)}", "createdAt": utcnow(), "updatedAt": utcnow(),
            }
        return service

    EC2ContainerServiceBackend.update_service = update_service

    # AWS: Service.availabilityZoneRebalancing. Stock: absent, and Terraform shows a difference for ever.
    Service.availability_zone_rebalancing = "DISABLED"

    stock_init = Service.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        """AWS: Service.networkConfiguration is absent without awsvpc. Stock: `{}`, on which the Terraform provider
        (5.100) panics."""
        stock_init(self, *args, **kwargs)
        if not self.network_configuration:
            self.network_configuration = None

    Service.__init__ = init
