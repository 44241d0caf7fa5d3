"""stdio MCP servers of our own agent loop and of users' requests: untrusted programs, each in a sandbox of its own.

A server sees the files of its agent and has the crew's network, like a command of the agent; it gets only the
credentials that its texts and its binding name.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.resources.credentials import CredentialType
from models.resources.integrations import Transport
from resolvers.instance.mcp_programs import LONGEST_SAID, McpFailed, McpProgram
from resolvers.instance.ports import AskedProgram, NotRun
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from resolvers.instance.telemetry import log
from resolvers.resources.credentials.given import tell_use
from resolvers.resources.integrations.configuration import command_of, configured
from resolvers.resources.integrations.given import GivenServer, referred_by, still_referred
from runtime.containers.choice import Sandboxes
from runtime.runs.job import Failed, Job
from runtime.runs.known import redactor_of
from runtime.runs.mcp_servers import NotAllowed, RunServer, still_used
from runtime.runs.network import gateway_of
from runtime.sandbox import Sandbox, Workdir
from runtime.sandbox.boundary import Network
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.program import Program, Start

NO_SANDBOX = "stdio servers require the namespace sandbox, which this machine does not have"
AT_ONCE = 4
"""LocalServers of a run that work at the same time."""


@dataclass(frozen=True, slots=True)
class Talk:
    program: Program

    async def read(self) -> bytes:
        return await self.program.read()

    async def write(self, sent: bytes) -> None:
        await self.program.write(sent)

    @property
    def end(self) -> str:
        if self.program.excess:
            return self.program.excess
        said = " ".join(self.program.stderr.split())[:LONGEST_SAID]
        return f"exit code {self.program.exit_code}" + (f", {said}" if said else "")


@dataclass(frozen=True, slots=True)
class ProgramsPlace:
    """The place in which the programs of a run start."""

    sandbox: Sandbox
    workdir: Workdir
    network: Network | None


async def _never(_: GivenServer) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class LocalServers:
    """The servers of a run behind stdio that may be started, and the values that their texts name."""

    servers: Sequence[RunServer] = ()
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    still: Callable[[GivenServer], Awaitable[bool]] = _never
    """Returns whether the agent may use a server, and its credentials, now."""

    def among(self, servers: Sequence[RunServer], place: ProgramsPlace) -> list[RunServer]:
        """All servers of the run, of which these can be asked."""
        turns = asyncio.Semaphore(AT_ONCE)
        made = {id(each): replace(each, program=self._program(each, place, turns)) for each in self.servers}
        return [made.get(id(each), each) for each in servers]

    def _program(self, server: RunServer, place: ProgramsPlace, turns: asyncio.Semaphore) -> McpProgram:
        sandbox = place.sandbox
        assert isinstance(sandbox, Bubblewrap)
        argv, environment = command_of(configured(server.given, server.secret, self.values))
        start = Start(argv, environment=environment, network=place.network, talks=True)

        @contextlib.asynccontextmanager
        async def started() -> AsyncIterator[Talk]:
            """For one request: a credential that was removed meanwhile is given to no further program."""
            async with turns:
                if not await self.still(server.given):
                    raise NotAllowed
                async with _talking(sandbox, start, place.workdir, server.given.id) as talk:
                    yield talk

        return McpProgram(started)


async def programs_of(job: Job, servers: Sequence[RunServer], sandbox: Sandbox, *, guarded: bool) -> LocalServers:
    """None where the instance does not allow it, or has no sandbox that a program can talk through. `guarded`: none has
    a SECRET, which is used by leave of the keeper alone.
    """
    if not instance.settings.mcp_stdio or not isinstance(sandbox, Bubblewrap):
        return LocalServers()
    local = [each for each in servers if each.given.transport is Transport.stdio and each.given.command]
    kept = [each for each in local if not (guarded and each.given.credential_type == CredentialType.SECRET)]
    found = await referred_by(job.workspace_id, job.agent.id, [each.given for each in kept])
    used = {name: one for name, one in found.items() if not (guarded and one.type == CredentialType.SECRET.value)}
    await tell_use(job.workspace_id, job.agent.id, sorted({one.credential_id for one in used.values()}))

    async def still(server: GivenServer) -> bool:
        if await still_used(job, server) is None:
            return False
        return await still_referred(job.workspace_id, job.agent.id, server, used)

    return LocalServers(kept, {name: one.value for name, one in used.items()}, still)


@contextlib.asynccontextmanager
async def _talking(sandbox: Bubblewrap, start: Start, workdir: Workdir, server_id: str) -> AsyncIterator[Talk]:
    async with contextlib.AsyncExitStack() as stack:
        try:
            program = await stack.enter_async_context(sandbox.program(start, workdir=workdir))
        except Failed as failed:
            log.warning("mcp_program_not_started", server_id=server_id, error=str(failed))
            raise McpFailed(f"The server could not be started: {failed}") from None
        yield Talk(program)


class SandboxedPrograms:
    """For people who look after servers, and for no run: in the folder of a crew, over its network."""

    def __init__(self, settings: Settings, sandbox: Sandbox | None = None) -> None:
        self._settings, self._sandboxes = settings, Sandboxes(settings, sandbox)

    async def check(self, workspace_id: str, crew_id: str | None) -> None:
        try:
            await self._sandbox(workspace_id, crew_id)
        except Failed as failed:
            raise NotRun(str(failed)) from None

    @contextlib.asynccontextmanager
    async def start(self, program: AskedProgram) -> AsyncIterator[Talk]:
        try:
            sandbox = await self._sandbox(program.workspace_id, program.crew_id)
            workdir = self._workdir(program)
            redactor = await redactor_of(program.environment.values())
        except Failed as failed:
            raise McpFailed(str(failed)) from None
        about = {"refs": {"mcp_server_id": program.server_id}}
        network = await gateway_of(program.workspace_id, program.crew_id, about, redactor)
        argv, environment = tuple(program.argv), program.environment
        start = Start(argv, environment=environment, network=network, talks=True, for_people=True)
        async with _talking(sandbox, start, workdir, program.server_id) as talk:
            yield talk

    async def _sandbox(self, workspace_id: str, crew_id: str | None) -> Bubblewrap:
        """Raises Failed if there is no sandbox in which a program can be talked to."""
        sandbox = await self._sandboxes.of_crew(workspace_id, crew_id)
        if not isinstance(sandbox, Bubblewrap):
            raise Failed(NO_SANDBOX)
        return sandbox

    def _workdir(self, program: AskedProgram) -> Workdir:
        storage, workspace_id = self._settings.storage_path, program.workspace_id
        if program.crew_id is None:
            return Workdir.of_nobody(storage, workspace_id=workspace_id)
        return Workdir.of_crew(
            storage, workspace_id=workspace_id, crew_id=program.crew_id, agent_slug=program.agent_slug
        )
