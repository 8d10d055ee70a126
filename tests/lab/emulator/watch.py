"""Proof of "without downtime": the lowest number of healthy InService instances a group ever had.

Sampled at every change of an instance's lifecycle state, of its health, and of the group's list of instances.
"""

from typing import Any

# Keyed by (account, region, name); a group is in here only while it is watched.
_lowest: dict[tuple[str, str, str], int] = {}


def _key(group: Any) -> tuple[str, str, str]:
    return group.account_id, group.region, group.name


def in_service(group: Any) -> int:
    return sum(
        state.lifecycle_state == "InService" and state.health_status == "Healthy" for state in group.instance_states
    )


def start(group: Any) -> int:
    _lowest[_key(group)] = in_service(group)
    return _lowest[_key(group)]


def lowest(group: Any) -> int | None:
    return _lowest.get(_key(group))


def sample(group: Any) -> None:
    backend = group.__dict__.get("autoscaling_backend")
    if backend is None or not _lowest or _key(group) not in _lowest:
        return
    if backend.autoscaling_groups.get(group.name) is group:
        _lowest[_key(group)] = min(_lowest[_key(group)], in_service(group))
