"""Fills the reference schema."""

import asyncio
import json
from typing import Any

import asyncpg

from bench.dataset import CREWS, DESCRIPTION, DEVCONTAINER, DOMAINS, ISSUES, MCP_CONFIG, PROMPT, Workspace
from bench.environment import HERE
from bench.postgres import OWNER, ROLE, Cluster

DATABASE = "reference"


def seed(cluster: Cluster, workspaces: list[Workspace]) -> None:
    cluster.create(DATABASE)
    asyncio.run(_seed(cluster.url(DATABASE, OWNER), workspaces))


async def _seed(url: str, workspaces: list[Workspace]) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute((HERE / "reference.sql").read_text())
        await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ROLE}")
        for workspace in workspaces:
            for table, rows in _rows(workspace).items():
                await connection.copy_records_to_table(
                    table, columns=list(rows[0]), records=[tuple(row.values()) for row in rows]
                )
    finally:
        await connection.close()


def _rows(workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    """Rows by table, in the order in which foreign keys allow them."""
    owner = workspace.users[0]
    return {
        "workspaces": [{"id": workspace.id, "name": workspace.name, "slug": workspace.slug}],
        "users": [{"id": user.id, "email": user.email, "full_name": user.full_name} for user in workspace.users],
        "memberships": [{"workspace_id": workspace.id, "user_id": user.id,
            "role": "ADMIN"} for user in workspace.users],
        "tokens": [{"id": user.token_id, "token_hash": user.token_hash,
            "user_id": user.id} for user in workspace.users],
        "crews": [
            {
                "id": crew.id, "workspace_id": workspace.id, "name": crew.name, "slug": crew.slug,
                "description": DESCRIPTION, "color": "#3b82f6",
                "icon": "rocket", "avatar_style": "bottts", "container_memory_mb": 2048, "container_cpus": 1.5,
                "container_ttl_hours": 24,
                "network_mode": "restricted", "allowed_domains": json.dumps(DOMAINS), "runtime_image": "debian:13",
                "devcontainer": DEVCONTAINER,
                "mcp_config": MCP_CONFIG, "max_agents": 20, "issue_prefix": crew.issue_prefix,
                "issue_counter": ISSUES // CREWS, "budget_usd": 12.5,
                "created_by": owner.id, "created_at": crew.created_at, "updated_at": crew.created_at,
            }
            for crew in workspace.crews
        ],
        "crew_members": [{"crew_id": crew.id, "user_id": user.id} for crew, user in workspace.members],
        "agents": [
            {
                "id": agent.id, "workspace_id": workspace.id, "crew_id": crew.id, "name": agent.name,
                "slug": agent.slug,
                "description": "Does the work it is asked to do.", "role": "LEAD" if agent.lead else "AGENT",
                "title": "Engineer", "status": agent.status,
                "model": "model-large", "provider": "OPENAI", "temperature": 0.7, "max_tokens": 4096,
                "system_prompt": PROMPT, "tool_profile": "FULL",
                "cli_adapter": "CODEX_CLI", "timeout_seconds": 600, "memory_enabled": True, "lead": agent.lead,
                "config": "{}",
                "created_at": agent.created_at, "updated_at": agent.created_at,
            }
            for crew in workspace.crews
            for agent in crew.agents
        ],
        "issues": [
            {
                "id": issue.id, "workspace_id": workspace.id, "crew_id": issue.crew_id, "number": issue.number,
                "identifier": issue.identifier,
                "title": issue.title, "description": "text " * 20, "status": "BACKLOG", "priority": "medium",
                "created_by": issue.created_by,
            }
            for issue in workspace.issues
        ],
    }  # fmt: skip
