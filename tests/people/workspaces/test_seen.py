"""Since when the caller has not looked: `markSeen` and `lastSeenAt`, of one person in one workspace."""

from typing import Any

import pytest

from tests.world import Person, World

pytestmark = pytest.mark.anyio
LOOK = "{ viewer { lastSeenAt } workspace(id: %s) { lastSeenAt } }"
MARK = "mutation($ws: ID) { markSeen(workspaceId: $ws) { seenAt lastSeenAt } }"


async def look(world: World, person: Person) -> tuple[Any, Any]:
    answer = await world.graphql(person, LOOK % f'"{world.workspace.id}"')
    assert "errors" not in answer, answer
    return answer["data"]["viewer"]["lastSeenAt"], answer["data"]["workspace"]["lastSeenAt"]


async def mark(world: World, person: Person) -> dict[str, Any]:
    answer = await world.graphql(person, MARK)
    assert "errors" not in answer, answer
    return answer["data"]["markSeen"]  # type: ignore[no-any-return]


async def test_a_visit_says_when_the_one_before_was(world: World) -> None:
    assert await look(world, world.viewer) == (None, None)
    first = await mark(world, world.viewer)
    assert first["lastSeenAt"] is None
    assert await look(world, world.viewer) == (first["seenAt"], first["seenAt"])
    second = await mark(world, world.viewer)
    assert second["lastSeenAt"] == first["seenAt"]
    assert second["seenAt"] >= first["seenAt"]


async def test_others_see_nothing_of_it(world: World) -> None:
    """Neither is it an edit of the membership, nor is it told."""
    stands = "SELECT updated_at FROM memberships WHERE workspace_id = $1 AND user_id = $2"
    of = world.workspace.id, world.member.user_id
    before, events = await world.database.fetchval(stands, *of), len(await world.events())
    audit = len(await world.audit())
    await mark(world, world.member)
    assert await world.database.fetchval(stands, *of) == before
    assert (len(await world.events()), len(await world.audit())) == (events, audit)
    assert await look(world, world.owner) == (None, None)
