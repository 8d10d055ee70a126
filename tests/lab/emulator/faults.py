"""Injected faults: the next calls that match are answered as AWS answers when it throttles, refuses or breaks.

Codes: EC2 User Guide "Error codes for the Amazon EC2 API" (RequestLimitExceeded, RequestExpired,
UnauthorizedOperation, InternalError); "Common Error Types" of the Auto Scaling and Systems Manager API references
(Throttling / ThrottlingException, ExpiredToken / ExpiredTokenException, AccessDenied / AccessDeniedException).
"""

import random
import threading
from dataclasses import dataclass, field
from typing import Any

from emulator.errors import Answer, answer
from emulator.request import AwsRequest, Protocol

FAMILY: dict[Protocol, str] = {
    "ec2": "ec2", "query": "query", "json": "json", "cbor": "query", "rest-json": "json", "rest-xml": "xml",
}
KINDS: dict[tuple[str, str], tuple[int, str, str]] = {
    ("throttle", "ec2"): (503, "RequestLimitExceeded", "Request limit exceeded."),
    ("throttle", "query"): (400, "Throttling", "Rate exceeded"),
    ("throttle", "json"): (400, "ThrottlingException", "Rate exceeded"),
    ("throttle", "xml"): (503, "SlowDown", "Please reduce your request rate."),
    ("expired", "ec2"): (400, "RequestExpired", "Request has expired."),
    ("expired", "query"): (403, "ExpiredToken", "The security token included in the request is expired"),
    ("expired", "json"): (400, "ExpiredTokenException", "The security token included in the request is expired"),
    ("expired", "xml"): (400, "ExpiredToken", "The provided token has expired."),
    ("denied", "ec2"): (403, "UnauthorizedOperation", "You are not authorized to perform this operation. {denied}"),
    ("denied", "query"): (403, "AccessDenied", "{denied}"),
    ("denied", "json"): (400, "AccessDeniedException", "{denied}"),
    ("denied", "xml"): (403, "AccessDenied", "Access Denied"),
    ("error", "ec2"): (500, "InternalError", "An internal error has occurred"),
    ("error", "query"): (500, "InternalFailure", "The request processing has failed because of an unknown error."),
    ("error", "json"): (500, "InternalServerError", "The request processing has failed because of an unknown error."),
    ("error", "xml"): (500, "InternalError", "We encountered an internal error. Please try again."),
}
SILENT = ("hang", "drop", "lose")


@dataclass
class Fault:
    kind: str
    service: str = "*"
    action: str = "*"
    about: str | None = None
    """Only calls with a parameter of this value: a group's name, an AMI's id."""
    times: int | None = 1
    """How many calls it answers; None for ever."""
    after: int = 0
    """How many matching calls pass before it starts."""
    share: float = 1.0
    """Which part of the matching calls it answers, spread by chance: the same at every run."""
    region: str = "*"
    status: int | None = None
    message: str | None = None
    hits: int = 0
    dice: random.Random = field(default_factory=lambda: random.Random(1), repr=False)

    def matches(self, request: AwsRequest) -> bool:
        about = self.about is None or self.about in request.params.values()
        place = self.region in ("*", request.region)
        return about and place and self.service in ("*", request.service) and self.action in ("*", request.action)

    def answer(self, request: AwsRequest) -> Answer:
        known = KINDS.get((self.kind, FAMILY[request.protocol]))
        status, code, message = known or (400, self.kind, "Injected by the lab.")
        denied = (
            f"User: arn:aws:iam::123456789012:user/ci is not authorized to perform: "
            f"{request.service}:{request.action} because no identity-based policy allows the "
            f"{request.service}:{request.action} action"
        )
        text = (self.message or message).replace("{denied}", denied)
        return answer(request.protocol, self.status or status, code, text)


class Faults:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> int:
        with self._lock:
            count = len(self._faults)
            self._faults.clear()
            return count

    def list(self) -> list[dict[str, Any]]:
        with self._lock:
            return [{k: v for k, v in vars(fault).items() if k != "dice"} for fault in self._faults]

    def take(self, request: AwsRequest) -> Fault | None:
        """The fault that answers this call, if any; counts it."""
        with self._lock:
            for fault in self._faults:
                if not fault.matches(request) or (fault.times is not None and fault.times <= 0):
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.share < 1.0 and fault.dice.random() >= fault.share:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                fault.hits += 1
                return fault
        return None
