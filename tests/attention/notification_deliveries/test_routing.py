"""What is sent where: preferences, muting, priorities, quiet hours, digests, wording, and another delivery."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.attention.inbox import InboxItem, InboxKind, InboxPriority, inbox_item_id
from models.base import new_id
from resolvers.attention.notification_deliveries.routing import enqueue_sources
from resolvers.kernel import across_workspaces
from tests.attention.notification_channels.test_channels import Receiver, private_addresses
from tests.people.recovery.mailbox import delivering, idle
from tests.world import Person, World

pytestmark = pytest.mark.anyio
CHANNELS = "/api/v1/notification-channels"
PREFERENCES = "/api/v1/me/notification-prefs"
SCHEDULE = "/api/v1/me/notification-schedule"
TEMPLATES = "/api/v1/notification-templates"
LOG = "/api/v1/notification-deliveries"
TABLES = ("deliveries", "preferences", "schedules", "templates", "channels")


@pytest.fixture(autouse=True)
async def _empty(world: World) -> None:
    for table in TABLES:
        await world.database.execute(f"DELETE FROM notification_{table}")
    await follow()


async def follow() -> None:
    while await across_workspaces(enqueue_sources):
        pass


@contextlib.asynccontextmanager
async def working(world: World) -> AsyncIterator[Receiver]:
    """A receiver of messages, and a worker that sends them."""
    async with Receiver().listening() as receiver, delivering(world):
        with private_addresses():
            yield receiver


async def channel(world: World, receiver: Receiver, person: Person | None = None, **more: Any) -> str:
    """Of the workspace, or of a person."""
    body = {"type": "webhook", "url": receiver.url, "events": ["failed"], **more}
    body |= {} if person is None else {"personal": True}
    answer = await world.rest(person or world.owner, "POST", CHANNELS, body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def choose(world: World, person: Person, channel_id: str, *categories: str, state: str = "immediate") -> None:
    cells = [{"category": category, "channel_id": channel_id, "state": state} for category in categories]
    answer = await world.rest(person, "PUT", PREFERENCES, {"cells": cells})
    assert (answer.status_code, answer.json()) == (200, {"ok": True})


async def item(
    world: World, title: str, kind: InboxKind = InboxKind.waitpoint, priority: InboxPriority = InboxPriority.high
) -> None:
    """An item in the inbox of everybody, as the outbox announces it."""
    source = new_id()
    made = InboxItem(
        id=inbox_item_id(kind, source),
        kind=kind,
        source_id=source,
        title=title,
        body_md="Look at it",
        priority=priority,
        workspace_id=world.workspace.id,
    )
    await world.add(made)
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1::text, 'workspace:' || $1::text, $2, $3)",
        world.workspace.id, "inbox.updated", {"id": made.id, "state": "unread"},
    )  # fmt: skip


async def settled(world: World, number: int) -> list[dict[str, Any]]:
    """The log, oldest first, once it has so many rows and no job waits."""
    async with asyncio.timeout(30):
        while await world.database.fetchval("SELECT count(*) FROM notification_deliveries") < number:
            await follow()  # what is not older than every running transaction waits
            await asyncio.sleep(0.02)
    await idle(world)
    async with world.client(world.owner) as client:
        answer = await client.get(LOG, params={"workspace_id": world.workspace.id, "limit": 500})
    rows: list[dict[str, Any]] = answer.json()["deliveries"]
    assert len(rows) == number
    return rows[::-1]


async def test_only_what_a_member_has_chosen_is_sent(world: World) -> None:
    async with working(world) as receiver:
        chosen, other = await channel(world, receiver), await channel(world, receiver)
        await choose(world, world.viewer, chosen, "agents.approval", "memory")
        await choose(world, world.viewer, other, "memory")
        await item(world, "May I?")
        await item(world, "A run failed", InboxKind.failed_run)
        await item(world, "A proposal", InboxKind.memory_consolidation)
        rows = await settled(world, 3)
    assert [(row["channel_id"], row["category"]) for row in rows if row["category"] == "agents.approval"] == [
        (chosen, "agents.approval")
    ]
    assert {row["status"] for row in rows} == {"sent"}
    assert all("sent_at" in row and row["attempts"] == 1 and row["user_id"] == world.viewer.user_id for row in rows)
    got = [json.loads(body) for _, body in receiver.got]
    assert sorted(one["category"] for one in got) == ["agents.approval", "memory", "memory"]
    asked = next(one for one in got if one["category"] == "agents.approval")
    assert (asked["title"], asked["body"], asked["priority"], asked["source_kind"]) == (
        "May I?", "Look at it", "high", "waitpoint",
    )  # fmt: skip
    assert asked["links"][0]["label"] == "Review"
    assert {headers["x-crewship-category"] for headers, _ in receiver.got} == {"agents.approval", "memory"}


async def test_members_who_chose_one_channel_cause_one_message(world: World) -> None:
    async with working(world) as receiver:
        shared = await channel(world, receiver)
        for person in (world.viewer, world.manager):
            await choose(world, person, shared, "agents.approval")
        await choose(world, world.viewer, shared, "*")
        await item(world, "May I?")
        (row,) = await settled(world, 1)
    assert (row["status"], row["user_id"], len(receiver.got)) == ("sent", world.manager.user_id, 1)


async def test_muted_unwanted_and_low_ones_are_dropped_and_logged(world: World) -> None:
    async with working(world) as receiver:
        muted = await channel(world, receiver)
        high = await channel(world, receiver, min_priority="urgent")
        memory = await channel(world, receiver, categories=["memory"])
        for one in (muted, high, memory):
            await choose(world, world.viewer, one, "agents.approval")
        await choose(world, world.viewer, muted, "*")
        await item(world, "May I?")
        rows = await settled(world, 3)
        assert {row["channel_id"]: row["status"] for row in rows} == dict.fromkeys(
            (muted, high, memory), "dropped_pref"
        )
        assert len({row["error"] for row in rows}) == 3
        assert receiver.got == []
        await choose(world, world.viewer, muted, "*", state="off")
        await item(world, "And now?")
        rows = await settled(world, 6)
    assert [row["channel_id"] for row in rows if row["status"] == "sent"] == [muted]
    assert len(receiver.got) == 1


async def test_quiet_hours_hold_until_a_digest(world: World) -> None:
    """All day is quiet but one minute; what is urgent is sent at once."""
    hours = {"time_zone": "UTC", "quiet_from": "00:01", "quiet_until": "00:00"}
    assert (await world.rest(world.viewer, "PUT", SCHEDULE, hours | {"digest_minutes": 1})).status_code == 200
    async with working(world) as receiver:
        own = await channel(world, receiver, world.viewer)
        await choose(world, world.viewer, own, "agents.approval")
        await item(world, "First")
        await settled(world, 1)
        await item(world, "Second")
        await item(world, "Fire", priority=InboxPriority.urgent)
        rows = await settled(world, 3)
        assert {row["title"]: row["status"] for row in rows} == {
            "First": "pending",
            "Second": "pending",
            "Fire": "sent",
        }
        assert all("T00:00:00" in row["held_until"] for row in rows if row["status"] == "pending")
        assert [json.loads(body)["title"] for _, body in receiver.got] == ["Fire"]
        waiting = (
            "UPDATE dbos.workflow_status SET delay_until_epoch_ms = 0 WHERE name = 'notification_deliveries.digest'"
        )
        await world.database.execute(waiting)
        await _until(world, lambda: len(receiver.got) == 2)
        rows = await settled(world, 3)
    assert {row["status"] for row in rows} == {"sent"}
    digest = json.loads(receiver.got[1][1])
    assert (digest["title"], digest["body"]) == ("2 notifications", "- First\n- Second")
    assert (digest["source_kind"], digest["vars"]) == ("digest", {"titles": ["First", "Second"]})


async def _until(world: World, done: Any) -> None:
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.02)


async def test_a_template_words_the_message_of_one_channel(world: World) -> None:
    async with working(world) as receiver:
        here, there = await channel(world, receiver), await channel(world, receiver)
        for one in (here, there):
            await choose(world, world.viewer, one, "agents.approval")
        given = {"category": "agents.approval", "channel_id": here, "title": "Decide: {{source.title}}", "body": ""}
        answer = await world.rest(world.owner, "PUT", TEMPLATES, given)
        assert (answer.status_code, answer.json()) == (200, given)
        await item(world, "May I?")
        rows = await settled(world, 2)
        assert {row["channel_id"]: row["title"] for row in rows} == {here: "Decide: May I?", there: "May I?"}
        which = {"workspace_id": world.workspace.id, "category": "agents.approval", "channel_id": here}
        async with world.client(world.owner) as client:
            assert (await client.request("DELETE", TEMPLATES, params=which)).status_code == 204
        assert (await world.rest(world.owner, "GET", TEMPLATES)).json() == {"templates": []}
    assert {json.loads(body)["body"] for _, body in receiver.got} == {"Look at it"}, "a blank body keeps the original"


async def test_a_failed_one_is_sent_again_and_a_pending_one_is_not(world: World) -> None:
    async with working(world) as receiver:
        one = await channel(world, receiver)
        await choose(world, world.viewer, one, "agents.approval")
        receiver.answers = [410]
        await item(world, "May I?")
        (row,) = await settled(world, 1)
        assert (row["status"], row["error"]) == ("failed", "the receiver answered with status 410")
        path = f"{LOG}/{row['id']}/redeliver"
        assert (await world.rest(world.viewer, "POST", path)).status_code == 403
        await world.database.execute("UPDATE notification_deliveries SET status = 'pending'")
        assert (await world.rest(world.owner, "POST", path)).status_code == 409
        await world.database.execute("UPDATE notification_deliveries SET status = 'failed'")
        assert len(receiver.got) == 1
        answer = await world.rest(world.owner, "POST", path)
        assert (answer.status_code, answer.json()["status"]) == (200, "pending")
        (row,) = await settled(world, 1)
    assert (row["status"], "error" in row, len(receiver.got)) == ("sent", False, 2)
    entries = "SELECT entry_type FROM journal_entries WHERE payload->>'channel_id' = $1 ORDER BY entry_type"
    kinds = [entry["entry_type"] for entry in await world.database.fetch(entries, one)]
    assert kinds == ["notification.delivered", "notification.failed"]


async def test_a_channel_that_is_gone_receives_nothing(world: World) -> None:
    async with working(world) as receiver:
        one = await channel(world, receiver)
        await choose(world, world.viewer, one, "agents.approval")
        assert (await world.rest(world.owner, "DELETE", f"{CHANNELS}/{one}")).status_code == 200
        await item(world, "May I?")
        await follow()
        await idle(world)
        assert await settled(world, 0) == []
        assert receiver.got == []
    cells = (await world.rest(world.viewer, "GET", PREFERENCES)).json()["cells"]
    assert [cell["channel_id"] for cell in cells] == [one], "the choice stays"
