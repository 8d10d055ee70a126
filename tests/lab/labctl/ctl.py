"""Steer a running lab from a shell. Each command is one request to the emulator's control endpoint or a registry."""

import argparse
import collections
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from labctl import oci, places, workloads
from labctl.registry import Refused, Registry

Json = dict[str, Any]


class Lab:
    def __init__(self, directory: str | None) -> None:
        state = places.read(places.directory(directory) / places.STATE)
        exports: dict[str, str] = (state or {}).get("exports", {})
        use_environment = directory is None and "AWS_ENDPOINT_URL" in os.environ
        self.exports = {**exports, **os.environ} if use_environment else exports
        if "AWS_ENDPOINT_URL" not in self.exports:
            raise SystemExit('ctl: no lab is running here; start one with: eval "$(tests/lab/up)"')

    def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        return ask(method, f"{self.exports['AWS_ENDPOINT_URL']}/_lab/{path}", body)

    def registry(self, options: argparse.Namespace) -> Registry:
        closed = bool(options.user)
        name = "IMGCTL_LAB_REGISTRY_AUTH" if closed else "IMGCTL_LAB_REGISTRY"
        return Registry(options.registry or self.exports[name], options.user)

    def cluster(self, method: str, path: str, body: Json | None = None) -> Any:
        return ask(method, f"http://{self.exports['IMGCTL_LAB_KUBERNETES']}/_lab/{path}", body)

    def proxy(self, method: str, body: Json | None = None) -> Any:
        return ask(method, f"http://{self.exports['IMGCTL_LAB_REGISTRY_FAULTS']}/_faults", body)


def ask(method: str, url: str, body: Json | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"ctl: {error.read().decode('utf-8', 'replace')}") from error
    except OSError as error:
        raise SystemExit(f"ctl: the lab does not answer at {url}: {error}") from error


def show(document: Any) -> None:
    print(json.dumps(document, indent=1))


def fields(options: argparse.Namespace, *names: str) -> Json:
    """The options that were given, under the control endpoint's names."""
    found = {name: getattr(options, name) for name in names if getattr(options, name, None) is not None}
    return {name: value for name, value in found.items() if value not in ([], {}, False)}


def pairs(values: list[str] | None) -> dict[str, str]:
    split = [value.partition("=") for value in values or []]
    return {key: value for key, _, value in split}


def cmd_ami(lab: Lab, o: argparse.Namespace) -> None:
    body = fields(
        o, "name", "region", "architecture", "state", "owner", "kms_key", "source_ami", "source_region", "device",
        "size", "extra_sizes", "deprecate_at", "shared_with", "description", "account",
    )
    print(lab.ask("POST", "ami", {**body, "tags": pairs(o.tag)})["image_id"])


def cmd_image(lab: Lab, o: argparse.Namespace) -> None:
    body = fields(o, "image_id", "region", "state", "deregister", "deprecate_at", "shared_with", "account")
    show(lab.ask("POST", "image", {**body, "tags": pairs(o.tag)}))


def cmd_group(lab: Lab, o: argparse.Namespace) -> None:
    body = fields(
        o, "name", "region", "ami", "size", "instance_type", "version", "template_name", "user_data", "warmup", "grace",
        "launch_configuration", "count", "prefix", "account",
    )
    if o.mixed:
        body["mixed"] = json.loads(o.mixed)
    body["tags"] = pairs(o.tag)
    show(lab.ask("POST", "groups" if o.count else "group", body))


def cmd_show(lab: Lab, o: argparse.Namespace) -> None:
    show(lab.ask("GET", "group?" + urllib.parse.urlencode(fields(o, "name", "region", "account"))))


def cmd_runs(lab: Lab, o: argparse.Namespace) -> None:
    group = lab.ask("GET", "group?" + urllib.parse.urlencode(fields(o, "name", "region", "account")))
    counts = collections.Counter((i["ami"], i["version"], i["lifecycle"], i["health"]) for i in group["instances"])
    for (ami, version, lifecycle, health), count in sorted(counts.items()):
        print(f"{count} x {ami}, template version {version}, {lifecycle}, {health}")


def cmd_tags(lab: Lab, o: argparse.Namespace) -> None:
    image = lab.ask("GET", "ami?" + urllib.parse.urlencode(fields(o, "image_id", "region")))
    for key, value in sorted(image["tags"].items()):
        print(f"{key}={value}")


def cmd_watch(lab: Lab, o: argparse.Namespace) -> None:
    show(lab.ask("POST", "group/watch", fields(o, "name", "region")))


def cmd_drift(lab: Lab, o: argparse.Namespace) -> None:
    names = ("group", "kind", "region", "ami", "version", "count", "size", "user_data", "instance_type")
    show(lab.ask("POST", "drift", fields(o, *names)))


def cmd_service(lab: Lab, o: argparse.Namespace) -> None:
    names = (
        "name", "region", "cluster", "image", "container", "size", "min_percent", "max_percent", "circuit_breaker",
        "controller", "scheduling", "alarms", "count", "prefix", "family",
    )
    body = fields(o, *names)
    if o.containers:
        body["containers"] = json.loads(o.containers)
    body["tags"] = [{"key": key, "value": value} for key, value in pairs(o.tag).items()]
    show(lab.ask("POST", "services" if o.count else "service", body))


def cmd_tasks(lab: Lab, o: argparse.Namespace) -> None:
    service = lab.ask("GET", "service?" + urllib.parse.urlencode(fields(o, "name", "region", "cluster")))
    print(f"{service['task_definition'].rpartition('/')[2]}: {service['running']} of {service['desired']} running")
    for image, count in sorted(service["by_image"].items()):
        print(f"{count} x {image}")


def cmd_service_change(lab: Lab, o: argparse.Namespace) -> None:
    body = fields(
        o, "name", "kind", "region", "cluster", "image", "container", "state", "revision", "to", "size", "count", "memory",
        "at_once",
    )
    if o.environment:
        body["environment"] = pairs(o.environment)
    show(lab.ask("POST", "service/change", body))


def cmd_container_image(lab: Lab, o: argparse.Namespace) -> None:
    body = fields(o, "image", "health", "digest", "exit_code", "reason", "container_reason")
    show(lab.ask("POST", "container-image", body))


def cmd_alarm(lab: Lab, o: argparse.Namespace) -> None:
    show(lab.ask("POST", "alarm", fields(o, "name", "state", "region")))


def cmd_bucket(lab: Lab, o: argparse.Namespace) -> None:
    print(lab.ask("POST", "bucket", fields(o, "name", "region", "locked"))["name"])


def cmd_parameter(lab: Lab, o: argparse.Namespace) -> None:
    show(lab.ask("POST", "parameter", fields(o, "name", "value", "region")))


def cmd_fault(lab: Lab, o: argparse.Namespace) -> None:
    if o.clear or not o.kind:
        show(lab.ask("DELETE" if o.clear else "GET", "faults"))
        return
    names = ("kind", "service", "action", "about", "region", "times", "forever", "after", "share", "status", "message")
    show(lab.ask("POST", "fault", fields(o, *names)))


def cmd_calls(lab: Lab, o: argparse.Namespace) -> None:
    if o.mark:
        show(lab.ask("POST", "calls/mark", {}))
        return
    found = lab.ask("GET", "calls" if o.since is None else f"calls?since={o.since}")
    if not o.count_by:
        for call in found["calls"]:
            print(json.dumps(call))
        return
    for name, count in collections.Counter(str(call[o.count_by]) for call in found["calls"]).most_common():
        print(f"{count:6} {name}")


def cmd_latency(lab: Lab, o: argparse.Namespace) -> None:
    show(lab.ask("POST", "latency", {"ms": o.ms}))


def cmd_time_scale(lab: Lab, o: argparse.Namespace) -> None:
    show(lab.ask("POST", "time-scale", {"value": o.value}))


def cmd_reset(lab: Lab, _: argparse.Namespace) -> None:
    show(lab.ask("POST", "reset", {}))


def reference(text: str) -> tuple[str, str]:
    repo, colon, tag = text.rpartition(":")
    if not colon:
        raise SystemExit(f"ctl: {text} is not REPO:TAG")
    return repo, tag


def cmd_push(lab: Lab, o: argparse.Namespace) -> None:
    repo, tag = reference(o.image)
    image = oci.build(o.content or o.image, o.arch.split(","), pairs(o.label), o.created)
    print(f"{repo}@{lab.registry(o).push(repo, tag, image)}")


def cmd_retag(lab: Lab, o: argparse.Namespace) -> None:
    repo, old = reference(o.image)
    print(f"{repo}@{lab.registry(o).retag(repo, old, o.new.rpartition(':')[2])}")


def cmd_registry_fault(lab: Lab, o: argparse.Namespace) -> None:
    if o.clear or not o.kind:
        show(lab.proxy("DELETE" if o.clear else "GET"))
        return
    names = (
        "kind", "repo", "method", "path", "times", "forever", "after", "status", "code", "message", "retry_after",
        "source", "to", "style", "size",
    )
    body = fields(o, *names)
    show(lab.proxy("POST", body))


def cmd_layout(o: argparse.Namespace) -> None:
    image = oci.build(o.content or o.tag, o.arch.split(","), pairs(o.label), o.created)
    oci.write_layout(Path(o.directory), image, o.tag)
    print(image.digest)


def _image_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arch", default="amd64", help="one or more, with commas; several make an index")
    parser.add_argument("--label", action="append", metavar="K=V")
    parser.add_argument("--content", help="what the layer's file says (default: the name)")
    parser.add_argument("--created", default=oci.CREATED)


def _registry_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--registry", help="host:port (default: the lab's open one, or with --user the closed one)")
    parser.add_argument("--user", metavar="NAME:PASSWORD")


def _aws_commands(add: Any) -> None:
    ami = add("ami", cmd_ami, "make an AMI; prints its id")
    ami.add_argument("name")
    for option in ("--architecture", "--state", "--owner", "--kms-key", "--source-ami", "--source-region", "--device",
                   "--deprecate-at", "--description"):
        ami.add_argument(option)
    ami.add_argument("--size", type=int)
    ami.add_argument("--extra-sizes", type=int, nargs="*", help="sizes of further snapshots")
    image = add("image", cmd_image, "change an AMI")
    image.add_argument("image_id")
    image.add_argument("--state")
    image.add_argument("--deregister", action="store_true")
    image.add_argument("--deprecate-at")
    group = add("group", cmd_group, "make a group with running instances (or --count N of them)")
    group.add_argument("name", nargs="?")
    for option in ("--ami", "--instance-type", "--version", "--template-name", "--user-data", "--prefix"):
        group.add_argument(option)
    for option in ("--size", "--warmup", "--grace", "--count"):
        group.add_argument(option, type=int)
    group.add_argument("--launch-configuration", action="store_true")
    group.add_argument("--mixed", metavar="JSON", help='[{"instance_type":"t4g.small","ami":"ami-..."}, ...]')
    tags = add("tags", cmd_tags, "an AMI's tags, one line each")
    tags.add_argument("image_id")
    tags.add_argument("--region")
    for parser in (ami, image, group):
        parser.add_argument("--tag", action="append", metavar="K=V")
        parser.add_argument("--region")
        parser.add_argument("--account", help="twelve digits; default: the lab's own")
    for parser in (ami, image):
        parser.add_argument("--shared-with", action="append", metavar="ACCOUNT|all")


def _service_commands(add: Any) -> None:
    service = add("service", cmd_service, "make an ECS service with running tasks (or --count N of them)")
    service.add_argument("name", nargs="?")
    for option in ("--image", "--container", "--circuit-breaker", "--controller", "--scheduling", "--prefix", "--family"):
        service.add_argument(option)
    for option in ("--size", "--min-percent", "--max-percent", "--count"):
        service.add_argument(option, type=int)
    service.add_argument("--alarms", nargs="*")
    service.add_argument("--containers", metavar="JSON", help='[{"name":"log","image":"..."}, ...]')
    service.add_argument("--tag", action="append", metavar="K=V")
    tasks = add("tasks", cmd_tasks, "a service's task definition, and what its tasks run")
    tasks.add_argument("name")
    change = add("service-change", cmd_service_change, "change a service behind imgctl's back")
    change.add_argument("name")
    change.add_argument("kind", help="register, update, state, scale, stray, delete")
    for option in ("--image", "--container", "--state", "--revision", "--to"):
        change.add_argument(option)
    for option in ("--size", "--count", "--memory"):
        change.add_argument(option, type=int)
    change.add_argument("--environment", action="append", metavar="K=V")
    change.add_argument("--at-once", action="store_true")
    for parser in (service, tasks, change):
        parser.add_argument("--region")
        parser.add_argument("--cluster")
    image = add("container-image", cmd_container_image, "how containers of an image (or digest) behave from now on")
    image.add_argument("image")
    image.add_argument("--health", choices=("ok", "slow", "exit", "pull", "unhealthy"))
    for option in ("--digest", "--reason", "--container-reason"):
        image.add_argument(option)
    image.add_argument("--exit-code", type=int)


def _steer_commands(add: Any) -> None:
    for name, act, text in (("show", cmd_show, "what a group really runs"),
                            ("runs", cmd_runs, "the images its instances run, one line each"),
                            ("watch", cmd_watch, "start counting a group's lowest healthy capacity")):
        parser = add(name, act, text)
        parser.add_argument("name")
        parser.add_argument("--region")
        parser.add_argument("--account")
    drift = add("drift", cmd_drift, "change something behind imgctl's back")
    drift.add_argument("group")
    drift.add_argument("kind")
    for option in ("--ami", "--version", "--user-data", "--instance-type", "--region"):
        drift.add_argument(option)
    for option in ("--count", "--size"):
        drift.add_argument(option, type=int)
    alarm = add("alarm", cmd_alarm, "set a CloudWatch alarm's state")
    alarm.add_argument("name")
    alarm.add_argument("state", nargs="?", default="OK", choices=("OK", "ALARM", "INSUFFICIENT_DATA"))
    alarm.add_argument("--region")
    bucket = add("bucket", cmd_bucket, "make an empty S3 bucket; prints its name")
    bucket.add_argument("name")
    bucket.add_argument("--region")
    bucket.add_argument("--locked", action="store_true", help="versioned, and no version can be deleted for a day")
    parameter = add("parameter", cmd_parameter, "set an SSM parameter")
    parameter.add_argument("name")
    parameter.add_argument("value")
    parameter.add_argument("--region")
    fault = add("fault", cmd_fault, "make AWS calls fail; without a kind, list the faults")
    fault.add_argument("kind", nargs="?", help="throttle, expired, denied, error, hang, drop, lose, or an AWS error code")
    for option in ("--service", "--action", "--about", "--region", "--message"):
        fault.add_argument(option)
    fault.add_argument("--share", type=float, help="0.3: three of ten matching calls")
    for option in ("--times", "--after", "--status"):
        fault.add_argument(option, type=int)
    fault.add_argument("--forever", action="store_true")
    fault.add_argument("--clear", action="store_true")
    calls = add("calls", cmd_calls, "the AWS calls made so far, as JSON lines")
    calls.add_argument("--since", type=int)
    calls.add_argument("--count-by", metavar="FIELD", help="action, service, status, code ...")
    calls.add_argument("--mark", action="store_true", help="later listings start here")
    add("latency", cmd_latency, "milliseconds added to every AWS call").add_argument("ms", type=float)
    add("time-scale", cmd_time_scale, "what AWS's waiting times are multiplied by").add_argument("value", type=float)
    add("reset", cmd_reset, "forget everything in the emulated AWS")


def _registry_commands(add: Any) -> None:
    push = add("push", cmd_push, "push a small valid image; prints REPO@DIGEST")
    push.add_argument("image", metavar="REPO:TAG")
    _image_options(push)
    _registry_options(push)
    retag = add("retag", cmd_retag, "point another tag at an image")
    retag.add_argument("image", metavar="REPO:OLD")
    retag.add_argument("new")
    _registry_options(retag)
    layout = add("layout", cmd_layout, "write an OCI image layout; prints the digest")
    layout.add_argument("directory")
    layout.add_argument("--tag", default="latest")
    _image_options(layout)
    fault = add("registry-fault", cmd_registry_fault, "make the registry proxy misbehave; without a kind, list")
    fault.add_argument("kind", nargs="?")
    for option in ("--repo", "--method", "--path", "--code", "--message", "--to", "--style"):
        fault.add_argument(option)
    fault.add_argument("--from", dest="source")
    for option in ("--times", "--after", "--status", "--retry-after", "--size"):
        fault.add_argument(option, type=int)
    fault.add_argument("--forever", action="store_true")
    fault.add_argument("--clear", action="store_true")


def main() -> int:
    parser = argparse.ArgumentParser(prog="ctl", description=__doc__)
    parser.add_argument("--dir", help="the lab's directory (default: the one of $AWS_ENDPOINT_URL or $IMGCTL_LAB)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, act: Any, text: str) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        command.set_defaults(act=act)
        return command

    _aws_commands(add)
    _service_commands(add)
    _steer_commands(add)
    _registry_commands(add)
    workloads.add_words(add)
    options = parser.parse_args()
    try:
        if options.act is cmd_layout:
            cmd_layout(options)
        else:
            options.act(Lab(options.dir), options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`head`, `grep -q`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Refused as refused:
        print(f"ctl: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
