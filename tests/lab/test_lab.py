"""The lab itself: starting and stopping, the control endpoint, faults, the call log."""

import os
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from labctl import places, processes
from labtest import HERE, LabTest, client, control, ctl, down, eventually, fetch, lab, up


class FaultsTest(LabTest):
    def tearDown(self) -> None:
        control("DELETE", "faults")

    def fault(self, kind: str, **fields: Any) -> None:
        control("POST", "fault", {"kind": kind, **fields})

    def code(self, service: str, call: str, **arguments: Any) -> tuple[str, int]:
        with self.assertRaises(ClientError) as caught:
            getattr(client(service), call)(**arguments)
        answer = caught.exception.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]

    def test_each_protocol_has_its_own_words(self) -> None:
        calls = {
            "ec2": ("describe_images", {}), "autoscaling": ("describe_auto_scaling_groups", {}),
            "ssm": ("describe_parameters", {}), "sts": ("get_caller_identity", {}),
        }
        expected = {
            "throttle": [("RequestLimitExceeded", 503), ("Throttling", 400), ("ThrottlingException", 400)],
            "expired": [("RequestExpired", 400), ("ExpiredToken", 403), ("ExpiredTokenException", 400)],
            "denied": [("UnauthorizedOperation", 403), ("AccessDenied", 403), ("AccessDeniedException", 400)],
            "error": [("InternalError", 500), ("InternalFailure", 500), ("InternalServerError", 500)],
        }
        for kind, (ec2, query, as_json) in expected.items():
            wanted = {"ec2": ec2, "autoscaling": query, "ssm": as_json, "sts": query}
            for service, (call, arguments) in calls.items():
                self.fault(kind, service=service)
                self.assertEqual(self.code(service, call, **arguments), wanted[service], (kind, service))
                getattr(client(service), call)(**arguments)

    def test_counting(self) -> None:
        self.fault("throttle", service="ec2", action="DescribeImages", times=2, after=1)
        self.ec2.describe_images()
        self.ec2.describe_launch_templates()
        for _ in range(2):
            self.refused("RequestLimitExceeded", self.ec2.describe_images)
        self.ec2.describe_images()
        self.fault("OptInRequired", forever=True, status=401, message="subscribe")
        for _ in range(3):
            self.assertEqual(self.code("ec2", "describe_images"), ("OptInRequired", 401))
        self.assertEqual(control("DELETE", "faults"), {"cleared": 2})
        self.ec2.describe_images()

    def test_a_share_of_the_calls(self) -> None:
        def refusals() -> list[bool]:
            control("DELETE", "faults")
            self.fault("throttle", forever=True, region="ap-northeast-3")
            self.fault("throttle", service="ec2", forever=True, share=0.3)
            return [self.is_refused() for _ in range(100)]

        first = refusals()
        self.assertTrue(20 <= sum(first) <= 40, sum(first))
        self.assertEqual(refusals(), first)

    def is_refused(self) -> bool:
        try:
            self.ec2.describe_images()
        except ClientError:
            return True
        return False

    def test_hang_and_drop(self) -> None:
        impatient = client("ec2", read_timeout=0.3)
        self.fault("hang")
        self.assertRaises(ReadTimeoutError, impatient.describe_images)
        self.fault("drop")
        self.assertRaises((ConnectionClosedError, OSError), self.ec2.describe_images)
        self.ec2.describe_images()

    def test_an_answer_that_is_lost_was_a_call_that_was_carried_out(self) -> None:
        self.fault("lose", action="CreateLaunchTemplate")
        data = {"ImageId": self.ami("a"), "InstanceType": "t3.micro"}
        make = self.ec2.create_launch_template
        self.assertRaises((ConnectionClosedError, OSError), make, LaunchTemplateName="lost", LaunchTemplateData=data)
        found = self.ec2.describe_launch_templates(LaunchTemplateNames=["lost"])["LaunchTemplates"]
        self.assertEqual(len(found), 1)

    def test_the_call_log(self) -> None:
        control("POST", "calls/mark")
        self.fault("throttle", service="autoscaling")
        self.ec2.describe_images(Owners=["self"])
        self.refused("Throttling", self.asg.describe_auto_scaling_groups)
        found = control("GET", "calls")
        first, second = found["calls"]
        self.assertEqual((first["service"], first["action"], first["region"], first["status"]),
                         ("ec2", "DescribeImages", "eu-west-1", 200))
        self.assertEqual(first["params"], {"Owner.1": "self"})
        self.assertEqual((second["status"], second["code"], second["fault"]), (400, "Throttling", "throttle"))
        self.assertEqual(control("GET", f"calls?since={found['next']}")["calls"], [])
        self.assertIn("DescribeImages", ctl("calls", "--count-by", "action"))
        lines = Path(lab()["IMGCTL_LAB"], "calls.jsonl").read_text().splitlines()
        self.assertGreaterEqual(len(lines), found["next"])

    def test_latency(self) -> None:
        control("POST", "latency", {"ms": 60})
        began = time.monotonic()
        self.ec2.describe_images()
        control("POST", "latency", {"ms": 0})
        self.assertGreater(time.monotonic() - began, 0.06)

    def test_what_is_not_emulated_fails_as_aws_does(self) -> None:
        error = self.refused("InternalFailure", self.ec2.describe_fpga_images)
        self.assertEqual(error.response["ResponseMetadata"]["HTTPStatusCode"], 500)

    def test_identity(self) -> None:
        self.assertEqual(client("sts").get_caller_identity()["Account"], "123456789012")


class ControlTest(LabTest):
    def drift(self, kind: str, **fields: Any) -> Any:
        return control("POST", "drift", {"group": "web", "kind": kind, **fields})

    def test_drift(self) -> None:
        old, new = self.ami("old"), self.ami("new")
        self.group("web", old)
        self.assertEqual(self.drift("new-version", ami=new)["group"]["config"]["latest_version"], 2)
        shown = self.drift("template-version", ami=new)["group"]
        self.assertEqual((shown["config_version"], shown["config"]["ami"], shown["by_ami"]), ("3", new, {old: 3}))
        self.assertEqual(self.drift("latest")["group"]["config"]["resolved_version"], 3)
        self.assertEqual(self.drift("default-version", version=2)["group"]["config"]["default_version"], 2)
        self.assertEqual(self.drift("default")["group"]["config"]["ami"], new)
        self.assertEqual(self.drift("version", version="1")["group"]["config_version"], "1")
        shown = self.drift("launch-outside", ami=new)["group"]
        self.assertEqual(shown["by_ami"], {old: 2, new: 1})
        outside = [i for i in self.described("web")["Instances"] if "LaunchTemplate" not in i]
        self.assertEqual(len(outside), 1)
        self.assertEqual(self.drift("unhealthy", count=2)["group"]["in_service"], 1)
        self.assertEqual(self.drift("scale", size=5)["group"]["desired"], 5)
        self.drift("delete-group")
        self.assertEqual(self.asg.describe_auto_scaling_groups()["AutoScalingGroups"], [])

    def test_lowest_capacity_is_seen(self) -> None:
        self.group("web", self.ami("a"))
        self.assertIsNone(self.shown("web")["min_in_service"])
        control("POST", "group/watch", {"name": "web"})
        self.drift("replace-instances", count=2)
        shown = self.shown("web")
        self.assertEqual((shown["in_service"], shown["min_in_service"]), (3, 1))

    def test_many_groups_in_a_moment(self) -> None:
        began = time.monotonic()
        made = control("POST", "groups", {"count": 200, "ami": self.ami("a"), "size": 3})
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual((made["instances"], made["names"][0]), (600, "group-001"))

    def test_regions_are_apart(self) -> None:
        self.ami("a", region="us-east-1")
        self.assertEqual(self.ec2.describe_images()["Images"], [])
        self.assertEqual(len(client("ec2", region="us-east-1").describe_images()["Images"]), 1)

    def test_wrong_requests(self) -> None:
        base = f"{lab()['AWS_ENDPOINT_URL']}/_lab/"
        for method, path, status, text in (
            ("POST", "group", 400, b"missing field"), ("GET", "group?name=nope", 400, b"no Auto Scaling group"),
            ("POST", "nonsense", 404, b"known"), ("POST", "drift", 400, b"missing field"),
        ):
            found = fetch(method, base + path, {} if method == "POST" else None)
            self.assertEqual((found[0], text in found[2]), (status, True), found)


class LifeTest(unittest.TestCase):
    def setUp(self) -> None:
        self.dir = os.path.join(tempfile.mkdtemp(prefix="imgctl-lab-"), "lab")
        self.addCleanup(down, self.dir)

    def parent(self) -> tuple[int, str]:
        found = places.read(Path(self.dir) / places.SUPERVISOR)
        assert found
        return found["pid"], found["start"]

    def test_up_twice_is_one_lab_and_down_leaves_nothing(self) -> None:
        first = up("--dir", self.dir, "--time-scale", "0.5")
        self.assertEqual(up("--dir", self.dir, "--latency-ms", "1"), first)
        _, _, health = fetch("GET", first["AWS_ENDPOINT_URL"] + "/_lab/health")
        self.assertIn(b'"time_scale": 0.5, "latency_ms": 1', health)
        self.assertEqual(fetch("GET", f"http://{first['IMGCTL_LAB_REGISTRY_AUTH']}/v2/")[0], 401)
        pid, start = self.parent()
        down(self.dir)
        self.assertFalse(processes.alive(pid, start) or Path(self.dir).exists())
        for name in ("AWS_ENDPOINT_URL", "IMGCTL_LAB_REGISTRY"):
            url = first[name] if "://" in first[name] else f"http://{first[name]}"
            self.assertRaises(OSError, fetch, "GET", url)
        down(self.dir)

    def test_the_lab_ends_with_the_process_it_watches(self) -> None:
        sleeper = subprocess.Popen(["sleep", "60"])
        up("--dir", self.dir, "--watch-pid", str(sleeper.pid))
        pid, start = self.parent()
        sleeper.kill()
        sleeper.wait()
        eventually(lambda: not processes.alive(pid, start) and not Path(self.dir).exists(), "the lab ends")

    @unittest.skipUnless(Path("/proc").exists(), "only Linux ends children with a killed parent")
    def test_servers_end_when_their_parent_is_killed(self) -> None:
        up("--dir", self.dir)
        state = places.read(Path(self.dir) / places.STATE)
        assert state
        os.kill(self.parent()[0], signal.SIGKILL)
        children = state["children"].values()
        eventually(lambda: not any(processes.alive(c["pid"], c["start"]) for c in children), "the servers end")

    def test_down_spares_what_is_no_lab(self) -> None:
        Path(self.dir).mkdir()
        precious = Path(self.dir, "precious")
        precious.write_text("x")
        done = subprocess.run([str(HERE / "down"), "--dir", self.dir], capture_output=True, text=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertTrue(precious.exists())
        precious.unlink()


if __name__ == "__main__":
    unittest.main()
