"""Launch templates: the EC2 actions."""

import json
from typing import Any, cast

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.launch_templates import LaunchTemplates

from emulator.patches.launch_templates import inherited
from emulator.patches.paging import decode, page
from emulator.patches.parameters import ParameterMissing, resolve

MAX_PAGE = 200
MAX_DELETE = 200
ALL_TEMPLATES = ("$Latest", "$Default")


def _template(self: Any) -> Any:
    template_id, name = self._get_param("LaunchTemplateId"), self._get_param("LaunchTemplateName")
    if template_id and name:
        raise EC2ClientError("InvalidParameterCombination", "Specify either the launch template ID or its name.")
    if template_id:
        return self.ec2_backend.get_launch_template(template_id)
    if name:
        return self.ec2_backend.get_launch_template_by_name(name)
    raise EC2ClientError("MissingParameter", "The request must contain the launch template ID or its name.")


def _version_view(self: Any, template: Any, version: Any, resolve_alias: bool = False) -> dict[str, Any]:
    data = dict(version.data)
    if resolve_alias and data.get("ImageId"):
        try:
            data["ImageId"] = resolve(self.current_account, self.region, data["ImageId"])
        except ParameterMissing as missing:
            raise EC2ClientError("InvalidParameterValue", str(missing)) from missing
    return {
        "CreateTime": version.create_time,
        "CreatedBy": f"arn:aws:iam::{self.current_account}:root",
        "DefaultVersion": template.is_default(version),
        "LaunchTemplateData": data,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "VersionDescription": version.description,
        "VersionNumber": version.number,
    }


def _template_view(self: Any, template: Any) -> dict[str, Any]:
    return {
        "CreateTime": template.create_time,
        "CreatedBy": f"arn:aws:iam::{self.current_account}:root",
        "DefaultVersionNumber": template.default_version_number,
        "LatestVersionNumber": template.latest_version_number,
        "LaunchTemplateId": template.id,
        "LaunchTemplateName": template.name,
        "Tags": template.get_tags(),
    }


def _fingerprint(self: Any) -> str:
    """The request without its token and signature: what a repeated ClientToken must repeat."""
    ignored = ("ClientToken", "Action", "Version")
    return json.dumps({k: v for k, v in sorted(self.querystring.items()) if k not in ignored}, default=str)


def create_launch_template_version(self: Any) -> ActionResult:
    """AWS: CreateLaunchTemplateVersion (SourceVersion; ClientToken) and EC2 Developer Guide "Ensuring idempotency in
    Amazon EC2 API requests": the same token with other parameters is IdempotentParameterMismatch.
    Stock: ignores SourceVersion (the new version loses its instance type and the rest) and ClientToken.
    """
    self.error_on_dryrun()
    template = _template(self)
    token, request = self._get_param("ClientToken"), _fingerprint(self)
    seen: dict[str, tuple[str, Any]] = template.__dict__.setdefault("lab_tokens", {})
    if token in seen:
        earlier, version = seen[token]
        if earlier != request:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        return ActionResult({"LaunchTemplateVersion": _version_view(self, template, version)})
    data = dict(self._get_param("LaunchTemplateData") or {})
    source = self._get_param("SourceVersion")
    if source:
        data = {**inherited(template.get_version(source)), **data}
    version = template.create_version(data, self._get_param("VersionDescription"))
    if token:
        seen[token] = (request, version)
    return ActionResult({"LaunchTemplateVersion": _version_view(self, template, version)})


def delete_launch_template_versions(self: Any) -> ActionResult:
    """AWS: DeleteLaunchTemplateVersions: up to 200 versions; "You can't delete the default version"; what could not be
    deleted is listed with a ResponseError. Stock: not implemented.
    """
    self.error_on_dryrun()
    template = _template(self)
    # botocore sends the member as LaunchTemplateVersion.N, which is the location name of Versions.
    versions = self._get_param("Versions", []) or []
    if len(versions) > MAX_DELETE:
        raise EC2ClientError("InvalidParameterValue", "You can specify up to 200 launch template version numbers.")
    deleted, refused = [], []
    for number in (str(value) for value in versions):
        found = next((version for version in template.versions if str(version.number) == number), None)
        entry = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": number}
        if found is None:
            message = f"Could not find the specified version {number} for the launch template with ID {template.id}."
            refused.append({**entry, "ResponseError": {"Code": "launchTemplateVersionDoesNotExist", "Message": message}})
        elif template.is_default(found):
            message = "Cannot delete the default version of the launch template. Make another version the default first."
            refused.append({**entry, "ResponseError": {"Code": "unexpectedError", "Message": message}})
        else:
            template.versions.remove(found)
            deleted.append(entry)
    return ActionResult(
        {
            "SuccessfullyDeletedLaunchTemplateVersions": deleted,
            "UnsuccessfullyDeletedLaunchTemplateVersions": refused,
        }
    )


def _page_bounds(self: Any) -> tuple[int, int]:
    size = self._get_int_param("MaxResults", MAX_PAGE)
    if not 1 <= size <= MAX_PAGE:
        raise EC2ClientError("InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid.")
    offset = decode(self._get_param("NextToken"))
    if offset is None:
        raise EC2ClientError("InvalidNextToken", "The specified NextToken is not valid.")
    return offset, size


def describe_launch_templates(self: Any) -> ActionResult:
    """AWS: DescribeLaunchTemplates, "MaxResults ... between 1 and 200" with NextToken; an id that does not exist is
    InvalidLaunchTemplateId.NotFound. Stock: cuts at 15 rows with no NextToken, and leaves unknown ids out.
    """
    self.error_on_dryrun()
    ids = self._get_param("LaunchTemplateIds", [])
    for template_id in ids:
        self.ec2_backend.get_launch_template(template_id)
    templates = self.ec2_backend.describe_launch_templates(
        template_names=self._get_param("LaunchTemplateNames", []),
        template_ids=ids,
        filters=self._filters_from_querystring(),
    )
    rows, token = page(templates, *_page_bounds(self))
    return ActionResult({"NextToken": token, "LaunchTemplates": [_template_view(self, row) for row in rows]})


def _wanted_versions(self: Any) -> list[tuple[Any, Any]]:
    names = self._get_param("Versions", []) or []
    if not self._get_param("LaunchTemplateId") and not self._get_param("LaunchTemplateName"):
        if not names or any(name not in ALL_TEMPLATES for name in names):
            raise EC2ClientError(
                "InvalidParameterValue",
                "To describe the launch template data for all your launch templates, specify $Latest, $Default, or "
                "both for the versions, and no version numbers.",
            )
        return [
            (template, template.get_version(name))
            for template in self.ec2_backend.launch_templates.values()
            for name in names
        ]
    template = _template(self)
    if names:
        found = {template.get_version(name).number for name in names}
        return [(template, version) for version in reversed(template.versions) if version.number in found]
    low, high = self._get_int_param("MinVersion", 1), self._get_int_param("MaxVersion", 10**9)
    return [(template, version) for version in reversed(template.versions) if low <= version.number <= high]


def describe_launch_template_versions(self: Any) -> ActionResult:
    """AWS: DescribeLaunchTemplateVersions: MaxResults 1..200 with NextToken; without a template id only $Latest and
    $Default; ResolveAlias puts the AMI behind an SSM parameter into ImageId.
    Stock: cuts at 15 rows with no NextToken; MinVersion/MaxVersion slice by list position; ResolveAlias is ignored.
    """
    self.error_on_dryrun()
    alias = str(self._get_param("ResolveAlias")).lower() == "true"
    rows, token = page(_wanted_versions(self), *_page_bounds(self))
    views = [_version_view(self, template, version, alias) for template, version in rows]
    return ActionResult({"NextToken": token, "LaunchTemplateVersions": views})


def create_launch_template(self: Any) -> ActionResult:
    """AWS: CreateLaunchTemplate (ClientToken): a request that comes again makes nothing anew. Stock: ignores the token."""
    token, request = self._get_param("ClientToken"), _fingerprint(self)
    seen: dict[str, tuple[str, Any]] = self.ec2_backend.__dict__.setdefault("lab_template_tokens", {})
    if token in seen and seen[token][0] == request:
        return cast(ActionResult, seen[token][1])
    made = _create_launch_template(self)
    if token:
        seen[token] = (request, made)
    return cast(ActionResult, made)


_create_launch_template = LaunchTemplates.create_launch_template


def install() -> None:
    for action in (
        create_launch_template,
        create_launch_template_version,
        delete_launch_template_versions,
        describe_launch_templates,
        describe_launch_template_versions,
    ):
        setattr(LaunchTemplates, action.__name__, action)
