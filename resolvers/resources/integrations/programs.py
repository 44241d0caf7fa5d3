"""Requests of users to stdio MCP servers: each starts a program.

The program receives the same as in a run of the agent with the oldest binding. The number of programs is limited,
because each takes a sandbox and users can repeat requests.
"""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from models.resources.credentials import CredentialType
from models.resources.integrations import CrewIntegration, IntegrationScope
from models.staff.agents import Agent
from resolvers.instance.mcp_programs import McpProgram
from resolvers.instance.ports import AskedProgram, NotRun
from resolvers.instance.vault import Unopenable, told_of_secrets
from resolvers.kernel import Code, Context, Refusal, instance, log
from resolvers.kernel.ground.pace import Pace
from resolvers.resources.credentials.given import tell_use
from resolvers.resources.credentials.references import value_of
from resolvers.resources.integrations.asking import Server, longest_bound
from resolvers.resources.integrations.configuration import command_of, configured
from resolvers.resources.integrations.given import GivenServer, referred_by, servers_of
from resolvers.rules.known_sets import redactor_of
from resolvers.rules.known_values import TooManyValues
from resolvers.rules.redaction import Redactor

SECONDS: Final = 30.0  # a program has to come up first
AT_ONCE, OF_WORKSPACE = 8, 2  # in this process
STARTS: Final = 20  # a minute, of one workspace, in this process
FOR_ANSWERS: Final = "mcp_server"
NOT_ALLOWED = "stdio servers start only if CREWSHIP_MCP_STDIO is enabled"
NOT_HERE = "This process does not start stdio servers (CREWSHIP_ROLE)"
NO_COMMAND = "No command configured for this server"
BY_LEAVE = "The server's credential is a SECRET, which agents use only through the keeper"
BUSY = f"At most {OF_WORKSPACE} stdio servers of a workspace, and {AT_ONCE} in all, run at once; try again"
TOO_OFTEN = f"A workspace can start stdio servers {STARTS} times a minute; try again later"
_under_way: Counter[str] = Counter()
_starts = Pace(STARTS, TOO_OFTEN)


@dataclass(frozen=True, slots=True)
class Ready:
    """A prepared server, and the redactor of the secrets that it received."""

    program: McpProgram
    redactor: Redactor


@contextlib.asynccontextmanager
async def asked_program(ctx: Context, server: Server) -> AsyncIterator[Ready]:
    """Raises NotRun where the server is not started, and Refusal where too many are."""
    if not instance.settings.mcp_stdio:
        raise NotRun(NOT_ALLOWED)
    programs = ctx.outside.programs
    if programs is None:
        raise NotRun(NOT_HERE)
    if not server.command:
        raise NotRun(NO_COMMAND)
    crew_id = server.crew_id if isinstance(server, CrewIntegration) else None
    with _turn(server.workspace_id):
        await programs.check(server.workspace_id, crew_id)
        asked, redactor = await _program(ctx, server, crew_id)
        yield Ready(McpProgram(partial(programs.start, asked)), redactor)


@contextlib.contextmanager
def _turn(workspace_id: str) -> Iterator[None]:
    if _under_way[workspace_id] >= OF_WORKSPACE or _under_way.total() >= AT_ONCE:
        raise Refusal(Code.RATE_LIMITED, BUSY)
    if instance.limited:
        _starts.take(workspace_id)
    _under_way[workspace_id] += 1
    try:
        yield
    finally:
        _under_way[workspace_id] -= 1
        if not _under_way[workspace_id]:
            del _under_way[workspace_id]


async def _program(ctx: Context, server: Server, crew_id: str | None) -> tuple[AskedProgram, Redactor]:
    tie = await longest_bound(ctx, server)
    agent = None if tie is None else tie[1]
    agent_id, guarded = None if agent is None else agent.id, instance.settings.keeper_enabled
    given = await _given(ctx, server, agent)
    if guarded and given.credential_type == CredentialType.SECRET:
        raise NotRun(BY_LEAVE)
    secrets = list[str]()
    with told_of_secrets(secrets.append):
        secret = await _secret(given)
        found = await referred_by(server.workspace_id, agent_id, [given], crew_id)
    named = {name: one for name, one in found.items() if not (guarded and one.type == CredentialType.SECRET.value)}
    used = {one.credential_id for one in named.values()} | (
        {given.credential_id or ""} if secret is not None else set()
    )
    await tell_use(server.workspace_id, agent_id, sorted(used), FOR_ANSWERS)
    values = {name: one.value for name, one in named.items()}
    argv, environment = command_of(configured(given, secret, values))
    slug = agent.slug if agent is not None and agent.crew_id == crew_id else ""
    asked = AskedProgram(server.workspace_id, server.id, crew_id, slug, argv, environment)
    try:
        return asked, await redactor_of(secrets)
    except TooManyValues as refused:
        raise NotRun(str(refused)) from None


async def _given(ctx: Context, server: Server, agent: Agent | None) -> GivenServer:
    """As the agent's run would be given it; one that no run is given has no credential."""
    for given in [] if agent is None else await servers_of(server.workspace_id, agent.id):
        if given.id == server.id:
            return given
    scope = IntegrationScope.crew if isinstance(server, CrewIntegration) else IntegrationScope.workspace
    texts = server.command, server.args_json, server.env_json
    return GivenServer(server.id, scope, server.name, server.transport, None, *texts, None, None, None, None, None)


async def _secret(given: GivenServer) -> str | None:
    """A secret that cannot be opened counts as none: the program reports its effect."""
    if given.sealed is None or given.credential_id is None:
        return None
    try:
        return (await value_of(given.credential_id, given.sealed, given.secret_ref)).reveal()
    except (Unopenable, Refusal) as fault:
        log.warning("credential cannot be opened", credential_id=given.credential_id, error=str(fault))
        return None
