"""CloudTrail's event history over the lab's own call log.

Stock moto: has no LookupEvents.
AWS: CloudTrail API Reference, LookupEvents (newest first, one attribute, at most 50 a page); User Guide, "CloudTrail record
contents" (`requestParameters`, `userIdentity`, `errorCode`, `readOnly`). EC2's newer actions wrap their parameters in `ACTIONRequest`.
"""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from moto.cloudtrail.responses import CloudTrailResponse

from emulator.calls import Call, CallLog

READS = ("Describe", "Get", "List", "Lookup", "Batch")
PAGE = 50
_log: list[CallLog] = []


def follow(log: CallLog) -> None:
    _log[:] = [log]


def lookup_events(self: Any) -> str:
    wanted = [(each["AttributeKey"], each["AttributeValue"]) for each in self._get_param("LookupAttributes") or []]
    calls = [Call(**call) for log in _log for call in log.since(0)["calls"]]
    events = [_event(self, call) for call in reversed(calls) if call.region == self.region and call.status]
    found = [event for event in events if all(event.get(key) == value for key, value in wanted)]
    start = int(self._get_param("NextToken") or 0)
    page: dict[str, Any] = {"Events": found[start : start + PAGE]}
    if start + PAGE < len(found):
        page["NextToken"] = str(start + PAGE)
    return json.dumps(page)


def _event(response: Any, call: Call) -> dict[str, Any]:
    arn = f"arn:aws:sts::{response.current_account}:user/moto"
    at = datetime.fromtimestamp(call.at, UTC)
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{call.index} {call.at}"))
    read_only = call.action.startswith(READS)
    record = {
        "eventVersion": "1.11", "eventID": event_id, "eventName": call.action, "awsRegion": call.region,
        "eventSource": f"{call.service}.amazonaws.com", "eventTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "readOnly": read_only, "userIdentity": {"type": "IAMUser", "arn": arn, "userName": "moto"},
        "requestParameters": _parameters(call), "errorCode": call.code,
    }
    return {
        "EventId": event_id, "EventName": call.action, "ReadOnly": str(read_only).lower(), "EventTime": call.at,
        "EventSource": record["eventSource"], "Username": "moto", "Resources": [],
        "CloudTrailEvent": json.dumps({key: value for key, value in record.items() if value is not None}),
    }


def _parameters(call: Call) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in call.params.items():
        *parents, last = path.split(".")
        at = nested
        for name in parents:
            inner = at.setdefault(_named(call, name), {})
            at = inner if isinstance(inner, dict) else {}
        at[_named(call, last)] = value
    return {f"{call.action}Request": nested} if call.service == "ec2" else nested


def _named(call: Call, name: str) -> str:
    return name if call.service == "ec2" else name[:1].lower() + name[1:]


def install() -> None:
    CloudTrailResponse.lookup_events = lookup_events
