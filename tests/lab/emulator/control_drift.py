"""POST /_lab/drift: changes made behind imgctl's back, as a colleague, a console or another tool makes them."""

import threading
from collections.abc import Callable
from typing import Any

from moto.autoscaling.models import ASG_NAME_TAG, InstanceState

from emulator.control_groups import show_group, template_data
from emulator.control_input import Body, ControlError, group_of, required
from emulator.patches.launch_templates import inherited
from emulator.refresh.api import active, history
from emulator.refresh.model import Refresh
from emulator.refresh.worker import run


def _template(group: Any) -> Any:
    if not group.ec2_launch_template:
        raise ControlError(f"group {group.name} has no launch template")
    return group.ec2_launch_template


def _new_version(group: Any, body: Body) -> Any:
    """A version like the group's present one, with what the request names changed."""
    template = _template(group)
    data = inherited(template.get_version(group.launch_template_version))
    if body.get("ami"):
        data["ImageId"] = body["ami"]
    if body.get("instance_type"):
        data["InstanceType"] = body["instance_type"]
    if body.get("user_data"):
        data["UserData"] = template_data(group.ec2_backend, "", body)["UserData"]
    return template.create_version(data, str(body.get("description") or ""))


def _point(group: Any, version: str) -> None:
    template = _template(group)
    if group.mixed_instances_policy:
        spec = group.mixed_instances_policy["LaunchTemplate"]["LaunchTemplateSpecification"]
        spec["Version"] = group.launch_template_version = version
        return
    group._set_launch_configuration(None, {"LaunchTemplateId": template.id, "Version": version}, None)


def new_version(group: Any, body: Body) -> Body:
    """A new template version that nothing uses yet (a group at $Latest will, at its next launch)."""
    return {"version": _new_version(group, body).number}


def template_version(group: Any, body: Body) -> Body:
    """The group is pointed at a new version; its instances are left alone."""
    number = _new_version(group, body).number
    _point(group, str(number))
    return {"version": number}


def existing_version(group: Any, body: Body) -> Body:
    """The group is pointed at a version that exists: a number, $Latest or $Default."""
    version = str(required(body, "version"))
    _template(group).get_version(version)
    _point(group, version)
    return {"version": version}


def default_version(group: Any, body: Body) -> Body:
    """The template's default version becomes `version`, or a new one when an AMI is named."""
    number = _new_version(group, body).number if body.get("ami") else int(required(body, "version"))
    template = _template(group)
    template.default_version_number = template.get_version(number).number
    return {"version": number}


def latest(group: Any, _: Body) -> Body:
    _point(group, "$Latest")
    return {"version": "$Latest"}


def default(group: Any, _: Body) -> Body:
    _point(group, "$Default")
    return {"version": "$Default"}


def delete_version(group: Any, body: Body) -> Body:
    """A version that nothing uses any more is deleted, as a clean-up job does; the default cannot be."""
    template, number = _template(group), int(required(body, "version"))
    gone = template.get_version(number)
    if number == template.default_version_number:
        raise ControlError(f"version {number} is the default of {template.id}")
    template.versions.remove(gone)
    return {"version": number}


def other_template(group: Any, body: Body) -> Body:
    """The group is pointed at another launch template, made from its present version; the image is the request's."""
    data = {**inherited(_template(group).get_version(group.launch_template_version)), "ImageId": required(body, "ami")}
    other = group.ec2_backend.create_launch_template(f"{group.name}-other", "made by the lab", data, {})
    group._set_launch_configuration(None, {"LaunchTemplateId": other.id, "Version": "1"}, None)
    return {"template_id": other.id}


def delete_template(group: Any, _: Body) -> Body:
    """The launch template is deleted with all its versions, although the group launches from it.

    AWS: EC2 API, DeleteLaunchTemplate: "Deleting a launch template deletes all of its versions"; nothing there asks who
    uses it. The group and its instances stay, and its launches fail (launches.py).
    """
    template = _template(group)
    group.ec2_backend.delete_launch_template(None, template.id)
    return {"template_id": template.id}


def _policy(group: Any) -> Any:
    if not group.mixed_instances_policy:
        raise ControlError(f"group {group.name} has no mixed instances policy")
    return group.mixed_instances_policy


def override_version(group: Any, body: Body) -> Body:
    """The first override that has a launch template of its own is pointed at a new version of it, with another AMI."""
    overrides = _policy(group)["LaunchTemplate"]["Overrides"]
    spec = next((each["LaunchTemplateSpecification"] for each in overrides if each.get("LaunchTemplateSpecification")), None)
    if spec is None:
        raise ControlError(f"no override of group {group.name} has a launch template of its own")
    template = group.ec2_backend.get_launch_template(spec["LaunchTemplateId"])
    data = {**inherited(template.get_version(spec["Version"])), "ImageId": required(body, "ami")}
    spec["Version"] = str(template.create_version(data, "").number)
    return {"template_id": template.id, "version": spec["Version"]}


def add_override(group: Any, body: Body) -> Body:
    """The policy gets another instance type, with a launch template of its own."""
    name, data = f"{group.name}-added", template_data(group.ec2_backend, required(body, "ami"), body)
    own = group.ec2_backend.create_launch_template(name, "made by the lab", data, {})
    spec = {"LaunchTemplateId": own.id, "LaunchTemplateName": own.name, "Version": "1"}
    override = {"InstanceType": data["InstanceType"], "LaunchTemplateSpecification": spec}
    _policy(group)["LaunchTemplate"]["Overrides"].append(override)
    return {"template_id": own.id}


def distribution(group: Any, body: Body) -> Body:
    """How On-Demand and Spot are mixed: InstancesDistribution, with the request's members changed."""
    kept = _policy(group).setdefault("InstancesDistribution", {})
    kept.update(required(body, "distribution"))
    return {"distribution": dict(kept)}


def suspend(group: Any, body: Body) -> Body:
    """AWS: Auto Scaling User Guide "Suspend and resume Amazon EC2 Auto Scaling processes": all of them, or those named."""
    group.autoscaling_backend.suspend_processes(group.name, list(body.get("processes") or []))
    return {"suspended": sorted(each["ProcessName"] for each in group.suspended_processes)}


def tag_group(group: Any, body: Body) -> Body:
    tags = [
        {"Key": key, "Value": value, "ResourceId": group.name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": "true"}
        for key, value in required(body, "tags").items()
    ]
    group.autoscaling_backend.create_or_update_tags(tags)
    return {"tags": {tag["Key"]: tag["Value"] for tag in group.tags}}


def tag_template(group: Any, body: Body) -> Body:
    template = _template(group)
    group.ec2_backend.create_tags([template.id], required(body, "tags"))
    return {"template_id": template.id}


def tag_instances(group: Any, body: Body) -> Body:
    running = [state.instance.id for state in group.instance_states]
    group.ec2_backend.create_tags(running, required(body, "tags"))
    return {"instances": running}


def launch_outside(group: Any, body: Body) -> Body:
    """Instances are replaced by hand: started outside the group from another AMI, then attached to it."""
    ami, count = str(required(body, "ami")), int(body.get("count", 1))
    olds = group.instance_states[:count]
    config = template_data(group.ec2_backend, ami, body)
    subnet = group.vpc_zone_identifier.split(",")[0] if group.vpc_zone_identifier else None
    reservation = group.ec2_backend.run_instances(
        ami, len(olds), None, [], instance_type=config["InstanceType"], is_instance_type_default=True,
        tags={"instance": {ASG_NAME_TAG: group.name}}, placement=group.availability_zones[0], subnet_id=subnet,
    )
    fresh = []
    for instance in reservation.instances:
        state = InstanceState(instance, autoscaling_group=group)
        state.lab_configuration = None  # attached: neither a template version nor a launch configuration
        fresh.append(state)
    group.instance_states = [*group.instance_states, *fresh]
    group.instance_states = [state for state in group.instance_states if state not in olds]
    if olds:
        group.ec2_backend.terminate_instances([state.instance.id for state in olds])
    return {"started": [state.instance.id for state in fresh], "terminated": [state.instance.id for state in olds]}


def replace_instances(group: Any, body: Body) -> Body:
    """Instances are terminated; the group starts others from its present configuration."""
    olds = group.instance_states[: int(body.get("count", 1))]
    group.instance_states = [state for state in group.instance_states if state not in olds]
    group.ec2_backend.terminate_instances([state.instance.id for state in olds])
    group.set_desired_capacity(group.desired_capacity)
    return {"terminated": [state.instance.id for state in olds]}


def _mark(change: Callable[[Any], None]) -> Callable[[Any, Body], Body]:
    def act(group: Any, body: Body) -> Body:
        chosen = group.instance_states[: int(body.get("count", 1))]
        for state in chosen:
            change(state)
        return {"instances": [state.instance.id for state in chosen]}

    return act


def _put(name: str, value: Any) -> Callable[[Any], None]:
    return lambda state: setattr(state, name, value)


def delete_group(group: Any, _: Body) -> Body:
    group.autoscaling_backend.delete_auto_scaling_group(group.name)
    return {"deleted": group.name}


def scale(group: Any, body: Body) -> Body:
    group.set_desired_capacity(int(required(body, "size")))
    return {"desired": group.desired_capacity}


def refresh(group: Any, body: Body) -> Body:
    """A refresh to a new version with another AMI, as Terraform begins one for a group with `auto_rollback`."""
    if active(group.autoscaling_backend, group):
        raise ControlError(f"group {group.name} has a refresh under way")
    version = str(_new_version(group, body).number)
    desired = {"LaunchTemplate": {"LaunchTemplateId": _template(group).id, "Version": version}}
    preferences = {"AutoRollback": True, "InstanceWarmup": 0, "MinHealthyPercentage": 0}
    begun = Refresh(group.autoscaling_backend, group, preferences, desired, "Rolling")
    history(group.autoscaling_backend, group.name).insert(0, begun)
    threading.Thread(target=run, args=(begun,), daemon=True).start()
    return {"version": version, "refresh": begun.id}


KINDS: dict[str, Callable[[Any, Body], Body]] = {
    "new-version": new_version,
    "template-version": template_version,
    "version": existing_version,
    "default-version": default_version,
    "delete-version": delete_version,
    "other-template": other_template,
    "delete-template": delete_template,
    "override-version": override_version,
    "add-override": add_override,
    "distribution": distribution,
    "suspend": suspend,
    "tag-group": tag_group,
    "tag-template": tag_template,
    "tag-instances": tag_instances,
    "latest": latest,
    "default": default,
    "launch-outside": launch_outside,
    "replace-instances": replace_instances,
    "unhealthy": _mark(_put("health_status", "Unhealthy")),
    "protect": _mark(_put("protected_from_scale_in", True)),
    "standby": _mark(_put("lifecycle_state", "Standby")),
    "scale": scale,
    "delete-group": delete_group,
    "refresh": refresh,
}


def drift(body: Body) -> Body:
    kind = str(required(body, "kind"))
    if kind not in KINDS:
        raise ControlError(f"kind must be one of {', '.join(KINDS)}")
    group = group_of(body, "group")
    result = KINDS[kind](group, body)
    if kind == "delete-group":
        return result
    return {**result, "group": show_group({**body, "name": group.name})}
