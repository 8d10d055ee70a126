"""Auto Scaling groups: their configuration, paging and activities."""

import copy
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult

from emulator.patches.paging import decode, page
from emulator.patches.parameters import resolve

MAX_PAGE, DEFAULT_PAGE = 100, 50
CONFIGURATION = (
    "mixed_instances_policy", "ec2_launch_template", "launch_config", "launch_configuration_name",
    "launch_template_version", "provided_launch_template_version", "max_size", "min_size",
)
NOT_FORMED = "You must use a valid fully-formed launch template. "


class InvalidNextToken(AutoscalingClientError):
    code = "InvalidNextToken"
    message = "The token specified is not valid."


# moto finds an error's shape through the module that its class says it comes from.
InvalidNextToken.__module__ = "moto.autoscaling.exceptions"

_stock_set_configuration = FakeAutoScalingGroup._set_launch_configuration
_stock_update = FakeAutoScalingGroup.update
_stock_template = FakeAutoScalingGroup.launch_template
_stock_desired = FakeAutoScalingGroup.set_desired_capacity
_stock_image = FakeAutoScalingGroup.image_id
_stock_create = AutoScalingResponse.create_auto_scaling_group
_stock_update_action = AutoScalingResponse.update_auto_scaling_group


def _set_launch_configuration(
    self: Any,
    launch_config_name: str | None,
    launch_template: dict[str, Any] | None,
    mixed_instances_policy: dict[str, Any] | None,
) -> None:
    """AWS: CreateAutoScalingGroup / UpdateAutoScalingGroup: an unknown template or version is a ValidationError.
    Stock: accepts any version number, and keeps an old launch template beside a new launch configuration.
    """
    try:
        _stock_set_configuration(self, launch_config_name, launch_template, mixed_instances_policy)
        if (launch_template or mixed_instances_policy) and self.ec2_launch_template:
            self.ec2_launch_template.get_version(self.launch_template_version)
            self.launch_config = None
            self.launch_configuration_name = None
    except KeyError as missing:
        raise ValidationError(f"Launch configuration name not found - {missing}") from missing
    except ServiceException as problem:
        if isinstance(problem, AutoscalingClientError):
            raise
        raise ValidationError(NOT_FORMED + str(getattr(problem, "message", problem))) from problem
    if launch_config_name:
        self.ec2_launch_template = None
        self.mixed_instances_policy = None


def _update(self: Any, *args: Any, **kwargs: Any) -> None:
    """AWS: UpdateAutoScalingGroup changes only what is given. Stock: any update drops the mixed instances policy."""
    policy = self.mixed_instances_policy
    given = any(kwargs.get(key) for key in ("mixed_instances_policy", "launch_template", "launch_config_name"))
    if policy and not given:
        kept = copy.deepcopy(policy)
        kept["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName", None)
        kwargs["mixed_instances_policy"] = kept
    before = {key: self.__dict__.get(key) for key in CONFIGURATION}
    try:
        _stock_update(self, *args, **kwargs)
    except AutoscalingClientError:
        # A refused update changes nothing.
        self.__dict__.update(before)
        raise


def _launch_template(self: Any) -> Any:
    """AWS: AutoScalingGroup has LaunchTemplate or MixedInstancesPolicy, not both. Stock: both, or a crash."""
    return None if self.mixed_instances_policy else _stock_template.fget(self)


def _set_desired_capacity(self: Any, new_capacity: int | None) -> None:
    """AWS: Auto Scaling User Guide "Auto Scaling groups with multiple instance types": the desired capacity is met.
    Stock: rounds On-Demand and Spot shares down (desired 2, base 1, 50 % above it: one instance)."""
    distribution = (self.mixed_instances_policy or {}).get("InstancesDistribution")
    if not distribution:
        _stock_desired(self, new_capacity)
        return
    saved = dict(distribution)
    distribution["OnDemandBaseCapacity"] = 10**6
    try:
        _stock_desired(self, new_capacity)
    finally:
        distribution.clear()
        distribution.update(saved)


def _page_bounds(self: Any) -> tuple[int, int]:
    size = self._get_int_param("MaxRecords", DEFAULT_PAGE)
    if not 1 <= size <= MAX_PAGE:
        limit = "less than or equal to 100" if size > MAX_PAGE else "greater than or equal to 1"
        raise ValidationError(
            f"1 validation error detected: Value '{size}' at 'maxRecords' failed to satisfy constraint: "
            f"Member must have value {limit}"
        )
    offset = decode(self._get_param("NextToken"))
    if offset is None:
        raise InvalidNextToken()
    return offset, size


def describe_auto_scaling_groups(self: Any) -> ActionResult:
    """AWS: DescribeAutoScalingGroups: MaxRecords "default value is 50 and the maximum value is 100";
    AutoScalingGroupNames: "By default, you can only specify up to 50 names. You can optionally increase this limit
    using the MaxRecords property."; unknown names are left out.
    Stock: MaxRecords over 100 is a crash (HTTP 500), a wrong token too; no limit on names.
    """
    names = self._get_param("AutoScalingGroupNames", []) or []
    offset, size = _page_bounds(self)
    if len(names) > size:
        raise ValidationError(f"You can specify at most {size} Auto Scaling group names with this MaxRecords.")
    groups = self.autoscaling_backend.describe_auto_scaling_groups(names, filters=self._get_param("Filters", []))
    rows, token = page(groups, offset, size)
    return ActionResult({"AutoScalingGroups": rows, "NextToken": token})


def describe_scaling_activities(self: Any) -> ActionResult:
    """AWS: DescribeScalingActivities. Stock: always empty, so a failed launch leaves no trace."""
    name = self._get_param("AutoScalingGroupName")
    offset, size = _page_bounds(self)
    activities = [
        activity
        for group in self.autoscaling_backend.autoscaling_groups.values()
        if not name or group.name == name
        for activity in group.__dict__.get("lab_activities", [])
    ]
    rows, token = page(activities, offset, size)
    return ActionResult({"Activities": rows, "NextToken": token})


def create_auto_scaling_group(self: Any) -> Any:
    """AWS: CreateAutoScalingGroup: error AlreadyExists; DefaultInstanceWarmup; HealthCheckGracePeriod "Default: 0
    seconds". Stock: the second group replaces the first; the warm-up is lost; the grace period is 300."""
    name = self._get_param("AutoScalingGroupName")
    if name in self.autoscaling_backend.autoscaling_groups:
        raise AlreadyExists(f"AutoScalingGroup by this name already exists - A group with the name {name} already exists")
    result = _stock_create(self)
    group = self.autoscaling_backend.autoscaling_groups[name]
    group.default_instance_warmup = self._get_int_param("DefaultInstanceWarmup")
    group.health_check_grace_period = self._get_int_param("HealthCheckGracePeriod", 0)
    return result


def check_policy(policy: dict[str, Any] | None) -> None:
    """AWS: LaunchTemplateSpecification, in overrides too: "You must specify either the LaunchTemplateId or the
    LaunchTemplateName"; an override with InstanceRequirements "can't specify InstanceType".
    Stock: looks at the policy's own template only."""
    for override in ((policy or {}).get("LaunchTemplate", {}).get("Overrides")) or []:
        spec = override.get("LaunchTemplateSpecification")
        if spec and bool(spec.get("LaunchTemplateId")) == bool(spec.get("LaunchTemplateName")):
            raise ValidationError("Valid requests must contain either launchTemplateId or LaunchTemplateName")
        if override.get("InstanceRequirements") and override.get("InstanceType"):
            raise ValidationError("You can't specify InstanceType and InstanceRequirements in one override.")


class AlreadyExists(AutoscalingClientError):
    code = "AlreadyExists"


AlreadyExists.__module__ = "moto.autoscaling.exceptions"


def update_auto_scaling_group(self: Any) -> Any:
    """AWS: as above, for DefaultInstanceWarmup."""
    check_policy(self._get_param("MixedInstancesPolicy"))
    result = _stock_update_action(self)
    warmup = self._get_int_param("DefaultInstanceWarmup")
    if warmup is not None:
        group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
        group.default_instance_warmup = None if warmup == -1 else warmup
    return result


def terminate_instance(self: Any, instance_id: str, should_decrement: bool) -> Any:
    """AWS: TerminateInstanceInAutoScalingGroup: an unknown instance is a ValidationError. Stock: a crash (HTTP 500)."""
    known = any(
        state.instance.id == instance_id for group in self.autoscaling_groups.values() for state in group.instance_states
    )
    if not known:
        raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")
    return _stock_terminate(self, instance_id, should_decrement)


_stock_terminate = AutoScalingBackend.terminate_instance


def _image_id(self: Any) -> str:
    """AWS: launch templates may name an SSM parameter (see parameters.py). Stock: passes the text on as an AMI id."""
    return resolve(self.account_id, self.region, str(_stock_image.fget(self)))


def _active_instances(self: Any) -> list[InstanceState]:
    """AWS: Pending instances count towards the desired capacity. Stock: only InService ones."""
    return [state for state in self.instance_states if state.lifecycle_state in ("InService", "Pending")]


def install() -> None:
    FakeAutoScalingGroup._set_launch_configuration = _set_launch_configuration
    FakeAutoScalingGroup.update = _update
    FakeAutoScalingGroup.launch_template = property(_launch_template)
    FakeAutoScalingGroup.set_desired_capacity = _set_desired_capacity
    FakeAutoScalingGroup.image_id = property(_image_id)
    FakeAutoScalingGroup.active_instances = _active_instances
    AutoScalingBackend.terminate_instance = terminate_instance
    for action in (
        describe_auto_scaling_groups, describe_scaling_activities, create_auto_scaling_group, update_auto_scaling_group,
    ):
        setattr(AutoScalingResponse, action.__name__, action)
