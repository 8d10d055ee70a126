"""One instance refresh: its preferences, what it may do, and what Describe shows of it."""

import copy
import uuid
from typing import Any

from emulator import clock

ACTIVE = ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")
FLOATING = ("$Latest", "$Default")


class Stop(Exception):
    """Ends the work in progress; `kind` says why."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail

    def reason(self) -> str:
        if self.kind == "alarm":
            return f"The instance refresh failed because CloudWatch alarm(s) {self.detail} went into ALARM state."
        return self.detail


class GroupGone(Exception):
    """The group was deleted under the refresh."""


class Refresh:
    def __init__(self, backend: Any, group: Any, preferences: dict[str, Any], desired: Any, strategy: str) -> None:
        self.backend, self.group = backend, group
        self.preferences, self.desired, self.strategy = preferences, desired, strategy
        self.id = str(uuid.uuid4())
        self.status = "Pending"
        self.reason: str | None = None
        self.started, self.ended = clock.now(), None
        self.percentage = 0
        self.left = 0
        self.rollback: dict[str, Any] | None = None
        self.signal: str | None = None
        self.fresh_ids: list[str] = []
        self.old_target = self._target(None)
        self.target = self._target(desired)

    def _target(self, desired: dict[str, Any] | None) -> Any:
        """A detached copy of the group that launches with one frozen configuration; Describe never sees it."""
        target = copy.copy(self.group)
        target.instance_states = []
        target.tags = [dict(tag) for tag in self.group.tags]
        target.mixed_instances_policy = copy.deepcopy(self.group.mixed_instances_policy)
        if desired:
            target.mixed_instances_policy = policy = copy.deepcopy(desired.get("MixedInstancesPolicy"))
            target._set_launch_configuration(None, desired.get("LaunchTemplate"), policy)
        elif target.ec2_launch_template:
            frozen = target.ec2_launch_template.get_version(target.launch_template_version)
            target.launch_template_version = str(frozen.number)
        return target

    def active(self) -> bool:
        return self.status in ACTIVE

    def reversible(self) -> bool:
        """AWS "Undo changes with a rollback": not without a desired configuration, nor when the group's launch
        template is at $Latest or $Default, nor when its AMI comes from an SSM parameter."""
        old = self.old_target
        if not self.desired or old.ec2_launch_template is None:
            return False
        if str(self.group.launch_template_version) in FLOATING:
            return False
        overrides = ((self.group.mixed_instances_policy or {}).get("LaunchTemplate", {}).get("Overrides")) or []
        own = [override.get("LaunchTemplateSpecification") or {} for override in overrides]
        if any((spec.get("Version") or "$Default") in FLOATING for spec in own if spec):
            return False
        version = old.ec2_launch_template.get_version(old.launch_template_version)
        return not str(version.image_id).startswith("resolve:ssm:")

    def number(self, name: str, default: int) -> int:
        value = self.preferences.get(name)
        return default if value is None else int(value)

    def progress(self, done: int, left: int, total: int) -> None:
        self.percentage, self.left = 100 * done // max(total, 1), left

    def view(self) -> dict[str, Any]:
        live = {"PercentageComplete": self.percentage, "InstancesToUpdate": self.left}
        fields = {
            "InstanceRefreshId": self.id, "AutoScalingGroupName": self.group.name, "Status": self.status,
            "StatusReason": self.reason, "StartTime": self.started, "EndTime": self.ended,
            "PercentageComplete": self.percentage, "InstancesToUpdate": self.left,
            "Preferences": self.preferences or None, "Strategy": self.strategy,
            "DesiredConfiguration": self.desired or None, "RollbackDetails": self.rollback,
            "ProgressDetails": {"LivePoolProgress": live} if self.group.warm_pool else None,
        }
        return {key: value for key, value in fields.items() if value is not None}
