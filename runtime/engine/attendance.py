"""Reports that this process executes runs, and its means of running commands."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from models.base import new_id
from models.bounds import LINE
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.oversight.system.runtimes import UNCONFINED
from resolvers.rules import workers
from resolvers.rules.coding_agents import FoundCodingAgent
from runtime.coding.installed import Installed, Missing, report
from runtime.containers.choice import EngineContainers
from runtime.runs.job import Failed
from runtime.sandbox import Isolation, Sandbox
from runtime.sandbox.namespace import Bubblewrap


class Attendance:
    """`sandbox` is examined later, because the start does not wait for a trial command."""

    def __init__(self, sandbox: Callable[[], Awaitable[Sandbox]], every: float = workers.EVERY) -> None:
        self._worker, self._sandbox, self._every = new_id(), sandbox, every
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._attend())

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        try:
            await workers.gone(self._worker)
        except Exception as error:  # it is not heard of any more, and that does as well
            log.warning("the end of this worker was not announced", error=type(error).__name__)

    async def _attend(self) -> None:
        sandbox = await self._sandbox()
        while True:
            runtime, version = await engine_of() or runtime_of(sandbox)
            coding_agents = await asyncio.to_thread(coding_agents_on, sandbox, instance.settings.coding_agents)
            try:
                await workers.there(self._worker, runtime, version, coding_agents)
                self._failing = False
            except Exception as error:
                if not self._failing:
                    log.warning("this worker was not announced", error=type(error).__name__)
                self._failing = True
            await asyncio.sleep(self._every)


async def engine_of() -> tuple[str, str] | None:
    """Which engine makes crews' containers, and its version; None where none answers."""
    containers = instance.containers
    if not isinstance(containers, EngineContainers):
        return None
    try:
        kind = await containers.engine.kind()
    except Failed:
        return None
    return kind.name, kind.version


def coding_agents_on(sandbox: Sandbox, folder: Path | None) -> list[FoundCodingAgent]:
    """The coding agents that a run would find here."""
    return [_told(one, isinstance(sandbox, Bubblewrap)) for one in report(folder)]


def _told(found: Installed | Missing, confined: bool) -> FoundCodingAgent:
    agent = found.agent
    if isinstance(found, Missing):
        return FoundCodingAgent(
            adapter=agent.adapter, name=agent.name, installed=False, missing=found.why, fix=found.fix
        )
    if not confined:
        why, fix = "it runs only in a sandbox, which this machine does not have", "`crewship doctor` says why"
        return FoundCodingAgent(adapter=agent.adapter, name=agent.name, installed=False, missing=why, fix=fix)
    return FoundCodingAgent(adapter=agent.adapter, name=agent.name, installed=True, version=found.version[:LINE])


def runtime_of(sandbox: Sandbox) -> tuple[str | None, str | None]:
    """The program that runs commands, and its version; None if commands are disabled."""
    if isinstance(sandbox, Bubblewrap):
        return "bubblewrap", sandbox.programs.version
    return (UNCONFINED if sandbox.runs_commands and sandbox.isolation is Isolation.none else None), None
