"""Whose an account is: it goes with a person only where the workspace made it, and they agreed to belong there."""

from typing import Any

import pytest

from models.people.workspaces import Membership, Role, Workspace
from resolvers.kernel.writing.context import Context
from resolvers.kernel.writing.persons import belongs_elsewhere
from tests.oversight.admin.test_archive import Doing
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio


async def erased(world: World, by: Person, person: Person, workspace: Workspace) -> Any:
    path = f"/api/v1/admin/users/{person.user_id}/erase"
    answer = await world.rest(by, "POST", path, {"reason": "asked"}, workspace=workspace.id)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("founded", "accepted", "whole"),
    [("here", True, True), ("here", False, False), ("elsewhere", True, False), (None, True, False)],
)
async def test_an_account_goes_only_where_it_was_made(
    world: World, founded: str | None, accepted: bool, whole: bool
) -> None:
    """Of a person who belongs to no other workspace."""
    person = await world.person(f"made-{founded}-{accepted}".lower(), None)
    place = {"here": world.workspace.id, "elsewhere": world.other.id, None: None}[founded]
    await world.database.execute("UPDATE users SET founded_in = $2 WHERE id = $1", person.user_id, place)
    added = await world.rest(
        world.admin, "POST", f"/api/v1/workspaces/{world.workspace.id}/members", {"user_id": person.user_id}
    )
    assert added.status_code == 201
    if accepted:
        path = f"/api/v1/workspaces/{world.workspace.id}/members/accept"
        assert (await world.rest(person, "POST", path)).status_code == 200
    receipt = await erased(world, world.admin, person, world.workspace)
    assert receipt["account_deleted"] is whole
    left = await world.rest(person, "GET", "/api/v1/workspaces", workspace=None)
    assert left.status_code == (401 if whole else 200)
    assert await world.database.fetchval("SELECT count(*) FROM memberships WHERE user_id = $1", person.user_id) == 0


async def test_a_read_without_a_connection_knows_who_belongs_elsewhere(world: World) -> None:
    person = await world.person("two", Role.MEMBER)
    await world.add(
        Membership(user_id=person.user_id, workspace_id=world.other.id, role=Role.MEMBER, accepted_at=now())
    )

    async def look(ctx: Context) -> tuple[bool, bool]:
        assert ctx.conn is None
        return await belongs_elsewhere(ctx, person.user_id), await belongs_elsewhere(ctx, world.viewer.user_id)

    assert await Doing(world.workspace.id).read(look) == (True, False)
