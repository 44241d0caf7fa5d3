"""Notifications: a person's own, over all workspaces."""

from typing import Any

import pytest

from models.attention.notifications import Notification
from models.base import new_id
from models.staff.agents import Agent, AgentRole
from models.staff.crews import Crew
from tests.live.sockets import client_of
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/notifications"


@pytest.fixture(autouse=True)
async def _empty(world: World) -> None:
    await world.database.execute("DELETE FROM notifications")


async def given(world: World, person: Person, workspace_id: str = "", **values: Any) -> Notification:
    made = Notification(
        user_id=person.user_id, from_workspace_id=workspace_id or world.workspace.id, actor_type="system",
        actor_id="x", **({"action": "assigned", "entity_type": "issue"} | values),
    )  # fmt: skip
    await world.add(made)
    return made


async def listed(world: World, person: Person, **query: str) -> list[dict[str, Any]]:
    async with world.client(person) as client:
        answer = await client.get(PATH, params={"workspace_id": world.workspace.id, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def unread(world: World, person: Person) -> int:
    return (await world.rest(person, "GET", f"{PATH}/count")).json()["unread"]  # type: ignore[no-any-return]


async def test_they_are_the_callers_own_of_all_workspaces(world: World) -> None:
    mine = [await given(world, world.member, where) for where in ("", world.other.id)]
    theirs = await given(world, world.viewer)
    assert {row["id"] for row in await listed(world, world.member)} == {row.id for row in mine}
    assert await unread(world, world.member) == 2
    before = await world.snapshot()
    for path, method in ((f"{PATH}/{theirs.id}/read", "POST"), (f"{PATH}/{theirs.id}", "DELETE")):
        assert (await world.rest(world.member, method, path)).status_code == 404
    assert await world.snapshot() == before
    assert (await world.rest(world.member, "GET", PATH, workspace=None)).status_code == 400
    assert (await world.rest(world.outsider, "GET", PATH)).status_code == 403


async def test_reading_keeps_the_first_time(world: World) -> None:
    one, other = await given(world, world.member), await given(world, world.member)
    assert (await world.rest(world.member, "POST", f"{PATH}/{one.id}/read")).json() == {"status": "ok"}
    (first,) = await listed(world, world.member, read="true")
    assert (await world.rest(world.member, "POST", f"{PATH}/{one.id}/read")).status_code == 200
    assert await listed(world, world.member, read="true") == [first]
    assert [row["id"] for row in await listed(world, world.member, read="false")] == [other.id]
    assert len(await listed(world, world.member, read="maybe")) == 2
    assert [(await world.rest(world.member, "POST", f"{PATH}/read-all")).json() for _ in range(2)] == [
        {"updated": 1}, {"updated": 0},
    ]  # fmt: skip
    assert await unread(world, world.member) == 0
    assert [(await world.rest(world.member, "DELETE", f"{PATH}/{one.id}")).status_code for _ in range(2)] == [204, 404]


async def test_a_member_who_has_not_accepted_reads_and_accepts_nothing(world: World) -> None:
    one, member = await given(world, world.viewer), world.viewer.user_id
    mine = "WHERE user_id = $1 AND workspace_id = $2"
    before = await world.database.fetchval(f"SELECT accepted_at FROM memberships {mine}", member, world.workspace.id)
    await world.database.execute(f"UPDATE memberships SET accepted_at = NULL {mine}", member, world.workspace.id)
    answer = await world.rest(world.viewer, "POST", f"{PATH}/read-all")
    assert (answer.status_code, answer.json()) == (200, {"updated": 1}), one.id
    accepted = await world.database.fetchval(f"SELECT accepted_at FROM memberships {mine}", member, world.workspace.id)
    assert accepted is None
    await world.database.execute(f"UPDATE memberships SET accepted_at = $3 {mine}", member, world.workspace.id, before)


async def test_who_is_given_an_issue_is_told(world: World) -> None:
    crew = Crew(name="Engine", slug=new_id(), issue_prefix=new_id()[:6].upper(), workspace_id=world.workspace.id)
    lead = {"agent_role": AgentRole.LEAD, "crew_id": crew.id, "workspace_id": world.workspace.id}
    await world.add(crew, Agent(name="Ada", slug=new_id(), **lead))
    issues = f"/api/v1/crews/{crew.id}/issues"
    async with client_of(world, world.member) as socket:
        await socket.subscribe(f"user:{world.member.user_id}")
        await socket.settle()
        to_member = {"assignee_type": "user", "assignee_id": world.member.user_id}
        made = (await world.rest(world.owner, "POST", issues, {"title": "Leak"} | to_member)).json()
        (told,) = await listed(world, world.member)
        await socket.until(lambda: len(socket.on(f"user:{world.member.user_id}")) == 1)
    (frame,) = socket.on(f"user:{world.member.user_id}")
    keys = ("id", "action", "entity_type", "entity_id", "entity_title")
    assert frame["payload"] == {key: told[key] for key in keys}
    assert (told["actor_id"], told["actor_name"]) == (world.owner.user_id, "Owner Example")
    assert (told["action"], told["entity_id"], told["entity_title"]) == ("assigned", made["id"], "Leak")
    issue = f"{issues}/{made['identifier']}"
    await world.rest(world.owner, "PATCH", issue, {"title": "Leaks"})  # nothing of the assignee
    await world.rest(world.owner, "POST", f"{issue}/comments", {"body": "Here"})
    assert [row["action"] for row in await listed(world, world.member)] == ["commented", "assigned"]
    await world.rest(world.owner, "PATCH", issue, {"assignee_type": "user", "assignee_id": world.owner.user_id})
    await world.rest(world.owner, "POST", f"{issue}/comments", {"body": "There"})
    assert await listed(world, world.owner) == [], "nobody is told of what they did themselves"


async def test_graphql(world: World) -> None:
    made = await given(world, world.member, created_at=now())
    document = (
        "query($ws: ID) { notifications(workspaceId: $ws, read: unread) { nodes { id } totalCount }"
        " notificationCount(workspaceId: $ws) { unread } }"
    )
    shown = (await world.graphql(world.member, document))["data"]
    assert shown == {
        "notifications": {"nodes": [{"id": made.id}], "totalCount": 1}, "notificationCount": {"unread": 1},
    }  # fmt: skip
