"""Launch templates: versions, inheritance, paging, deletion."""

import base64
import unittest
from typing import Any

from labtest import LabTest, control


class TemplatesTest(LabTest):
    def setUp(self) -> None:
        super().setUp()
        self.old, self.new = self.ami("old"), self.ami("new")
        data = {
            "ImageId": self.old, "InstanceType": "t3.micro", "UserData": base64.b64encode(b"hi").decode(),
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-0123456789abcdef0", "VolumeSize": 30}}
            ],
        }
        self.template = self.ec2.create_launch_template(LaunchTemplateName="web", LaunchTemplateData=data)
        self.id = self.template["LaunchTemplate"]["LaunchTemplateId"]

    def version(self, **arguments: Any) -> Any:
        arguments.setdefault("LaunchTemplateData", {"ImageId": self.new})
        made = self.ec2.create_launch_template_version(LaunchTemplateName="web", **arguments)
        return made["LaunchTemplateVersion"]

    def test_source_version_is_inherited_without_its_snapshots(self) -> None:
        made = self.version(SourceVersion="1", VersionDescription="why")
        self.assertEqual((made["VersionNumber"], made["VersionDescription"]), (2, "why"))
        data = made["LaunchTemplateData"]
        self.assertEqual((data["ImageId"], data["InstanceType"]), (self.new, "t3.micro"))
        self.assertEqual(base64.b64decode(data["UserData"]), b"hi")
        self.assertEqual(data["BlockDeviceMappings"], [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30}}])
        source = self.ec2.describe_launch_template_versions(LaunchTemplateName="web", Versions=["1"])
        kept = source["LaunchTemplateVersions"][0]["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"]
        self.assertEqual(kept["SnapshotId"], "snap-0123456789abcdef0", "the source itself is untouched")

    def test_explicit_snapshots_are_kept(self) -> None:
        devices = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": "snap-0123456789abcdef1"}}]
        made = self.version(SourceVersion="1", LaunchTemplateData={"BlockDeviceMappings": devices})
        self.assertEqual(made["LaunchTemplateData"]["BlockDeviceMappings"], devices)

    def test_without_source_nothing_is_inherited(self) -> None:
        self.assertEqual(self.version()["LaunchTemplateData"], {"ImageId": self.new})

    def test_client_tokens(self) -> None:
        first = self.version(SourceVersion="1", ClientToken="t")
        self.assertEqual(self.version(SourceVersion="1", ClientToken="t")["VersionNumber"], first["VersionNumber"])
        self.refused(
            "IdempotentParameterMismatch", self.version, SourceVersion="1", ClientToken="t",
            LaunchTemplateData={"ImageId": self.old},
        )
        self.assertEqual(self.version(SourceVersion="1", ClientToken="u")["VersionNumber"], 3)

    def test_deleting_versions(self) -> None:
        for _ in range(3):
            self.version(SourceVersion="1")
        done = self.ec2.delete_launch_template_versions(LaunchTemplateId=self.id, Versions=["1", "3", "4", "9"])
        gone = [entry["VersionNumber"] for entry in done["SuccessfullyDeletedLaunchTemplateVersions"]]
        kept = {
            entry["VersionNumber"]: entry["ResponseError"]["Code"]
            for entry in done["UnsuccessfullyDeletedLaunchTemplateVersions"]
        }
        self.assertEqual((gone, kept), ([3, 4], {1: "unexpectedError", 9: "launchTemplateVersionDoesNotExist"}))
        self.assertEqual(self.version()["VersionNumber"], 5, "numbers are never given twice")
        self.refused(
            "InvalidLaunchTemplateId.VersionNotFound", self.ec2.describe_launch_template_versions,
            LaunchTemplateId=self.id, Versions=["3"],
        )

    def test_paging(self) -> None:
        for _ in range(24):
            self.version()
        pages = self.ec2.get_paginator("describe_launch_template_versions").paginate(
            LaunchTemplateId=self.id, PaginationConfig={"PageSize": 10}
        )
        numbers = [version["VersionNumber"] for page in pages for version in page["LaunchTemplateVersions"]]
        self.assertEqual(numbers, list(range(25, 0, -1)))
        whole = self.ec2.describe_launch_template_versions(LaunchTemplateId=self.id, MinVersion="3", MaxVersion="4")
        self.assertEqual([version["VersionNumber"] for version in whole["LaunchTemplateVersions"]], [4, 3])

    def test_all_templates_at_once(self) -> None:
        control("POST", "groups", {"count": 20, "prefix": "many", "ami": self.old, "size": 0})
        self.version()
        found = self.ec2.describe_launch_template_versions(Versions=["$Latest", "$Default"])["LaunchTemplateVersions"]
        web = [version["VersionNumber"] for version in found if version["LaunchTemplateName"] == "web"]
        self.assertEqual((len(found), web), (42, [2, 1]))
        self.assertEqual(len(self.ec2.describe_launch_templates()["LaunchTemplates"]), 21)
        self.refused("InvalidParameterValue", self.ec2.describe_launch_template_versions, Versions=["1"])

    def test_unknown_ones(self) -> None:
        for number in ("0", "-1", "7"):
            self.refused(
                "InvalidLaunchTemplateId.VersionNotFound", self.ec2.describe_launch_template_versions,
                LaunchTemplateId=self.id, Versions=[number],
            )
        self.refused(
            "InvalidLaunchTemplateId.NotFound", self.ec2.describe_launch_templates,
            LaunchTemplateIds=["lt-00000000000000000"],
        )
        self.refused(
            "InvalidLaunchTemplateName.NotFoundException", self.ec2.describe_launch_template_versions,
            LaunchTemplateName="nope",
        )

    def test_template_tags_stay_out_of_the_data(self) -> None:
        tags = [{"ResourceType": "launch-template", "Tags": [{"Key": "k", "Value": "v"}]}]
        self.ec2.create_launch_template(
            LaunchTemplateName="tagged", LaunchTemplateData={"ImageId": self.old}, TagSpecifications=tags
        )
        found = self.ec2.describe_launch_template_versions(LaunchTemplateName="tagged")["LaunchTemplateVersions"][0]
        self.assertEqual(found["LaunchTemplateData"], {"ImageId": self.old})

    def test_parameters_are_resolved(self) -> None:
        control("POST", "parameter", {"name": "/images/web", "value": self.new})
        self.version(LaunchTemplateData={"ImageId": "resolve:ssm:/images/web"})
        arguments = {"LaunchTemplateName": "web", "Versions": ["2"]}
        plain = self.ec2.describe_launch_template_versions(**arguments)
        resolved = self.ec2.describe_launch_template_versions(**arguments, ResolveAlias=True)
        ids = [answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"] for answer in (plain, resolved)]
        self.assertEqual(ids, ["resolve:ssm:/images/web", self.new])


if __name__ == "__main__":
    unittest.main()
