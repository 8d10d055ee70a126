"""Launch templates: the versions themselves."""

import copy
from typing import Any

from moto.ec2.exceptions import InvalidLaunchTemplateVersionNotFound
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ec2.utils import parse_user_data


def _create_version(self: Any, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
    """AWS: CreateLaunchTemplateVersion, "Launch template versions are numbered in the order in which they are created".

    Stock: numbers by list length (so a number comes back after a deletion), keeps UserData unparsed (the next launch
    then dies with an AssertionError, HTTP 500) and lets the request's `launch-template` tags leak into the template
    data (Terraform then shows a difference for ever).
    """
    if isinstance(data.get("UserData"), str):
        data["UserData"] = parse_user_data(data["UserData"])
    if not data.get("UserData"):
        data.pop("UserData", None)
    tags = [spec for spec in data.get("TagSpecifications", []) if spec.get("ResourceType") != "launch-template"]
    data.pop("TagSpecifications", None)
    if tags:
        data["TagSpecifications"] = tags
    number = getattr(self, "lab_last_number", 0) + 1
    self.lab_last_number = number
    version = LaunchTemplateVersion(self, number, data, description)
    self.versions.append(version)
    return version


def _get_version(self: Any, num: Any) -> LaunchTemplateVersion:
    """AWS: error code InvalidLaunchTemplateId.VersionNotFound. Stock: 0 and negative numbers index from the end."""
    wanted = str(num).lower()
    if wanted == "$latest":
        return self.versions[-1]
    if wanted == "$default":
        return self.default_version()
    for version in self.versions:
        if str(version.number) == wanted:
            return version
    raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=str(num))


def _default_version(self: Any) -> LaunchTemplateVersion:
    """Stock: finds the default by list position, which is wrong once a version was deleted."""
    return next(version for version in self.versions if version.number == self.default_version_number)


def inherited(source: LaunchTemplateVersion) -> dict[str, Any]:
    """What a new version takes over from `SourceVersion`.

    AWS: CreateLaunchTemplateVersion, parameter SourceVersion: "Snapshots applied to the block device mapping are
    ignored when creating a new version unless they are explicitly included." Stock: SourceVersion is ignored whole.
    """
    data: dict[str, Any] = copy.deepcopy(source.data)
    for mapping in data.get("BlockDeviceMappings", []):
        mapping.get("Ebs", {}).pop("SnapshotId", None)
    return data


def install() -> None:
    LaunchTemplate.create_version = _create_version
    LaunchTemplate.get_version = _get_version
    LaunchTemplate.default_version = _default_version
