"""The inbox: who sees what, what may be done with it, and what is told of it."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from models.attention.inbox import InboxItem, InboxKind, InboxState, inbox_item_id
from models.base import new_id
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.assignments import Escalation
from models.staff.crews import Crew
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/inbox"
EVERYBODY = ("owner", "admin", "manager", "member", "viewer")


@pytest.fixture(autouse=True)
async def _empty(world: World) -> None:
    await world.database.execute("DELETE FROM inbox_items")


async def item(world: World, kind: InboxKind = InboxKind.message, source: str = "", **values: Any) -> InboxItem:
    source = source or new_id()
    made = InboxItem(
        id=inbox_item_id(kind, source), kind=kind, source_id=source,
        **({"title": source, "workspace_id": world.workspace.id} | values),
    )  # fmt: skip
    await world.add(made)
    return made


async def listed(world: World, person: Person, **query: Any) -> dict[str, Any]:
    async with world.client(person) as client:
        answer = await client.get(PATH, params={"workspace_id": world.workspace.id, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def patch(world: World, person: Person, item: InboxItem, state: str, **more: Any) -> Any:
    return await world.rest(person, "PATCH", f"{PATH}/{item.id}", {"state": state, **more})


async def bulk(world: World, person: Person, state: str, *ids: str, **more: Any) -> dict[str, Any]:
    answer = await world.rest(person, "POST", f"{PATH}/bulk", {"ids": list(ids), "state": state, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def row(world: World, item: InboxItem) -> dict[str, Any]:
    return dict(await world.database.fetchrow("SELECT * FROM inbox_items WHERE id = $1", item.id))


async def told(world: World, since: int) -> list[dict[str, Any]]:
    return [event["payload"] for event in await world.events(since) if event["type"] == "inbox.updated"]


async def last(world: World) -> int:
    number: int = await world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events")
    return number


async def test_an_item_is_seen_by_whom_it_is_for(world: World) -> None:
    """The contract's visibility, for every role and target."""
    made = {
        "everybody": await item(world),
        "the viewer": await item(world, target_user_id=world.viewer.user_id),
        **{role: await item(world, target_role=role) for role in Role},
        "the viewer or managers": await item(world, target_user_id=world.viewer.user_id, target_role=Role.MANAGER),
    }
    elsewhere = await item(world, workspace_id=world.other.id)
    ranks = [role.value for role in Role]  # from the highest
    for name in EVERYBODY:
        person, own = world.people[name], ranks[EVERYBODY.index(name) :]
        expected = {"everybody", *own} | ({"the viewer"} if name == "viewer" else set())
        if name == "viewer" or "MANAGER" in own:
            expected.add("the viewer or managers")
        answer = await listed(world, person)
        assert {shown["id"] for shown in answer["rows"]} == {made[target].id for target in expected}, name
        assert answer["count"] == answer["unread_count"] == len(expected)
        counted = await world.rest(person, "GET", f"{PATH}/count")
        assert counted.json() == {"unread_count": len(expected)}
        for target, hidden in made.items():
            found = await world.rest(person, "GET", f"{PATH}/{hidden.id}")
            assert found.status_code == (200 if target in expected else 404)
            if target not in expected:
                before = await world.snapshot()
                assert (await patch(world, person, hidden, "read")).status_code == 404
                assert (await bulk(world, person, "read", hidden.id))["not_found"] == 1
                assert await world.snapshot() == before
        assert (await world.rest(person, "GET", f"{PATH}/{elsewhere.id}")).status_code == 404


async def test_a_row_has_the_keys_that_say_something_and_times_with_fractions(world: World) -> None:
    made = await item(world, target_role=Role.MANAGER, body_md="*Here*", payload={"a": 1}, created_at=now())
    (shown,) = (await listed(world, world.manager))["rows"]
    assert shown == {
        "id": made.id, "workspace_id": world.workspace.id, "kind": "message", "source_id": made.source_id,
        "target_role": "MANAGER", "title": made.title, "body_md": "*Here*", "state": "unread", "priority": "medium",
        "blocking": False, "payload": {"a": 1}, "created_at": shown["created_at"], "updated_at": shown["updated_at"],
    }  # fmt: skip
    assert abs(datetime.fromisoformat(shown["created_at"]) - made.created_at).total_seconds() < 0.001


async def test_filters_choose_states_and_kinds(world: World) -> None:
    states = {state: await item(world, state=state) for state in InboxState}
    failed = await item(world, InboxKind.failed_run)
    for asked, expected in {
        "unread": {states["unread"].id, failed.id},
        "read": {states["read"].id},
        "resolved": {states["resolved"].id},
        "active": {states["unread"].id, states["read"].id, failed.id},
        "all": {*(made.id for made in states.values()), failed.id},
        "": {*(made.id for made in states.values()), failed.id},
    }.items():
        answer = await listed(world, world.viewer, state=asked)
        assert {shown["id"] for shown in answer["rows"]} == expected
        assert answer["unread_count"] == 2
    assert [shown["id"] for shown in (await listed(world, world.viewer, kind="failed_run"))["rows"]] == [failed.id]
    assert (await listed(world, world.viewer, kind="nothing"))["rows"] == []
    async with world.client(world.viewer) as client:
        assert (await client.get(f"{PATH}?workspace_id={world.workspace.id}&state=open")).status_code == 400
    assert [(await listed(world, world.viewer, limit=limit))["count"] for limit in (2, 0, 501)] == [2, 4, 4]


async def test_states_follow_each_other_and_are_announced(world: World) -> None:
    made = await item(world)
    since = await last(world)
    assert (await patch(world, world.viewer, made, "read")).json() == {"id": made.id, "state": "read"}
    first = await row(world, made)
    assert first["read_by_user_id"] == world.viewer.user_id
    assert (await patch(world, world.owner, made, "read")).status_code == 200
    again = await row(world, made)
    assert (again["read_at"], again["read_by_user_id"]) == (first["read_at"], world.viewer.user_id), "the first is kept"
    await patch(world, world.member, made, "resolved", resolved_action="archived")
    await patch(world, world.owner, made, "resolved", resolved_action="dismissed")
    resolved = await row(world, made)
    assert (resolved["resolved_by_user_id"], resolved["resolved_action"]) == (world.owner.user_id, "dismissed")
    assert resolved["read_at"] == first["read_at"]
    await patch(world, world.owner, made, "unread")
    opened = await row(world, made)
    assert opened["state"] == "unread"
    marks = ("read_at", "read_by_user_id", "resolved_at", "resolved_by_user_id", "resolved_action")
    assert [opened[mark] for mark in marks] == [None] * 5
    states = ["read", "read", "resolved", "resolved", "unread"]
    assert await told(world, since) == [{"id": made.id, "state": state} for state in states]


async def _escalation(world: World) -> Escalation:
    crew = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id)
    agent = Agent(name="Ada", slug=new_id(), crew_id=crew.id, workspace_id=world.workspace.id)
    asked = Escalation(crew_id=crew.id, from_agent_id=agent.id, reason="Which?", workspace_id=world.workspace.id)
    await world.add(crew, agent, asked)
    return asked


async def test_what_is_decided_elsewhere_is_not_decided_here(world: World) -> None:
    escalation = await item(world, InboxKind.escalation, (await _escalation(world)).id)
    waitpoint = await item(world, InboxKind.waitpoint, state=InboxState.resolved, resolved_at=now())
    advice = await item(world, InboxKind.escalation, "advice")  # nobody waits for it
    for made in (escalation, waitpoint):
        for state in ("resolved", "unread"):
            before = await world.snapshot()
            answer = await patch(world, world.owner, made, state)
            assert (answer.status_code, answer.json()["kind"]) == (409, made.kind)
            assert await world.snapshot() == before
        assert (await patch(world, world.owner, made, "read")).status_code == 200
    kept = await row(world, waitpoint)
    assert kept["state"] == "read"
    assert kept["resolved_at"] is not None
    assert (await patch(world, world.owner, advice, "unread")).status_code == 409
    assert (await patch(world, world.owner, advice, "resolved")).status_code == 200


async def test_the_state_is_judged_before_the_id(world: World) -> None:
    nobody = InboxItem(id="ibx_message_nope", kind=InboxKind.message, source_id="nope", title="")
    assert [(await patch(world, world.owner, nobody, state)).status_code for state in ("done", "read")] == [400, 404]
    for ids, state in (([], "read"), (["x"] * 501, "read"), (["x"], "done")):
        answer = await world.rest(world.owner, "POST", f"{PATH}/bulk", {"ids": ids, "state": state})
        assert answer.status_code == 400


async def test_many_at_once(world: World) -> None:
    escalation = await item(world, InboxKind.escalation, (await _escalation(world)).id)
    plain, seen, blocking = await item(world), await item(world), await item(world, blocking=True)
    await patch(world, world.viewer, seen, "read")
    ids = (escalation.id, "", plain.id, seen.id, blocking.id, plain.id, "ibx_none")
    since = await last(world)
    resolved = await bulk(world, world.owner, "resolved", *ids, resolved_action="archived")
    skipped = [escalation.id, blocking.id]
    assert resolved == {"updated": 2, "skipped": 2, "skipped_ids": skipped, "not_found": 1, "state": "resolved"}
    assert {(await row(world, made))["resolved_action"] for made in (plain, seen)} == {"archived"}
    unread = await bulk(world, world.owner, "unread", *ids)
    assert (unread["updated"], unread["skipped_ids"]) == (3, [escalation.id])
    await patch(world, world.viewer, seen, "read")
    assert (await bulk(world, world.owner, "read", *ids))["updated"] == 4
    assert (await row(world, seen))["read_by_user_id"] == world.viewer.user_id, "who read it first"
    assert (await row(world, plain))["read_by_user_id"] == world.owner.user_id
    bulks = [payload for payload in await told(world, since) if "bulk" in payload]
    assert bulks == [{"bulk": "true", "state": state} for state in ("resolved", "unread", "read")]
    before = await world.snapshot()
    nothing = await bulk(world, world.owner, "read", "", "")
    assert nothing == {"updated": 0, "skipped": 0, "skipped_ids": [], "not_found": 0, "state": "read"}
    assert await world.snapshot() == before


async def test_counts_are_never_wrong_under_concurrency(world: World) -> None:
    made = [await item(world) for _ in range(12)]
    ids = [each.id for each in made]
    await asyncio.gather(
        *(patch(world, world.viewer, each, "read") for each in made[:8]),
        *(bulk(world, world.owner, state, *order) for state in ("read", "unread") for order in (ids, ids[::-1])),
        *(patch(world, world.member, each, "unread") for each in made[4:]),
    )
    unread, marked = await world.database.fetchrow(
        "SELECT count(*) FILTER (WHERE state = 'unread'),"
        " count(*) FILTER (WHERE (read_at IS NULL) <> (state = 'unread')) FROM inbox_items"
    )
    assert (await world.rest(world.viewer, "GET", f"{PATH}/count")).json() == {"unread_count": unread}
    assert marked == 0, "an item has a mark of the state that it is in"


async def test_a_purge_is_of_the_workspace_and_of_one_kind(world: World) -> None:
    await item(world, InboxKind.failed_run, target_user_id=world.viewer.user_id)
    kept = [await item(world), await item(world, InboxKind.failed_run, workspace_id=world.other.id)]
    since = await last(world)
    refused = [(world.manager, "", 403), (world.admin, "&kind=memory_consolidation", 400)]
    for person, query, status in (*refused, (world.admin, "&kind=failed_run", 200)):
        async with world.client(person) as client:
            answer = await client.delete(f"{PATH}?workspace_id={world.workspace.id}{query}")
        assert answer.status_code == status
    assert answer.json() == {"deleted": 1}
    assert await told(world, since) == [{"purge": "true"}]
    rows = await world.database.fetch("SELECT id FROM inbox_items")
    assert {row["id"] for row in rows} == {each.id for each in kept}
    await world.rest(world.admin, "DELETE", PATH)
    since = await last(world)
    assert (await world.rest(world.admin, "DELETE", PATH)).json() == {"deleted": 0}
    assert await told(world, since) == []


async def test_graphql_lists_counts_and_changes(world: World) -> None:
    made = [await item(world, created_at=now()) for _ in range(3)]
    await item(world, target_role=Role.OWNER)
    page = (
        "query($ws: ID, $after: String) {"
        " inbox(workspaceId: $ws, state: active, kind: [message], first: 2, after: $after) {"
        " nodes { id } pageInfo { endCursor hasNextPage } totalCount }"
        " inboxCount(workspaceId: $ws) { unreadCount } }"
    )
    first = (await world.graphql(world.member, page))["data"]
    after = first["inbox"]["pageInfo"]["endCursor"]
    second = (await world.graphql(world.member, page, {"after": after}))["data"]
    shown = [node["id"] for answer in (first, second) for node in answer["inbox"]["nodes"]]
    assert shown == [each.id for each in reversed(made)]
    assert (first["inbox"]["totalCount"], first["inboxCount"]) == (3, {"unreadCount": 3})
    change = (
        "mutation($ws: ID, $id: ID!) { updateInboxItem(workspaceId: $ws, input: {id: $id, state: resolved,"
        ' resolvedAction: "archived"}) { state resolvedByUserId resolvedAction } }'
    )
    changed = await world.graphql(world.member, change, {"id": made[0].id})
    assert changed["data"]["updateInboxItem"] == {
        "state": "resolved", "resolvedByUserId": world.member.user_id, "resolvedAction": "archived",
    }  # fmt: skip


async def test_counters_hold_while_many_change_items_at_once(world: World) -> None:
    await world.database.execute("DELETE FROM inbox_items")
    items = [InboxItem(
        id=inbox_item_id(InboxKind.message, f"many-{number}"), kind=InboxKind.message, source_id=f"many-{number}",
        title="One of many", workspace_id=world.workspace.id,
    ) for number in range(30)]  # fmt: skip
    await world.add(*items)

    async def change(number: int) -> None:
        ids = [item.id for item in items[number : number + 15]]
        state = ("read", "unread", "resolved")[number % 3]
        bulk = {"ids": ids if number % 2 else ids[::-1], "state": state}
        answer = await world.rest(world.manager, "POST", "/api/v1/inbox/bulk", bulk)
        assert answer.json()["updated"] == len(ids)
        one = await world.rest(world.admin, "PATCH", f"/api/v1/inbox/{ids[0]}", {"state": state})
        assert one.status_code == 200

    await asyncio.gather(*(change(number) for number in range(16)))
    unread = await world.database.fetchval("SELECT count(*) FROM inbox_items WHERE state = 'unread'")
    for person in (world.owner, world.viewer):
        assert (await world.rest(person, "GET", "/api/v1/inbox/count")).json() == {"unread_count": unread}
        listed = (await world.rest(person, "GET", "/api/v1/inbox")).json()
        assert (listed["count"], listed["unread_count"]) == (30, unread)
        assert sum(row["state"] == "unread" for row in listed["rows"]) == unread
