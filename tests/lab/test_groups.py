"""Auto Scaling groups: what they launch, what they refuse, how they are listed."""

import unittest
from typing import Any

from labtest import LabTest, control


class GroupsTest(LabTest):
    def update(self, name: str = "web", **arguments: Any) -> None:
        self.asg.update_auto_scaling_group(AutoScalingGroupName=name, **arguments)

    def activity(self, name: str = "web") -> Any:
        return self.asg.describe_scaling_activities(AutoScalingGroupName=name)["Activities"][0]

    def test_instances_keep_the_version_they_were_launched_with(self) -> None:
        old, new = self.ami("old"), self.ami("new")
        self.group("web", old, size=2)
        self.ec2.create_launch_template_version(
            LaunchTemplateName="web", SourceVersion="1", LaunchTemplateData={"ImageId": new}
        )
        self.ec2.modify_launch_template(LaunchTemplateName="web", DefaultVersion="2")
        self.update(LaunchTemplate={"LaunchTemplateName": "web", "Version": "2"}, DesiredCapacity=3)
        instances = self.described("web")["Instances"]
        self.assertEqual(sorted(i["LaunchTemplate"]["Version"] for i in instances), ["1", "1", "2"])
        self.assertEqual({(i["LifecycleState"], i["HealthStatus"]) for i in instances}, {("InService", "Healthy")})
        ids = [instance["InstanceId"] for instance in instances]
        found = self.ec2.describe_instances(InstanceIds=ids)["Reservations"]
        self.assertEqual(sorted(i["ImageId"] for r in found for i in r["Instances"]), sorted([old, old, new]))

    def test_unknown_versions_are_refused_and_change_nothing(self) -> None:
        self.group("web", self.ami("a"))
        for version in ("9", "0"):
            wanted = {"LaunchTemplateName": "web", "Version": version}
            self.refused("ValidationError", self.update, LaunchTemplate=wanted)
        self.refused("ValidationError", self.update, LaunchTemplate={"LaunchTemplateName": "nope", "Version": "1"})
        self.assertEqual(self.described("web")["LaunchTemplate"]["Version"], "1")
        self.refused("ValidationError", self.update, name="nope", MinSize=0)

    def test_launches_that_ec2_refuses(self) -> None:
        good = self.ami("good")
        self.group("web", good, size=1)
        cases = {
            "does not exist": self.ami("foreign", owner="210987654321"),
            "not available (state: pending)": self.ami("pending", state="pending"),
            "not available (state: disabled)": self.ami("disabled", state="disabled"),
            "does not match the architecture 'arm64'": self.ami("arm", architecture="arm64"),
        }
        for size, (text, image) in enumerate(cases.items(), start=2):
            made = self.ec2.create_launch_template_version(
                LaunchTemplateName="web", SourceVersion="1", LaunchTemplateData={"ImageId": image}
            )
            number = str(made["LaunchTemplateVersion"]["VersionNumber"])
            self.update(LaunchTemplate={"LaunchTemplateName": "web", "Version": number}, DesiredCapacity=size, MaxSize=9)
            activity = self.activity()
            self.assertEqual(activity["StatusCode"], "Failed")
            self.assertIn(text, activity["StatusMessage"])
        self.assertEqual(self.shown("web")["by_ami"], {good: 1})

    def test_arm_on_arm(self) -> None:
        image = self.ami("arm", architecture="arm64")
        self.group("web", image, size=1)
        self.assertEqual(self.shown("web")["instances"][0]["type"], "t4g.micro")
        self.assertEqual(self.activity()["StatusCode"], "Successful")

    def test_inherited_devices_without_snapshot_launch(self) -> None:
        image, new = self.ami("a", size=12), self.ami("b")
        devices = [{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": True}}]
        self.group("web", image, size=1, block_devices=devices)
        control("POST", "drift", {"group": "web", "kind": "template-version", "ami": new})
        control("POST", "drift", {"group": "web", "kind": "replace-instances"})
        self.assertEqual(self.shown("web")["by_ami"], {new: 1})

    def test_paging_and_names(self) -> None:
        control("POST", "groups", {"count": 120, "prefix": "many", "ami": self.ami("a"), "size": 0})
        listed = self.asg.describe_auto_scaling_groups
        self.assertEqual(len(listed()["AutoScalingGroups"]), 50)
        pages = self.asg.get_paginator("describe_auto_scaling_groups").paginate(PaginationConfig={"PageSize": 100})
        sizes = [len(page["AutoScalingGroups"]) for page in pages]
        self.assertEqual(sizes, [100, 20])
        names = [f"many-{number:03}" for number in range(1, 121)]
        self.assertEqual(len(listed(AutoScalingGroupNames=names[:50])["AutoScalingGroups"]), 50)
        self.assertEqual(len(listed(AutoScalingGroupNames=names[:100], MaxRecords=100)["AutoScalingGroups"]), 100)
        self.refused("ValidationError", listed, AutoScalingGroupNames=names[:51])
        self.refused("ValidationError", listed, MaxRecords=101)
        self.refused("InvalidNextToken", listed, NextToken="x")
        self.assertEqual(listed(AutoScalingGroupNames=["nope"])["AutoScalingGroups"], [])

    def test_mixed_instances(self) -> None:
        x86, arm = self.ami("x86"), self.ami("arm", architecture="arm64")
        mixed = [{"instance_type": "t3.small"}, {"instance_type": "t4g.small", "ami": arm}]
        self.group("web", x86, size=4, mixed=mixed)
        self.assertEqual(self.shown("web")["by_ami"], {x86: 2, arm: 2})
        group = self.described("web")
        self.assertNotIn("LaunchTemplate", group)
        self.update(MaxSize=10)
        overrides = self.described("web")["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
        self.assertEqual([override["InstanceType"] for override in overrides], ["t3.small", "t4g.small"])
        self.assertEqual(overrides[1]["LaunchTemplateSpecification"]["Version"], "1")
        types = {(i["InstanceType"], i["LaunchTemplate"]["LaunchTemplateName"]) for i in group["Instances"]}
        self.assertEqual(types, {("t3.small", "web"), ("t4g.small", "web-1")})

    def test_a_version_that_is_cleaned_up_is_gone_and_the_default_stays(self) -> None:
        old, new = self.ami("a"), self.ami("b")
        self.group("web", old, size=1)
        template = self.shown("web")["config"]["template_id"]
        control("POST", "drift", {"group": "web", "kind": "default-version", "ami": new})
        control("POST", "drift", {"group": "web", "kind": "version", "version": 2})
        control("POST", "drift", {"group": "web", "kind": "delete-version", "version": 1})
        described = self.ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
        self.assertEqual([(version["VersionNumber"], version["DefaultVersion"]) for version in described], [(2, True)])

    def test_a_group_whose_template_was_deleted_stays_and_cannot_launch(self) -> None:
        image = self.ami("a")
        self.group("web", image, size=1)
        template = self.shown("web")["config"]["template_id"]
        control("POST", "drift", {"group": "web", "kind": "delete-template"})
        self.assertEqual(self.described("web")["LaunchTemplate"]["LaunchTemplateId"], template)
        ask = self.ec2.describe_launch_templates
        self.refused("InvalidLaunchTemplateId.NotFound", ask, LaunchTemplateIds=[template])
        ask = self.ec2.describe_launch_template_versions
        self.refused("InvalidLaunchTemplateId.NotFound", ask, LaunchTemplateId=template, Versions=["1"])
        self.asg.set_desired_capacity(AutoScalingGroupName="web", DesiredCapacity=2)
        self.assertEqual(self.activity()["StatusCode"], "Failed")
        self.assertIn(template, self.activity()["StatusMessage"])
        self.assertEqual(self.shown("web")["by_ami"], {image: 1})

    def test_a_group_is_pointed_at_another_template(self) -> None:
        old, new = self.ami("a"), self.ami("b")
        own = self.group("web", old, size=1)["template_id"]
        other = control("POST", "drift", {"group": "web", "kind": "other-template", "ami": new})["template_id"]
        self.assertNotEqual(other, own)
        self.assertEqual(self.described("web")["LaunchTemplate"]["LaunchTemplateId"], other)
        self.update(DesiredCapacity=2)
        self.assertEqual(self.shown("web")["by_ami"], {old: 1, new: 1})

    def test_a_mixed_policy_is_changed_in_one_place(self) -> None:
        old, new = self.ami("a"), self.ami("b")
        overrides = [{"instance_type": "t3.micro"}, {"instance_type": "t3.small", "ami": old}]
        self.group("web", old, size=2, mixed=overrides, distribution={"OnDemandBaseCapacity": 1})
        control("POST", "drift", {"group": "web", "kind": "override-version", "ami": new})
        change = {"OnDemandPercentageAboveBaseCapacity": 50}
        control("POST", "drift", {"group": "web", "kind": "distribution", "distribution": change})
        policy = self.described("web")["MixedInstancesPolicy"]
        base, own = policy["LaunchTemplate"]["LaunchTemplateSpecification"], policy["LaunchTemplate"]["Overrides"][1]
        self.assertEqual((base["Version"], own["LaunchTemplateSpecification"]["Version"]), ("1", "2"))
        distribution = policy["InstancesDistribution"]
        self.assertEqual(distribution["OnDemandBaseCapacity"], 1)
        self.assertEqual(distribution["OnDemandPercentageAboveBaseCapacity"], 50)
        self.update(DesiredCapacity=4)
        self.assertEqual(self.shown("web")["by_ami"], {old: 3, new: 1})
        control("POST", "drift", {"group": "web", "kind": "add-override", "ami": new, "instance_type": "t3.large"})
        overrides = self.described("web")["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
        self.assertEqual([each["InstanceType"] for each in overrides], ["t3.micro", "t3.small", "t3.large"])
        self.update(DesiredCapacity=6)
        self.assertEqual(self.shown("web")["by_ami"], {old: 3, new: 3})
        self.group("plain", old)
        with self.assertRaisesRegex(AssertionError, "no mixed instances policy"):
            control("POST", "drift", {"group": "plain", "kind": "override-version", "ami": new})

    def test_processes_are_suspended_and_tags_put_on(self) -> None:
        self.group("web", self.ami("a"), tags={"env": "prod"})
        control("POST", "drift", {"group": "web", "kind": "suspend", "processes": ["Launch"]})
        control("POST", "drift", {"group": "web", "kind": "tag-group", "tags": {"seen": "yes"}})
        control("POST", "drift", {"group": "web", "kind": "tag-template", "tags": {"seen": "yes"}})
        group = self.described("web")
        self.assertEqual([process["ProcessName"] for process in group["SuspendedProcesses"]], ["Launch"])
        self.assertEqual({tag["Key"]: tag["Value"] for tag in group["Tags"]}, {"env": "prod", "seen": "yes"})
        control("POST", "drift", {"group": "web", "kind": "tag-instances", "tags": {"seen": "no"}})
        found = self.ec2.describe_instances(Filters=[{"Name": "tag:seen", "Values": ["no"]}])["Reservations"]
        self.assertEqual(len([instance for each in found for instance in each["Instances"]]), 3)
        found = self.ec2.describe_launch_templates(LaunchTemplateNames=["web"])["LaunchTemplates"][0]
        self.assertEqual(found["Tags"], [{"Key": "seen", "Value": "yes"}])

    def test_launch_configuration_and_the_way_to_a_template(self) -> None:
        image = self.ami("a")
        self.group("web", image, size=1, launch_configuration=True)
        group = self.described("web")
        self.assertEqual((group["LaunchConfigurationName"], "LaunchTemplate" in group), ("web", False))
        self.assertEqual(group["Instances"][0]["LaunchConfigurationName"], "web")
        self.ec2.create_launch_template(
            LaunchTemplateName="web", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
        )
        self.update(LaunchTemplate={"LaunchTemplateName": "web", "Version": "1"}, DesiredCapacity=2)
        group = self.described("web")
        self.assertEqual(("LaunchConfigurationName" in group, len(group["Instances"])), (False, 2))

    def test_parameters_are_resolved_at_launch(self) -> None:
        image, new = self.ami("a"), self.ami("b")
        control("POST", "parameter", {"name": "/images/web", "value": image})
        self.group("web", "resolve:ssm:/images/web", size=1)
        control("POST", "parameter", {"name": "/images/web", "value": new})
        self.update(DesiredCapacity=2)
        self.assertEqual(self.shown("web")["by_ami"], {image: 1, new: 1})

    def test_creating_a_group(self) -> None:
        self.group("web", self.ami("a"))
        arguments: dict[str, Any] = {
            "AutoScalingGroupName": "two", "MinSize": 0, "MaxSize": 2, "DefaultInstanceWarmup": 7,
            "LaunchTemplate": {"LaunchTemplateName": "web"}, "AvailabilityZones": ["eu-west-1a"],
        }
        self.asg.create_auto_scaling_group(**arguments)
        group = self.described("two")
        self.assertEqual((group["DefaultInstanceWarmup"], group["HealthCheckGracePeriod"]), (7, 0))
        self.refused("AlreadyExists", self.asg.create_auto_scaling_group, **arguments)

    def test_terminating_an_instance(self) -> None:
        self.group("web", self.ami("a"), size=1)
        instance = self.described("web")["Instances"][0]["InstanceId"]
        end = self.asg.terminate_instance_in_auto_scaling_group
        end(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
        self.assertNotEqual(self.described("web")["Instances"][0]["InstanceId"], instance)
        self.refused(
            "ValidationError", end, InstanceId="i-00000000000000000", ShouldDecrementDesiredCapacity=False
        )


if __name__ == "__main__":
    unittest.main()
