"""The words of `ctl` for Kubernetes workloads: one request each to the control endpoint of the lab's API server."""

import argparse
import time
from typing import Any, Protocol

Json = dict[str, Any]


class Lab(Protocol):
    def cluster(self, method: str, path: str, body: Json | None = None) -> Any: ...


def pairs(values: list[str] | None) -> dict[str, str]:
    split = [value.partition("=") for value in values or []]
    return {key: value for key, _, value in split}


def cmd_workload(lab: Lab, o: argparse.Namespace) -> None:
    body: Json = {"workload": o.workload, "images": pairs(o.image), "replicas": o.replicas}
    body |= {"labels": pairs(o.label), "annotations": pairs(o.annotation)}
    lab.cluster("POST", "workload", body)
    cmd_pods(lab, o)


def cmd_pods(lab: Lab, o: argparse.Namespace) -> None:
    shown = lab.cluster("GET", f"workload?workload={o.workload}")
    for name, image in shown["images"].items():
        print(f"{name} is to run {image}")
    for image, count in shown["runs"].items():
        print(f"{count} ready x {image}")


def cmd_set_image(lab: Lab, o: argparse.Namespace) -> None:
    containers = [{"name": name, "image": image} for name, image in pairs(o.image).items()]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    body = {"workload": o.workload, "type": "application/strategic-merge-patch+json", "patch": patch}
    lab.cluster("POST", "edit", body)
    # Every pod of it is replaced: what is looked at next is no rollout half way.
    for _ in range(500):
        shown = lab.cluster("GET", f"workload?workload={o.workload}")
        if set(shown["runs"]) == {next(iter(shown["images"].values()))} and sum(shown["runs"].values()) == len(shown["pods"]):
            return
        time.sleep(0.02)
    raise SystemExit(f"ctl: {o.workload} does not come to rest")


def cmd_drop_history(lab: Lab, o: argparse.Namespace) -> None:
    lab.cluster("POST", "drop-history", {"workload": o.workload})


def cmd_behave(lab: Lab, o: argparse.Namespace) -> None:
    lab.cluster("POST", "behave", {"image": o.image, "as": o.kind})


def add_words(add: Any) -> None:
    make = add("workload", cmd_workload, "a Kubernetes workload, complete: deployment/web --image app=REFERENCE")
    make.add_argument("workload")
    make.add_argument("--image", action="append", required=True, metavar="CONTAINER=REFERENCE")
    make.add_argument("--replicas", type=int, default=3)
    make.add_argument("--label", action="append", metavar="KEY=VALUE")
    make.add_argument("--annotation", action="append", metavar="KEY=VALUE")
    pods = add("pods", cmd_pods, "what a workload is to run, and what its ready pods do run")
    pods.add_argument("workload")
    change = add("set-image", cmd_set_image, "changes a container's image as somebody else would (kubectl set image)")
    change.add_argument("workload")
    change.add_argument("image", nargs="+", metavar="CONTAINER=REFERENCE")
    drop = add("drop-history", cmd_drop_history, "takes away the old templates that the cluster keeps")
    drop.add_argument("workload")
    behave = add("behave", cmd_behave, "how pods of an image fare from now on")
    behave.add_argument("image", help="a part of the reference")
    behave.add_argument("kind", choices=["good", "pull-error", "crash", "die", "unready"])
