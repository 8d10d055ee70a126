"""CloudFormation stacks, as far as reading them back goes.

Stock moto: its CloudFormation imports every service that a stack may hold, among them API Gateway with an OpenAPI validator that
no stack here needs; a parameter's value is masked where the value, not its name, is one of a NoEcho parameter; and a group that a
stack made has an empty mixed instances policy, where AWS describes none.
AWS: CloudFormation User Guide, "Parameters", NoEcho: the value is "masked as asterisks (*****) for any calls that describe the
stack".
"""

import functools
import sys
import types
from typing import Any


class _Absent(types.ModuleType):
    """A module of which only names are imported."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


def _parameter_list(stack: Any) -> list[dict[str, Any]]:
    resources = stack.resource_map
    return [
        {"ParameterKey": key, "ParameterValue": "*****" if key in resources.no_echo_parameter_keys else value}
        for key, value in stack.resource_map.resolved_parameters.items()
    ]


def install() -> None:
    for name in ("", ".validation", ".validation.exceptions"):
        sys.modules.setdefault(f"openapi_spec_validator{name}", _Absent(f"openapi_spec_validator{name}"))


@functools.cache
def install_in_cloudformation() -> None:
    """Its import takes a second, so it waits for the first call."""
    from moto.autoscaling.models import FakeAutoScalingGroup
    from moto.cloudformation.models import Stack

    Stack.parameter_list = property(_parameter_list)
    make = FakeAutoScalingGroup.create_from_cloudformation_json

    def made(*arguments: Any, **more: Any) -> Any:
        group = make(*arguments, **more)
        group.mixed_instances_policy = group.mixed_instances_policy or None
        return group

    FakeAutoScalingGroup.create_from_cloudformation_json = made
