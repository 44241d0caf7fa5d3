"""A store that answers as the API of a cluster does, for the resources that sandboxes need: versions and conflicts,
preconditions, labels, and deletion after what is owned.
"""

import itertools
import json
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.containers.clusters import NAMESPACE, PODS, POLICIES, SANDBOXES
from tests.containers.kubelet import Kubelet


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """By the rules of a merge patch."""
    made = dict(old)
    for name, value in new.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name) or {}, value) if isinstance(value, Mapping) else value
    return made


class ApiStore:
    def __init__(self, kubelet: Kubelet, requests: list[str]) -> None:
        self.sandboxes_known, self.pods_replaced = True, False
        self._kubelet, self._requests = kubelet, requests
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        self._versions = itertools.count(1)

    def app(self) -> Starlette:
        exec_path = f"/api/v1/namespaces/{NAMESPACE}/pods/{{pod}}/exec"
        routes: list[Any] = [WebSocketRoute(exec_path, self._execute), Route("/version", _version)]
        for path in (PODS, POLICIES, SANDBOXES):
            routes += [
                Route(path, self._all, methods=["GET", "POST"]),
                Route(path + "/{name}", self._one, methods=["GET", "PATCH", "DELETE"]),
                Route(path + "/{name}/status", self._one, methods=["PATCH"]),
            ]
        return Starlette(routes=routes)

    async def _execute(self, socket: WebSocket) -> None:
        self._requests.append(str(socket.url))
        if self.pods_replaced:
            self._rows[PODS, socket.path_params["pod"]]["metadata"]["uid"] = str(uuid.uuid4())
        await self._kubelet.execute(socket)

    def _refused(self, request: Request) -> Response | None:
        self._requests.append(str(request.url))
        if request.headers.get("authorization") not in ("Bearer worker", "Bearer owner"):
            return _failure(401, "Unauthorized")
        if request.url.path.startswith(SANDBOXES) and not self.sandboxes_known:
            return _failure(404, "the server could not find the requested resource")
        return None

    async def _all(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        path = request.url.path
        if request.method == "GET":
            chosen = dict(each.split("=") for each in request.query_params.get("labelSelector", "").split(",") if each)
            rows = [row for (kind, _), row in self._rows.items() if kind == path]
            found = [row for row in rows if chosen.items() <= (row["metadata"].get("labels") or {}).items()]
            return JSONResponse({"items": found, "metadata": {}})
        row = await request.json()
        if (path, row["metadata"]["name"]) in self._rows:
            return _failure(409, f"{row['metadata']['name']} already exists")
        row["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        self._rows[path, row["metadata"]["name"]] = self._versioned(row)
        return JSONResponse(row, 201)

    async def _one(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        name = request.path_params["name"]
        key = (request.url.path.removesuffix("/status").removesuffix(f"/{name}"), name)
        if (row := self._rows.get(key)) is None:
            return _failure(404, f"{name} not found")
        if request.method == "GET":
            return JSONResponse(row)
        body = json.loads(await request.body() or b"{}")
        if request.method == "DELETE":
            return self._delete(key, row, body)
        if (
            body.get("metadata", {}).get("resourceVersion", row["metadata"]["resourceVersion"])
            != (row["metadata"]["resourceVersion"])
        ):
            return _failure(409, "the object has been modified")
        self._rows[key] = row = self._versioned(merged(row, body))
        if row["metadata"].get("deletionTimestamp") and not row["metadata"].get("finalizers"):
            del self._rows[key]
        return JSONResponse(row)

    def _delete(self, key: tuple[str, str], row: dict[str, Any], body: Mapping[str, Any]) -> Response:
        if body.get("preconditions", {}).get("uid", row["metadata"]["uid"]) != row["metadata"]["uid"]:
            return _failure(409, "the uid in the precondition does not match")
        if body.get("propagationPolicy") == "Foreground":
            waits = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]}
            row["metadata"] |= waits
        else:
            del self._rows[key]
        return JSONResponse(row)

    def _versioned(self, row: dict[str, Any]) -> dict[str, Any]:
        row["metadata"]["resourceVersion"] = str(next(self._versions))
        return row


def _failure(status: int, message: str) -> Response:
    return JSONResponse({"kind": "Status", "status": "Failure", "message": message, "code": status}, status)


async def _version(request: Request) -> Response:
    return JSONResponse({"gitVersion": "v1.37.2"})
