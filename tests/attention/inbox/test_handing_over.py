"""What needs attention is handed over to a member: it leaves the lists of the others until it is taken back."""

from typing import Any

import pytest

from models.people.workspaces import Role
from tests.attention.inbox.test_attention_events import FOLLOW, House, entry
from tests.live.graphql import Talk, talking
from tests.world import Person

pytestmark = pytest.mark.anyio
HAND = """mutation($ws: ID, $id: String!, $to: ID!, $note: String) {
    handOverAttention(workspaceId: $ws, input: {entry: $id, userId: $to, note: $note}) { entry userId } }"""
BACK = "mutation($ws: ID, $id: String!) { takeBackAttention(workspaceId: $ws, input: {entry: $id}) { entry userId } }"
LIST = """query($ws: ID, $over: Boolean) { attention(workspaceId: $ws, first: 200, handedOver: $over) {
    totalCount nodes { id handover { note user { fullName } by { fullName } } } } }"""


@pytest.fixture
async def house(world: Any) -> House:
    made = House(world)
    await world.add(made.crew, made.agent)
    return made


async def listed(house: House, person: Person, over: bool | None = None) -> dict[str, Any]:
    found = (await house.world.graphql(person, LIST, {"over": over}))["data"]["attention"]
    assert found["totalCount"] == len(found["nodes"])
    return {node["id"]: node["handover"] for node in found["nodes"]}


async def code_of(house: House, person: Person, document: str, **given: Any) -> Any:
    said = await house.world.graphql(person, document, given)
    return said["errors"][0]["extensions"]["code"] if "errors" in said else None


async def told(talk: Talk, id: str) -> dict[str, Any]:
    """The next news of this entry; the item that keeps the hand over comes as one that needs nothing."""
    while (news := await entry(talk))["id"] != id:
        assert news["attention"] is None
    return news


KINDS = ("approval", "question", "review", "pause", "failed_run", "budget", "credential", "inbox_item")


async def test_each_kind_is_handed_over_and_taken_back(house: House) -> None:
    world = house.world
    giver, taker = world.admin, world.manager
    ids = [(await getattr(house, kind)())[0] for kind in KINDS]
    for id in ids:
        assert await code_of(house, giver, HAND, id=id, to=taker.user_id, note="You know it") is None
    for id in ids:
        assert id not in await listed(house, giver), id
        assert (await listed(house, giver, over=True))[id] == {
            "note": "You know it", "user": {"fullName": "Manager Example"}, "by": {"fullName": "Admin Example"},
        }  # fmt: skip
        assert (await listed(house, taker))[id]["note"] == "You know it", id
        assert id not in await listed(house, taker, over=True), id
    for id in ids:
        assert await code_of(house, giver, BACK, id=id) is None
        assert (await listed(house, giver)).get(id, "gone") is None, id
        assert id not in await listed(house, giver, over=True), id


async def test_what_was_handed_over_moves_at_once(house: House) -> None:
    world = house.world
    id, decide = await house.approval()
    async with talking(world, world.admin) as own, talking(world, world.manager) as other:
        for talk in (own, other):
            await talk.listen("s", FOLLOW, ws=world.workspace.id)
        assert await code_of(house, world.admin, HAND, id=id, to=world.manager.user_id) is None
        assert await told(own, id) == {"id": id, "attention": None}
        assert (await told(other, id))["attention"]["id"] == id
        assert await code_of(house, world.manager, BACK, id=id) is None
        assert (await told(own, id))["attention"]["id"] == id
    await decide()
    assert id not in await listed(house, world.manager)


async def test_nothing_is_lost_with_a_member_who_cannot_see_it_or_leaves(house: House) -> None:
    world = house.world
    id, _ = await house.budget()
    assert await code_of(house, world.admin, HAND, id=id, to=world.viewer.user_id) == "CONFLICT"
    assert await code_of(house, world.viewer, HAND, id=id, to=world.admin.user_id) == "FORBIDDEN"
    assert await code_of(house, world.admin, HAND, id="budget:none", to=world.manager.user_id) == "NOT_FOUND"
    assert await code_of(house, world.admin, HAND, id="nothing", to=world.manager.user_id) == "NOT_FOUND"
    assert await code_of(house, world.admin, HAND, id=id, to=world.outsider.user_id) == "BAD_REQUEST"
    leaver = await world.person("leaver", Role.ADMIN)
    assert await code_of(house, world.admin, HAND, id=id, to=leaver.user_id) is None
    assert id not in await listed(house, world.admin)
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", leaver.user_id)
    assert id in await listed(house, world.admin)


async def test_a_message_for_one_person_stays_with_this_person(house: House) -> None:
    id, _ = await house.inbox_item()
    own = "UPDATE inbox_items SET target_user_id = $2 WHERE id = $1"
    await house.world.database.execute(own, id.partition(":")[2], house.world.admin.user_id)
    given = {"id": id, "to": house.world.manager.user_id}
    assert await code_of(house, house.world.admin, HAND, **given) == "CONFLICT"
