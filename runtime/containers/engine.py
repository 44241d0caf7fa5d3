"""The engine that makes containers, as it is spoken to: its answers, and its faults as texts that a user may read."""

import asyncio
import contextlib
import importlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runtime.runs.job import Failed

if TYPE_CHECKING:
    from aiodocker import Docker
    from aiodocker.containers import DockerContainer
    from aiodocker.stream import Stream

API_VERSION: Final = "v1.41"
"""Docker 20.10 and later, and podman 4 and later."""
ASK, MAKE, PULL = 15.0, 60.0, 1200.0
"""Seconds for a question, for making or removing a container, and for an image to come from its registry."""
STOPPING: Final = 10  # seconds for programs to end
GONE = "The container engine does not answer"
NOBODY: Final = 900  # the library's status where no engine is
IMAGE: Final = re.compile(r"\w[\w.-]*(:\d+)?(/\w[\w.-]*)*(:\w[\w.-]*)?(@sha256:[0-9a-f]{64})?", re.ASCII)
LONGEST_NAME: Final = 400
PAUSE, LONGEST_PAUSE = 0.02, 1.0  # seconds between two looks at a command that has said all and has not ended


LACKING: Final = re.compile(
    r"no space left|quota exceeded|cannot allocate memory|out of memory|OOM.killed|memory limit|range of CPUs"
    r"|pids.limit|resource temporarily unavailable|too many open files",
    re.IGNORECASE,
)
"""The messages of engines and runtimes about a machine without the resources for a container."""


class EngineGone(Failed):
    """The engine did not answer, so the request may have been executed."""

    def __init__(self) -> None:
        super().__init__(GONE)


class EngineRefused(Failed):
    """The engine's own words, cut: they name images and limits, and none of the server's secrets."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(f"The container engine answered {status}: {told[:300]}")
        self.status = status

    @property
    def taken(self) -> bool:
        """The name is in use; podman answers 500 while the other one is being created."""
        return self.status == 409 or "already in use" in str(self)

    @property
    def code(self) -> str:
        """The error code of a container that could not be created (contract: chats, RuntimeErrorCode)."""
        if self.status == 404:
            return "image_missing"
        return "resource_limit" if LACKING.search(str(self)) else "provision_failed"


@dataclass(frozen=True, slots=True)
class EngineKind:
    """Which engine it is, by its own words."""

    name: str
    version: str
    rootless: bool


_library: list[Any] = []
"""aiodocker, when something has been asked for: to load it takes longer than a turn of the loop may."""


@contextlib.asynccontextmanager
async def _told(seconds: float | None) -> AsyncIterator[None]:
    """Faults of the library, the socket and the engine become ours."""
    if not _library:
        _library.append(await asyncio.to_thread(importlib.import_module, "aiodocker"))
    import aiohttp
    from aiodocker import DockerError

    try:
        async with asyncio.timeout(seconds):
            yield
    except DockerError as error:
        if error.status == NOBODY:
            raise EngineGone from error
        raise EngineRefused(error.status, str(error.message)) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise EngineGone from error


class ContainerEngine:
    """One connection pool for an event loop. The library is loaded with the first question."""

    knows_digests = True
    """It pulls images, and says which digest one has."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client: Docker | None = None
        self._known: EngineKind | None = None

    def _docker(self) -> "Docker":
        if self._client is None:
            from aiodocker import Docker

            self._client = Docker(self.address, api_version=API_VERSION)
        return self._client

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def kind(self) -> EngineKind:
        async with _told(MAKE):  # podman looks at all that it has
            version = await self._docker().version()
            info = await self._docker().system.info()
        names = [str(part.get("Name", "")).lower() for part in version.get("Components") or ()]
        name = "podman" if any("podman" in each for each in names) else "docker"
        rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
        self._known = EngineKind(name, str(version.get("Version", "")), rootless)
        return self._known

    async def known_kind(self) -> EngineKind:
        """The engine's kind as last reported: a command does not ask again."""
        return self._known or await self.kind()

    async def list(self, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """Containers that have all of these labels, running or not."""
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        async with _told(ASK):
            found = await self._docker().containers.list(all=True, filters=filters)
        return [each._container for each in found]

    async def inspect(self, container: str) -> Mapping[str, Any] | None:
        """None if the container does not exist."""
        try:
            async with _told(ASK):
                shown: Mapping[str, Any] = await self._one(container).show()
        except EngineRefused as refused:
            if refused.status == 404:
                return None
            raise
        return shown

    async def create(self, name: str, configuration: Mapping[str, Any]) -> str:
        """Made and not started. Raises EngineRefused: 404 without its image, 409 where the name is taken."""
        async with _told(MAKE):
            made = await self._docker().containers.create(config=dict(configuration), name=name)
        return str(made.id)

    async def start(self, container: str) -> None:
        async with _told(MAKE):
            await self._one(container).start()

    async def stop(self, container: str) -> bool:
        """Stops its programs, and kills those that do not end in time. False if it does not exist."""
        try:
            async with _told(MAKE):
                await self._one(container).stop(t=STOPPING)
        except EngineRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    async def remove(self, container: str) -> bool:
        """Removes a container by force, with its programs. False if it does not exist."""
        try:
            async with _told(MAKE):
                await self._one(container).delete(force=True, v=True)
        except EngineRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    async def image(self, name: str) -> str | None:
        """The id of an image; None if the engine does not have it. Raises Failed for an invalid name."""
        if len(name) > LONGEST_NAME or not IMAGE.fullmatch(name):  # it becomes a part of a path
            raise Failed(f"{name[:LONGEST_NAME]} is not an image name")
        try:
            async with _told(ASK):
                found: Mapping[str, Any] = await self._docker().images.inspect(name)
        except EngineRefused as refused:
            if refused.status == 404:
                return None
            raise
        return str(found["Id"])

    async def digests(self, image: str) -> Sequence[str]:
        """The digests of an image, by id or name, in the registries that it came from."""
        try:
            async with _told(ASK):
                found: Mapping[str, Any] = await self._docker().images.inspect(image)
        except EngineRefused as refused:
            if refused.status == 404:
                return []
            raise
        return [str(each).rpartition("@")[2] for each in found.get("RepoDigests") or ()]

    async def registry_digest(self, image: str) -> str:
        """The digest that a registry has for an image now. Raises EngineRefused where the engine cannot ask it."""
        async with _told(MAKE):
            found: Mapping[str, Any] = await self._docker()._query_json(f"distribution/{image}/json")
        return str((found.get("Descriptor") or {}).get("digest") or "")

    async def images(self) -> Sequence[Mapping[str, Any]]:
        """All that it has."""
        async with _told(ASK):
            found: Sequence[Mapping[str, Any]] = await self._docker().images.list()
        return found

    async def remove_image(self, name: str, *, force: bool) -> bool:
        """Removes the name, and everything that has no other name. False if it does not exist. Raises EngineRefused:
        409 while a container uses it.
        """
        try:
            async with _told(MAKE):
                await self._docker().images.delete(name, force=force)
        except EngineRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    async def keep_volume(self, name: str, labels: Mapping[str, str]) -> None:
        """The one that is there, or a new one."""
        async with _told(MAKE):
            volumes: Any = self._docker().volumes
            await volumes.create({"Name": name, "Labels": dict(labels)})

    async def volumes(self, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        async with _told(ASK):
            volumes: Any = self._docker().volumes
            found = await volumes.list(filters=filters)
        return found.get("Volumes") or []

    async def remove_volume(self, name: str) -> bool:
        """False if it does not exist."""
        try:
            async with _told(MAKE):
                volumes: Any = self._docker().volumes
                await (await volumes.get(name)).delete()
        except EngineRefused as refused:
            if refused.status == 404:
                return False
            raise
        return True

    async def stats(self, container: str) -> Mapping[str, Any] | None:
        """The current usage of a container in the engine's format; None if it does not run."""
        try:
            async with _told(ASK):
                found = await self._one(container).stats(stream=False)
        except EngineRefused as refused:
            if refused.status in (404, 409):
                return None
            raise
        return found[0] if found else None

    async def pull(self, name: str) -> None:
        """Pulls from its registry. Raises EngineRefused if there is no registry or no image of that name."""
        async with _told(PULL):
            await self._docker().images.pull(name)

    async def keep_image(self, container: str, repository: str, tag: str, labels: Mapping[str, str]) -> None:
        """Commits the container's current content as an image."""
        async with _told(PULL):
            await self._one(container).commit(repository=repository, tag=tag, config={"Labels": dict(labels)})

    async def log(self, container: str, lines: int) -> str:
        """The last lines that its first process has written."""
        async with _told(ASK):
            return "".join(await self._one(container).log(stdout=True, stderr=True, tail=lines))

    def _one(self, container: str) -> "DockerContainer":
        return self._docker().containers.container(container)

    @contextlib.asynccontextmanager
    async def running(
        self,
        container: str,
        argv: Sequence[str],
        *,
        user: str,
        workdir: str,
        environment: Mapping[str, str],
        lifeline: bool = False,
        terminal: bool = False,
    ) -> AsyncIterator["Running"]:
        """A program in a running container. It continues if the block ends first; with a `lifeline` its input is closed
        then, or when this process dies. With a `terminal` it has one output.
        """
        async with _told(ASK):
            made = await self._one(container).exec(
                list(argv),
                user=user,
                workdir=workdir,
                environment=dict(environment),
                stdin=lifeline or terminal,
                tty=terminal,
            )
            stream = made.start(detach=False)
            await stream.__aenter__()
        try:
            yield Running(made, stream)
        finally:
            await stream.close()


class Running:
    """The output of a program, and its end."""

    def __init__(self, made: Any, stream: "Stream") -> None:
        self._made, self._stream = made, stream

    async def pieces(self) -> AsyncIterator[tuple[int, bytes]]:
        """1 and a piece of stdout, or 2 and a piece of stderr, until both are closed."""
        async with _told(None):
            while (piece := await self._stream.read_out()) is not None:
                yield piece.stream, piece.data

    async def write(self, typed: bytes) -> None:
        async with _told(None):
            await self._stream.write_in(typed)

    async def resize(self, rows: int, columns: int) -> None:
        async with _told(ASK):
            await self._made.resize(h=rows, w=columns)

    async def close(self) -> None:
        await self._stream.close()

    async def exit_code(self) -> int:
        """The exit code of a program whose outputs are closed, as soon as it ends. It may continue without outputs, and
        an engine that has lost its client has closed them too, so callers need a time limit.
        """
        pause = PAUSE
        while True:
            async with _told(ASK):
                found = await self._made.inspect()
            if not found["Running"]:
                return int(found["ExitCode"] or 0)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
