"""What the control requests have in common."""

from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

Body = dict[str, Any]

ACCOUNT = DEFAULT_ACCOUNT_ID
DEFAULT_REGION = "eu-west-1"


class ControlError(Exception):
    """The request makes no sense; the text says why."""


def required(body: Body, name: str) -> Any:
    if body.get(name) is None:
        raise ControlError(f"missing field: {name}")
    return body[name]


def region_of(body: Body) -> str:
    return str(body.get("region") or DEFAULT_REGION)


def account_of(body: Body) -> str:
    """The account a request is about: a role's ARN says which one its credentials are for."""
    return str(body.get("account") or ACCOUNT)


def ec2_of(body: Body) -> Any:
    return ec2_backends[account_of(body)][region_of(body)]


def autoscaling_of(body: Body) -> Any:
    return autoscaling_backends[account_of(body)][region_of(body)]


def group_of(body: Body, field: str = "name") -> Any:
    name = str(required(body, field))
    groups = autoscaling_of(body).autoscaling_groups
    if name not in groups:
        raise ControlError(f"no Auto Scaling group {name} in {region_of(body)}")
    return groups[name]


def image_of(body: Body) -> Any:
    image_id = str(required(body, "image_id"))
    images = ec2_of(body).amis
    if image_id not in images:
        raise ControlError(f"no AMI {image_id} in {region_of(body)}")
    return images[image_id]
