"""Opaque page tokens, checked on the way back in."""

import base64
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def encode(offset: int) -> str:
    return base64.urlsafe_b64encode(f"lab:{offset}".encode()).decode()


def decode(token: str | None) -> int | None:
    """The offset in a token; 0 without one, None when it is not ours."""
    if not token:
        return 0
    try:
        prefix, _, offset = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        return int(offset) if prefix == "lab" else None
    except ValueError:
        return None


def page(items: Sequence[Item], offset: int, size: int) -> tuple[list[Item], str | None]:
    end = offset + size
    return list(items[offset:end]), encode(end) if end < len(items) else None
