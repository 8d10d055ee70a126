"""Reads `ctl show GROUP` and prints the state that Terraform would hold of that group, for machines without Terraform."""

import json
import sys
from typing import Any

Json = dict[str, Any]


def resource(kind: str, attributes: Json) -> Json:
    provider = 'provider["registry.terraform.io/hashicorp/aws"]'
    instance = {"schema_version": 0, "attributes": attributes, "sensitive_attributes": []}
    return {"mode": "managed", "type": kind, "name": "this", "provider": provider, "instances": [instance]}


def arn(group: Json, service: str, path: str) -> str:
    return f"arn:aws:{service}:{group['region']}:{group['account']}:{path}"


def state(group: Json) -> Json:
    config = group["config"]
    template = {
        "arn": arn(group, "ec2", f"launch-template/{config['template_id']}"), "id": config["template_id"],
        "name": config["template_name"], "image_id": config["ami"], "instance_type": "t3.micro",
        "default_version": config["default_version"], "latest_version": config["latest_version"],
    }
    reference = {"id": config["template_id"], "name": config["template_name"], "version": config["version"]}
    asg = {
        "arn": arn(group, "autoscaling", f"autoScalingGroup:demo:autoScalingGroupName/{group['name']}"),
        "id": group["name"], "name": group["name"], "desired_capacity": group["desired"],
        "launch_configuration": "", "launch_template": [reference], "mixed_instances_policy": [],
    }
    return {
        "version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "00000000-0000-4000-8000-000000000000",
        "outputs": {}, "resources": [resource("aws_autoscaling_group", asg), resource("aws_launch_template", template)],
    }


if __name__ == "__main__":
    json.dump(state(json.load(sys.stdin)), sys.stdout, indent=2)
