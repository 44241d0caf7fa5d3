"""Fills the service's schema with the same rows, by its tables, and says how its process is told where they are."""

import asyncio
import os
import pickle
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bench.dataset import CREWS, DESCRIPTION, DEVCONTAINER, DOMAINS, ISSUES, MCP_CONFIG, PROMPT, Workspace
from bench.environment import CHECKOUT, DIRECTORY
from bench.postgres import OWNER, ROLE, Cluster
from models.base import Row, table_of
from models.migrations import upgrade
from models.migrations.row_security import apply_row_security
from models.people import auth
from models.people import workspaces as tenancy
from models.staff import agents, crews

DATABASE = "product"
DATABASE_BEFORE = "product_before"
BEFORE = Path(os.environ["BEFORE"]).resolve() if os.environ.get("BEFORE") else None
"""Another checkout of the service, with an environment of its own in `.venv`, to be measured in the same run."""

# Made once a run: a database remembers the fingerprints of the keys it was first served with.
KEYS = {
    name: secrets.token_hex(32)
    for name in ("NEXTAUTH_SECRET", "ENCRYPTION_KEY", "CREWSHIP_ADMIN_TOKEN_HMAC_KEY", "CREWSHIP_INTERNAL_TOKEN")
}
UNLIMITED = str(10**9)


METRICS_TOKEN, METRICS_KEY = "CREWSHIP_METRICS_TOKEN", secrets.token_hex(16)


def variables(cluster: Cluster, database: str, port: int, pool_size: int) -> dict[str, str]:
    """The environment of a `crewship serve`: all as shipped, with limits that one address and one user cannot reach."""
    return {
        **KEYS,
        "DATABASE_URL": cluster.url(database),
        "CREWSHIP_MIGRATION_DATABASE_URL": cluster.url(database, OWNER),
        "CREWSHIP_POOL_SIZE": str(pool_size),
        "CREWSHIP_HOST": "127.0.0.1",
        "CREWSHIP_PORT": str(port),
        "CREWSHIP_DATA_DIR": str(DIRECTORY / "data" / database),
        "CREWSHIP_RATELIMIT_API": UNLIMITED,
        "CREWSHIP_MAX_SOCKETS_PER_USER": UNLIMITED,
        METRICS_TOKEN: METRICS_KEY,
    }


def seed(cluster: Cluster, dataset: list[Workspace]) -> None:
    cluster.create(DATABASE)
    asyncio.run(_seed(cluster.url(DATABASE, OWNER), dataset))


def seed_before(cluster: Cluster, dataset: list[Workspace]) -> None:
    """As the other checkout does it, with the same rows."""
    assert BEFORE is not None
    seed_apart(cluster, dataset, DATABASE_BEFORE, BEFORE)


def seed_apart(cluster: Cluster, dataset: list[Workspace], database: str, checkout: Path = CHECKOUT) -> None:
    """In a process of its own: in the one that has seeded, the bench's own table counts as the product's."""
    script = (
        "import pickle, sys; from bench import product; cluster, rows = pickle.load(sys.stdin.buffer); "
        f"product.DATABASE = '{database}'; product.seed(cluster, rows)"
    )
    python = sys.executable if checkout == CHECKOUT else str(checkout / ".venv" / "bin" / "python")
    subprocess.run([python, "-c", script], cwd=checkout, input=pickle.dumps((cluster, dataset)), check=True)


async def _seed(url: str, dataset: list[Workspace]) -> None:
    await upgrade(url, application_role=ROLE)
    # from here on the table counts as one of the product's: it must exist when they are secured
    from bench.issues import create_table

    settings = {"crewship.workspaces": "*"}  # the rows of every tenant, past row-level security
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url, server_settings=settings),
        poolclass=NullPool,
    )
    async with engine.begin() as connection:
        await connection.run_sync(create_table)
        await connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON bench_issues TO {ROLE}"))
        for workspace in dataset:
            for rows in _rows(workspace):
                await connection.execute(insert(table_of(type(rows[0]))), [vars(row) for row in rows])
    await engine.dispose()
    owner = await asyncpg.connect(url)
    await apply_row_security(owner, True)
    await owner.close()


def _rows(workspace: Workspace) -> list[Sequence[Row]]:
    """Rows of one table each, in the order in which foreign keys allow them."""
    role = tenancy.Role
    return [
        [tenancy.Workspace(id=workspace.id, name=workspace.name, slug=workspace.slug)],
        [auth.User(id=user.id, email=user.email, full_name=user.full_name) for user in workspace.users],
        [tenancy.Membership(workspace_id=workspace.id, user_id=user.id, role=role.ADMIN) for user in workspace.users],
        [
            auth.CliToken(id=user.token_id, user_id=user.id, name="bench", token_hash=user.token_hash.hex())
            for user in workspace.users
        ],
        _crews(workspace),
        [
            crews.CrewMember(workspace_id=workspace.id, crew_id=crew.id, user_id=user.id)
            for crew, user in workspace.members
        ],
        _agents(workspace),
        _issues(workspace),
    ]


def _crews(workspace: Workspace) -> list[crews.Crew]:
    owner = workspace.users[0]
    return [
        crews.Crew(
            id=crew.id,
            workspace_id=workspace.id,
            name=crew.name,
            slug=crew.slug,
            description=DESCRIPTION,
            color="#3b82f6",
            icon="rocket",
            avatar_style="bottts",
            container_memory_mb=2048,
            container_cpus=1.5,
            container_ttl_hours=24,
            allowed_domains=list(DOMAINS),
            runtime_image="debian:13",
            devcontainer_config=DEVCONTAINER,
            mcp_config_json=MCP_CONFIG,
            issue_prefix=crew.issue_prefix,
            issue_counter=ISSUES // CREWS,
            created_by=owner.id,
            created_at=crew.created_at,
            updated_at=crew.created_at,
        )
        for crew in workspace.crews
    ]


def _agents(workspace: Workspace) -> list[agents.Agent]:
    return [
        agents.Agent(
            id=agent.id,
            workspace_id=workspace.id,
            crew_id=crew.id,
            name=agent.name,
            slug=agent.slug,
            description="Does the work it is asked to do.",
            role_title="Engineer",
            agent_role=agents.AgentRole.LEAD if agent.lead else agents.AgentRole.AGENT,
            status=agents.AgentStatus(agent.status),
            cli_adapter=agents.CliAdapter.CODEX_CLI,
            llm_provider=agents.LlmProvider.OPENAI,
            llm_model="model-large",
            system_prompt=PROMPT,
            tool_profile=agents.ToolProfile.FULL,
            memory_enabled=True,
            created_at=agent.created_at,
            updated_at=agent.created_at,
        )
        for crew in workspace.crews
        for agent in crew.agents
    ]


def _issues(workspace: Workspace) -> Sequence[Row]:
    from bench.issues import BenchIssue

    return [
        BenchIssue(
            id=issue.id,
            workspace_id=workspace.id,
            crew_id=issue.crew_id,
            number=issue.number,
            identifier=issue.identifier,
            title=issue.title,
            description="text " * 20,
            priority="medium",
            created_by=issue.created_by,
        )
        for issue in workspace.issues
    ]
