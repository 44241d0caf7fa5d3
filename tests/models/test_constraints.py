"""What the database itself refuses."""

import asyncpg
import pytest
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Integer
from sqlmodel import SQLModel

from models.base import classes_of_tables, secrets_of, table_of
from models.kernel import AuditLog
from models.migrations.tables import metadata, tenant_tables
from models.people.workspaces import Workspace
from models.plain import is_plain
from models.staff.agents import Agent, AgentRole
from models.staff.chats import Chat, Message
from models.staff.crews import Crew, CrewConnection
from models.staff.runs import Run, RunFrame
from tests.every import each_of
from tests.models.conftest import Seeded, undone
from tests.models.rows import Connection, insert, of
from tests.world import now

pytestmark = pytest.mark.anyio

TENANT_TABLES = {table.name for table in tenant_tables()}
WITHIN = [
    pytest.param(table.name, key, id=str(key.name))
    for table in tenant_tables()
    for key in sorted(table.foreign_key_constraints, key=lambda key: str(key.name))
    if len(key.column_keys) == 2
]
CLOSED = [
    pytest.param(table.name, column.name, id=f"{table.name}.{column.name}")
    for table in tenant_tables()
    for column in table.columns
    if any(isinstance(c, CheckConstraint) and c.name == f"{table.name}_{column.name}_check" for c in table.constraints)
]


COMPUTED = {f"{scope}_server_id": f"mcp_server_scope = '{scope}', mcp_server_id" for scope in ("workspace", "crew")}
"""Columns that the database makes of others: how one comes by a value."""


def models_by_table() -> dict[str, type[SQLModel]]:
    kinds = [kind for kind in classes_of_tables() if kind.__module__.startswith("models.")]  # none of a test
    return {table_of(kind).name: kind for kind in kinds}


def test_a_reference_to_a_tenants_row_holds_its_workspace_too() -> None:
    loose = [
        f"{table.name}.{key.column_keys}"
        for table in metadata().sorted_tables
        for key in table.foreign_key_constraints
        if key.referred_table.name in TENANT_TABLES and "workspace_id" not in key.column_keys
    ]
    assert loose == []
    assert WITHIN


@each_of(("table", "key"), WITHIN)
async def test_a_row_of_another_workspace_cannot_be_referred_to(
    seeded: Seeded, admin: Connection, table: str, key: ForeignKeyConstraint
) -> None:
    async with undone(admin):
        (column,) = [name for name in key.column_keys if name != "workspace_id"]
        models = models_by_table()
        rows = [row for row in seeded.ours[::-1] if isinstance(row, models[table])]
        own = next((row for row in rows if vars(row).get(column) is not None), rows[0])
        foreign = of(seeded.theirs, models[key.referred_table.name])
        (referred,) = [element.column.name for element in key.elements if element.parent.name == column]
        primary = [name.name for name in table_of(models[table]).primary_key]
        which = " AND ".join(f"{name} = ${place}" for place, name in enumerate(primary, 2))
        with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
            await admin.execute(
                f"UPDATE {table} SET {COMPUTED.get(column, column)} = $1 WHERE {which}",
                getattr(foreign, referred),
                *[getattr(own, name) for name in primary],
            )
        assert refused.value.constraint_name == key.name


@each_of(("table", "column"), CLOSED)
async def test_a_value_outside_a_closed_set_is_refused(admin: Connection, table: str, column: str) -> None:
    """A column that the database computes has no other values, because nobody can write it."""
    computed = table_of(models_by_table()[table]).c[column].computed is not None
    async with undone(admin):
        if computed:
            with pytest.raises(asyncpg.GeneratedAlwaysError):
                await admin.execute(f"UPDATE {table} SET {column} = 'anything else'")
            return
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await admin.execute(f"UPDATE {table} SET {column} = 'anything else'")
        assert refused.value.constraint_name == f"{table}_{column}_check"


def test_every_closed_set_is_held_by_a_check() -> None:
    held = {(param.values[0], param.values[1]) for param in CLOSED}
    declared = {
        (table, name)
        for table, model in models_by_table().items()
        if table in TENANT_TABLES
        for name, field in model.model_fields.items()
        if "StrEnum"
        in str(
            [getattr(kind, "__mro__", ()) for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))]
        )
    }
    sealed = {(table, name) for table, model in models_by_table().items() for name in secrets_of(model)}
    declared -= {("audit_logs", "actor_type")}  # tests/kernel/test_free_columns.py
    assert declared == {(table, column) for table, column in held if column != "id"} - sealed


def test_every_id_is_held_to_letters_that_need_no_escaping() -> None:
    free = {"audit_logs", "chats", "inbox_items", "mcp_registry_servers", "mcp_tool_calls", "runs"}
    keys = {
        table.name for table in metadata().sorted_tables if "id" in table.c and not isinstance(table.c.id.type, Integer)
    } - free
    assert {table.name for table in metadata().sorted_tables if "id" in table.c and is_plain(table.c.id)} == keys
    assert {table for table, column in [param.values for param in CLOSED] if column == "id"} == keys & TENANT_TABLES


@each_of("letter", ['"', "\\", "\n", "\x01", "é", " ", ""])
async def test_an_id_with_another_letter_is_refused(admin: Connection, letter: str) -> None:
    async with undone(admin):
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await admin.execute("UPDATE labels SET id = $1", letter and f"c{letter}d")
        assert refused.value.constraint_name == "labels_id_check"


async def test_what_answers_take_over_unescaped_is_held_by_the_database(admin: Connection) -> None:
    """Whatever the models say of a column, the database has to know it too."""
    in_force = {
        (row["relation"], row["name"])
        for row in await admin.fetch(
            "SELECT conrelid::regclass::text AS relation, conname AS name"
            " FROM pg_constraint AS held WHERE convalidated"
            " AND coalesce((to_jsonb(held) ->> 'conenforced')::boolean, true)"  # known from 18 on
        )
    }
    plain = [column for table in metadata().sorted_tables for column in table.columns if is_plain(column)]
    assert len(plain) > 80
    for column in plain:
        table = column.table
        own = {f"{table.name}_{column.name}_check"} | {
            str(key.name) for key in table.foreign_key_constraints if column in list(key.columns)
        }
        assert any((table.name, name) in in_force for name in own), column


def test_text_that_users_write_is_escaped() -> None:
    assert not any(is_plain(table_of(Crew).c[name]) for name in ("name", "slug", "description", "icon"))
    assert not any(
        is_plain(column)
        for column in (
            table_of(Chat).c.id,
            table_of(Message).c.chat_id,
            table_of(Run).c.id,
            table_of(RunFrame).c.run_id,
        )
    )
    assert not is_plain(table_of(AuditLog).c.entity_id), "refers to nothing that the database knows of"


async def test_a_crew_has_one_live_lead(seeded: Seeded, admin: Connection) -> None:
    crew, lead = of(seeded.ours, Crew), of(seeded.ours, Agent)
    second = Agent(workspace_id=seeded.our_id, crew_id=crew.id, name="Second", slug="second", agent_role=AgentRole.LEAD)
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        async with admin.transaction():
            await insert(admin, second)
    assert refused.value.constraint_name == "agents_crew_id_lead_key"

    await admin.execute("UPDATE agents SET deleted_at = $1 WHERE id = $2", now(), lead.id)
    await insert(admin, second)


async def test_a_slug_is_free_again_after_its_row_is_deleted(seeded: Seeded, admin: Connection) -> None:
    crew = of(seeded.ours, Crew)
    same = Crew(workspace_id=seeded.our_id, name="Same", slug=crew.slug)
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        async with admin.transaction():
            await insert(admin, same)
    assert refused.value.constraint_name == "crews_workspace_id_slug_key"

    await admin.execute("UPDATE crews SET deleted_at = $1 WHERE id = $2", now(), crew.id)
    await insert(admin, same)


async def test_a_crew_is_not_connected_to_itself(seeded: Seeded, admin: Connection) -> None:
    crew = of(seeded.ours, Crew)
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await insert(admin, CrewConnection(workspace_id=seeded.our_id, from_crew_id=crew.id, to_crew_id=crew.id))
    assert refused.value.constraint_name == "crew_connections_two_crews_check"


async def test_a_removed_workspace_leaves_no_row_and_takes_no_other(seeded: Seeded, admin: Connection) -> None:
    await admin.execute("DELETE FROM workspaces WHERE id = $1", seeded.our_id)
    for table in tenant_tables():
        left = {row[0] for row in await admin.fetch(f"SELECT DISTINCT workspace_id FROM {table.name}")}
        assert left == {seeded.their_id}, table.name


def test_the_seed_has_a_row_of_every_tenant_table(seeded: Seeded) -> None:
    assert {table_of(type(row)).name for row in seeded.ours} >= TENANT_TABLES
    assert of(seeded.ours, Workspace).id == seeded.our_id


def test_a_connections_id_is_a_prefix_and_16_hex_digits() -> None:
    made = CrewConnection(workspace_id="w", from_crew_id="a", to_crew_id="b").id
    assert made.startswith("cc_")
    assert len(bytes.fromhex(made.removeprefix("cc_"))) == 8


async def test_the_database_holds_what_is_stored_to_its_bounds(seeded: Seeded, admin: Connection) -> None:
    for change in ("name = repeat('a', 201)", "description = repeat('é', 10001)"):
        with pytest.raises(asyncpg.StringDataRightTruncationError):
            async with admin.transaction():
                await admin.execute(f"UPDATE crews SET {change}")
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        async with admin.transaction():
            await admin.execute("UPDATE crews SET allowed_domains = to_jsonb(repeat('a', 1100000))")
    assert refused.value.constraint_name == "crews_size_check"
    await admin.execute("UPDATE crews SET description = repeat(U&'\\+01F600', 10000)")
