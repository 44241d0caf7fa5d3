"""The MCP servers of an agent's run: the servers of `agent_integrations.resolved`, with their sealed values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Text, and_, func, literal, or_, select, true
from sqlmodel import col

from models.resources.credentials import AgentCredential, Credential, CredentialCrew, CredentialScope, CredentialStatus
from models.resources.integrations import CredentialPlacement, IntegrationScope, ToolBinding, Transport
from models.sealed import Sealed
from models.staff.agents import Agent
from resolvers.kernel import AcrossWorkspaces, Scope, across_workspaces, constant
from resolvers.kernel.store.across import Everywhere, has_secret, supplied
from resolvers.resources.credentials.delivery import bound_to, folded
from resolvers.resources.credentials.references import values_of
from resolvers.resources.integrations.graph import ONE
from resolvers.resources.integrations.resolution import rules
from resolvers.rules.mcp_references import arguments_of, names_in, variables_of
from resolvers.rules.mcp_tools import KnownTool

MOST_SERVERS, MOST_REFERENCES = 32, 200
GIVEN = ("id", "agent_id", "credential_id", "env_var_name", "priority", "expires_at")
SECRET = ("id", "name", "type", "status", "scope", "value", "secret_ref", "created_at")
TOOLS = ("crew_integration_id", "tool_name", "enabled", "fingerprint")


@dataclass(frozen=True, slots=True)
class GivenServer:
    """A server that the agent may use now; `tools` are those with settings of the workspace. Its texts are
    unchanged.
    """

    id: str
    scope: IntegrationScope
    name: str
    transport: Transport
    endpoint: str | None
    command: str | None
    args_json: str | None
    env_json: str | None
    cred_type: CredentialPlacement | None
    cred_header: str | None
    env_var_name: str | None
    credential_id: str | None
    sealed: Sealed | None = field(repr=False)
    secret_ref: str | None = None
    credential_type: str | None = None
    tools: Mapping[str, KnownTool] = field(default_factory=dict)


async def servers_of(workspace_id: str, agent_id: str) -> list[GivenServer]:
    """Sorted by name."""

    async def find(rows: AcrossWorkspaces) -> tuple[list[Any], list[Any]]:
        found, here = await rows.everywhere.report(_given_to(workspace_id, agent_id)), rows.within(workspace_id)
        servers = col(ToolBinding.crew_integration_id).in_([row["server_id"] for row in found])
        return found, await here.select(ToolBinding, servers, columns=TOOLS) if found else []

    servers, tools = await across_workspaces(find)
    known = dict[str, dict[str, KnownTool]]()
    for row in tools:
        of_server = known.setdefault(row["crew_integration_id"], {})
        of_server[row["tool_name"]] = KnownTool(row["enabled"], row["fingerprint"])
    return [_given(row, known.get(row["server_id"], {})) for row in servers]


@dataclass(frozen=True, slots=True)
class Referred:
    """The credential of a `${NAME}` in a server's texts."""

    credential_id: str
    type: str
    value: str = field(repr=False)


async def referred_by(
    workspace_id: str, agent_id: str | None, servers: Sequence[GivenServer], crew_id: str | None = None
) -> dict[str, Referred]:
    """The credentials that texts of servers refer to, by name: the agent's variable of this name, otherwise the newest
    credential of the workspace or the crew whose name begins with it. The crew is the agent's unless another is given.
    """
    names = _names_in(servers)[:MOST_REFERENCES]
    if not names:
        return {}

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        wanted = supplied(AgentCredential, env_var_name=names)
        found = _usable(rows.within(workspace_id), wanted, agent_id, crew_id).limit(1).lateral("found")
        return await rows.everywhere.report(select(wanted.c.env_var_name.label("wanted"), found).join(found, true()))

    rows = await across_workspaces(find)
    values = await values_of(rows)
    return {
        row["wanted"]: Referred(row["id"], row["type"], value)
        for row, value in zip(rows, values, strict=True)
        if value is not None
    }


async def still_referred(workspace_id: str, agent_id: str, server: GivenServer, had: Mapping[str, Referred]) -> bool:
    """Returns true if the agent may still use the credentials of the server's texts that it `had`."""
    names = [name for name in _names_in([server]) if name in had]
    if not names:
        return True
    ids = [had[name].credential_id for name in names]

    async def count(rows: AcrossWorkspaces) -> int:
        wanted = supplied(AgentCredential, env_var_name=names, credential_id=ids)
        usable = _usable(rows.within(workspace_id), wanted, agent_id, None, of_id=True).order_by(None).exists()
        ((found,),) = await rows.everywhere.report(select(func.count()).select_from(wanted).where(usable))
        return int(found)

    return await across_workspaces(count) == len(names)


def _usable(here: Everywhere, wanted: Any, agent_id: str | None, crew_id: str | None, *, of_id: bool = False) -> Any:
    """Credentials that a wanted name stands for, the preferred one first: assigned ones, the one that is bound to the
    slot, and those whose names begin so. `of_id`: those with the wanted id.
    """
    given, secret = here.table(AgentCredential, *GIVEN), here.table(Credential, *SECRET)
    own = here.table(CredentialCrew, "id", "credential_id", "crew_id").c
    agents = here.table(Agent, "id", "crew_id", including_deleted=True).c
    agent = literal(agent_id, Text())
    crew = func.coalesce(literal(crew_id, Text()), select(agents.crew_id).where(agents.id == agent).scalar_subquery())
    of_crew = select(own.id).where(own.credential_id == secret.c.id, own.crew_id == crew).exists()
    name = wanted.c.env_var_name
    beginning = func.replace(func.lower(name), constant("_"), constant("-"))
    by_name = func.starts_with(secret.c.name, beginning)
    seen = or_(secret.c.scope == constant(CredentialScope.WORKSPACE), of_crew)
    lasting = or_(given.c.expires_at.is_(None), given.c.expires_at > func.now())
    held = (given.c.agent_id == agent, given.c.credential_id == secret.c.id, given.c.env_var_name == name, lasting)
    bound = bound_to(here.table, folded(name), agent, crew).correlate(wanted).scalar_subquery()
    return (
        select(secret.c.id, secret.c.type, secret.c.value, secret.c.secret_ref)
        .select_from(secret.outerjoin(given, and_(*held)))
        .where(
            secret.c.status == constant(CredentialStatus.ACTIVE),
            has_secret(secret.c.value),
            or_(given.c.id.is_not(None), secret.c.id == bound, and_(by_name, seen)),
            *([secret.c.id == wanted.c.credential_id] if of_id else []),
        )
        .order_by(
            given.c.id.is_(None),
            given.c.priority,
            secret.c.id.is_distinct_from(bound),
            secret.c.created_at.desc(),
            secret.c.id.desc(),
        )
        .correlate(wanted)
    )


def _names_in(servers: Sequence[GivenServer]) -> list[str]:
    return sorted(set(names_in(*(text for server in servers for text in _texts_of(server)))))


def _texts_of(server: GivenServer) -> list[str]:
    if server.transport is not Transport.stdio:
        return []
    return [*arguments_of(server.args_json), *variables_of(server.env_json).values()]


def _given_to(workspace_id: str, agent_id: str) -> Any:
    """Only a credential that is ACTIVE is given, and none to an agent that is gone."""
    of = {"workspace": workspace_id, "user_id": "", "role": ""}
    scope = Scope.of(lambda name: literal(of[name], Text()), limited=False)
    found = rules(literal(agent_id, Text()), scope, scope)
    secret, secrets = scope.beside(Credential, scope)
    usable = secret.c.status == CredentialStatus.ACTIVE
    agent, agents = scope.beside(Agent, scope)
    there = select(ONE).select_from(agent).where(agent.c.id == agent_id, *agents).exists()
    bound = found.bound.c
    return (
        select(*found.columns, bound.cred_type, bound.cred_header, bound.env_var_name)
        .add_columns(secret.c.id.label("credential_id"), secret.c.value, secret.c.secret_ref, secret.c.type)
        .select_from(found.joined.outerjoin(secret, and_(secret.c.id == bound.credential_id, *secrets, usable)))
        .where(*found.conditions, there)
        .order_by(found.servers.c.name)
        .limit(MOST_SERVERS)
    )


def _given(row: Any, tools: Mapping[str, KnownTool]) -> GivenServer:
    """A credential without a value counts as none."""
    return GivenServer(
        row["server_id"],
        IntegrationScope(row["scope"]),
        row["name"],
        Transport(row["transport"]),
        row["endpoint"],
        row["command"],
        row["args_json"],
        row["env_json"],
        None if row["cred_type"] is None else CredentialPlacement(row["cred_type"]),
        row["cred_header"],
        row["env_var_name"],
        None if row["value"] is None else row["credential_id"],
        None if row["value"] is None else Sealed(row["value"]),
        row["secret_ref"],
        row["type"],
        tools,
    )
