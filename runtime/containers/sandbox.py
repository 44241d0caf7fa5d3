"""Commands in the container of an agent. The container stays when they end, and so do their background processes.

See ADR 92.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from resolvers.rules.agent_folders import HOME, OUTPUT, SKILLS
from runtime.containers.engine import ContainerEngine, Running
from runtime.containers.launcher import ending, launched
from runtime.containers.making import Tell, ensure
from runtime.containers.network import Beside, served
from runtime.containers.place import Apart, ContainerPlace, CrewContainer
from runtime.containers.services import CrewServices, beside
from runtime.containers.terminal import ContainerTerminal, opened
from runtime.runs.job import Failed
from runtime.sandbox.boundary import CUT_OFF, NO_ENVIRONMENT, Finished, Isolation, Limits, Network
from runtime.sandbox.process import to_the_end
from runtime.sandbox.sums import admit
from runtime.sandbox.terminal import TERM
from runtime.sandbox.workdir import Workdir

log = logging.getLogger("crewship.containers")

ENVIRONMENT: Final = {
    "HOME": HOME,
    "USER": "agent",
    "LOGNAME": "agent",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "TMPDIR": "/tmp",  # noqa: S108 - the container's own
}
GIVEN: Final = "given"
STARTING, READY = "Starting the container", "The container is ready"


class ContainerSandbox:
    """The containers of one crew on an engine."""

    isolation = Isolation.container
    runs_commands = True

    def __init__(
        self,
        engine: ContainerEngine,
        crew: CrewContainer,
        limits: Limits,
        tell: Tell | None = None,
        *,
        apart: Apart = Apart.nothing,
        services: CrewServices | None = None,
    ) -> None:
        self.limits = limits
        self._services = services if services is not None and apart is not Apart.alone else CrewServices()
        self._engine, self._crew, self._tell, self._apart = engine, crew, tell, apart

    async def begin(self, workdir: Workdir, tell: Callable[[str], Awaitable[None]]) -> None:
        """Starts the container and its services, as the first command would; `tell` is called if one was not
        running.
        """
        given = await asyncio.to_thread(_give, workdir)
        place = ContainerPlace.of(self._crew, workdir, given=given, apart=self._apart)
        found = await self._engine.inspect(place.name)
        if found is not None and found["State"]["Running"]:
            return
        await tell(STARTING)
        await self._beside(place)
        await ensure(self._engine, place, self.limits, self._tell)
        await tell(READY)

    async def start(self, workdir: Workdir) -> str:
        """Starts the container without its services, and returns its id. The files that a run was given stay."""
        given = await asyncio.to_thread(_given_folder, workdir)
        place = ContainerPlace.of(self._crew, workdir, given=given, apart=self._apart)
        container, _ = await ensure(self._engine, place, self.limits, self._tell)
        return container

    async def run(
        self,
        argv: Sequence[str],
        *,
        workdir: Workdir,
        timeout: float,  # noqa: ASYNC109
        stdin: bytes | None = None,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
        network: Network | None = None,
    ) -> Finished:
        """As in the port, except that background processes live as long as the container."""
        await admit(workdir, self.limits)
        given = await asyncio.to_thread(_given_alone if workdir.apart else _give, workdir)
        place = ContainerPlace.of(self._crew, workdir, given=given, apart=self._apart)
        if network is not None:
            environment = {**environment, **network.environment}
        program, name = launched(argv), None
        if stdin is not None:
            name = f".stdin-{secrets.token_hex(8)}"
            await asyncio.to_thread(_write, given / name, stdin)
            program = launched(argv, f"{OUTPUT if workdir.apart else SKILLS}/{name}")
        try:
            services = await self._beside(place)
            async with self._place(place) as (container, pid), served(network, pid, services):
                return await self._attended(container, place, program, workdir, timeout, environment)
        finally:
            if name is not None:
                (given / name).unlink(missing_ok=True)
            if workdir.apart:
                await to_the_end(asyncio.to_thread(shutil.rmtree, given, ignore_errors=True))

    @contextlib.asynccontextmanager
    async def terminal(
        self, *, workdir: Workdir, size: tuple[int, int], read_only: bool, network: Network
    ) -> AsyncIterator[ContainerTerminal]:
        """A shell in a container of its own, of which nothing is left when the block ends."""
        await asyncio.to_thread(lambda: os.close(workdir.open_output()))
        place = ContainerPlace.of(self._crew, workdir, apart=Apart.terminal, read_only=read_only)
        variables = {**self._crew.environment, **network.environment, **ENVIRONMENT, "TERM": TERM}
        services = await self._beside(place)
        async with (
            self._place(place) as (container, pid),
            served(network, pid, services),
            opened(
                self._engine,
                container,
                user=place.user,
                workdir=workdir.start,
                environment=variables,
                size=size,
            ) as made,
        ):
            yield made

    async def _beside(self, place: ContainerPlace) -> list[Beside]:
        """The services of the crew, running."""
        crew = place.crew
        return await beside(self._engine, self._services, place.instance, crew.workspace_id, crew.crew_id, self.limits)

    @contextlib.asynccontextmanager
    async def _place(self, place: ContainerPlace) -> AsyncIterator[tuple[str, int]]:
        """A container for one use ends with the block, with everything in it."""
        try:
            yield await ensure(self._engine, place, self.limits, self._tell)
        finally:
            if place.apart.passes:
                await to_the_end(self._remove(place.name))

    async def _remove(self, container: str) -> None:
        try:
            await self._engine.remove(container)
        except Failed as failed:  # it ends by itself
            log.warning("a container could not be removed: %s", failed)

    async def _attended(
        self,
        container: str,
        place: ContainerPlace,
        argv: Sequence[str],
        workdir: Workdir,
        seconds: float,
        environment: Mapping[str, str],
    ) -> Finished:
        outputs = _Outputs(self.limits.output)
        variables = {**self._crew.environment, **environment, **ENVIRONMENT}
        async with self._engine.running(
            container, argv, user=place.user, workdir=workdir.start, environment=variables, lifeline=True
        ) as running:
            ended, code = False, CUT_OFF
            try:
                async with asyncio.timeout(seconds) as clock:
                    await outputs.collect(running)
                    code = await running.exit_code()
                    ended = True
            except TimeoutError:
                if not clock.expired():
                    raise
            finally:
                if not ended:
                    await to_the_end(self._end(container, place, outputs))
        return outputs.finished(code, timed_out=not ended)

    async def _end(self, container: str, place: ContainerPlace, outputs: "_Outputs") -> None:
        """Kills the command and its process group; if that fails, removes the container."""
        try:
            if (number := outputs.number) is None:
                raise Failed("a command was cancelled before it began")
            argv = ending(number)
            async with self._engine.running(container, argv, user=place.user, workdir="/", environment={}) as running:
                async for _ in running.pieces():
                    pass
        except Failed as failed:
            log.warning("a command could not be ended: %s", failed)
            await self._remove(container)


class _Outputs:
    """The first bytes of both, without the line that the launcher writes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._head = limit, bytearray()
        self._kept = {1: bytearray(), 2: bytearray()}
        self._dropped = {1: 0, 2: 0}
        self.number: int | None = None

    async def collect(self, running: Running) -> None:
        async for stream, piece in running.pieces():
            if stream == 1 and self.number is None:
                self._head += piece
                line, found, rest = bytes(self._head).partition(b"\n")
                if not found:
                    continue
                self.number = int(line)
                piece = rest
            self._take(2 if stream == 2 else 1, piece)

    def _take(self, stream: int, piece: bytes) -> None:
        room = self._limit - len(self._kept[stream])
        self._kept[stream] += piece[:room]
        self._dropped[stream] += max(len(piece) - room, 0)

    def _text(self, stream: int) -> str:
        text = self._kept[stream].decode(errors="replace")
        dropped = self._dropped[stream]
        return f"{text}\n[{dropped} more bytes of output were omitted]\n" if dropped else text

    def finished(self, code: int, *, timed_out: bool) -> Finished:
        truncated = any(self._dropped.values())
        return Finished(code, self._text(1), self._text(2), timed_out=timed_out, truncated=truncated)


def _give(workdir: Workdir) -> Path:
    """A copy of the files that a run is given, in a folder that commands can only read."""
    folder = _given_folder(workdir)
    kept = {Path(path).relative_to(SKILLS).parts[0] for path in workdir.given}
    for old in folder.iterdir():
        if old.is_dir() and old.name not in kept:
            shutil.rmtree(old, ignore_errors=True)
    for path, content in workdir.given.items():
        name = Path(path).relative_to(SKILLS)
        target = folder / name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _write(target, content)
    return folder


def _given_folder(workdir: Workdir) -> Path:
    """The folder of given files, and the folders beside it, which exist then."""
    for opening in (workdir.open_output, workdir.open_home):
        os.close(opening())
    folder = workdir.storage.joinpath(*workdir.home[:-1], GIVEN)
    folder.mkdir(mode=0o755, exist_ok=True)
    return folder


def _given_alone(workdir: Workdir) -> Path:
    """A folder that one command finds in place of its crew's."""
    above = workdir.storage.joinpath(*workdir.home[:-1])
    os.close(workdir.open_home())
    folder = Path(tempfile.mkdtemp(prefix=f"{GIVEN}-", dir=above))
    folder.chmod(0o755)
    for path, content in workdir.given.items():
        target = folder / Path(path).relative_to(OUTPUT)
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _write(target, content)
    return folder


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: another run of the agent may read it at this moment."""
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    fresh.write_bytes(content)
    fresh.chmod(0o444)
    fresh.replace(path)
