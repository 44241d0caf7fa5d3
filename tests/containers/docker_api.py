"""A server that answers as Docker's API does, for containers, images and digests. It keeps what it is given and runs
nothing.
"""

import itertools
import json
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

API = "/v1.41"
STARTED = "2026-12-02T10:00:00.123456789Z"


def _failure(status: int, message: str) -> Response:
    return JSONResponse({"message": message}, status)


class DockerApi:
    """`images`: the digests of each image by name; `registry`: the present digest of each. `stuck`: names of containers
    that do not start. `refuses`: a part of paths that fail.
    """

    def __init__(self) -> None:
        self.containers: dict[str, dict[str, Any]] = {}
        self.images: dict[str, list[str]] = {}
        self.registry: dict[str, str] = {}
        self.stuck, self.refuses = "", ""
        self.asked = list[str]()
        self._numbers = itertools.count(1)

    def app(self) -> Starlette:
        get, post = ["GET"], ["POST"]
        routes = [
            Route(f"{API}/version", self._version, methods=get),
            Route(f"{API}/info", self._info, methods=get),
            Route(f"{API}/volumes", self._volumes, methods=get),
            Route(f"{API}/containers/json", self._list, methods=get),
            Route(f"{API}/containers/create", self._create, methods=post),
            Route(f"{API}/containers/{{id}}/json", self._inspect, methods=get),
            Route(f"{API}/containers/{{id}}/stats", self._stats, methods=get),
            Route(f"{API}/containers/{{id}}/start", self._start, methods=post),
            Route(f"{API}/containers/{{id}}/stop", self._stop, methods=post),
            Route(f"{API}/containers/{{id}}", self._remove, methods=["DELETE"]),
            Route(f"{API}/images/create", self._pull, methods=post),
            Route(f"{API}/images/{{name:path}}/json", self._image, methods=get),
            Route(f"{API}/distribution/{{name:path}}/json", self._distribution, methods=get),
        ]
        return Starlette(routes=[Route(each.path, self._asked(each.endpoint), methods=each.methods) for each in routes])

    def _asked(self, endpoint: Any) -> Any:
        async def answer(request: Request) -> Response:
            path = f"{request.method} {request.url.path.removeprefix(API)}"
            self.asked.append(path)
            if self.refuses and self.refuses in path:
                return _failure(500, "device or resource busy")
            made: Response = await endpoint(request)
            return made

        return answer

    def put(self, name: str, labels: Mapping[str, str], *, image: str = "debian:13", state: str = "running") -> str:
        """Adds a container that another server made."""
        id = f"{next(self._numbers):064x}"
        self.containers[id] = {
            "Id": id, "Name": f"/{name}", "Config": {"Labels": dict(labels), "Image": image}, "HostConfig": {},
            "Image": image, "State": {"Status": state, "Running": state == "running", "Pid": 0, "StartedAt": STARTED},
        }  # fmt: skip
        return id

    def states(self) -> dict[str, str]:
        """The state of each container by the last part of its name."""
        return {each["Name"].rpartition("-")[2]: each["State"]["Status"] for each in self.containers.values()}

    def _found(self, request: Request) -> dict[str, Any] | None:
        wanted = request.path_params["id"]
        return next((c for id, c in self.containers.items() if wanted in (id, c["Name"].removeprefix("/"))), None)

    async def _version(self, request: Request) -> Response:
        return JSONResponse({"Version": "28.0", "Components": [{"Name": "Engine"}]})

    async def _info(self, request: Request) -> Response:
        return JSONResponse({})

    async def _volumes(self, request: Request) -> Response:
        return JSONResponse({"Volumes": []})

    async def _list(self, request: Request) -> Response:
        wanted = json.loads(request.query_params.get("filters", "{}")).get("label", [])
        return JSONResponse(
            [
                {
                    "Id": each["Id"], "Names": [each["Name"]], "Labels": each["Config"]["Labels"],
                    "Created": 1795848716, "State": each["State"]["Status"],
                    "Image": each["Image"], "ImageID": each["Image"],
                }
                for each in self.containers.values()
                if set(wanted) <= {f"{name}={value}" for name, value in each["Config"]["Labels"].items()}
            ]
        )  # fmt: skip

    async def _create(self, request: Request) -> Response:
        configuration, name = await request.json(), request.query_params["name"]
        if configuration["Image"] not in self.images:
            return _failure(404, "no such image")
        id = self.put(name, configuration["Labels"], image=configuration["Image"], state="created")
        self.containers[id]["HostConfig"] = configuration["HostConfig"]
        if "User" not in configuration:  # an image of a service
            self.containers[id]["Config"]["ExposedPorts"] = {"5432/tcp": {}}
        return JSONResponse({"Id": id}, 201)

    async def _inspect(self, request: Request) -> Response:
        found = self._found(request)
        return _failure(404, "no such container") if found is None else JSONResponse(found)

    async def _stats(self, request: Request) -> Response:
        cpu = {"cpu_usage": {"total_usage": 30}, "system_cpu_usage": 200, "online_cpus": 2}
        before = {"cpu_usage": {"total_usage": 10}, "system_cpu_usage": 100}
        return JSONResponse({"cpu_stats": cpu, "precpu_stats": before, "memory_stats": {"usage": 64 << 20}})

    async def _start(self, request: Request) -> Response:
        found = self._found(request)
        if found is None:
            return _failure(404, "no such container")
        if self.stuck and self.stuck in found["Name"]:
            return _failure(500, "no space left on device")
        found["State"] |= {"Status": "running", "Running": True}
        return Response(status_code=204)

    async def _stop(self, request: Request) -> Response:
        found = self._found(request)
        if found is None:
            return _failure(404, "no such container")
        found["State"] |= {"Status": "exited", "Running": False}
        return Response(status_code=204)

    async def _remove(self, request: Request) -> Response:
        found = self._found(request)
        if found is None:
            return _failure(404, "no such container")
        del self.containers[found["Id"]]
        return Response(status_code=204)

    async def _pull(self, request: Request) -> Response:
        """Faults are lines of the answer."""
        name, tag = request.query_params["fromImage"], request.query_params.get("tag")
        image = f"{name}:{tag}" if tag else name
        if image not in self.registry:
            told = {"errorDetail": {"message": f"manifest for {image} not found"}, "error": "not found"}
            return Response(json.dumps(told) + "\n", media_type="application/json")
        self.images[image] = [self.registry[image]]
        return Response(json.dumps({"status": "Pulled"}) + "\n", media_type="application/json")

    async def _image(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.images:
            return _failure(404, "no such image")
        return JSONResponse({"Id": name, "RepoDigests": [f"{name}@{digest}" for digest in self.images[name]]})

    async def _distribution(self, request: Request) -> Response:
        digest = self.registry.get(request.path_params["name"])
        if digest is None:
            return _failure(500, "failed to resolve")
        return JSONResponse({"Descriptor": {"digest": digest}})
