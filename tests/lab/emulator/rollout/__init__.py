"""ECS service deployments: an asynchronous engine under CreateService and UpdateService, as AWS documents it.

AWS: ECS Developer Guide "Deploy Amazon ECS services by replacing tasks" (deployment-type-ecs.html), "How the Amazon ECS
deployment circuit breaker detects failures" (deployment-circuit-breaker.html), "How CloudWatch alarms detect Amazon ECS
deployment failures" (deployment-alarm-failure.html), "View service history using Amazon ECS service deployments"
(service-deployment.html), "Stopping Amazon ECS service deployments" (stop-service-deployment.html), "Amazon ECS task
definition states" (task-definition-state.html), "Container image resolution" (deployment-type-ecs.html), and the API
reference of the actions. Stock moto: services launch no tasks, a deployment stays as it was born, and
ListServiceDeployments, DescribeServiceDeployments, DescribeServiceRevisions and StopServiceDeployment do not exist.
"""

from emulator.rollout.api import install

__all__ = ["install"]
