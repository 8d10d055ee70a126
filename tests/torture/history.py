"""Histories made here, entry by entry, by the written form alone: what is right is not asked of what is tested."""

import hashlib
import json
import random
from typing import Any

Json = dict[str, Any]

# What the first entry names as its predecessor.
ROOT = "sha256:" + hashlib.sha256(b"imgctl ledger").hexdigest()
CHANNELS = ("web/prod", "web/dev")
# An image with tags to take off and no cloud to ask about them.
SIDE = "side@1"
TAGS = tuple(f"tag-{number:03}" for number in range(200))
# An AMI that can be rejected and restored.
FIRST = "web@1.0.0"


def canonical(value: Json) -> str:
    """RFC 8785, as far as these entries need it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def seal(seq: int, event: Json, prev: str) -> str:
    """The line of an entry."""
    at = f"2026-{1 + seq // 28 % 12:02}-{1 + seq % 28:02}T10:00:00Z"
    fields = {"at": at, "by": {"who": "ana@laptop"}, "event": event, "prev": prev, "seq": seq, "v": 1}
    return canonical({**fields, "hash": digest(canonical(fields))})


def broken(lines: list[str]) -> str | None:
    """What is wrong with a chain, proved link by link."""
    prev = ROOT
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            sealed = fields.pop("hash")
        except (ValueError, KeyError, AttributeError):
            return f"line {number} is no entry"
        if fields.get("seq") != number or fields.get("prev") != prev or digest(canonical(fields)) != sealed:
            return f"line {number} is not entry {number} of the chain"
        prev = sealed
    return None


def _oci(key: str) -> Json:
    manifest, config = digest(key + "manifest"), digest(key + "config")
    artifact = {
        "digest": manifest, "kind": "oci", "media_type": "application/vnd.oci.image.manifest.v1+json",
        "platforms": {"linux/amd64": {"config": config, "layer_bytes": 4096, "manifest": manifest}},
        "repository": "registry.example.com/team/side", "tag": "1",
    }
    return {"artifacts": [artifact], "key": key, "provenance": {"labels": {"team": "é \"quoted\""}}}


def _ami(key: str) -> tuple[Json, str]:
    name = "ami-" + digest(key)[7:24]
    artifact = {
        "account": "123456789012", "arch": "x86_64", "facts": {"name": key}, "id": name, "kind": "ami",
        "region": "eu-west-1",
    }
    return {"artifacts": [artifact], "key": key, "provenance": {"commit": digest(key)[7:27]}}, f"{name}@eu-west-1"


class History:
    """A chain that grows: images, promotions, holds, rejections."""

    def __init__(self, seed: str) -> None:
        self.dice = random.Random(seed)
        self.lines: list[str] = []
        self._prev = ROOT
        self._versions = 0
        self._current: dict[str, str] = {}
        identity = "01936f5e-8a5b-7c3d-9e2f-" + digest(seed)[7:19]
        self.add({"id": identity, "type": "ledger-created"})
        self.add({"image": _oci(SIDE), "type": "image-recorded"})
        self.add({"image": SIDE, "tags": list(TAGS), "type": "tagged"})
        for channel in CHANNELS:
            self.promote(channel)

    def add(self, event: Json) -> int:
        line = seal(len(self.lines) + 1, event, self._prev)
        self.lines.append(line)
        self._prev = json.loads(line)["hash"]
        return len(self.lines)

    def grow(self, length: int) -> "History":
        """At least so many entries."""
        while len(self.lines) < length:
            channel = self.dice.choice(CHANNELS)
            match self.dice.randrange(4):
                case 0:
                    self.add({"channel": channel, "reason": self.reason(), "type": "hold-set"})
                    self.add({"channel": channel, "reason": None, "type": "hold-lifted"})
                case 1:
                    self.add({"channel": channel, "image": FIRST, "reason": self.reason(), "type": "image-rejected"})
                    self.add({"channel": channel, "image": FIRST, "reason": "no", "type": "image-restored"})
                case _:
                    self.promote(channel)
        return self

    def reason(self) -> str:
        return "why not: " + "x" * self.dice.choice((3, 40, 400))

    def promote(self, channel: str) -> None:
        key = f"web@1.{self._versions}.0"
        self._versions += 1
        image, place = _ami(key)
        self.add({"image": image, "type": "image-recorded"})
        step = {
            "expect": "lt-0abc:1", "number": 1, "slots": {"template": {"from": None, "to": place}},
            "target": channel.replace("/", "-"),
        }
        rollout = self.add({
            "cause": {"kind": "promote"}, "channel": channel, "from": self._current.get(channel), "image": key,
            "reason": self.reason(), "steps": [step], "type": "rollout-started",
        })
        self.add({"rollout": rollout, "step": 1, "type": "step-started"})
        self.add({
            "revision": "lt-0abc:2", "rollout": rollout, "running": {place: 3}, "slots": {"template": place}, "step": 1,
            "type": "step-succeeded",
        })
        self.add({"outcome": {"status": "succeeded"}, "rollout": rollout, "type": "rollout-finished"})
        self._current[channel] = key
