"""Control requests that make and show Auto Scaling groups."""

import base64
import collections
from typing import Any

from emulator import watch
from emulator.control_input import Body, ControlError, account_of, autoscaling_of, ec2_of, group_of, region_of, required
from emulator.refresh.api import history

TYPE_FOR = {"x86_64": "t3.micro", "arm64": "t4g.micro"}
MAX_SIZE_FACTOR = 2
LAB_VPC = "10.64.0.0/16"


def subnets(backend: Any) -> str:
    """The lab's own two subnets of one region, made when first needed."""
    found: list[str] | None = backend.__dict__.get("lab_subnets")
    if not found:
        vpc = backend.create_vpc(LAB_VPC)
        zones = [f"{backend.region_name}{letter}" for letter in "ab"]
        blocks = ("10.64.0.0/17", "10.64.128.0/17")
        found = [backend.create_subnet(vpc.id, block, availability_zone=zone).id for block, zone in zip(blocks, zones)]
        backend.lab_subnets = found
    return ",".join(found)


def template_data(backend: Any, ami: str, body: Body) -> Body:
    image = backend.amis.get(ami)
    data: Body = {
        "ImageId": ami,
        "InstanceType": body.get("instance_type") or TYPE_FOR.get(image.architecture if image else "x86_64", "t3.micro"),
    }
    if body.get("user_data"):
        data["UserData"] = base64.b64encode(str(body["user_data"]).encode()).decode()
    if body.get("block_devices"):
        data["BlockDeviceMappings"] = body["block_devices"]
    return data


def _template(backend: Any, name: str, ami: str | None, body: Body) -> Any:
    existing = backend.launch_template_name_to_ids.get(name)
    if existing:
        return backend.launch_templates[existing]
    if not ami:
        raise ControlError("missing field: ami")
    return backend.create_launch_template(name, "made by the lab", template_data(backend, ami, body), {})


def _overrides(backend: Any, name: str, wanted: list[Body]) -> list[Body]:
    found = []
    for index, override in enumerate(wanted):
        entry: Body = {}
        if override.get("instance_type"):
            entry["InstanceType"] = override["instance_type"]
        if override.get("ami"):
            own = _template(backend, override.get("template_name") or f"{name}-{index}", override["ami"], override)
            spec = {"LaunchTemplateId": own.id, "LaunchTemplateName": own.name}
            entry["LaunchTemplateSpecification"] = {**spec, "Version": str(override.get("version") or "1")}
        for field, key in (("image_id", "ImageId"), ("requirements", "InstanceRequirements"), ("weight", "WeightedCapacity")):
            if override.get(field):
                entry[key] = override[field]
        found.append(entry)
    return found


def make_group(body: Body) -> Body:
    """POST /_lab/group"""
    ec2, autoscaling = ec2_of(body), autoscaling_of(body)
    name, size = str(required(body, "name")), int(body.get("size", 3))
    if name in autoscaling.autoscaling_groups:
        raise ControlError(f"group {name} exists already")
    launch, template = _launch(ec2, autoscaling, name, body)
    group = autoscaling.create_auto_scaling_group(
        name=name, availability_zones=[], desired_capacity=size, min_size=int(body.get("min_size", 0)),
        max_size=int(body.get("max_size", max(size * MAX_SIZE_FACTOR, size + 1))), vpc_zone_identifier=subnets(ec2),
        default_cooldown=None, health_check_period=None, health_check_type=None, load_balancers=[],
        target_group_arns=[], placement_group=None, termination_policies=[],
        tags=[{"Key": k, "Value": v, "PropagateAtLaunch": True} for k, v in (body.get("tags") or {}).items()],
        **{"launch_config_name": None, "launch_template": {}, "mixed_instances_policy": None, **launch},
    )
    group.health_check_grace_period = int(body.get("grace", 0))
    group.default_instance_warmup = int(body["warmup"]) if body.get("warmup") is not None else None
    return {
        "name": name, "region": region_of(body), "template_id": template.id if template else None,
        "template_name": template.name if template else None, "subnets": subnets(ec2).split(","),
        "instances": [state.instance.id for state in group.instance_states],
        "launch_error": getattr(group, "last_failed_launch", None),
    }


def _launch(ec2: Any, autoscaling: Any, name: str, body: Body) -> tuple[Body, Any]:
    """The group's way of launching, and its template unless it has a launch configuration."""
    if body.get("launch_configuration"):
        ami = str(required(body, "ami"))
        data = template_data(ec2, ami, body)
        autoscaling.create_launch_configuration(
            name=name, image_id=ami, key_name=None, kernel_id="", ramdisk_id="", security_groups=[], user_data=None,
            instance_type=data["InstanceType"], instance_monitoring=False, instance_profile_name=None, spot_price=None,
            ebs_optimized=False, associate_public_ip_address=False, block_device_mappings=[],
        )
        return {"launch_config_name": name}, None
    # AWS: a launch template's name has at least three characters.
    template_name = str(body.get("template_name") or (name if len(name) >= 3 else f"{name}-template"))
    template = _template(ec2, template_name, body.get("ami"), body)
    spec = {"LaunchTemplateId": template.id, "Version": str(body.get("version") or "1")}
    if not body.get("mixed"):
        return {"launch_template": spec}, template
    overrides = _overrides(ec2, name, body["mixed"])
    policy: Body = {"LaunchTemplate": {"LaunchTemplateSpecification": spec, "Overrides": overrides}}
    if body.get("distribution"):
        policy["InstancesDistribution"] = body["distribution"]
    return {"mixed_instances_policy": policy}, template


def make_groups(body: Body) -> Body:
    """POST /_lab/groups: many alike, `prefix-001` and so on."""
    count, prefix = int(required(body, "count")), str(body.get("prefix") or "group")
    rest = {key: value for key, value in body.items() if key not in ("count", "prefix", "name")}
    names = [f"{prefix}-{index:0{len(str(count))}d}" for index in range(1, count + 1)]
    made = [make_group({**rest, "name": name}) for name in names]
    return {"count": count, "names": names, "instances": sum(len(group["instances"]) for group in made)}


def watch_group(body: Body) -> Body:
    """POST /_lab/group/watch"""
    return {"min_in_service": watch.start(group_of(body))}


def _configuration(group: Any) -> Body:
    if not group.ec2_launch_template:
        config = group.launch_config
        return {"kind": "launch-configuration", "name": config.name, "version": None, "ami": config.image_id}
    template = group.ec2_launch_template
    version = template.get_version(group.launch_template_version)
    return {
        "kind": "mixed" if group.mixed_instances_policy else "launch-template", "template_id": template.id,
        "template_name": template.name, "version": str(group.launch_template_version),
        "resolved_version": version.number, "ami": version.image_id,
        "default_version": template.default_version_number, "latest_version": template.latest_version_number,
        **({"policy": group.mixed_instances_policy} if group.mixed_instances_policy else {}),
    }


def show_group(body: Body) -> Body:
    """GET /_lab/group?name=...: what the group really runs."""
    group = group_of(body)
    instances = [_instance(state) for state in group.instance_states]
    return {
        "name": group.name, "region": group.region, "account": account_of(body), "desired": group.desired_capacity,
        "config": _configuration(group), "config_version": _configuration(group)["version"],
        "in_service": watch.in_service(group), "min_in_service": watch.lowest(group),
        "by_ami": dict(collections.Counter(instance["ami"] for instance in instances)),
        "by_version": dict(collections.Counter(str(instance["version"]) for instance in instances)),
        "instances": instances,
        "refreshes": [
            {"id": r.id, "status": r.status, "percentage": r.percentage, "reason": r.reason}
            for r in history(group.autoscaling_backend, group.name)
        ],
    }


def _instance(state: Any) -> Body:
    template = state.launch_template or {}
    return {
        "id": state.instance.id, "ami": state.instance.image_id, "type": state.instance.instance_type,
        "template": template.get("LaunchTemplateName"), "version": template.get("Version"),
        "lifecycle": state.lifecycle_state, "health": state.health_status,
        "protected": bool(state.protected_from_scale_in),
    }
