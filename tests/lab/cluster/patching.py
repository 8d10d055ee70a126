"""The patches an API server takes: JSON patch (RFC 6902), JSON merge patch (RFC 7386), strategic merge of containers."""

import copy
from typing import Any

Json = dict[str, Any]


class Unprocessable(Exception):
    """The recorded refusal that answers it."""


def apply(content_type: str, before: Json, patch: Any) -> Json:
    after = copy.deepcopy(before)
    if content_type == "application/json-patch+json":
        for operation in patch:
            _operate(after, operation)
        return after
    if content_type == "application/merge-patch+json":
        return _merge(after, patch)
    if content_type == "application/strategic-merge-patch+json":
        return _strategic(after, patch, "")
    raise Unprocessable("415")


def _parts(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _step(value: Any, part: str) -> Any:
    try:
        return value[int(part)] if isinstance(value, list) else value[part]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise Unprocessable("422-json-patch-missing-path") from error


def _operate(document: Json, operation: Json) -> None:
    *way, last = _parts(operation["path"])
    parent: Any = document
    for part in way:
        parent = _step(parent, part)
    kind = operation["op"]
    if kind == "test":
        if _step(parent, last) != operation["value"]:
            raise Unprocessable("422-json-patch-test-failed")
    elif kind == "add":
        if isinstance(parent, list):
            parent.insert(len(parent) if last == "-" else int(last), operation["value"])
        else:
            parent[last] = operation["value"]
    elif kind in ("replace", "remove"):
        _step(parent, last)
        key = int(last) if isinstance(parent, list) else last
        if kind == "remove":
            del parent[key]
        else:
            parent[key] = operation["value"]
    else:
        raise Unprocessable("422-json-patch-test-failed")


def _merge(before: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = _merge(after.get(key), value)
    return after


def _strategic(before: Any, patch: Any, key: str) -> Any:
    if isinstance(patch, list) and key in ("containers", "initContainers"):
        return _by_name(before or [], patch)
    if not isinstance(patch, dict):
        return patch
    after = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            after.pop(name, None)
        else:
            after[name] = _strategic(after.get(name), value, name)
    return after


def _by_name(before: list[Json], patch: list[Json]) -> list[Json]:
    """A name that is not there is added, in front: how a mistyped container becomes one more."""
    known = {item["name"] for item in before}
    added = [item for item in patch if item["name"] not in known]
    changes = {item["name"]: item for item in patch}
    merged = [_strategic(item, changes.get(item["name"], {}), "") for item in before]
    return added + merged
