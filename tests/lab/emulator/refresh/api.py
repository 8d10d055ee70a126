"""The four actions of instance refresh, and what an active one forbids."""

import threading
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.responses import AutoScalingResponse
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult

from emulator.patches.autoscaling import check_policy
from emulator.patches.paging import decode, page
from emulator.refresh.model import Refresh
from emulator.refresh.worker import run


class InstanceRefreshInProgress(ServiceException):
    code = "InstanceRefreshInProgress"
    message = "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."


class ActiveInstanceRefreshNotFound(ServiceException):
    code = "ActiveInstanceRefreshNotFound"


class IrreversibleInstanceRefresh(ServiceException):
    code = "IrreversibleInstanceRefresh"
    message = (
        "The instance refresh can't be rolled back: it has no desired configuration, or the group uses $Latest, "
        "$Default or an SSM parameter."
    )


# moto finds an error's shape (its HTTP status) through the module that its class says it comes from.
for _error in (InstanceRefreshInProgress, ActiveInstanceRefreshNotFound, IrreversibleInstanceRefresh):
    _error.__module__ = "moto.autoscaling.exceptions"

NO_DESIRED = (
    "The request isn't valid. The AutoRollback parameter cannot be set to true when the DesiredConfiguration parameter "
    "is empty. Set AutoRollback to false or specify a desired configuration and try again."
)
LOCKED = (
    "An active instance refresh with a desired configuration exists. All configuration options derived from the "
    "desired configuration are not available for update while the instance refresh is active."
)
_stock_update = AutoScalingResponse.update_auto_scaling_group


def history(backend: Any, name: str) -> list[Refresh]:
    """Newest first; kept when the group is deleted and made again, as the emulator never forgets."""
    refreshes: dict[str, list[Refresh]] = backend.__dict__.setdefault("lab_refreshes", {})
    return refreshes.setdefault(name, [])


def active(backend: Any, group: Any) -> Refresh | None:
    return next((r for r in history(backend, group.name) if r.group is group and r.active()), None)


def _group(self: Any) -> tuple[Any, Any]:
    backend, name = self.autoscaling_backend, self._get_param("AutoScalingGroupName")
    if name not in backend.autoscaling_groups:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return backend, backend.autoscaling_groups[name]


def _validate(backend: Any, group: Any, preferences: dict[str, Any], desired: Any) -> None:
    """AWS: RefreshPreferences. (The texts of these three ValidationErrors are the lab's.)"""
    checkpoints = [int(value) for value in preferences.get("CheckpointPercentages", [])]
    if checkpoints != sorted(set(checkpoints)) or any(not 1 <= value <= 100 for value in checkpoints):
        raise ValidationError("CheckpointPercentages must be unique, ascending and between 1 and 100")
    if preferences.get("CheckpointDelay") is not None and not checkpoints:
        raise ValidationError("CheckpointDelay requires CheckpointPercentages")
    low, high = preferences.get("MinHealthyPercentage"), preferences.get("MaxHealthyPercentage")
    if high is not None and (low is None or not 100 <= int(high) <= 200 or int(high) - int(low) > 100):
        raise ValidationError("Invalid MinHealthyPercentage/MaxHealthyPercentage")
    if not group.ec2_launch_template and not desired:
        raise ValidationError("Instance refresh needs a launch template in this emulation")
    alarms = cloudwatch_backends[backend.account_id][backend.region_name].alarms
    if any(name not in alarms for name in preferences.get("AlarmSpecification", {}).get("Alarms", [])):
        raise ValidationError("One or more alarms in AlarmSpecification do not exist")


def start_instance_refresh(self: Any) -> ActionResult:
    backend, group = _group(self)
    preferences = self._get_param("Preferences", {}) or {}
    desired = self._get_param("DesiredConfiguration") or None
    check_policy((desired or {}).get("MixedInstancesPolicy"))
    _validate(backend, group, preferences, desired)
    if active(backend, group):
        raise InstanceRefreshInProgress()
    refresh = Refresh(backend, group, preferences, desired, self._get_param("Strategy") or "Rolling")
    if str(preferences.get("AutoRollback")).lower() == "true" and not refresh.reversible():
        floating = "AutoRollback is not supported for a group that uses $Latest, $Default or an SSM parameter."
        raise ValidationError(floating if desired else NO_DESIRED)
    history(backend, group.name).insert(0, refresh)
    threading.Thread(target=run, args=(refresh,), daemon=True).start()
    return ActionResult({"InstanceRefreshId": refresh.id})


def _signal(self: Any, what: str) -> ActionResult:
    backend, group = _group(self)
    refresh = active(backend, group)
    if refresh is None or (what == "rollback" and refresh.status == "RollbackInProgress"):
        raise ActiveInstanceRefreshNotFound(
            f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}"
        )
    if what == "rollback" and not refresh.reversible():
        raise IrreversibleInstanceRefresh()
    refresh.signal = what
    if what == "cancel":
        refresh.status = "Cancelling"
    return ActionResult({"InstanceRefreshId": refresh.id})


def cancel_instance_refresh(self: Any) -> ActionResult:
    return _signal(self, "cancel")


def rollback_instance_refresh(self: Any) -> ActionResult:
    return _signal(self, "rollback")


def describe_instance_refreshes(self: Any) -> ActionResult:
    backend, group = _group(self)
    ids = self._get_param("InstanceRefreshIds", [])
    rows = [refresh.view() for refresh in history(backend, group.name) if not ids or refresh.id in ids]
    offset = decode(self._get_param("NextToken")) or 0
    views, token = page(rows, offset, self._get_int_param("MaxRecords", 50))
    return ActionResult({"InstanceRefreshes": views, "NextToken": token})


def update_auto_scaling_group(self: Any) -> Any:
    """AWS: "Limitations" of instance refresh: the desired configuration's options are locked while it is active."""
    backend, group = _group(self)
    refresh = active(backend, group)
    touches = self._get_param("LaunchTemplate") or self._get_param("MixedInstancesPolicy")
    if refresh and refresh.desired and touches:
        raise ValidationError(LOCKED)
    return _stock_update(self)


def install() -> None:
    global _stock_update
    _stock_update = AutoScalingResponse.update_auto_scaling_group
    for action in (
        start_instance_refresh, cancel_instance_refresh, rollback_instance_refresh, describe_instance_refreshes,
        update_auto_scaling_group,
    ):
        setattr(AutoScalingResponse, action.__name__, action)
