"""What needs attention is handed over to a member: it leaves the lists of the others until it is taken back."""

from datetime import timedelta
from typing import Any

import pytest

from models.attention.inbox import InboxKind
from models.base import new_id
from models.people.workspaces import Membership, Role
from models.staff.runs import Run
from models.work.missions import Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.attention.inbox.kinds import ENDED_BY_STATE, AttentionKind, deciders
from resolvers.attention.inbox.needs import NEEDS
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.policy import GATES
from resolvers.kernel.reader import access_of
from tests.attention.inbox.test_attention_events import FOLLOW, House, entry
from tests.live.graphql import Talk, talking
from tests.world import Person, now

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
    giver, taker = world.admin, world.owner
    ids = [(await getattr(house, kind)())[0] for kind in KINDS]
    for id in ids:
        assert await code_of(house, giver, HAND, id=id, to=taker.user_id, note="You know it") is None
    for id in ids:
        assert id not in await listed(house, giver), id
        assert (await listed(house, giver, over=True))[id] == {
            "note": "You know it", "user": {"fullName": "Owner Example"}, "by": {"fullName": "Admin Example"},
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
    async with talking(world, world.admin) as own, talking(world, world.owner) as other:
        for talk in (own, other):
            await talk.listen("s", FOLLOW, ws=world.workspace.id)
        assert await code_of(house, world.admin, HAND, id=id, to=world.owner.user_id) is None
        assert await told(own, id) == {"id": id, "attention": None}
        assert (await told(other, id))["attention"]["id"] == id
        assert await code_of(house, world.owner, BACK, id=id) is None
        assert (await told(own, id))["attention"]["id"] == id
    await decide()
    assert id not in await listed(house, world.owner)


async def test_nothing_is_lost_with_a_member_who_cannot_see_it_or_leaves(house: House) -> None:
    world = house.world
    id, _ = await house.budget()
    assert await code_of(house, world.admin, HAND, id=id, to=world.viewer.user_id) == "CONFLICT"
    assert await code_of(house, world.viewer, HAND, id=id, to=world.admin.user_id) == "FORBIDDEN"
    assert await code_of(house, world.admin, HAND, id="budget:none", to=world.owner.user_id) == "NOT_FOUND"
    assert await code_of(house, world.admin, HAND, id="nothing", to=world.owner.user_id) == "NOT_FOUND"
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


DECIDING = {
    "approval": "approvals.decide",
    "question": "escalations.resolve",
    "task": "missions.tasks_decide",
    "budget": "budgets.update",
    "work_pause": "work_pauses.resume",
    "review": "issues.review",
    "credential": "credentials.update",
}


def test_an_entry_is_for_those_who_may_call_the_operation_that_ends_its_need() -> None:
    for kind in AttentionKind:
        given = GATES[OPERATIONS[DECIDING[kind]].action] if kind in DECIDING else deciders(AttentionKind.inbox_item)
        assert deciders(kind) == given, kind
        assert Role.VIEWER not in deciders(kind)
    for need in NEEDS:
        assert deciders(need.kind) <= GATES[access_of(need.model).gate], need.kind
    assert {need.kind for need in NEEDS if need.since == "updated_at"} == ENDED_BY_STATE


async def kept(house: House) -> int:
    found = "SELECT count(*) FROM inbox_items WHERE workspace_id = $1 AND starts_with(source_id, 'handover:')"
    return await house.world.database.fetchval(found, house.world.workspace.id)  # type: ignore[no-any-return]


async def changing(house: House, table: str, id: str, **columns: Any) -> None:
    names = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 2))
    await house.world.database.execute(f"UPDATE {table} SET {names} WHERE id = $1", id, *columns.values())


async def task(house: House) -> tuple[str, None]:
    mission = Mission(title="Mast", status=MissionStatus.IN_PROGRESS, **house.led())
    row = MissionTask(mission_id=mission.id, title="Saw", status=TaskStatus.AWAITING_APPROVAL, **house.here)
    await house.world.add(mission, row)
    return f"task:{row.id}", None


async def stuck_run(house: House) -> tuple[str, None]:
    run = Run(agent_id=house.agent.id, prompt="Sail", created_at=now() - timedelta(minutes=11), **house.here)
    await house.world.add(run)
    return f"stuck_run:{run.id}", None


async def read_item(house: House) -> tuple[str, None]:
    item = house.item(InboxKind.message, new_id(), None)
    await house.world.add(item)
    return f"inbox_item:{item.id}", None


LATE, SOON = timedelta(minutes=-11), timedelta(minutes=1)
STATES: list[tuple[Any, str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (House.review, "missions", {"title": "Leaks", "updated_at": SOON}, {"status": "DONE"}, {"status": "REVIEW"}),
    (task, "mission_tasks", {"title": "Saws", "updated_at": SOON}, {"status": "PENDING"},
     {"status": "AWAITING_APPROVAL"}),
    (House.credential, "credentials", {"name": "Other", "updated_at": SOON}, {"status": "ACTIVE"},
     {"status": "EXPIRED"}),
    (stuck_run, "runs", {"prompt": "Row"}, {"leased_until": SOON}, {"leased_until": LATE}),
    (House.failed_run, "inbox_items", {"state": "read"}, {"state": "resolved"}, {"state": "unread"}),
    (House.inbox_item, "inbox_items", {"title": "See"}, {"state": "resolved"}, {"state": "unread"}),
    (read_item, "inbox_items", {"title": "See"}, {"state": "read"}, {"state": "unread"}),
    (House.budget, "budgets", {"hard_stop": False}, {"reached_at": None}, {"reached_at": timedelta()}),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(STATES)))
async def test_a_need_that_arises_anew_was_handed_over_to_nobody(house: House, case: int) -> None:
    """An unrelated change of the row leaves the hand over as it is."""
    world = house.world
    make, table, unrelated, ends, anew = STATES[case]
    id, _ = await make(house)
    row = id.partition(":")[2]
    if id.startswith("failed_run"):
        row = await world.database.fetchval("SELECT id FROM inbox_items WHERE subject_id = $1", row)

    async def change(columns: dict[str, Any]) -> None:
        times = {name: now() + value for name, value in columns.items() if isinstance(value, timedelta)}
        await changing(house, table, row, **columns | times)

    assert await code_of(house, world.admin, HAND, id=id, to=world.owner.user_id) is None
    await change(unrelated)
    assert id not in await listed(house, world.admin)
    assert (await listed(house, world.owner))[id] is not None
    await change(ends)
    assert id not in await listed(house, world.owner)
    await change(anew)
    for person in (world.admin, world.owner):
        assert (await listed(house, person)).get(id, "gone") is None
        assert id not in await listed(house, person, over=True)
    other = await world.person(f"other{case}", Role.ADMIN)
    assert await code_of(house, world.admin, HAND, id=id, to=other.user_id) is None
    assert id not in await listed(house, world.admin)
    assert id in await listed(house, other)
    assert await code_of(house, world.admin, HAND, id=id, to=world.owner.user_id) is None
    assert id not in await listed(house, other)
    assert id in await listed(house, world.owner)


async def test_only_an_entry_of_the_list_is_handed_over(house: House) -> None:
    """A row that needs nothing, and one that needs nothing from the caller."""
    world = house.world
    before = await kept(house)
    for kind in KINDS:
        id, decide = await getattr(house, kind)()
        if kind != "credential":
            await decide()
        else:
            await changing(house, "credentials", id.partition(":")[2], status="ACTIVE")
        assert await code_of(house, world.admin, HAND, id=id, to=world.owner.user_id) == "NOT_FOUND", kind
    id, _ = await house.review()
    owned = {"created_by_type": "user", "created_by_id": world.owner.user_id}
    await changing(house, "missions", id.partition(":")[2], **owned)
    assert await code_of(house, world.manager, HAND, id=id, to=world.admin.user_id) == "NOT_FOUND"
    id, _ = await house.question()
    stuck = id.replace("question", "stuck_run")
    assert await code_of(house, world.admin, HAND, id=stuck, to=world.owner.user_id) == "NOT_FOUND"
    assert await kept(house) == before


async def test_only_a_member_who_may_decide_it_gets_an_entry(house: House) -> None:
    world = house.world
    before = await kept(house)
    id, _ = await house.approval()
    for person in (world.manager, world.member, world.viewer):
        assert await code_of(house, world.admin, HAND, id=id, to=person.user_id) == "CONFLICT", person.name
    question, _ = await house.question()
    for person in (world.member, world.viewer):
        assert await code_of(house, world.admin, HAND, id=question, to=person.user_id) == "CONFLICT", person.name
    item, _ = await house.inbox_item()
    await changing(house, "inbox_items", item.partition(":")[2], target_role="ADMIN")
    assert await code_of(house, world.admin, HAND, id=item, to=world.manager.user_id) == "CONFLICT"
    assert await kept(house) == before
    assert await code_of(house, world.admin, HAND, id=question, to=world.manager.user_id) is None
    assert await kept(house) == before + 1


async def test_it_ends_with_the_role_and_with_the_membership(house: House) -> None:
    """A member who comes back has not what was left to the member before."""
    world = house.world
    id, _ = await house.approval()
    taker = await world.person("passing", Role.ADMIN)
    assert await code_of(house, world.admin, HAND, id=id, to=taker.user_id) is None
    assert id not in await listed(house, world.admin)
    await changing(house, "memberships", taker.membership_id or "", role="MANAGER")
    assert (await listed(house, world.admin))[id] is None
    await changing(house, "memberships", taker.membership_id or "", role="ADMIN")
    assert id not in await listed(house, world.admin)
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", taker.user_id)
    await world.add(Membership(user_id=taker.user_id, role=Role.ADMIN, **house.here))
    assert (await listed(house, world.admin))[id] is None
