"""AMI ids behind `resolve:ssm:` parameters.

AWS: EC2 User Guide, "Use a Systems Manager parameter instead of an AMI ID in a launch template".
Stock moto: never resolves them, neither at launch nor for ResolveAlias.
"""

from moto.ssm.models import ssm_backends

PREFIX = "resolve:ssm:"


class ParameterMissing(Exception):
    pass


def resolve(account_id: str, region: str, image_id: str) -> str:
    if not image_id.startswith(PREFIX):
        return image_id
    parameter = ssm_backends[account_id][region].get_parameter(image_id[len(PREFIX):])
    if parameter is None:
        raise ParameterMissing(f"The SSM parameter in {image_id} does not exist")
    return str(parameter.value)
