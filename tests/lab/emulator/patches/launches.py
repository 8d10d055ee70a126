"""How an Auto Scaling group starts instances, and what it refuses to start."""

from typing import Any

from moto.autoscaling import models
from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState
from moto.core.exceptions import ServiceException
from moto.ec2.models.instance_types import INSTANCE_TYPES

from emulator import clock, watch
from emulator.patches.image_lifecycle import visible
from emulator.patches.parameters import ParameterMissing, resolve

ARCHITECTURE = (
    "The architecture '{instance}' of the specified instance type does not match the architecture '{image}' of the "
    "specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use "
    "'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI."
)
FAILED = "Launching EC2 instance failed."
MAX_ACTIVITIES = 200


class LaunchFailed(Exception):
    pass


def choices(group: Any) -> list[tuple[Any, Any, str | None, str | None]]:
    """What the group may launch: (template, version, instance type override, image override), one per override.

    AWS: Auto Scaling User Guide "Use a different launch template for an instance type" (an override may name its own);
    API reference LaunchTemplateOverrides: ImageId, "the AMI to use for instances launched with this override". An
    override by InstanceRequirements launches the template's own type here (on AWS, any type that meets them).
    """
    template, number = group.ec2_launch_template, group.launch_template_version
    base = (template, template.get_version(number), None, None)
    policy = group.mixed_instances_policy or {}
    found = []
    for override in policy.get("LaunchTemplate", {}).get("Overrides", []) or []:
        spec = override.get("LaunchTemplateSpecification") or {}
        own = _find_template(group.ec2_backend, spec) or template
        version = own.get_version(spec.get("Version") or "$Default") if spec else base[1]
        found.append((own, version, override.get("InstanceType"), override.get("ImageId")))
    return found or [base]


def _find_template(backend: Any, spec: dict[str, Any]) -> Any:
    if spec.get("LaunchTemplateId"):
        return backend.get_launch_template(spec["LaunchTemplateId"])
    if spec.get("LaunchTemplateName"):
        return backend.get_launch_template_by_name(spec["LaunchTemplateName"])
    return None


def check_launch(group: Any, image_id: str, instance_type: str | None) -> None:
    """Raise LaunchFailed as EC2 would refuse RunInstances.

    Stock: a deregistered, disabled, foreign or wrong-architecture AMI launches without a word.
    """
    backend = group.ec2_backend
    image = backend.amis.get(image_id)
    if image is None or not visible(image, group.account_id):
        raise LaunchFailed(f"The image id '[{image_id}]' does not exist. {FAILED}")
    if image.state != "available":
        raise LaunchFailed(f"The image ID '{image_id}' is not available (state: {image.state}). {FAILED}")
    info = INSTANCE_TYPES.get(instance_type or "")
    supported = (info or {}).get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    if supported and image.architecture not in supported:
        text = ARCHITECTURE.format(instance=supported[-1], image=image.architecture)
        raise LaunchFailed(f"{text} {FAILED}")


def note_activity(group: Any, description: str, status: str, message: str | None = None) -> None:
    """AWS: DescribeScalingActivities, newest first. Stock: always empty."""
    activities: list[dict[str, Any]] = group.__dict__.setdefault("lab_activities", [])
    at = clock.now()
    activity = {
        "ActivityId": str(models.random.uuid4()), "AutoScalingGroupName": group.name, "AutoScalingGroupARN": group.arn,
        "Description": description, "Cause": f"At {at:%Y-%m-%dT%H:%M:%SZ} an instance was started or stopped in "
        "response to a difference between desired and actual capacity.",
        "StartTime": at, "EndTime": at, "StatusCode": status, "Progress": 100, "Details": "{}",
    }
    if message:
        activity["StatusMessage"] = message
    activities.insert(0, activity)
    del activities[MAX_ACTIVITIES:]


def _devices(group: Any, image_id: str, mappings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """AWS: RunInstances, BlockDeviceMappings: what a mapping leaves out comes from the AMI's mapping of that device.
    Stock: fails without a size."""
    image = group.ec2_backend.amis[image_id]
    own = {device["DeviceName"]: device.get("Ebs", {}) for device in image.block_device_mappings}
    merged = []
    for mapping in mappings:
        ebs = {"VolumeSize": 8, **own.get(mapping["DeviceName"], {}), **mapping.get("Ebs", {})}
        if not ebs.get("Encrypted"):
            ebs.pop("KmsKeyId", None)
        if ebs.get("SnapshotId") not in group.ec2_backend.snapshots and "SnapshotId" not in mapping.get("Ebs", {}):
            ebs.pop("SnapshotId", None)
        merged.append({**mapping, "Ebs": ebs})
    return merged


def _run(group: Any, image_id: str, instance_type: str | None, count: int, tags: dict[str, str], **extra: Any) -> Any:
    check_launch(group, image_id, instance_type)
    mappings = extra.pop("mappings", None)
    if mappings:
        extra["block_device_mappings"] = _devices(group, image_id, mappings)
    subnets = group.vpc_zone_identifier.split(",") if group.vpc_zone_identifier else [None]
    config = group.launch_config
    reservation = group.ec2_backend.run_instances(
        image_id, count, extra.pop("user_data", None), extra.pop("security_groups", []), tags={"instance": tags},
        placement=models.random.choice(group.availability_zones), launch_config=config, is_instance_type_default=True,
        associate_public_ip=config.associate_public_ip_address if config else None,
        subnet_id=models.random.choice(subnets), **extra,
    )
    for instance in reservation.instances:
        instance.autoscaling_group = group
        instance.instance_type = instance_type or instance.instance_type
        note_activity(group, f"Launching a new EC2 instance: {instance.id}", "Successful")
    return reservation.instances


def _launch_from_template(group: Any, count: int, tags: dict[str, str], first: int) -> list[InstanceState]:
    """Overrides take turns (on AWS the allocation strategy chooses)."""
    options = choices(group)
    states = []
    for index, (template, version, override, own_image) in enumerate(options):
        share = len([n for n in range(first, first + count) if n % len(options) == index])
        if not share:
            continue
        # Refused where it was deleted (EC2 API, error code InvalidLaunchTemplateId.NotFound). Stock: its versions live on.
        group.ec2_backend.get_launch_template(template.id)
        image_id = resolve(group.account_id, group.region, own_image or version.image_id)
        own_tags = {**tags, **version.instance_tags}
        spec = {"LaunchTemplateId": template.id, "Version": str(version.number)}
        instance_type = override or version.instance_type
        mappings = version.data.get("BlockDeviceMappings")
        for instance in _run(
            group, image_id, instance_type, share, own_tags, launch_template=spec, mappings=mappings
        ):
            state = InstanceState(instance, protected_from_scale_in=group.new_instances_protected_from_scale_in)
            state.lt_override, state.lt_version = template, version.number
            state.lab_launched = (template.id, str(version.number), instance_type, image_id)
            states.append(state)
    return states


def _launch_from_configuration(group: Any, count: int, tags: dict[str, str]) -> list[InstanceState]:
    config = group.launch_config
    found = _run(
        group, config.image_id, config.instance_type, count, tags, user_data=config.user_data,
        security_groups=config.security_groups or [],
    )
    states = []
    for instance in found:
        state = InstanceState(instance, protected_from_scale_in=group.new_instances_protected_from_scale_in)
        state.lab_configuration = config.name
        states.append(state)
    return states


def replace_autoscaling_group_instances(self: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
    """AWS: Auto Scaling User Guide "Launch templates": the group launches the version it names, and a launch that
    EC2 refuses leaves the group short, with a Failed scaling activity ("Troubleshoot Amazon EC2 Auto Scaling").
    Stock: tags, user data and devices come from the template's default version; bad AMIs launch.
    """
    tags = {**propagated_tags, models.ASG_NAME_TAG: self.name}
    try:
        if self.ec2_launch_template:
            fresh = _launch_from_template(self, count_needed, tags, getattr(self, "lab_turn", len(self.instance_states)))
        else:
            fresh = _launch_from_configuration(self, count_needed, tags)
    except (LaunchFailed, ParameterMissing, ServiceException) as failure:
        message = str(failure) if str(failure).endswith(FAILED) else f"{getattr(failure, 'message', failure)} {FAILED}"
        self.last_failed_launch = message
        note_activity(self, f"Launching a new EC2 instance.  Status Reason: {message}", "Failed", message)
        return
    self.instance_states = [*self.instance_states, *fresh]


def _launch_template(self: Any) -> dict[str, str] | None:
    """AWS: Instance.LaunchTemplate: the version the instance was launched with.
    Stock: always the template's current default version."""
    group = self.auto_scaling_group
    template = getattr(self, "lt_override", None) or (group.ec2_launch_template if group else None)
    if template is None or hasattr(self, "lab_configuration"):
        return None
    number = getattr(self, "lt_version", template.default_version_number)
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(number)}


def _launch_configuration_name(self: Any) -> str | None:
    """AWS: Instance.LaunchConfigurationName, as launched. Stock: the group's present one."""
    return getattr(self, "lab_configuration", None)


def _watched(name: str) -> property:
    """An attribute whose every change is sampled by the watch (see emulator/watch.py)."""
    slot = f"_lab_{name}"

    def get(self: Any) -> Any:
        return self.__dict__[slot]

    def put(self: Any, value: Any) -> None:
        self.__dict__[slot] = value
        group = self if isinstance(self, FakeAutoScalingGroup) else self.__dict__.get("auto_scaling_group")
        if group is not None:
            watch.sample(group)

    return property(get, put)


def install() -> None:
    FakeAutoScalingGroup.replace_autoscaling_group_instances = replace_autoscaling_group_instances
    FakeAutoScalingGroup.instance_states = _watched("instance_states")
    InstanceState.lifecycle_state = _watched("lifecycle_state")
    InstanceState.health_status = _watched("health_status")
    InstanceState.launch_template = property(_launch_template)
    InstanceState.launch_configuration_name = property(_launch_configuration_name)
