"""AMIs: what is seen, in which state, and where copies come from."""

import time
import unittest
from typing import Any

from labtest import LabTest, client, control


class ImagesTest(LabTest):
    def one(self, image: str, **arguments: Any) -> Any:
        return self.ec2.describe_images(ImageIds=[image], **arguments)["Images"][0]

    def test_ids_that_are_wrong(self) -> None:
        known = self.ami("a")
        error = self.refused("InvalidAMIID.NotFound", self.ec2.describe_images, ImageIds=["ami-00000000000000001"])
        self.assertIn("ami-00000000000000001", str(error))
        self.refused("InvalidAMIID.NotFound", self.ec2.describe_images, ImageIds=[known, "ami-00000000000000001"])
        self.refused("InvalidAMIID.Malformed", self.ec2.describe_images, ImageIds=["ami-nonsense"])
        self.refused("InvalidAMIID.Malformed", self.ec2.describe_images, ImageIds=["latest"])

    def test_deregistered_images_give_empty_results_while_they_run(self) -> None:
        image = self.ami("a")
        self.group("g", image, size=1)
        control("POST", "image", {"image_id": image, "deregister": True})
        self.assertEqual(self.ec2.describe_images(ImageIds=[image])["Images"], [])
        control("POST", "drift", {"group": "g", "kind": "delete-group"})
        self.refused("InvalidAMIID.NotFound", self.ec2.describe_images, ImageIds=[image])

    def test_other_accounts_images(self) -> None:
        foreign = self.ami("theirs", owner="210987654321")
        self.refused("InvalidAMIID.NotFound", self.ec2.describe_images, ImageIds=[foreign])
        control("POST", "image", {"image_id": foreign, "shared_with": ["123456789012"]})
        self.assertEqual(self.one(foreign)["OwnerId"], "210987654321")
        self.assertEqual(self.ec2.describe_images(Owners=["self"])["Images"], [])
        self.refused(
            "AuthFailure", self.ec2.describe_image_attribute, ImageId=foreign, Attribute="launchPermission"
        )

    def test_launch_permissions(self) -> None:
        image = self.ami("a")
        self.ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": "210987654321"}]})
        found = self.ec2.describe_image_attribute(ImageId=image, Attribute="launchPermission")
        self.assertEqual(found["LaunchPermissions"], [{"UserId": "210987654321"}])
        self.refused(
            "InvalidAMIID.NotFound", self.ec2.describe_image_attribute, ImageId="ami-00000000000000001",
            Attribute="launchPermission",
        )

    def test_pages(self) -> None:
        made = {self.ami(f"a{number}") for number in range(13)}
        pages = list(
            self.ec2.get_paginator("describe_images").paginate(Owners=["self"], PaginationConfig={"PageSize": 5})
        )
        self.assertEqual([len(page["Images"]) for page in pages], [5, 5, 3])
        self.assertEqual({image["ImageId"] for page in pages for image in page["Images"]}, made)
        self.refused("InvalidParameterValue", self.ec2.describe_images, MaxResults=4)
        self.refused("InvalidParameterValue", self.ec2.describe_images, MaxResults=1001)
        self.refused("InvalidNextToken", self.ec2.describe_images, MaxResults=5, NextToken="x")
        self.refused(
            "InvalidParameterCombination", self.ec2.describe_images, MaxResults=5, ImageIds=[next(iter(made))]
        )

    def test_states(self) -> None:
        for state in ("pending", "failed"):
            self.assertEqual(self.one(self.ami(state, state=state))["State"], state)
        image = self.ami("a")
        self.ec2.disable_image(ImageId=image)
        self.assertEqual(self.ec2.describe_images(ImageIds=[image])["Images"], [])
        self.assertEqual(self.one(image, IncludeDisabled=True)["State"], "disabled")
        self.ec2.enable_image(ImageId=image)
        self.assertEqual(self.one(image)["State"], "available")

    def test_deprecation(self) -> None:
        own = self.ami("own", deprecate_at="2020-01-01T00:00:00.000Z")
        theirs = self.ami(
            "theirs", owner="210987654321", shared_with=["all"], deprecate_at="2020-01-01T00:00:00.000Z"
        )
        self.assertEqual(self.one(own)["DeprecationTime"], "2020-01-01T00:00:00.000Z")
        seen = {image["ImageId"] for image in self.ec2.describe_images()["Images"]}
        self.assertEqual(seen, {own})
        seen = {image["ImageId"] for image in self.ec2.describe_images(IncludeDeprecated=True)["Images"]}
        self.assertEqual(seen, {own, theirs})
        self.ec2.disable_image_deprecation(ImageId=own)
        self.assertNotIn("DeprecationTime", self.one(own))

    def test_protection(self) -> None:
        image = self.ami("a")
        self.ec2.enable_image_deregistration_protection(ImageId=image)
        self.refused("OperationNotPermitted", self.ec2.deregister_image, ImageId=image)
        self.ec2.disable_image_deregistration_protection(ImageId=image)
        self.ec2.deregister_image(ImageId=image)

    def test_keys_and_snapshots(self) -> None:
        key = "arn:aws:kms:eu-west-1:123456789012:key/1"
        image = self.one(self.ami("a", kms_key=key, size=20, extra_sizes=[5], device="/dev/sda1"))
        root, extra = (device["Ebs"] for device in image["BlockDeviceMappings"])
        self.assertEqual((root["Encrypted"], root["KmsKeyId"], root["VolumeSize"]), (True, key, 20))
        self.assertEqual((extra["VolumeSize"], image["RootDeviceName"]), (5, "/dev/sda1"))
        ids = [root["SnapshotId"], extra["SnapshotId"]]
        for snapshot in self.ec2.describe_snapshots(SnapshotIds=ids)["Snapshots"]:
            self.assertEqual((snapshot["KmsKeyId"], snapshot["Encrypted"]), (key, True))
        plain = self.one(self.ami("b"))["BlockDeviceMappings"][0]["Ebs"]
        self.assertEqual((plain["Encrypted"], "KmsKeyId" in plain), (False, False))

    def test_copies_know_their_source(self) -> None:
        source = self.ami("a", architecture="arm64", tags={"v": "1"})
        there = client("ec2", region="us-east-1")
        arguments = {"Name": "copy", "SourceImageId": source, "SourceRegion": "eu-west-1", "ClientToken": "t"}
        copy = there.copy_image(**arguments, Encrypted=True, CopyImageTags=True)["ImageId"]
        self.assertEqual(there.copy_image(**arguments)["ImageId"], copy)
        seen = there.describe_images(ImageIds=[copy])["Images"][0]
        self.assertEqual((seen["SourceImageId"], seen["SourceImageRegion"]), (source, "eu-west-1"))
        self.assertEqual((seen["Architecture"], seen["Tags"]), ("arm64", [{"Key": "v", "Value": "1"}]))
        self.assertTrue(seen["BlockDeviceMappings"][0]["Ebs"]["Encrypted"])

    def test_create_image_and_register_image(self) -> None:
        source = self.ami("a", architecture="arm64")
        instance = self.group("g", source, size=1)["instances"][0]
        tags = [{"ResourceType": "image", "Tags": [{"Key": "k", "Value": "v"}]}]
        made = self.one(self.ec2.create_image(InstanceId=instance, Name="bbb", TagSpecifications=tags)["ImageId"])
        self.assertEqual((made["SourceImageId"], made["Architecture"]), (source, "arm64"))
        self.assertEqual(made["Tags"], [{"Key": "k", "Value": "v"}])
        registered = self.ec2.register_image(
            Name="ccc", Architecture="x86_64", RootDeviceName="/dev/xvda", TagSpecifications=tags,
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9}}],
        )
        seen = self.one(registered["ImageId"])
        self.assertEqual((seen["Architecture"], seen["RootDeviceName"]), ("x86_64", "/dev/xvda"))
        self.assertEqual(seen["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"], 9)
        self.refused("InvalidAMIName.Duplicate", self.ec2.register_image, Name="ccc")

    def test_an_instance_has_volumes_with_its_images_key(self) -> None:
        key = "arn:aws:kms:eu-west-1:123456789012:key/1111"
        for name, image, expected in (("g", self.ami("a", kms_key=key), (True, key)), ("h", self.ami("b"), (False, None))):
            instances = self.group(name, image, size=1)["instances"]
            filters = [{"Name": "attachment.instance-id", "Values": instances}]
            volume = self.ec2.describe_volumes(Filters=filters)["Volumes"][0]
            self.assertEqual((volume["Encrypted"], volume.get("KmsKeyId")), expected)

    def test_description_changes(self) -> None:
        image = self.ami("a")
        self.ec2.modify_image_attribute(ImageId=image, Description={"Value": "told"})
        self.assertEqual(self.one(image)["Description"], "told")

    def test_filters_and_speed(self) -> None:
        for number in range(60):
            self.ami(f"web-{number:03}", tags={"app": "web", "n": str(number)})
        began = time.monotonic()
        found = self.ec2.describe_images(Filters=[{"Name": "tag:n", "Values": ["7"]}])["Images"]
        self.assertEqual([image["Name"] for image in found], ["web-007"])
        self.assertLess(time.monotonic() - began, 2)


if __name__ == "__main__":
    unittest.main()
