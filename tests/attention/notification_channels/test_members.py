"""Channels of members: who creates, sees, changes and tests them."""

from typing import Any

import pytest

from models.people.workspaces import Role
from tests.attention.notification_channels.test_channels import PATH, Receiver, follow, idle_or, private_addresses, run
from tests.people.recovery.mailbox import delivering
from tests.world import Person, World

pytestmark = pytest.mark.anyio
HOOK = {"type": "webhook", "url": "https://example.com/hook"}


async def made(world: World, person: Person, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = await world.rest(person, "POST", PATH, HOOK | body)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def listed(world: World, person: Person, **query: str) -> dict[str, dict[str, Any]]:
    async with world.client(person) as client:
        answer = await client.get(PATH, params={"workspace_id": world.workspace.id} | query)
    assert answer.status_code == 200
    return {channel["id"]: channel for channel in answer.json()["channels"]}


async def test_every_member_may_create_a_channel_of_their_own_and_nobody_else_sees_it(world: World) -> None:
    mine = await made(world, world.viewer, personal=True, owner_user_id=world.owner.user_id)
    assert (mine["scope"], mine["owner_user_id"]) == ("user", world.viewer.user_id)
    assert (await made(world, world.viewer, 403))["status"] == 403
    of_all = await made(world, world.manager)
    assert of_all["scope"] == "workspace"
    assert "owner_user_id" not in of_all
    assert mine["id"] in await listed(world, world.viewer)
    for person in (world.owner, world.admin, world.manager, world.member):
        assert mine["id"] not in await listed(world, person)
    for person in (world.manager, world.member):
        assert mine["id"] not in await listed(world, person, scope="all")


async def test_administrators_see_that_it_is_there_and_not_where_it_leads(world: World) -> None:
    mine = await made(world, world.viewer, personal=True)
    shown = (await listed(world, world.admin, scope="all"))[mine["id"]]
    assert "url" not in shown
    assert shown["owner_user_id"] == world.viewer.user_id
    document = (
        "query($ws: ID) { notificationChannels(workspaceId: $ws, scope: all) { id url address ownerUserId viewerCan } }"
    )
    answer = await world.graphql(world.admin, document)
    rows = {row["id"]: row for row in answer["data"]["notificationChannels"]}
    assert (rows[mine["id"]]["url"], rows[mine["id"]]["viewerCan"]) == (None, [])
    assert (await listed(world, world.viewer))[mine["id"]]["url"] == HOOK["url"]


async def test_only_its_owner_changes_tests_and_deletes_it(world: World) -> None:
    mine = await made(world, world.member, personal=True)
    path = f"{PATH}/{mine['id']}"
    for person in (world.owner, world.admin, world.viewer):
        for method, place, body in (
            ("PATCH", path, {"enabled": False}), ("POST", f"{path}/test", None), ("DELETE", path, None),
            ("GET", f"{path}/agents", None),
        ):  # fmt: skip
            answer = await world.rest(person, method, place, body)
            assert answer.status_code == 403, f"{method} {place}"
    assert (await world.rest(world.member, "PATCH", path, {"enabled": False})).json() == {"updated": mine["id"]}
    assert (await listed(world, world.member))[mine["id"]]["enabled"] is False
    assert (await world.rest(world.member, "DELETE", path)).json() == {"deleted": mine["id"]}
    assert (await world.rest(world.member, "DELETE", path)).status_code == 404


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (
            {"events": ["completed"], "categories": ["Memory", "memory"], "min_priority": "HIGH"},
            {"events": ["run.completed"], "categories": ["memory"], "min_priority": "high"},
        ),
        ({"events": [], "categories": []}, {"events": ["run.failed"]}),
    ],
)
async def test_what_it_receives_is_changed(world: World, sent: dict[str, Any], stored: dict[str, Any]) -> None:
    one = await made(world, world.admin, categories=["security"])
    answer = await world.rest(world.admin, "PATCH", f"{PATH}/{one['id']}", sent)
    assert answer.status_code == 200, answer.text
    shown = (await listed(world, world.admin))[one["id"]]
    assert {key: shown.get(key) for key in stored} == stored
    assert shown.get("categories") == stored.get("categories")


@pytest.mark.parametrize(
    "body",
    [{}, {"enabled": None}, {"url": "https://other.example"}, {"categories": ["agents.message"]}, {"min_priority": ""}],
)
async def test_a_bad_change_writes_nothing(world: World, body: dict[str, Any]) -> None:
    one = await made(world, world.admin)
    before = await world.snapshot()
    assert (await world.rest(world.admin, "PATCH", f"{PATH}/{one['id']}", body)).status_code == 400
    assert await world.snapshot() == before


@pytest.mark.parametrize("who", ["manager", "member", "viewer"])
async def test_channels_of_the_workspace_are_changed_by_administrators(world: World, who: str) -> None:
    one = await made(world, world.admin)
    person = getattr(world, who)
    assert (await world.rest(person, "PATCH", f"{PATH}/{one['id']}", {"enabled": False})).status_code == 403
    deleted = await world.rest(person, "DELETE", f"{PATH}/{one['id']}")
    assert deleted.status_code == (200 if who == "manager" else 403)


async def test_it_hears_of_no_runs_by_events(world: World) -> None:
    await world.database.execute("DELETE FROM notification_channels")
    async with Receiver().listening() as own, Receiver().listening() as shared, delivering(world):
        with private_addresses():
            await made(world, world.viewer, personal=True, url=own.url, events=["all"])
            await made(world, world.manager, url=shared.url, events=["all"])
            await follow()
            await run(world)
            await idle_or(lambda: len(shared.got) == 1, world)
    assert own.got == []


async def test_it_ends_with_the_membership(world: World) -> None:
    person = await world.person("leaver", Role.MEMBER)
    mine = await made(world, person, personal=True)
    await world.database.execute(
        "DELETE FROM memberships WHERE user_id = $1 AND workspace_id = $2", person.user_id, world.workspace.id
    )
    found = "SELECT count(*) FROM notification_channels WHERE id = $1"
    assert await world.database.fetchval(found, mine["id"]) == 0


async def test_categories_and_priorities_limit_the_ends_of_runs(world: World) -> None:
    await world.database.execute("DELETE FROM notification_channels")
    async with Receiver().listening() as limited, Receiver().listening() as receiver, delivering(world):
        with private_addresses():
            await made(world, world.manager, url=limited.url, events=["all"], categories=["memory"])
            await made(world, world.manager, url=limited.url, events=["all"], min_priority="urgent")
            await made(world, world.manager, url=receiver.url, events=["all"], categories=["routines.completed"])
            await follow()
            await run(world)
            await idle_or(lambda: len(receiver.got) == 1, world)
    assert limited.got == []
