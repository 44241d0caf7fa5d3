"""Rows of the audit log have no reference to their workspace: they go with one that is removed all the same."""

import asyncio

import asyncpg
import pytest

from models.kernel import AuditLog
from models.people.workspaces import Workspace
from models.staff.crews import Crew
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.oversight.audit import seals
from tests.oversight.audit.test_chain import EVERYTHING, faults, world_dsn
from tests.world import World

pytestmark = pytest.mark.anyio
REMOVE = "DELETE FROM workspaces WHERE id = $1"
LEFT = "SELECT count(*) FROM audit_logs WHERE workspace_id = $1"
SCOPE = "SELECT coalesce(current_setting('crewship.workspaces', true), '')"
ENTRY = (
    "INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, data)"
    " VALUES ($1, $2, 'system', 'create', 'AGENT', '{}')"
)


async def founded(world: World, slug: str) -> tuple[str, str]:
    """The ids of a workspace and its crew."""
    place = Workspace(name=slug, slug=slug)
    crew = Crew(workspace_id=place.id, name="Engine", slug="engine")
    await world.add(place, crew)
    return place.id, crew.id


async def test_they_go_with_the_workspace_and_others_stay(world: World) -> None:
    place, _ = await founded(world, "removed")
    for id in (place, world.workspace.id):
        await world.add(AuditLog(workspace_id=id, action="create", entity_type="AGENT"))
    before = await world.database.fetchval(LEFT, world.workspace.id)
    scope = await world.database.fetchval(SCOPE)
    async with world.database.transaction():
        await world.database.execute(REMOVE, place)
        assert await world.database.fetchval(SCOPE) == scope
    assert await world.database.fetchval(LEFT, place) == 0
    assert await world.database.fetchval(LEFT, world.workspace.id) == before


async def test_the_service_can_remove_no_workspace_that_has_entries(world: World) -> None:
    place, _ = await founded(world, "kept")
    await world.database.execute(ENTRY, "kept", place)
    service = await asyncpg.connect(world_dsn(world), server_settings=EVERYTHING)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(REMOVE, place)
    finally:
        await service.close()
    assert await world.database.fetchval(LEFT, place) == 1


async def test_a_change_under_way_leaves_no_row(world: World) -> None:
    """The removal waits for the change, and its row of the log goes, too."""
    place, crew = await founded(world, "under-way")
    writer = await asyncpg.connect(world_dsn(world), server_settings=EVERYTHING)
    try:
        await writer.execute("BEGIN")
        await writer.execute("UPDATE crews SET description = 'changed' WHERE id = $1", crew)
        await writer.execute(ENTRY, "late", place)
        removing = asyncio.ensure_future(world.database.execute(REMOVE, place))
        await asyncio.sleep(0.3)
        assert not removing.done()
        await writer.execute("COMMIT")
        await removing
    finally:
        await writer.close()
    assert await world.database.fetchval(LEFT, place) == 0


async def test_a_row_that_is_left_keeps_no_other_from_being_sealed(world: World) -> None:
    await world.database.execute("DELETE FROM audit_logs; DELETE FROM audit_seals")
    await world.database.execute(ENTRY, "left", "cgone")
    await world.database.execute(ENTRY, "here", world.workspace.id)
    await seals.seal(across_workspaces)
    sealed = await world.database.fetch("SELECT workspace_id, rows FROM audit_seals")
    assert [tuple(row) for row in sealed] == [(world.workspace.id, 1)]
    texts, found = await faults(world)
    assert (texts, found.rows) == ([], 1)
