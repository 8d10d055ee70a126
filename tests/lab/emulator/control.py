"""The control endpoint `/_lab/...`: JSON in, JSON out, inside the emulator's process.

Tests and the demo use it to make AMIs and groups fast, to inject faults, to change things behind imgctl's back, and to
look at what really runs. Nothing here is part of AWS.
"""

import json
import traceback
import urllib.parse
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.exceptions import ServiceException

from emulator import clock
from emulator.control_drift import drift
from emulator.control_groups import make_group, make_groups, show_group, watch_group
from emulator.control_images import change_image, make_ami, show_image
from emulator.control_input import ACCOUNT, Body, ControlError, region_of, required
from emulator.control_services import (
    ask, change_service, make_service, make_services, set_container_image, show_service, watch_service,
)
from emulator.faults import Fault
from emulator.lock import BACKEND
from emulator.rollout import images

if TYPE_CHECKING:
    from emulator.app import LabApp

Route = Callable[[Body], Any]


class Control:
    def __init__(self, app: "LabApp") -> None:
        self.app = app
        locked: dict[tuple[str, str], Route] = {
            ("POST", "ami"): make_ami,
            ("GET", "ami"): show_image,
            ("POST", "image"): change_image,
            ("POST", "group"): make_group,
            ("POST", "groups"): make_groups,
            ("GET", "group"): show_group,
            ("POST", "group/watch"): watch_group,
            ("POST", "drift"): drift,
            ("POST", "service"): make_service,
            ("POST", "services"): make_services,
            ("GET", "service"): show_service,
            ("POST", "service/watch"): watch_service,
            ("POST", "service/change"): change_service,
            ("POST", "ecs"): lambda body: ask(app.moto, body),
            ("POST", "container-image"): set_container_image,
            ("POST", "alarm"): set_alarm,
            ("POST", "bucket"): make_bucket,
            ("POST", "parameter"): put_parameter,
            ("POST", "reset"): self.reset,
        }
        self.unlocked: dict[tuple[str, str], Route] = {
            ("GET", "health"): self.health,
            ("GET", "calls"): self.calls,
            ("POST", "calls/mark"): lambda _: {"next": app.calls.mark()},
            ("POST", "fault"): self.add_fault,
            ("GET", "faults"): lambda _: {"faults": app.faults.list()},
            ("DELETE", "faults"): lambda _: {"cleared": app.faults.clear()},
            ("POST", "latency"): self.set_latency,
            ("POST", "time-scale"): self.set_time_scale,
        }
        self.locked = locked

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, document = self.answer(environ)
        body = json.dumps(document, default=str).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def answer(self, environ: dict[str, Any]) -> tuple[str, Any]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        raw = environ["wsgi.input"].read(length) if length else b""
        key = (environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix("/_lab/").strip("/"))
        try:
            body: Body = json.loads(raw) if raw else {}
            body.update(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
            if key in self.unlocked:
                return "200 OK", self.unlocked[key](body)
            if key in self.locked:
                with BACKEND:
                    return "200 OK", self.locked[key](body)
            known = sorted(f"{method} /_lab/{path}" for method, path in {**self.locked, **self.unlocked})
            return "404 Not Found", {"error": f"no such control request: {key[0]} /_lab/{key[1]}", "known": known}
        except ControlError as refused:
            return "400 Bad Request", {"error": str(refused)}
        except ServiceException as refused:
            return "400 Bad Request", {"error": f"{refused.code}: {refused.message}"}
        except Exception as error:
            traceback.print_exc()
            return "500 Internal Server Error", {"error": repr(error)}

    def health(self, _: Body) -> Body:
        return {"ok": True, "time_scale": clock.scale(), "latency_ms": self.app.latency_ms}

    def calls(self, body: Body) -> Any:
        return self.app.calls.since(int(body["since"]) if "since" in body else None)

    def add_fault(self, body: Body) -> Body:
        times = None if body.get("forever") else int(body.get("times", 1))
        fault = Fault(
            kind=str(required(body, "kind")), service=str(body.get("service") or "*"),
            action=str(body.get("action") or "*"), about=body.get("about"), times=times, after=int(body.get("after", 0)),
            status=int(body["status"]) if body.get("status") else None, message=body.get("message"),
            share=float(body.get("share", 1)), region=str(body.get("region") or "*"),
        )
        self.app.faults.add(fault)
        return {"faults": self.app.faults.list()}

    def set_latency(self, body: Body) -> Body:
        self.app.latency_ms = float(required(body, "ms"))
        return {"latency_ms": self.app.latency_ms}

    def set_time_scale(self, body: Body) -> Body:
        clock.set_scale(float(required(body, "value")))
        return {"time_scale": clock.scale()}

    def reset(self, _: Body) -> Body:
        """Forget everything in every service; the call log and the settings stay."""
        from moto.moto_api._internal.models import moto_api_backend

        self.app.faults.clear()
        images.forget()
        moto_api_backend.reset()
        return {"ok": True}


def set_alarm(body: Body) -> Body:
    backend = cloudwatch_backends[ACCOUNT][region_of(body)]
    name, state = str(required(body, "name")), str(body.get("state") or "OK")
    if name not in backend.alarms:
        backend.put_metric_alarm(
            name=name, namespace="lab", metric_name="m", metric_data_queries=None,
            comparison_operator="GreaterThanThreshold", evaluation_periods=1, datapoints_to_alarm=None, period=60,
            threshold=1.0, statistic="Sum", extended_statistic=None, description="", dimensions=[], alarm_actions=[],
            ok_actions=[], insufficient_data_actions=[], unit=None, actions_enabled=True,
        )
    backend.alarms[name].update_state("set by the lab", "{}", state)
    return {"name": name, "state": state}


def put_parameter(body: Body) -> Body:
    """An SSM parameter, for launch templates that name their AMI by `resolve:ssm:`."""
    from moto.ssm.models import ssm_backends

    backend = ssm_backends[ACCOUNT][region_of(body)]
    name = str(required(body, "name"))
    backend.put_parameter(
        name=name, description="", value=str(required(body, "value")), parameter_type="String", allowed_pattern=None,
        keyid=None, overwrite=True, tags=[], data_type="text", tier=None, policies=None,
    )
    return {"name": name}


def make_bucket(body: Body) -> Body:
    """An empty S3 bucket; `locked` is versioned, with an Object Lock that keeps every object for a day."""
    from moto.s3.models import s3_backends

    name, region = str(required(body, "name")), region_of(body)
    backend = s3_backends[ACCOUNT]["aws"]
    bucket = backend.create_bucket(name, region)
    if body.get("locked"):
        bucket.versioning_status = "Enabled"
        bucket.object_lock_enabled = True
        bucket.default_lock_mode, bucket.default_lock_days = "COMPLIANCE", 1
    return {"name": name, "region": region}
