"""AMIs: who sees them, in which state, and the actions that change it."""

import re
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, InvalidAMIIdError
from moto.ec2.responses.amis import AmisResponse

from emulator.patches.paging import decode, page

ID = re.compile(r"^ami-[0-9a-f]{8,17}$")
MIN_PAGE, MAX_PAGE = 5, 1000


def visible(image: Any, account_id: str) -> bool:
    """AWS: EC2 User Guide "Shared AMI": owned, public, or shared with the account by a launch permission."""
    if image.owner_id == account_id or image.is_public or image.owner_alias == "amazon":
        return True
    return any(permission.get("UserId") == account_id for permission in image.launch_permissions)


def deprecated(image: Any) -> bool:
    time = getattr(image, "deprecation_time", None)
    return bool(time) and str(time) <= utcnow().strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _in_use(backend: Any, image_id: str) -> bool:
    return any(
        instance.image_id == image_id and instance.state != "terminated"
        for reservation in backend.reservations.values()
        for instance in reservation.instances
    )


def _by_ids(self: Any, ids: list[str]) -> list[Any]:
    backend = self.ec2_backend
    for image_id in ids:
        if not ID.match(image_id):
            raise EC2ClientError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
    found, missing = [], []
    for image_id in dict.fromkeys(ids):
        image = backend.amis.get(image_id)
        if image is not None and visible(image, self.current_account):
            found.append(image)
        elif not (image_id in backend.deleted_amis and _in_use(backend, image_id)):
            missing.append(image_id)
    if missing:
        raise InvalidAMIIdError(missing)
    return found


def _page_bounds(self: Any, ids: list[str], total: int) -> tuple[int, int]:
    size = self._get_param("MaxResults")
    offset = decode(self._get_param("NextToken"))
    if offset is None:
        raise EC2ClientError("InvalidNextToken", "The specified NextToken is not valid.")
    if size is None:
        return offset, max(total, 1)
    if ids:
        raise EC2ClientError(
            "InvalidParameterCombination", "The parameter imageIds cannot be used with the parameter maxResults"
        )
    if not MIN_PAGE <= int(size) <= MAX_PAGE:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ( {size} ) for parameter maxResults is invalid. Expecting a value between {MIN_PAGE} and {MAX_PAGE}.",
        )
    return offset, int(size)


def describe_images(self: Any) -> ActionResult:
    """AWS: DescribeImages.

    - any id that does not exist, or that the account may not see, fails the call (InvalidAMIID.NotFound); a malformed
      one is InvalidAMIID.Malformed; "recently deregistered" ids give empty results while instances still run them;
    - disabled AMIs only with IncludeDisabled; deprecated ones of other owners only with IncludeDeprecated;
    - MaxResults 5..1000 with NextToken.
    Stock: fails only when no id at all exists, shows other accounts' private AMIs, ignores all four parameters.
    """
    self.error_on_dryrun()
    ids = self._get_param("ImageIds", []) or []
    filters = self._filters_from_querystring()
    if ids:
        images = _by_ids(self, ids)
        if filters:
            kept = {image.id for image in self.ec2_backend.describe_images(filters=filters)}
            images = [image for image in images if image.id in kept]
    else:
        images = self.ec2_backend.describe_images(
            filters=filters, owners=self._get_param("Owners", []), exec_users=self._get_param("ExecutableUsers", [])
        )
        images = [image for image in images if visible(image, self.current_account)]
    if str(self._get_param("IncludeDisabled")).lower() != "true":
        images = [image for image in images if image.state != "disabled"]
    if str(self._get_param("IncludeDeprecated")).lower() != "true":
        images = [image for image in images if image.owner_id == self.current_account or not deprecated(image)]
    rows, token = page(images, *_page_bounds(self, ids, len(images)))
    return ActionResult({"Images": rows, "NextToken": token})


def _image(self: Any) -> Any:
    return _by_ids(self, [self._get_param("ImageId")])[0]


def _own(self: Any) -> Any:
    image = _image(self)
    if image.owner_id != self.current_account:
        raise EC2ClientError("AuthFailure", f"Not authorized for image:{image.id}")
    return image


def describe_image_attribute(self: Any) -> Any:
    """AWS: DescribeImageAttribute; only the owner may read launch permissions (AuthFailure).
    Stock: a KeyError (HTTP 500) for an unknown AMI."""
    image = _own(self) if self._get_param("Attribute") == "launchPermission" else _image(self)
    if self._get_param("Attribute") == "launchPermission":
        return ActionResult({"ImageId": image.id, "LaunchPermissions": image.launch_permissions})
    return _stock_attribute(self)


_stock_attribute = AmisResponse.describe_image_attribute
_stock_deregister = AmisResponse.deregister_image


def enable_image_deprecation(self: Any) -> ActionResult:
    """AWS: EnableImageDeprecation. Stock: not implemented, as are the five actions below."""
    _own(self).deprecation_time = str(self._get_param("DeprecateAt"))
    return ActionResult({"Return": True})


def disable_image_deprecation(self: Any) -> ActionResult:
    _own(self).deprecation_time = None
    return ActionResult({"Return": True})


def disable_image(self: Any) -> ActionResult:
    """AWS: DisableImage: not launchable, hidden from DescribeImages, and all launch permissions are removed."""
    image = _own(self)
    image.state = "disabled"
    image.launch_permissions.clear()
    return ActionResult({"Return": True})


def enable_image(self: Any) -> ActionResult:
    _own(self).state = "available"
    return ActionResult({"Return": True})


def enable_image_deregistration_protection(self: Any) -> ActionResult:
    _own(self).deregistration_protection = "enabled"
    return ActionResult({"Return": "enabled"})


def disable_image_deregistration_protection(self: Any) -> ActionResult:
    _own(self).deregistration_protection = "disabled"
    return ActionResult({"Return": "disabled"})


class OperationNotPermitted(ServiceException):
    code = "OperationNotPermitted"
    message = "The image is protected from deregistration."


# moto finds an error's shape through the module that its class says it comes from.
OperationNotPermitted.__module__ = "moto.ec2.exceptions"


def deregister_image(self: Any) -> Any:
    """AWS: EC2 User Guide "Protect an Amazon EC2 AMI from deregistration". Stock: no protection."""
    image = self.ec2_backend.amis.get(self._get_param("ImageId"))
    if image is not None and getattr(image, "deregistration_protection", "disabled") == "enabled":
        raise OperationNotPermitted()
    return _stock_deregister(self)


def install() -> None:
    for action in (
        describe_images, describe_image_attribute, deregister_image, enable_image_deprecation,
        disable_image_deprecation, disable_image, enable_image, enable_image_deregistration_protection,
        disable_image_deregistration_protection,
    ):
        setattr(AmisResponse, action.__name__, action)
