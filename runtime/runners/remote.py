"""The tools of an agent that has a runner: each call is sent there, and followed."""

import asyncio
import contextlib
import posixpath
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.store.bus import ANYTHING, Topic, bus
from resolvers.resources.credentials.given import Given, still_given
from resolvers.staff.runners.calls import (
    AskedTool,
    CallProgress,
    GivenToCall,
    follow_call,
    forget_call,
    piece_shown,
    send_call,
    withdraw_call,
)
from runtime.egress import EgressGateway
from runtime.runs.job import Failed, Job
from runtime.runs.skills import noting_uses
from runtime.sandbox import NO_ENVIRONMENT, Finished, Isolation, Limits, Network, Workdir
from runtime.tools import Tool, fit, tools_for

SERVICE: Final = "runtime"
LOOK: Final = 5.0
AWAY: Final = 60.0
"""Seconds that a call waits for a runner that is not connected."""
NOT_CONNECTED: Final = f"The agent's runner was not connected for {AWAY:.0f} seconds, so the call was not executed"
NOT_FOUND: Final = "The call has no result: it was removed"
WITH_SECRETS: Final = "run_command"
READS: Final = "read_file"


class OnRunner:
    """The sandbox of a runner, as tools are described. Nothing runs in it here."""

    isolation = Isolation.namespace
    limits = Limits()
    runs_commands = True

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
        raise Failed("Commands of this agent run on its runner")


@dataclass(frozen=True, slots=True)
class RemoteTool(Tool):
    """A tool that a runner executes, except for reads of the files that the run itself has: of skills."""

    calls: "RunnerCalls"
    ours: Container[str]

    def detaches(self, arguments: dict[str, Any]) -> bool:
        path = arguments.get("path")
        return not (self.name == READS and isinstance(path, str) and posixpath.normpath(path) in self.ours)

    async def send(self, call: str, arguments: dict[str, Any]) -> str:
        return await self.calls.send(call, self.name, arguments)

    async def next(self, id: str, seen: int) -> tuple[int, str, bool]:
        return await self.calls.next(id, seen)

    async def shown(self, id: str, seq: int) -> None:
        await piece_shown(self.calls.workspace_id, id, seq)

    async def result(self, id: str) -> tuple[str, bool]:
        return await self.calls.result(id)

    async def forget(self, id: str) -> None:
        await forget_call(self.calls.workspace_id, id)


def tools_on_runner(
    job: Job, runner_id: str, given: Sequence[Given], workdir: Workdir, network: EgressGateway | None
) -> dict[str, Tool]:
    """The tools of a run whose agent has a runner. `workdir`: for the files that the run is given here."""
    ours = noting_uses(job, tools_for(job, OnRunner(), workdir, network=network))
    return RunnerCalls(job, runner_id, given).tools(ours, workdir.given)


class RunnerCalls:
    """The calls of one run to the runner of its agent."""

    def __init__(self, job: Job, runner_id: str, given: Sequence[Given]) -> None:
        self.workspace_id = job.workspace_id
        self._job, self._runner_id, self._given = job, runner_id, given

    def tools(self, tools: Mapping[str, Tool], ours: Container[str]) -> dict[str, Tool]:
        """The same tools, executed by the runner. `ours`: paths of files that the service has."""
        return {
            name: RemoteTool(tool.name, tool.description, tool.parameters, tool.run, self, ours)
            for name, tool in tools.items()
        }

    async def send(self, call: str, tool: str, arguments: dict[str, Any]) -> str:
        job, agent = self._job, self._job.agent
        held = (
            await still_given(job.workspace_id, agent.id, self._given, on_runners=True) if tool == WITH_SECRETS else []
        )
        asked = AskedTool(
            agent_id=agent.id,
            agent_slug=agent.slug,
            crew_id=agent.crew_id,
            profile=agent.tool_profile.value,
            restricted=job.restricted,
            tool=tool,
            arguments=arguments,
            given=[
                GivenToCall(credential_id=each.credential_id, type=each.type, variable=each.variable, value=each.value)
                for each in held
            ],
        )
        sent = {
            "run_id": job.run_id,
            "step": call,
            "runner_id": self._runner_id,
            "agent_id": agent.id,
            "asked": orjson.dumps(asked.model_dump()).decode(),
        }
        try:
            answer = await send_call(Caller.service(SERVICE, job.workspace_id, job.run_id), sent)
        except Refusal as refusal:
            if refusal.code is Code.UNAVAILABLE:
                raise
            raise Failed(refusal.detail) from refusal
        return str(orjson.loads(answer.body or b"{}")["call_id"])

    async def next(self, id: str, seen: int) -> tuple[int, str, bool]:
        rung = asyncio.Event()
        silence = bus.on(Topic.runners, lambda key: rung.set() if key in (id, self._runner_id, ANYTHING) else None)
        try:
            while True:
                rung.clear()
                found = await self._progress(id, seen)
                if found.output or found.outcome is not None:
                    return found.seq, found.output, not found.output
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await rung.wait()
        finally:
            silence()

    async def result(self, id: str) -> tuple[str, bool]:
        outcome = (await self._progress(id, 1 << 30)).outcome
        if outcome is None:
            raise Failed(NOT_FOUND)
        return fit(outcome.content), outcome.is_error

    async def _progress(self, id: str, seen: int) -> CallProgress:
        found = await follow_call(self.workspace_id, id, seen)
        if found.failed:
            raise Failed(found.failed)
        if found.waits > AWAY and await withdraw_call(self.workspace_id, id):
            raise Failed(NOT_CONNECTED)
        return found
