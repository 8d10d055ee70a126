"""The API: reads with pages and selectors, patches under the rules of versions and generations, deletions of pods."""

import base64
import copy
import re
import threading
from typing import Any

from cluster import controllers, patching, pods, recorded
from cluster.world import KINDS, World

Json = dict[str, Any]

PATH = re.compile(r"^/(?:api|apis/(?P<group>[^/]+))/v1/namespaces/(?P<ns>[^/]+)/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?$")
# What the lab keeps beside the object.
OWN = ("age", "seen_whole", "current", "belongs", "revision", "ordinal", "patience", "settled", "plural")


class Refused(Exception):
    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class Faults:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.all: list[Json] = []

    def take(self, method: str, path: str) -> Json | None:
        with self.lock:
            for fault in self.all:
                if (fault["times"] <= 0 and not fault.get("forever")) or fault.get("method", method) != method or fault.get("path", "") not in path:
                    continue
                if fault.get("after", 0) > 0:
                    fault["after"] -= 1
                    continue
                fault["times"] -= 1
                return fault
        return None


class Api:
    def __init__(self) -> None:
        self.world = World()
        self.faults = Faults()
        self.calls: list[Json] = []

    def note(self, method: str, path: str, query: Json, status: int, body: Any) -> None:
        self.calls.append({"method": method, "path": path, "query": query, "status": status, "body": body})

    def handle(self, method: str, path: str, query: Json, content_type: str, body: Any, fault: Json) -> Any:
        match = PATH.match(path)
        if not match:
            raise Refused(404, recorded.refusal("404-deployment", nope=path))
        plural, namespace, name = match["plural"], match["ns"], match["name"]
        verb = {"GET": "get" if name else "list", "PATCH": "patch", "DELETE": "delete"}.get(method, method)
        if fault.get("forbidden"):
            raise Refused(403, self._forbidden(verb, plural, namespace, name, match["group"] or ""))
        with self.world.lock:
            controllers.catch_up(self.world)
            if verb == "list":
                return self._list(plural, namespace, query)
            if verb == "delete":
                return self._delete(namespace, name, body)
            thing = self.world.workloads.get((plural, namespace, name))
            if thing is None:
                raise Refused(404, recorded.refusal("404-deployment", nope=name, deployments=plural))
            if verb == "get":
                if thing.get("settled") == thing.get("current"):
                    thing["seen_whole"] = thing.get("seen_whole", 0) + 1
                    self.world.wake((plural, namespace, name))
                return shown(thing)
            if fault.get("race"):
                self.world.stamp(thing)
            if "admission" in fault:
                raise Refused(403, self._denied(fault["admission"]))
            return self._patch(plural, thing, query, content_type, body)

    @staticmethod
    def _forbidden(verb: str, plural: str, namespace: str, name: str | None, group: str) -> Json:
        body = recorded.refusal("403-patch-deployment", deployments=plural, shop=namespace)
        body["message"] = body["message"].replace("cannot patch", f"cannot {verb}").replace('"apps"', f'"{group}"')
        body["message"] = body["message"].replace('"web"', f'"{name}"') if name else body["message"].replace('"web" ', "")
        return body

    @staticmethod
    def _denied(message: str) -> Json:
        body = recorded.refusal("403-admission-webhook-denied")
        body["message"] = body["message"].partition(": ")[0] + ": " + message
        return body

    # ---- reads

    def _list(self, plural: str, namespace: str, query: Json) -> Json:
        items = [shown(thing) for thing in self._all(plural, namespace)]
        for pair in filter(None, query.get("labelSelector", "").split(",")):
            key, _, value = pair.partition("=")
            items = [item for item in items if item["metadata"].get("labels", {}).get(key) == value]
        limit = int(query.get("limit") or len(items) or 1)
        start = self._start(query.get("continue"))
        page = items[start : start + limit]
        meta: Json = {"resourceVersion": str(self.world.version)}
        if start + limit < len(items):
            meta |= {"continue": base64.b64encode(str(start + limit).encode()).decode()}
        for item in page:
            item.pop("kind", None)
            item.pop("apiVersion", None)
        return {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": page}

    @staticmethod
    def _start(token: str | None) -> int:
        return int(base64.b64decode(token)) if token else 0

    def _all(self, plural: str, namespace: str) -> list[Json]:
        world = self.world
        if plural == "pods":
            found = [pod for (ns, _), pod in world.pods.items() if ns == namespace]
        elif plural in KINDS:
            found = [thing for (kind, ns, _), thing in world.workloads.items() if (kind, ns) == (plural, namespace)]
        else:
            found = [kept for (_, ns, _), kept in world.history.items() if ns == namespace and kept["plural"] == plural]
        return sorted(found, key=lambda thing: thing["metadata"]["name"])

    # ---- writes

    def _delete(self, namespace: str, name: str | None, body: Any) -> Json:
        pod = self.world.pods.get((namespace, name or ""))
        if pod is None:
            raise Refused(404, recorded.refusal("404-deployment", nope=name or "", deployments="pods"))
        uid = ((body or {}).get("preconditions") or {}).get("uid")
        if uid and uid != pod["metadata"]["uid"]:
            raise Refused(409, recorded.refusal("409-stale-resource-version", deployments="pods", web=name or ""))
        self.world.remove(pod)
        return shown(pod)

    def _patch(self, plural: str, thing: Json, query: Json, content_type: str, patch: Any) -> Json:
        before = shown(thing)
        try:
            after = patching.apply(content_type, before, patch)
        except patching.Unprocessable as refused:
            raise Refused(int(str(refused)[:3]), recorded.refusal(str(refused))) from refused
        name = before["metadata"]["name"]
        if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise Refused(409, recorded.refusal("409-stale-resource-version", web=name, deployments=plural))
        if after == before:
            return before
        return self._store(plural, thing, before, after, query)

    def _store(self, plural: str, thing: Json, before: Json, after: Json, query: Json) -> Json:
        """Generation goes up with the spec, and with a Deployment's annotations; never by what the status says."""
        notes = [object_["metadata"].get("annotations") for object_ in (before, after)]
        if after["spec"] != before["spec"] or (plural == "deployments" and notes[0] != notes[1]):
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        manager = query.get("fieldManager", "unknown")
        others = [e for e in after["metadata"].get("managedFields", []) if e["manager"] != manager or "subresource" in e]
        entry = {"manager": manager, "operation": "Update", "apiVersion": after["apiVersion"], "time": pods.stamp()}
        after["metadata"]["managedFields"] = [*others, entry]
        if query.get("dryRun") == "All":
            return after
        thing.update(copy.deepcopy(after))
        if "paused" not in after["spec"]:
            thing["spec"].pop("paused", None)
        self.world.stamp(thing)
        thing["seen_whole"] = 0
        self.world.wake((plural, before["metadata"]["namespace"], before["metadata"]["name"]))
        return shown(thing)


def shown(thing: Json) -> Json:
    return copy.deepcopy({key: value for key, value in thing.items() if key not in OWN})
