"""The execution of a call on a runner: the tool of our own loop, in the sandbox of that machine."""

import codecs
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from models.staff.agents import CliAdapter, ToolProfile
from models.staff.crews import NetworkMode
from models.staff.runners import MOST_SHOWN
from runtime.egress import EgressGateway, Policy
from runtime.runs.job import Failed, Job, Worker
from runtime.sandbox import Isolation, Sandbox, Workdir
from runtime.sandbox.process import heard
from runtime.tools import tools_for

LONGEST_LINE: Final = 8_000
CUT_SHORT: Final = "[further output is shown when the command has ended]\n"


class LiveOutput:
    """Whole lines of a command's output, in the order in which they were written. A longer line is left out: only a
    whole line is searched for secrets.
    """

    def __init__(self) -> None:
        self._decoders = {number: codecs.getincrementaldecoder("utf-8")("replace") for number in (1, 2)}
        self._begun = {1: "", 2: ""}
        self._lines = deque[str]()
        self._room = MOST_SHOWN

    def hear(self, number: int, content: bytes) -> None:
        if self._room <= 0:
            return
        *lines, rest = (self._begun[number] + self._decoders[number].decode(content)).split("\n")
        self._begun[number] = rest[: LONGEST_LINE + 1]
        for line in lines:
            if len(line) > LONGEST_LINE or self._room <= 0:
                continue
            self._room -= len(line) + 1
            self._lines.append(f"{line}\n".replace("\0", "\ufffd"))
            if self._room <= 0:
                self._lines.append(CUT_SHORT)

    def take(self, most: int) -> str:
        """The next lines, up to so many characters."""
        taken, size = list[str](), 0
        while self._lines and size + len(self._lines[0]) <= most:
            taken.append(self._lines.popleft())
            size += len(taken[-1])
        return "".join(taken)


@dataclass(frozen=True, slots=True)
class RunnerCall:
    """A call as the server describes it."""

    id: str
    run_id: str
    workspace_id: str
    agent_id: str
    agent_slug: str
    crew_id: str | None
    tool: str
    arguments: dict[str, Any] = field(repr=False)
    profile: str
    network_mode: str
    allowed_domains: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, told: Mapping[str, Any], workspace_id: str) -> "RunnerCall":
        return cls(
            id=str(told["id"]),
            run_id=str(told["run_id"]),
            workspace_id=workspace_id,
            agent_id=str(told["agent_id"]),
            agent_slug=str(told["agent_slug"]),
            crew_id=told["crew_id"],
            tool=str(told["tool"]),
            arguments=dict(told["arguments"]),
            profile=str(told["profile"]),
            network_mode=str(told["network_mode"]),
            allowed_domains=tuple(told["allowed_domains"]),
            environment=dict(told["environment"]),
        )


async def execute(call: RunnerCall, sandbox: Sandbox, storage: Path, live: LiveOutput) -> tuple[str, bool]:
    """The result of the call, and whether it failed. Cancelled, nothing of it is left."""
    job = _job(call)
    try:
        workdir = Workdir.of_job(storage, job)
    except Failed as failed:
        return str(failed), True
    confined = sandbox.isolation is not Isolation.none
    policy = Policy(NetworkMode(call.network_mode), frozenset(call.allowed_domains))
    tools = tools_for(job, sandbox, workdir, call.environment, EgressGateway(policy) if confined else None)
    tool = tools.get(call.tool)
    if tool is None:
        return f"This runner has no tool called {call.tool!r}", True
    with heard(live.hear):
        result = await tool.run(call.arguments)
    return result.content, result.is_error


def _job(call: RunnerCall) -> Job:
    agent = Worker(
        id=call.agent_id,
        slug=call.agent_slug,
        name=call.agent_slug,
        crew_id=call.crew_id,
        crew_slug=None,
        system_prompt="",
        cli_adapter=CliAdapter.CLAUDE_CODE,
        llm_provider=None,
        llm_model=None,
        tool_profile=ToolProfile(call.profile),
    )
    return Job(run_id=call.run_id, workspace_id=call.workspace_id, chat_id=None, agent=agent, prompt="")
