"""The policies alone, without any condition of ours, keep tenants apart."""

from typing import Any

import asyncpg
import pytest

from models.attention.notifications import Notification
from models.base import new_id, table_of
from models.migrations import upgrade
from models.migrations.grants import granted
from models.migrations.row_security import OPEN, POLICY
from models.migrations.tables import metadata, owned_tables, secured_tables, tenant_tables
from models.people.auth import User
from models.people.workspaces import Membership, Role
from models.staff.feedback import FeedbackSignal, MessageFeedback
from models.work.labels import Label
from resolvers.kernel.store.connection import SESSION
from tests.conftest import Database
from tests.every import each_of
from tests.models.conftest import Seeded, undone
from tests.models.rows import Connection, insert, of, workspace_rows

pytestmark = pytest.mark.anyio

TABLES = [table.name for table in tenant_tables()]


async def act_for(connection: Connection, *workspaces: str, user: str = "") -> None:
    await connection.execute(
        "SELECT set_config('crewship.workspaces', $1, true)", ",".join(workspaces) or (f"@{user}" if user else "")
    )


async def seen(connection: Connection, table: str) -> set[str]:
    return {row[0] for row in await connection.fetch(f"SELECT DISTINCT workspace_id FROM {table}")}


async def switches(connection: Connection) -> dict[str, tuple[bool, bool]]:
    rows = await connection.fetch(
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = ANY ($1)", TABLES
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def policies(connection: Connection) -> dict[str, tuple[str, str]]:
    rows = await connection.fetch("SELECT tablename, qual, with_check FROM pg_policies WHERE policyname = $1", POLICY)
    return {row[0]: (row[1], row[2]) for row in rows}


async def test_every_tenant_table_is_locked_for_its_owner_too(seeded: Seeded) -> None:
    assert await switches(seeded.admin) == dict.fromkeys(TABLES, (True, True))
    assert set(await policies(seeded.admin)) == {
        *TABLES,
        *owned_tables(),
        "events",
        "idempotency_keys",
        "chat_presence",
        "data_keys",
        "notifications",
    }


async def test_every_table_of_the_database_is_locked_or_says_why_not(seeded: Seeded) -> None:
    rows = await seeded.admin.fetch(
        """
        SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS locked,
            EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = $1) AS judged
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    """,
        POLICY,
    )
    open = {row["name"] for row in rows if not (row["locked"] and row["judged"])} - {"alembic_version"}
    assert open == OPEN.keys()
    assert all(OPEN.values()), "why"
    assert {table.name for table in secured_tables()} == metadata().tables.keys() - OPEN.keys()


@each_of("table", TABLES)
async def test_nobody_sees_or_changes_a_row(application: Connection, table: str) -> None:
    async with undone(application):
        assert await seen(application, table) == set()
        for right, statement in (
            ("DELETE", f"DELETE FROM {table}"),
            ("UPDATE", f"UPDATE {table} SET workspace_id = workspace_id"),
        ):
            if right in granted(table).rights:
                assert await application.execute(statement) == f"{right} 0"
                continue
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
                async with application.transaction():
                    await application.execute(statement)


async def test_a_person_sees_and_writes_their_own_rows_wherever_they_are(
    seeded: Seeded, application: Connection
) -> None:
    mine, theirs = User(email="one@example.org"), User(email="other@example.org")
    for user in (mine, theirs):
        await insert(seeded.admin, user)
        for workspace_id in (seeded.our_id, seeded.their_id):
            await insert(seeded.admin, _feedback(user, workspace_id))
    assert await seen(application, "message_feedback") == set()
    await act_for(application, user=mine.id)
    rows = await application.fetch("SELECT user_id, workspace_id FROM message_feedback")
    assert {tuple(row) for row in rows} == {(mine.id, seeded.our_id), (mine.id, seeded.their_id)}
    await insert(application, _feedback(mine, seeded.their_id))
    assert await application.execute("DELETE FROM message_feedback") == "DELETE 3"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await insert(application, _feedback(theirs, seeded.our_id))
    await seeded.admin.execute("DELETE FROM message_feedback")
    await seeded.admin.execute("DELETE FROM users WHERE id = ANY ($1)", [mine.id, theirs.id])


async def test_a_notification_is_seen_by_its_person_and_where_it_came_from(
    seeded: Seeded, application: Connection
) -> None:
    mine, theirs = User(email="told@example.org"), User(email="untold@example.org")
    await insert(seeded.admin, mine, theirs)
    here, there = _notification(mine, seeded.our_id), _notification(mine, seeded.their_id)
    await insert(seeded.admin, here, there, _notification(theirs, seeded.their_id))
    for scope, found in (
        ({}, 0), ({"user": mine.id}, 2), ({"user": theirs.id}, 1), ({"user": ""}, 0), ({"user": mine.id[:-1]}, 0),
    ):  # fmt: skip
        await act_for(application, **scope)
        assert await application.fetchval("SELECT count(*) FROM notifications") == found, scope
    await act_for(application, seeded.our_id)
    assert [row["id"] for row in await application.fetch("SELECT id FROM notifications")] == [here.id]
    await insert(application, _notification(theirs, seeded.our_id))  # who does something here tells anybody
    for refused in (_notification(theirs, seeded.their_id), _notification(mine, seeded.their_id)):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with application.transaction():
                await insert(application, refused)
    await act_for(application, user=mine.id)
    assert await application.execute("UPDATE notifications SET read_at = now()") == "UPDATE 2"
    assert await application.execute("DELETE FROM notifications WHERE id = $1", here.id) == "DELETE 1"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await application.execute("UPDATE notifications SET user_id = $1", theirs.id)


def _notification(user: User, workspace_id: str) -> Notification:
    by: dict[str, Any] = {"actor_type": "system", "actor_id": "x", "action": "assigned", "entity_type": "issue"}
    return Notification(user_id=user.id, from_workspace_id=workspace_id, **by)


def _feedback(user: User, workspace_id: str) -> MessageFeedback:
    return MessageFeedback(
        user_id=user.id, workspace_id=workspace_id, message_id=new_id(), signal=FeedbackSignal.helpful
    )


@each_of("table", TABLES)
async def test_nobody_inserts_a_row(seeded: Seeded, application: Connection, table: str) -> None:
    async with undone(application):
        row = next(row for row in workspace_rows("new") if table_of(type(row)).name == table)
        row.__dict__["workspace_id"] = seeded.our_id
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await insert(application, row)


@each_of("table", TABLES)
async def test_a_caller_sees_the_rows_of_the_set_workspaces(
    seeded: Seeded, application: Connection, table: str
) -> None:
    async with undone(application):
        ours, theirs = seeded.our_id, seeded.their_id
        for workspaces, expected in (
            ([ours], {ours}),
            ([theirs], {theirs}),
            ([ours, theirs], {ours, theirs}),
            (["*"], {ours, theirs}),
            ([ours[:-1]], set()),
        ):
            await act_for(application, *workspaces)
            assert await seen(application, table) == expected, workspaces


async def test_an_earlier_workspace_is_forgotten(seeded: Seeded, application: Connection) -> None:
    statement = await application.prepare("SELECT DISTINCT workspace_id FROM labels")
    for _ in range(12):  # past the point where PostgreSQL turns to a generic plan
        for workspace in (seeded.our_id, seeded.their_id):
            await act_for(application, workspace)
            assert [row[0] for row in await statement.fetch()] == [workspace]


async def test_a_row_is_not_written_into_another_workspace(seeded: Seeded, application: Connection) -> None:
    await act_for(application, seeded.our_id)
    await insert(application, Label(workspace_id=seeded.our_id, name="calm", color="blue"))
    for statement in (
        "INSERT INTO labels SELECT 'l', $1, 'x', 'x', NULL, 1, now(), now()",
        "UPDATE labels SET workspace_id = $1",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with application.transaction():
                await application.execute(statement, seeded.their_id)


async def test_a_user_sees_the_own_memberships_and_makes_none(seeded: Seeded, application: Connection) -> None:
    user = of(seeded.ours, User)
    await act_for(application, user=user.id)
    assert await seen(application, "memberships") == {seeded.our_id}
    assert await seen(application, "invitations") == set()
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await insert(application, Membership(workspace_id=seeded.their_id, user_id=user.id, role=Role.OWNER))


async def test_a_policy_compares_with_one_workspace_first_and_leaves_the_indexes_in_use(
    seeded: Seeded, application: Connection
) -> None:
    await act_for(application, seeded.our_id)
    await application.execute("SET LOCAL enable_seqscan = off")
    await application.execute(f"SET LOCAL random_page_cost = {SESSION['random_page_cost']}")  # as the service has it
    query = (
        f"SELECT name FROM crews WHERE workspace_id = '{seeded.our_id}'"
        " AND deleted_at IS NULL ORDER BY created_at DESC, id DESC"
    )
    plan = [row[0] for row in await application.fetch(f"EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF) {query}")]
    text = "\n".join(plan)
    assert "Index Scan Backward using crews_workspace_id_created_at_id_idx" in text
    assert "Sort" not in text
    (per_row,) = [line for line in plan if "Filter:" in line]
    assert "workspace_id = current_setting(" in per_row
    # only rows of other workspaces come to ANY
    assert per_row.index("workspace_id = current_setting(") < per_row.index("ANY")
    assert all("loops=1)" in line for line in plan if "rows=" in line)


async def test_security_is_switched_off_and_on_again(database: Database) -> None:
    admin = await asyncpg.connect(database.server.dsn("postgres", database.name))
    application = await asyncpg.connect(database.url)
    try:
        await insert(admin, *workspace_rows("ours"))
        before = await policies(admin)
        await upgrade(database.owner_url, row_level_security=False)
        assert await switches(admin) == dict.fromkeys(TABLES, (False, False))
        assert await application.fetchval("SELECT count(*) FROM crews") == 2
        await upgrade(database.owner_url)
        assert await switches(admin) == dict.fromkeys(TABLES, (True, True))
        assert await application.fetchval("SELECT count(*) FROM crews") == 0
        assert await policies(admin) == before
    finally:
        await application.close()
        await admin.close()


async def test_a_lost_or_outdated_policy_is_made_anew(database: Database) -> None:
    admin = await asyncpg.connect(database.server.dsn("postgres", database.name))
    try:
        before = await policies(admin)
        await admin.execute(f"DROP POLICY {POLICY} ON crews")
        await admin.execute(
            f"DROP POLICY {POLICY} ON agents; CREATE POLICY {POLICY} ON agents USING (true);"
            " ALTER TABLE labels NO FORCE ROW LEVEL SECURITY"
        )
        await upgrade(database.owner_url)
        assert await policies(admin) == before
        assert (await switches(admin))["labels"] == (True, True)
    finally:
        await admin.close()
