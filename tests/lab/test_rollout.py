"""ECS service deployments and task definitions, driven with plain boto3."""

import unittest
from collections.abc import Callable
from typing import Any

from labtest import Json, LabTest, client, control, eventually

DONE = ("SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED")
OLD, NEW, BAD = ("r.test/web@sha256:" + each * 64 for each in "123")


class RolloutTest(LabTest):
    def setUp(self) -> None:
        super().setUp()
        self.ecs = client("ecs")

    def make(self, **fields: Any) -> Json:
        return dict(control("POST", "service", {"name": "web", "image": OLD, **fields}))

    def bad(self, **fields: Any) -> None:
        control("POST", "container-image", {"image": BAD, **fields})

    def register(self, image: str) -> str:
        container = {"name": "app", "image": image, "memory": 64}
        answer = self.ecs.register_task_definition(family="web", containerDefinitions=[container])
        return str(answer["taskDefinition"]["taskDefinitionArn"])

    def update(self, image: str, **fields: Any) -> str:
        arn = self.register(image)
        self.ecs.update_service(cluster="main", service="web", taskDefinition=arn, **fields)
        return arn

    def service(self) -> Json:
        return dict(self.ecs.describe_services(cluster="main", services=["web"])["services"][0])

    def newest(self) -> Json:
        briefs = self.ecs.list_service_deployments(cluster="main", service="web")["serviceDeployments"]
        arns = [briefs[0]["serviceDeploymentArn"]]
        return dict(self.ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"][0])

    def until(self, question: Callable[[Json], bool]) -> Json:
        def ask() -> Json | None:
            seen = self.newest()
            return seen if question(seen) else None

        return dict(eventually(ask, f"deployment {self.newest()}"))

    def end(self, status: str) -> Json:
        seen = self.until(lambda d: d["status"] in DONE)
        self.assertEqual(seen["status"], status, seen)
        return seen

    def runs(self) -> Json:
        return dict(control("GET", "service?name=web")["by_image"])

    def digest(self, image: str) -> str:
        return "app " + image.partition("@")[2]

    def test_a_deployment_moves_every_task_and_keeps_the_floor(self) -> None:
        self.make(size=4)
        control("POST", "service/watch", {"name": "web"})
        arn = self.update(NEW)
        rows = self.service()["deployments"]
        self.assertEqual([row["status"] for row in rows], ["PRIMARY", "ACTIVE"])
        self.assertEqual((rows[0]["taskDefinition"], rows[0]["rolloutState"]), (arn, "IN_PROGRESS"))
        ended = self.end("SUCCESSFUL")
        self.assertEqual(ended["targetServiceRevision"]["runningTaskCount"], 4)
        rows = self.service()["deployments"]
        self.assertEqual([(row["status"], row["rolloutState"], row["runningCount"]) for row in rows], [("PRIMARY", "COMPLETED", 4)])
        shown = control("GET", "service?name=web")
        self.assertEqual((shown["by_image"], shown["min_running"]), ({self.digest(NEW): 4}, 4))

    def test_percentages_are_a_floor_and_a_ceiling(self) -> None:
        self.make(size=4, min_percent=50, max_percent=100)
        control("POST", "service/watch", {"name": "web"})
        self.update(NEW)
        self.end("SUCCESSFUL")
        self.assertEqual(control("GET", "service?name=web")["min_running"], 2)

    def test_the_circuit_breaker_rolls_back_to_what_completed_last(self) -> None:
        first = self.make(circuit_breaker=True)["task_definition"]
        self.bad(health="exit", exit_code=7)
        self.update(BAD)
        ended = self.end("ROLLBACK_SUCCESSFUL")
        self.assertIn("circuit breaker", ended["rollback"]["reason"])
        self.assertEqual(ended["deploymentCircuitBreaker"]["status"], "TRIGGERED")
        self.assertGreaterEqual(ended["deploymentCircuitBreaker"]["failureCount"], 3)
        service = self.service()
        self.assertEqual(service["taskDefinition"], first)
        self.assertEqual(self.runs(), {self.digest(OLD): 2})
        self.assertTrue(any("rolling back" in event["message"] for event in service["events"]))
        stopped = self.ecs.list_tasks(cluster="main", serviceName="web", desiredStatus="STOPPED")["taskArns"]
        tasks = self.ecs.describe_tasks(cluster="main", tasks=stopped)["tasks"]
        failed = next(task for task in tasks if task["stopCode"] == "EssentialContainerExited")
        self.assertEqual(failed["containers"][0]["exitCode"], 7)

    def test_without_rollback_the_breaker_stops_and_the_service_stays_pointed_there(self) -> None:
        self.make(circuit_breaker="stop")
        self.bad(health="pull")
        arn = self.update(BAD)
        ended = self.end("STOPPED")
        self.assertIn("circuit breaker", ended["statusReason"])
        service = self.service()
        self.assertEqual((service["taskDefinition"], service["deployments"][0]["rolloutState"]), (arn, "FAILED"))
        self.assertEqual(self.runs(), {self.digest(OLD): 2})

    def test_without_a_breaker_it_goes_on_until_it_is_stopped(self) -> None:
        first = self.make()["task_definition"]
        self.bad(health="unhealthy")
        self.update(BAD)
        self.until(lambda d: d["deploymentCircuitBreaker"]["failureCount"] >= 6)
        deployment = self.newest()["serviceDeploymentArn"]
        self.refused("InvalidParameterException", self.ecs.stop_service_deployment, serviceDeploymentArn=deployment, stopType="ABORT")
        self.ecs.stop_service_deployment(serviceDeploymentArn=deployment, stopType="ROLLBACK")
        self.end("ROLLBACK_SUCCESSFUL")
        self.assertEqual(self.service()["taskDefinition"], first)
        self.refused("ConflictException", self.ecs.stop_service_deployment, serviceDeploymentArn=deployment)
        missing = deployment[:-1] + "x"
        self.refused("ServiceDeploymentNotFoundException", self.ecs.stop_service_deployment, serviceDeploymentArn=missing)

    def test_an_alarm_rolls_back(self) -> None:
        control("POST", "alarm", {"name": "5xx"})
        self.make(alarms=["5xx"])
        self.bad(health="slow")
        self.update(BAD)
        self.until(lambda d: d["status"] == "IN_PROGRESS")
        control("POST", "alarm", {"name": "5xx", "state": "ALARM"})
        self.assertEqual(self.end("ROLLBACK_SUCCESSFUL")["alarms"]["triggeredAlarmNames"], ["5xx"])

    def test_a_newer_deployment_takes_the_place_of_one_under_way(self) -> None:
        self.make()
        self.bad(health="slow")
        self.update(BAD)
        before = self.newest()["serviceDeploymentArn"]
        self.update(NEW)
        self.end("SUCCESSFUL")
        found = self.ecs.describe_service_deployments(serviceDeploymentArns=[before])["serviceDeployments"][0]
        self.assertEqual(found["status"], "STOPPED")
        self.assertEqual(self.runs(), {self.digest(NEW): 2})

    def test_revisions_tell_definition_and_digests(self) -> None:
        self.make()
        arn = self.update("r.test/web:prod")
        ended = self.end("SUCCESSFUL")
        revision = ended["targetServiceRevision"]["arn"]
        found = self.ecs.describe_service_revisions(serviceRevisionArns=[revision])["serviceRevisions"][0]
        self.assertEqual(found["taskDefinition"], arn)
        self.assertTrue(found["containerImages"][0]["imageDigest"].startswith("sha256:"))
        listed = self.ecs.list_tasks(cluster="main", serviceName="web")["taskArns"]
        task = self.ecs.describe_tasks(cluster="main", tasks=listed)["tasks"][0]
        self.assertEqual(task["containers"][0]["imageDigest"], found["containerImages"][0]["imageDigest"])
        self.assertEqual((task["group"], task["lastStatus"]), ("service:web", "RUNNING"))

    def test_nothing_new_is_no_deployment_and_force_is_one(self) -> None:
        self.make()
        now = self.service()["taskDefinition"]
        self.ecs.update_service(cluster="main", service="web", taskDefinition=now)
        count = lambda: len(self.ecs.list_service_deployments(cluster="main", service="web")["serviceDeployments"])
        self.assertEqual(count(), 1)
        self.ecs.update_service(cluster="main", service="web", desiredCount=3)
        self.assertEqual((count(), self.service()["runningCount"]), (1, 3))
        self.ecs.update_service(cluster="main", service="web", forceNewDeployment=True)
        self.end("SUCCESSFUL")
        self.assertEqual(count(), 2)

    def test_other_controllers_refuse_a_task_definition(self) -> None:
        self.make(controller="CODE_DEPLOY")
        arn = self.register(NEW)
        self.refused("InvalidParameterException", self.ecs.update_service, cluster="main", service="web", taskDefinition=arn)

    def test_definitions_keep_every_field_and_their_numbers(self) -> None:
        answer = self.ecs.register_task_definition(
            family="web", enableFaultInjection=True, tags=[{"key": "team", "value": "core"}],
            containerDefinitions=[{"name": "app", "image": OLD, "memory": 64, "versionConsistency": "disabled"}],
        )
        first = answer["taskDefinition"]
        self.assertEqual((first["enableFaultInjection"], first["revision"]), (True, 1))
        self.assertEqual(first["containerDefinitions"][0]["versionConsistency"], "disabled")
        second, third = self.register(NEW), self.register(BAD)
        listed = self.ecs.list_task_definitions(familyPrefix="web", sort="DESC")["taskDefinitionArns"]
        self.assertEqual(listed, [third, second, first["taskDefinitionArn"]])
        self.ecs.deregister_task_definition(taskDefinition=third)
        shown = self.ecs.describe_task_definition(taskDefinition="web", include=["TAGS"])["taskDefinition"]
        self.assertEqual(shown["taskDefinitionArn"], second, "without a revision: the newest ACTIVE one")
        self.make(task_definition=second)
        self.refused("ClientException", self.ecs.update_service, cluster="main", service="web", taskDefinition=third)
        self.ecs.delete_task_definitions(taskDefinitions=[third])
        seen = self.ecs.describe_task_definition(taskDefinition=third)["taskDefinition"]["status"]
        self.assertEqual(seen, "DELETE_IN_PROGRESS")
        control("POST", "service/change", {"name": "web", "kind": "state", "revision": third, "state": "deleted"})
        self.refused("ClientException", self.ecs.describe_task_definition, taskDefinition=third)
        self.assertTrue(self.register(BAD).endswith(":4"), "numbers are not used again")

    def test_a_stopped_task_is_replaced(self) -> None:
        self.make()
        listed = self.ecs.list_tasks(cluster="main", serviceName="web")["taskArns"]
        self.ecs.stop_task(cluster="main", task=listed[0], reason="looked odd")
        self.assertEqual(self.runs(), {self.digest(OLD): 2})

    def test_created_by_the_api_it_starts_by_itself(self) -> None:
        self.ecs.create_cluster(clusterName="main")
        arn = self.register(OLD)
        breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}, "minimumHealthyPercent": 50}
        self.ecs.create_service(
            cluster="main", serviceName="web", taskDefinition=arn, desiredCount=2, deploymentConfiguration=breaker
        )
        self.end("SUCCESSFUL")
        service = self.service()
        self.assertEqual(service["runningCount"], 2)
        self.assertEqual(service["deploymentConfiguration"]["minimumHealthyPercent"], 50)
        self.assertNotIn("networkConfiguration", service)


if __name__ == "__main__":
    unittest.main()
