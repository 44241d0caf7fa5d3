"""What a foreign key would do when a row goes, where rows are only marked: which command does it, or why none does."""

from typing import Any

import asyncpg
import pytest
from sqlmodel import SQLModel

import rest_compat.http.routes  # noqa: F401  (loads every domain, and so every table)
from models.base import table_of
from models.people.workspaces import Workspace
from models.resources.credentials import Credential
from models.resources.integrations import CrewIntegration
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.identity.caller import Caller
from resolvers.kernel.declarations.operation import OPERATIONS
from tests.models.rows import insert, of, workspace_rows
from tests.world import World

pytestmark = pytest.mark.anyio

CLEARED, GONE, KEPT = "the column is null", "no row is left", "the row stays as it is"
HISTORY = "it tells what was, and is read with its own row"
HIDDEN = "it is read with the row alone, which is not found any more"
ASKED = "whoever uses it asks whether the row is live"
OPERATION = {
    "credentials": ("credentials.delete", Credential),
    "agents": ("agents.delete", Agent),
    "crews": ("crews.delete", Crew),
    "crew_integrations": ("crew_integrations.delete", CrewIntegration),
}
EFFECTS: dict[tuple[str, str, str], tuple[str, str]] = {
    ("credentials", "agent_mcp_bindings", "credential_id"): (CLEARED, "no server is called with it (contract)"),
    ("credentials", "agent_credentials", "credential_id"): (KEPT, "listed until the name is used again (contract)"),
    ("credentials", "credential_bindings", "credential_id"): (KEPT, "listed until removed (contract)"),
    ("credentials", "credential_crews", "credential_id"): (KEPT, HIDDEN),
    ("credentials", "credential_fields", "credential_id"): (GONE, "no value is left"),
    ("credentials", "credential_events", "credential_id"): (KEPT, HISTORY),
    ("credentials", "credential_rotations", "credential_id"): (KEPT, HISTORY),
    ("credentials", "escalations", "credential_id"): (KEPT, HISTORY),
    ("credentials", "oauth_states", "credential_id"): (KEPT, ASKED),
    ("agents", "agent_avatars", "agent_id"): (GONE, "a deleted agent has no picture"),
    ("agents", "agent_credentials", "agent_id"): (KEPT, HIDDEN),
    ("agents", "credential_bindings", "agent_id"): (KEPT, HIDDEN),
    ("agents", "agent_mcp_bindings", "agent_id"): (KEPT, "a server that was one agent's is not given to all"),
    ("agents", "agent_skills", "agent_id"): (KEPT, HIDDEN),
    ("agents", "approval_gates", "agent_id"): (KEPT, HIDDEN),
    ("agents", "budgets", "agent_id"): (KEPT, HISTORY),
    ("agents", "notification_channel_agents", "agent_id"): (KEPT, ASKED),
    ("agents", "peer_cards", "agent_id"): (KEPT, HIDDEN),
    ("agents", "routine_runs", "invoking_agent_id"): (KEPT, HISTORY),
    ("agents", "routines", "author_agent_id"): (KEPT, ASKED),
    ("crews", "routines", "author_crew_id"): (KEPT, ASKED),
    ("routines", "routine_runs", "routine_id"): (KEPT, HISTORY),
    ("crews", "memory_texts", "crew_id"): (KEPT, ASKED),
    ("agents", "memory_texts", "agent_id"): (KEPT, ASKED),
    ("crews", "memory_proposals", "crew_id"): (KEPT, ASKED),
    ("routines", "routine_schedules", "routine_id"): (KEPT, "listed until removed (contract); nothing runs"),
    ("routines", "routine_schedules", "wake_routine_id"): (KEPT, ASKED),
    ("routines", "routine_webhooks", "routine_id"): (KEPT, "listed until removed (contract); nothing runs"),
    ("crews", "routine_schedules", "crew_id"): (KEPT, ASKED),
    ("routine_schedules", "routine_runs", "schedule_id"): (KEPT, HISTORY),
    ("routine_webhooks", "routine_deliveries", "webhook_id"): (KEPT, HIDDEN),
    ("routine_webhooks", "routine_runs", "webhook_id"): (KEPT, HISTORY),
    **{
        ("routines", f"routine_{part}", "routine_id"): (KEPT, HIDDEN)
        for part in ("versions", "trust_grants", "state", "step_overrides")
    },
    ("agents", "triage_rules", "assignee_id"): (KEPT, ASKED),
    ("crews", "approval_gates", "crew_id"): (KEPT, HIDDEN),
    ("crews", "budgets", "crew_id"): (KEPT, HISTORY),
    ("crews", "chat_attachments", "crew_id"): (GONE, "its files are removed"),
    ("crews", "credential_bindings", "crew_id"): (KEPT, ASKED),
    ("crews", "credential_crews", "crew_id"): (KEPT, ASKED),
    ("crews", "crew_connections", "from_crew_id"): (KEPT, "connections are left as they are (contract)"),
    ("crews", "crew_connections", "to_crew_id"): (KEPT, "connections are left as they are (contract)"),
    ("crews", "crew_integrations", "crew_id"): (KEPT, HIDDEN),
    ("crews", "crew_members", "crew_id"): (GONE, "memberships are removed for good (contract)"),
    ("crews", "hooks", "crew_id"): (KEPT, "listed until removed (contract); no work of the crew is left"),
    ("crews", "recurring_issues", "crew_id"): (KEPT, ASKED),
    ("crews", "skill_proposals", "crew_id"): (KEPT, HIDDEN),
    ("crews", "routine_runs", "invoking_crew_id"): (KEPT, HISTORY),
    ("crews", "triage_rules", "crew_id"): (KEPT, ASKED),
    ("crews", "runners", "crew_id"): (GONE, "a runner ends with its crew (docs/runners.md)"),
    ("agents", "runners", "agent_id"): (GONE, "a runner ends with its agent (docs/runners.md)"),
    ("crew_integrations", "agent_mcp_bindings", "crew_server_id"): (GONE, "bindings are removed (contract)"),
    ("crew_integrations", "tool_bindings", "crew_integration_id"): (KEPT, HIDDEN),
}


def keys() -> set[tuple[str, str, str]]:
    """Foreign keys with an effect of their own on a table whose rows are only marked; of workspaces, which no operation
    deletes, none.
    """
    found = set[tuple[str, str, str]]()
    for table in SQLModel.metadata.tables.values():
        for key in table.foreign_key_constraints:
            parent = key.referred_table
            if "deleted_at" in parent.c and key.ondelete not in (None, "NO ACTION", "RESTRICT"):
                named = next(column.name for column in reversed(list(key.columns)))
                found.add((parent.name, table.name, named))
    return {key for key in found if key[0] != table_of(Workspace).name}


def test_every_such_key_is_said() -> None:
    assert keys() == set(EFFECTS)
    # Rows of a deleted workspace stay as they are: no caller reaches it, and an owner can restore it.
    assert {"workspaces.delete", "workspaces.restore"} <= OPERATIONS.keys()


@pytest.mark.parametrize("parent", OPERATION)
async def test_the_command_does_what_is_said(parent: str, world: World, module_database: Any) -> None:
    rows = workspace_rows(f"soft-{parent.replace('_', '-')}")
    server = await asyncpg.connect(module_database.server.dsn("postgres", module_database.name))
    try:
        await insert(server, *rows)
        await carried_out(server, parent, rows)
    finally:
        await server.close()


async def carried_out(server: asyncpg.Connection, parent: str, rows: list[SQLModel]) -> None:
    name, model = OPERATION[parent]
    target: Any = [row for row in rows if isinstance(row, model)][
        -1 if model is Agent else 0
    ]  # the agent that has it all
    parts: dict[tuple[str, str], list[Any]] = {}
    for (of_parent, child, column), _ in EFFECTS.items():
        if of_parent == parent:
            ids = await server.fetch(f"SELECT ctid FROM {child} WHERE {column} = $1", target.id)
            parts[child, column] = list(ids)
    raw = {"id": target.id, "integration_id": target.id, "crew_id": getattr(target, "crew_id", "")}
    op = OPERATIONS[name]
    place = str(of(rows, Workspace).id)
    kept = {field: value for field, value in raw.items() if field in op.input.model_fields}
    await op(Caller.service("test", place), kept, place=place)
    looked = 0
    for (child, column), before in parts.items():
        effect, _ = EFFECTS[parent, child, column]
        left = await server.fetchval(f"SELECT count(*) FROM {child} WHERE {column} = $1", target.id)
        looked += bool(before)
        assert left >= len(before) if effect is KEPT else left == 0, f"{child}.{column}: {effect}"
    assert looked, "there was nothing to see"
    with_effect = [key[1:] for key, (effect, _) in EFFECTS.items() if key[0] == parent and effect is not KEPT]
    assert all(parts[key] for key in with_effect), "an effect has a row to show it"
