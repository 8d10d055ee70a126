"""Instance refresh, driven with plain boto3."""

import collections
import unittest
from collections.abc import Callable
from typing import Any

from labtest import SCALE, Json, LabTest, client, control, eventually

DONE = ("Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful")
VERSIONS = {"good": 1, "new": 2, "bad": 3, "slow": 4}


class RefreshTest(LabTest):
    def setUp(self) -> None:
        super().setUp()
        self.names = {
            self.ami("good"): "good", self.ami("new"): "new", self.ami("bad", tags={"imgtest:health": "fail"}): "bad",
            self.ami("slow", tags={"imgtest:health": "slow"}): "slow",
        }
        self.ids = {name: image for image, name in self.names.items()}

    def slowly(self) -> None:
        """What is done half way must not come too late on a busy machine."""
        control("POST", "time-scale", {"value": 10 * float(SCALE)})

    def make(self, version: str = "1", size: int = 4) -> None:
        self.group("web", self.ids["good"], size=size)
        for name in ("new", "bad", "slow"):
            self.ec2.create_launch_template_version(
                LaunchTemplateName="web", SourceVersion="1", LaunchTemplateData={"ImageId": self.ids[name]}
            )
        if version != "1":
            self.point(version)

    def point(self, version: str) -> None:
        self.asg.update_auto_scaling_group(
            AutoScalingGroupName="web", LaunchTemplate={"LaunchTemplateName": "web", "Version": version}
        )

    def start(self, to: str | None = "new", **preferences: Any) -> str:
        preferences.setdefault("InstanceWarmup", 10)
        arguments: Json = {"AutoScalingGroupName": "web", "Preferences": preferences}
        if to:
            template = {"LaunchTemplateName": "web", "Version": str(VERSIONS[to])}
            arguments["DesiredConfiguration"] = {"LaunchTemplate": template}
        return str(self.asg.start_instance_refresh(**arguments)["InstanceRefreshId"])

    def get(self, refresh: str) -> Json:
        found = self.asg.describe_instance_refreshes(AutoScalingGroupName="web", InstanceRefreshIds=[refresh])
        return dict(found["InstanceRefreshes"][0])

    def until(self, refresh: str, question: Callable[[Json], bool]) -> Json:
        def ask() -> Json | None:
            seen = self.get(refresh)
            return seen if question(seen) else None

        return dict(eventually(ask, f"refresh {self.get(refresh)}"))

    def end(self, refresh: str, status: str) -> Json:
        seen = self.until(refresh, lambda r: r["Status"] in DONE)
        self.assertEqual(seen["Status"], status, seen)
        return seen

    def runs(self) -> tuple[str, Json]:
        """The group's own version, and how many instances run each image by what EC2 says."""
        group = self.described("web")
        ids = [instance["InstanceId"] for instance in group["Instances"]]
        reservations = self.ec2.describe_instances(InstanceIds=ids)["Reservations"] if ids else []
        amis = collections.Counter(self.names[i["ImageId"]] for r in reservations for i in r["Instances"])
        return group["LaunchTemplate"]["Version"], dict(amis)

    def test_success_with_checkpoints_and_baking(self) -> None:
        self.make()
        control("POST", "group/watch", {"name": "web"})
        refresh = self.start(
            MinHealthyPercentage=50, CheckpointPercentages=[50, 100], CheckpointDelay=30, BakeTime=60
        )
        self.refused("InstanceRefreshInProgress", self.start)
        self.refused("ValidationError", self.point, version="3")
        self.assertEqual(self.runs()[0], "1", "the group keeps its configuration while the refresh runs")
        self.until(refresh, lambda r: r["Status"] == "Baking")
        self.end(refresh, "Successful")
        self.assertEqual(self.runs(), ("2", {"new": 4}))
        self.assertEqual({i["LaunchTemplate"]["Version"] for i in self.described("web")["Instances"]}, {"2"})
        self.assertEqual(self.shown("web")["min_in_service"], 2)

    def test_nothing_to_stop(self) -> None:
        self.make()
        for call in (self.asg.cancel_instance_refresh, self.asg.rollback_instance_refresh):
            self.refused("ActiveInstanceRefreshNotFound", call, AutoScalingGroupName="web")
        self.refused("ValidationError", self.asg.start_instance_refresh, AutoScalingGroupName="nope")

    def test_rollback_on_request(self) -> None:
        self.slowly()
        self.make()
        refresh = self.start(MinHealthyPercentage=75)
        self.until(refresh, lambda r: 50 <= r.get("PercentageComplete", 0) < 100)
        self.assertEqual(len(self.runs()[1]), 2, "mixed half way")
        answer = self.asg.rollback_instance_refresh(AutoScalingGroupName="web")
        self.assertEqual(answer["InstanceRefreshId"], refresh)
        seen = self.end(refresh, "RollbackSuccessful")
        self.assertEqual(self.runs(), ("1", {"good": 4}))
        self.assertIn("user request", seen["RollbackDetails"]["RollbackReason"])

    def test_cancel_leaves_a_mix(self) -> None:
        self.slowly()
        self.make()
        refresh = self.start(MinHealthyPercentage=75)
        self.until(refresh, lambda r: r.get("PercentageComplete", 0) >= 25)
        self.asg.cancel_instance_refresh(AutoScalingGroupName="web")
        self.end(refresh, "Cancelled")
        version, amis = self.runs()
        self.assertEqual((version, len(amis)), ("1", 2))

    def test_alarm_rolls_back_while_replacing_and_while_baking(self) -> None:
        self.make()
        for until, extra in (("InProgress", {}), ("Baking", {"BakeTime": 600})):
            control("POST", "alarm", {"name": "al"})
            refresh = self.start(
                MinHealthyPercentage=75, AutoRollback=True, AlarmSpecification={"Alarms": ["al"]}, **extra
            )
            self.until(refresh, lambda r: r["Status"] == until and r.get("PercentageComplete", 0) >= 25)
            client("cloudwatch").set_alarm_state(AlarmName="al", StateValue="ALARM", StateReason="test")
            seen = self.end(refresh, "RollbackSuccessful")
            self.assertIn("al", seen["RollbackDetails"]["RollbackReason"])
            self.assertEqual(self.runs(), ("1", {"good": 4}))
        self.refused("ValidationError", self.start, AlarmSpecification={"Alarms": ["nope"]})

    def test_an_image_that_never_gets_healthy(self) -> None:
        self.make()
        self.assertIn("healthy", self.end(self.start("bad", MinHealthyPercentage=50), "Failed")["StatusReason"])
        self.assertIn("bad", self.runs()[1])

    def test_an_image_that_never_gets_healthy_is_rolled_back(self) -> None:
        self.make()
        self.end(self.start("bad", MinHealthyPercentage=50, AutoRollback=True), "RollbackSuccessful")
        self.assertEqual(self.runs(), ("1", {"good": 4}))

    def test_an_image_that_gets_healthy_slowly(self) -> None:
        self.make(size=2)
        self.end(self.start("slow", MinHealthyPercentage=0), "Successful")
        self.assertEqual(self.runs(), ("4", {"slow": 2}))

    def test_without_desired_configuration(self) -> None:
        self.make(version="2")
        refresh = self.start(None, MinHealthyPercentage=75)
        self.refused("IrreversibleInstanceRefresh", self.asg.rollback_instance_refresh, AutoScalingGroupName="web")
        self.end(refresh, "Successful")
        self.assertEqual(self.runs(), ("2", {"new": 4}))
        before = {i["InstanceId"] for i in self.described("web")["Instances"]}
        self.end(self.start(None, SkipMatching=True), "Successful")
        self.assertEqual({i["InstanceId"] for i in self.described("web")["Instances"]}, before)
        self.refused("ValidationError", self.start, to=None, AutoRollback=True)

    def test_floating_version_cannot_be_rolled_back(self) -> None:
        self.make(version="$Latest")
        self.start(MinHealthyPercentage=50)
        self.refused("IrreversibleInstanceRefresh", self.asg.rollback_instance_refresh, AutoScalingGroupName="web")
        self.asg.cancel_instance_refresh(AutoScalingGroupName="web")

    def test_launch_before_terminate_never_dips(self) -> None:
        self.make()
        control("POST", "group/watch", {"name": "web"})
        refresh = self.start(MinHealthyPercentage=100, MaxHealthyPercentage=150)
        eventually(lambda: len(self.described("web")["Instances"]) == 6, "two more than desired")
        self.end(refresh, "Successful")
        self.assertEqual(self.runs(), ("2", {"new": 4}))
        self.assertEqual(self.shown("web")["min_in_service"], 4)

    def test_empty_group(self) -> None:
        self.make(size=0)
        self.end(self.start(), "Successful")

    def test_deregistered_image_is_rolled_back(self) -> None:
        self.make()
        self.ec2.deregister_image(ImageId=self.ids["new"])
        seen = self.end(self.start(AutoRollback=True, MinHealthyPercentage=50), "RollbackSuccessful")
        self.assertIn("does not exist", seen["RollbackDetails"]["RollbackReason"])
        self.assertEqual(self.runs()[1], {"good": 4})

    def test_protected_and_standby_are_left_alone(self) -> None:
        self.make()
        control("POST", "drift", {"group": "web", "kind": "protect", "count": 1})
        self.end(self.start(ScaleInProtectedInstances="Ignore", MinHealthyPercentage=0), "Successful")
        self.assertEqual(self.runs()[1], {"good": 1, "new": 3})

    def test_group_deleted_under_the_refresh(self) -> None:
        self.make()
        refresh = self.start(BakeTime=600)
        control("POST", "drift", {"group": "web", "kind": "delete-group"})
        self.assertRaises(Exception, self.get, refresh)

    def test_the_time_scale_can_change_on_the_way(self) -> None:
        self.make(size=1)
        control("POST", "time-scale", {"value": 10})
        refresh = self.start(MinHealthyPercentage=0)
        self.until(refresh, lambda r: r["Status"] == "Pending")
        control("POST", "time-scale", {"value": 0.001})
        self.end(refresh, "Successful")

    def test_wrong_preferences(self) -> None:
        self.make()
        for preferences in (
            {"CheckpointPercentages": [50, 20]}, {"CheckpointDelay": 5}, {"MaxHealthyPercentage": 150},
            {"MinHealthyPercentage": 10, "MaxHealthyPercentage": 150},
        ):
            self.refused("ValidationError", self.start, **preferences)


if __name__ == "__main__":
    unittest.main()
