"""What is stored of choices, quiet hours and templates; what is refused; and when a message is held."""

from datetime import UTC, datetime
from typing import Any

import pytest

from models.attention.inbox import InboxPriority
from models.attention.notification_channels import ChannelScope, ChannelType, NotificationChannel
from models.attention.notification_deliveries import NotificationSchedule
from resolvers.attention.notification_deliveries.templates import worded
from resolvers.attention.notification_deliveries.timing import held_until
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio
PREFERENCES = "/api/v1/me/notification-prefs"
SCHEDULE = "/api/v1/me/notification-schedule"
TEMPLATES = "/api/v1/notification-templates"


async def channel(world: World, **more: Any) -> str:
    here = {"workspace_id": world.workspace.id} | more
    made = NotificationChannel(type=ChannelType.webhook, url="https://example.com/hook", **here)
    await world.add(made)
    return made.id


def cell(channel_id: str, category: str = "memory", state: str = "immediate") -> dict[str, str]:
    return {"category": category, "channel_id": channel_id, "state": state}


async def test_choices_are_merged_and_are_the_callers_own(world: World) -> None:
    one = await channel(world)
    for cells in ([cell(one), cell(one, "security")], [cell(one, state="off")]):
        answer = await world.rest(world.viewer, "PUT", PREFERENCES, {"cells": cells})
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
    mine = (await world.rest(world.viewer, "GET", PREFERENCES)).json()["cells"]
    assert {each["channel_id"] for each in mine} == {one}
    assert [(each["category"], each["state"]) for each in mine] == [("memory", "off"), ("security", "immediate")]
    assert (await world.rest(world.manager, "GET", PREFERENCES)).json() == {"cells": []}


async def test_choices_that_are_refused_store_none(world: World) -> None:
    one, foreign = await channel(world), await channel(world, workspace_id=world.other.id)
    own = {"scope": ChannelScope.user, "owner_user_id": world.manager.user_id}
    private = await channel(world, **own)
    before = await world.snapshot()
    for bad in (
        cell("nch_none"), cell(foreign), cell(private), cell(""), cell(one, "agents.message"), cell(one, "other"),
        cell(one, state="later"),
    ):  # fmt: skip
        answer = await world.rest(world.viewer, "PUT", PREFERENCES, {"cells": [cell(one), bad]})
        assert answer.status_code == 400, (bad, answer.text)
    assert (await world.rest(world.viewer, "PUT", PREFERENCES, {"cells": []})).status_code == 400
    assert await world.snapshot() == before


async def test_quiet_hours_are_stored_as_times_of_day(world: World) -> None:
    empty = {"time_zone": "UTC", "through": "urgent"}
    assert (await world.rest(world.viewer, "GET", SCHEDULE)).json() == empty
    given = {"time_zone": "Europe/Prague", "quiet_from": "22:30", "quiet_until": "07:05", "through": "high"}
    answer = await world.rest(world.viewer, "PUT", SCHEDULE, given | {"digest_minutes": 30})
    assert answer.json() == given | {"digest_minutes": 30}
    before = await world.snapshot()
    for bad in (
        {"quiet_from": "22:00"}, {"quiet_from": "24:00", "quiet_until": "07:00"}, {"time_zone": "Mars/Base"},
        {"digest_minutes": 0}, {"digest_minutes": 10_081}, {"through": "never"},
    ):  # fmt: skip
        assert (await world.rest(world.viewer, "PUT", SCHEDULE, bad)).status_code == 400, bad
    assert await world.snapshot() == before
    assert (await world.rest(world.viewer, "PUT", SCHEDULE, {})).json() == empty


async def test_templates_that_are_refused_write_nothing(world: World) -> None:
    foreign = await channel(world, workspace_id=world.other.id)
    before = await world.snapshot()
    for bad in (
        {"category": "agents.message", "title": "x"}, {"category": "memory", "title": "{{ secrets.key }}"},
        {"category": "memory", "title": "x", "channel_id": foreign}, {"title": "x"},
        {"category": "memory", "title": "x", "channel_id": "nch_none"}, {"category": "memory", "body": "{{ source }}"},
    ):  # fmt: skip
        assert (await world.rest(world.owner, "PUT", TEMPLATES, bad)).status_code == 400, bad
    assert (await world.rest(world.viewer, "PUT", TEMPLATES, {"category": "memory", "title": "x"})).status_code == 403
    assert (await world.rest(world.owner, "DELETE", TEMPLATES)).status_code == 400
    assert await world.snapshot() == before


def test_references_are_filled_in() -> None:
    facts = {"source": {"title": "A"}, "vars": {"agent": {"name": "Ada"}, "number": 3}}
    assert worded("{{source.title}}/{{ vars.agent.name }}/{{ vars.number }}", "x", facts) == "A/Ada/3"
    assert worded("[{{ vars.none }}{{ vars.agent }}]", "x", facts) == "[]"
    assert worded(" {{ vars.none }} ", "x", facts) == "x"


AT = datetime(2026, 7, 1, 21, 10, tzinfo=UTC)  # 23:10 in Prague
NIGHT = {"time_zone": "Europe/Prague", "quiet_from": 22 * 60, "quiet_until": 7 * 60}
LOW, HIGH = InboxPriority.low.value, InboxPriority.high.value


@each_of(
    ("schedule", "priority", "expected"),
    [
        (None, LOW, None),
        ({}, LOW, None),
        (NIGHT, LOW, datetime(2026, 7, 2, 5, 0, tzinfo=UTC)),
        (NIGHT, "urgent", None),
        (NIGHT | {"through": InboxPriority.high}, HIGH, None),
        (NIGHT | {"time_zone": "UTC"}, LOW, None),
        ({"digest_minutes": 60}, LOW, datetime(2026, 7, 1, 22, 0, tzinfo=UTC)),
        ({"digest_minutes": 60} | NIGHT, LOW, datetime(2026, 7, 2, 5, 0, tzinfo=UTC)),
        (
            {"digest_minutes": 60, "time_zone": "UTC", "quiet_from": 23 * 60, "quiet_until": 60},
            LOW,
            AT.replace(hour=22, minute=0),
        ),
        (NIGHT | {"quiet_from": 7 * 60}, LOW, None),
    ],
)
def test_a_message_is_held(schedule: dict[str, Any] | None, priority: str, expected: datetime | None) -> None:
    row = None if schedule is None else NotificationSchedule(user_id="u", workspace_id="w", **schedule)
    assert held_until(row, priority, AT) == expected
