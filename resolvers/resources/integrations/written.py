"""`mcp_config_json` of crews and agents: writing the text creates and updates servers of the crew; reads remain reads.

A server that a user has changed since no longer follows the text.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import ValidationError
from sqlmodel import col

from models.resources.integrations import AgentIntegration, CrewIntegration, IntegrationScope, Transport
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import Context, Refusal, invalid
from resolvers.resources.integrations.bindings import (
    BindAgent,
    UpdateBinding,
    create_agent_integration,
    update_agent_integration,
)
from resolvers.resources.integrations.crew_servers import (
    CreateCrewIntegration,
    OfCrewServer,
    UpdateCrewIntegration,
    create_crew_integration,
    delete_crew_integration,
    update_crew_integration,
)
from resolvers.resources.integrations.servers import WHERE_TO, check
from resolvers.rules.mcp_config import FIELD, parse_mcp_config

MOST_SERVERS: Final = 50
Written = Mapping[str, CreateCrewIntegration]


async def crew_follows(ctx: Context, crew: Crew, before: str | None, after: str) -> None:
    """Servers that the text names are made, unless the crew has one of the name; the others follow their entries."""
    was, written, known = _servers(before, crew.id), _servers(after, crew.id), await _known(ctx, crew.id)
    for name, data in written.items():
        server = known.get(name)
        if server is None:
            await create_crew_integration.within(ctx, crew, data)
        elif name in was and _is(server, was[name]) and not _is(server, data):
            changes = {field: getattr(data, field) or "" for field in WHERE_TO}
            asked = {"crew_id": crew.id, "integration_id": server.id} | changes
            await update_crew_integration.within(ctx, server, UpdateCrewIntegration.model_validate(asked))
    for name in was.keys() - written.keys():
        if name in known and _is(known[name], was[name]):
            asked = {"crew_id": crew.id, "integration_id": known[name].id}
            await delete_crew_integration.within(ctx, known[name], OfCrewServer.model_validate(asked))


async def agent_follows(ctx: Context, agent: Agent, crew: Crew, before: str | None, after: str | None) -> None:
    """Creates servers for the agent alone, in its crew, from its text; disables the binding of a server that the text
    no longer names.
    """
    was, written, known = _servers(before, crew.id), _servers(after, crew.id), await _known(ctx, crew.id)
    ties = await ctx.select(AgentIntegration, col(AgentIntegration.mcp_server_scope) == IntegrationScope.crew).all()
    own = {tie.mcp_server_id: tie for tie in ties if tie.agent_id == agent.id}
    bound = {tie.mcp_server_id for tie in ties}
    for name, data in written.items():
        server = known.get(name)
        if server is None:
            server = await create_crew_integration.within(ctx, crew, data)
        elif not _is(server, data) or server.id not in bound:  # a user's own, or for all agents of the crew
            continue
        if server.id not in own:
            asked = {"agent_id": agent.id, "mcp_server_id": server.id, "mcp_server_scope": IntegrationScope.crew}
            await create_agent_integration.within(ctx, agent, BindAgent.model_validate(asked))
        elif not own[server.id].enabled:
            await _switch(ctx, agent, own[server.id], True)
    for name in was.keys() - written.keys():
        server = known.get(name)
        if server is not None and server.id in own and _is(server, was[name]):
            await _switch(ctx, agent, own[server.id], False)


async def _switch(ctx: Context, agent: Agent, tie: AgentIntegration, enabled: bool) -> None:
    """Without its last binding a server would be there for all agents."""
    asked = {"agent_id": agent.id, "integration_id": tie.id, "enabled": enabled}
    await update_agent_integration.within(ctx, tie, UpdateBinding.model_validate(asked))


async def _known(ctx: Context, crew_id: str) -> dict[str, CrewIntegration]:
    rows = await ctx.select(CrewIntegration, col(CrewIntegration.crew_id) == crew_id).all()
    return {row.name: row for row in rows}


def _is(server: CrewIntegration, data: CreateCrewIntegration) -> bool:
    return all((getattr(server, name) or None) == (getattr(data, name) or None) for name in WHERE_TO)


def _servers(text: str | None, crew_id: str) -> Written:
    """Name -> the server that the entry means. One without a command or an address that may be called is left out."""
    if not text:
        return {}
    entries = parse_mcp_config(text)
    if len(entries) > MOST_SERVERS:
        raise invalid(FIELD, f"names {len(entries)} servers: at most {MOST_SERVERS} are allowed")
    found = {name: _server(name, entry, crew_id) for name, entry in entries.items()}
    return {name: server for name, server in found.items() if server is not None}


def _server(name: str, entry: Any, crew_id: str) -> CreateCrewIntegration | None:
    if not isinstance(entry, dict):
        return None
    kind = entry.get("type") or entry.get("transport")
    local = kind == "stdio" or (not kind and not entry.get("url"))
    texts = {field: _json(entry.get(key)) for field, key in (("args_json", "args"), ("env_json", "env"))}
    raw = {
        "crew_id": crew_id,
        "name": name,
        "display_name": name.replace("-", " ").title(),
        "transport": Transport.stdio if local else Transport.streamable_http,
        "endpoint": None if local else entry.get("url"),
        **({"command": entry.get("command")} | texts if local else {}),
    }
    try:
        data = CreateCrewIntegration.model_validate(raw)
        check(data.transport, data.endpoint, data.command)
    except (ValidationError, Refusal):
        return None
    return data


def _json(value: Any) -> str | None:
    return orjson.dumps(value).decode() if value else None
