"""Seeded MCP servers, tools and bindings, of which lists of integrations are judged."""

from collections.abc import Iterator
from typing import Any

from sqlmodel import SQLModel

from models.resources.integrations import (
    AgentIntegration,
    CrewIntegration,
    IntegrationScope,
    ToolBinding,
    Transport,
    WorkspaceIntegration,
)
from models.staff.agents import Agent
from models.staff.crews import Crew


def servers(sower: Any, crews: list[Crew], agents: list[Agent]) -> Iterator[SQLModel]:
    """MCP servers, their tools, and bindings of agents to them; some servers of crews have the name of another."""
    pick = sower.random.choice
    own: list[WorkspaceIntegration] = []
    bound = set[tuple[str, str]]()
    for number in range(9):
        told: dict[str, Any] = {"display_name": sower.text(), "endpoint": pick([None, "", "https://x.example/mcp"])}
        told |= {"transport": pick(list(Transport)), "enabled": pick([True, False]), **sower.stamps()}
        own.append(WorkspaceIntegration(name=f"server {number}", **told, **sower.here))
        yield own[-1]
        for crew in sower.random.sample(crews, min(2, len(crews))):
            linked = sower.maybe(own[-1].id)
            server = CrewIntegration(
                name=pick([f"server {number}", f"of crew {number}"]), crew_id=crew.id,
                workspace_mcp_server_id=linked, deleted_at=sower.maybe(sower.time(), 0.2), **told, **sower.here,
            )  # fmt: skip
            yield server
            yield from (
                ToolBinding(crew_integration_id=server.id, tool_name=name, description=sower.text(), **sower.here)
                for name in "cab"
            )
            for agent in sower.random.sample(agents[:4], 2):
                scope = pick(list(IntegrationScope))
                to = own[-1] if scope is IntegrationScope.workspace else server
                if number % 2 and (agent.id, to.id) not in bound:
                    bound.add((agent.id, to.id))
                    yield AgentIntegration(
                        agent_id=agent.id, mcp_server_id=to.id, mcp_server_scope=scope,
                        enabled=pick([True, False]), created_at=sower.time(), **sower.here,
                    )  # fmt: skip
