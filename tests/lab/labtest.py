"""What the lab's own tests share: one running lab for the whole run, clients, and small questions."""

import atexit
import json
import os
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

HERE = Path(__file__).resolve().parent
REGION = "eu-west-1"
SCALE = "0.004"

Json = dict[str, Any]
_exports: dict[str, str] = {}


def up(*arguments: str) -> dict[str, str]:
    """Start a lab; its exports."""
    done = subprocess.run([str(HERE / "up"), *arguments], capture_output=True, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        assert line.startswith("export "), line
        name, _, value = line.removeprefix("export ").partition("=")
        found[name] = value
    return found


def down(directory: str) -> None:
    subprocess.run([str(HERE / "down"), "--dir", directory], capture_output=True, check=True)


def lab() -> dict[str, str]:
    """The run's one lab; stopped when this process ends, however that happens."""
    if not _exports:
        directory = os.path.join(tempfile.mkdtemp(prefix="imgctl-lab-"), "lab")
        _exports.update(up("--dir", directory, "--time-scale", SCALE, "--watch-pid", str(os.getpid())))
        atexit.register(down, directory)
    return _exports


def client(service: str, region: str = REGION, **config: Any) -> Any:
    quick: Json = {"retries": {"mode": "standard", "total_max_attempts": 1}, **config}
    return boto3.client(
        service, endpoint_url=lab()["AWS_ENDPOINT_URL"], region_name=region, aws_access_key_id="testing",
        aws_secret_access_key="testing", config=Config(**quick),
    )


def fetch(method: str, url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any, bytes]:
    """Status, headers and body, whatever the status."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def control(method: str, path: str, body: Json | None = None) -> Any:
    status, _, raw = fetch(method, f"{lab()['AWS_ENDPOINT_URL']}/_lab/{path}", body)
    if status != 200:
        raise AssertionError(f"{method} {path}: HTTP {status} {raw.decode()}")
    return json.loads(raw)


def ctl(*arguments: str) -> str:
    done = subprocess.run(
        [str(HERE / "ctl"), *arguments], capture_output=True, text=True, check=True, env={**os.environ, **lab()}
    )
    return done.stdout.strip()


def eventually(question: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}")


class LabTest(unittest.TestCase):
    """Starts each test in an empty AWS."""

    def setUp(self) -> None:
        control("POST", "reset", {})
        control("POST", "time-scale", {"value": float(SCALE)})
        self.ec2, self.asg = client("ec2"), client("autoscaling")

    def refused(self, code: str, call: Callable[..., Any], **arguments: Any) -> ClientError:
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code, caught.exception)
        return caught.exception

    def ami(self, name: str, **fields: Any) -> str:
        return str(control("POST", "ami", {"name": name, **fields})["image_id"])

    def group(self, name: str, ami: str, **fields: Any) -> Json:
        return dict(control("POST", "group", {"name": name, "ami": ami, **fields}))

    def shown(self, name: str) -> Json:
        return dict(control("GET", f"group?name={name}"))

    def described(self, name: str) -> Json:
        return dict(self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0])
