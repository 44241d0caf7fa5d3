"""Commands in the container of an agent, which stays when they end, as does what they have put into the background."""

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from resolvers.rules.agent_folders import HOME, OUTPUT, SKILLS
from runtime.containers.engine import Engine, EngineRefused, Running
from runtime.containers.network import served
from runtime.containers.place import CONFIGURED, LAYOUT, ContainerPlace, CrewContainer
from runtime.job import Failed
from runtime.sandbox.boundary import CUT_OFF, NO_ENVIRONMENT, Finished, Isolation, Limits, Network
from runtime.sandbox.process import to_the_end
from runtime.sandbox.sums import admit
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
# Says by which number the command's group can be ended. Not every engine gives what it executes a group of its own.
_LAUNCHER: Final = """
read -r group </proc/$$/stat
group=${group##*) }; group=${group#* }; group=${group#* }; group=${group%% *}
if [ "$group" != $$ ] && command -v setsid >/dev/null
then exec setsid /bin/sh -c 'echo $$; exec "$@"' sh "$@"
fi
echo $$
exec "$@"
"""
_ENDS: Final = 'kill -9 "-$1" 2>/dev/null || kill -9 "$1"'
TRIES, PAUSE = 10, 0.1
"""Looks for a container that another process is making, and seconds between them."""
_TAKEN: Final = "already in use"  # podman says so with 500 while another one is at it
_making: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
Tell = Callable[[str, str, str | None, int], Awaitable[None]]
"""A step, its status, an error, and milliseconds."""
_NO_IMAGE: Final = "The image {} is not on the container engine"


class ContainerSandbox:
    """The containers of one crew on an engine."""

    isolation = Isolation.container
    runs_commands = True

    def __init__(self, engine: Engine, crew: CrewContainer, limits: Limits, tell: Tell | None = None) -> None:
        self.limits = limits
        self._engine, self._crew, self._tell = engine, crew, tell

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
        """As the port says, but that what a command has put into the background lives as long as the container."""
        await admit(workdir, self.limits)
        given = await asyncio.to_thread(_give, workdir)
        place = ContainerPlace.of(self._crew, workdir, given=given, at_terminal=False, read_only=False)
        container, pid = await ensure(self._engine, place, self.limits, self._tell)
        if network is not None:
            environment = {**environment, **network.environment}
        launched = ["/bin/sh", "-c", _LAUNCHER, "sh", *argv]
        name = None
        if stdin is not None:
            name = f".stdin-{secrets.token_hex(8)}"
            await asyncio.to_thread(_write, given / name, stdin)
            launched = ["/bin/sh", "-c", f"exec <{SKILLS}/{name}\n{_LAUNCHER}", "sh", *argv]
        try:
            async with served(network, pid):
                return await self._attended(container, place, launched, workdir, timeout, environment)
        finally:
            if name is not None:
                (given / name).unlink(missing_ok=True)

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
        variables = {**environment, **ENVIRONMENT}
        at = f"{OUTPUT}/{workdir.agent}" if workdir.agent else OUTPUT
        async with self._engine.running(container, argv, user=place.user, workdir=at, environment=variables) as running:
            ended = False
            try:
                async with asyncio.timeout(seconds) as clock:
                    await outputs.collect(running)
                    ended = True
            except TimeoutError:
                if not clock.expired():
                    raise
            finally:
                if not ended:
                    await to_the_end(self._end(container, place, outputs))
            code = CUT_OFF if not ended else await running.exit_code()
        return outputs.finished(code, timed_out=not ended)

    async def _end(self, container: str, place: ContainerPlace, outputs: "_Outputs") -> None:
        """The command and what it started in its group. Where that cannot be done, its container goes."""
        try:
            if (number := outputs.number) is None:
                raise Failed("a command was cut off before it began")
            argv = ["/bin/sh", "-c", _ENDS, "sh", str(number)]
            async with self._engine.running(container, argv, user=place.user, workdir="/", environment={}) as running:
                async for _ in running.pieces():
                    pass
        except Failed as failed:
            log.warning("a command could not be ended: %s", failed)
            with contextlib.suppress(Failed):
                await self._engine.remove(container)


async def ensure(engine: Engine, place: ContainerPlace, limits: Limits, tell: Tell | None = None) -> tuple[str, int]:
    """The container of a place, running: the one that is there, whichever process has made it, unless it was made by
    other rules. With the number of its first process. `tell` is told of one that is made.
    """
    async with _making.setdefault((engine.address, place.name), asyncio.Lock()):
        return await _ensured(engine, place, limits, tell)


async def _ensured(engine: Engine, place: ContainerPlace, limits: Limits, tell: Tell | None) -> tuple[str, int]:
    kind = await engine.known_kind()
    configuration = place.configuration(limits, keep_id=kind.rootless and kind.name == "podman")
    wanted = configuration["Labels"][CONFIGURED]
    for tried in range(TRIES):
        found = await engine.inspect(place.name)
        if found is None:
            await _made(engine, place, configuration, tell, last=tried == TRIES - 1)
            continue
        labels = found["Config"].get("Labels") or {}
        whose = {name: value for name, value in place.labels(wanted).items() if name not in (CONFIGURED, LAYOUT)}
        if any(labels.get(name) != value for name, value in whose.items()):
            raise Failed(f"The container {place.name} is not of this server")
        if labels.get(CONFIGURED) == wanted and found["State"]["Running"]:
            return str(found["Id"]), int(found["State"]["Pid"])
        if labels.get(CONFIGURED) != wanted or found["State"]["Status"] not in ("created", "configured"):
            await engine.remove(str(found["Id"]))
            continue
        await engine.start(str(found["Id"]))
    raise Failed("The container of the crew does not stay")


async def _made(
    engine: Engine, place: ContainerPlace, configuration: Mapping[str, object], tell: Tell | None, *, last: bool
) -> None:
    """Or left to another process, which makes the same at this moment: then it is looked for again."""
    since = time.monotonic()
    try:
        if tell is not None:
            await tell("container_create", "started", None, 0)
        container = await engine.create(place.name, dict(configuration))
        try:
            await engine.start(container)
        except EngineRefused:
            await engine.remove(container)
            raise
    except EngineRefused as refused:
        why = _NO_IMAGE.format(place.crew.image) if refused.status == 404 else str(refused)
        taken = refused.status == 409 or _TAKEN in str(refused)
        if taken and not last:
            await asyncio.sleep(PAUSE)
            return
        if tell is not None:
            await tell("container_create", "failed", why, 0)
        raise Failed(why) from None
    if tell is not None:
        took = int((time.monotonic() - since) * 1000)
        await tell("container_create", "completed", None, took)
        if place.crew.environment:
            await tell("containerEnv_apply", "completed", None, 0)
        await tell("ready", "completed", None, took)


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
        return f"{text}\n[{dropped} more bytes of output were left out]\n" if dropped else text

    def finished(self, code: int, *, timed_out: bool) -> Finished:
        truncated = any(self._dropped.values())
        return Finished(code, self._text(1), self._text(2), timed_out=timed_out, truncated=truncated)


def _give(workdir: Workdir) -> Path:
    """The folder of what a run is given, as it is now: it lies where no command can reach it but to read."""
    for opening in (workdir.open_output, workdir.open_home):
        os.close(opening())
    folder = workdir.storage.joinpath(*workdir.home[:-1], GIVEN)
    folder.mkdir(mode=0o755, exist_ok=True)
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


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: another run of the agent may read it at this moment."""
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    fresh.write_bytes(content)
    fresh.chmod(0o444)
    fresh.replace(path)
