"""The tasks of a mission stand in time: what ran, what runs, what is planned; near and far, and by keyboard."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.work.missions import Mission, MissionStatus, MissionTask, TaskStatus
from tests.console.deck import PHONE, enter, go, page, pictures, place, press
from tests.console.test_missions import OVERLAPS, many
from tests.console.voyages import crew, led
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "crew", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
S = TaskStatus
DAYS = timedelta(days=3)
MINUTE = timedelta(minutes=1)
PLAN: tuple[tuple[str, TaskStatus, tuple[int, ...], timedelta, timedelta], ...] = (
    ("Read the log", S.COMPLETED, (), DAYS + 20 * MINUTE, DAYS + 18 * MINUTE),
    ("Read the issues", S.COMPLETED, (), DAYS + 20 * MINUTE, DAYS + 15 * MINUTE),
    ("Ask for the branch", S.COMPLETED, (0, 1), DAYS + 15 * MINUTE, 9 * MINUTE),
    ("Write the features", S.COMPLETED, (2,), 9 * MINUTE, 4 * MINUTE),
    ("Write the fixes", S.IN_PROGRESS, (2,), 9 * MINUTE, timedelta()),
    ("Check the links", S.FAILED, (3,), 4 * MINUTE, 3 * MINUTE),
    ("Put it together", S.BLOCKED, (3, 4), timedelta(), timedelta()),
    ("Translate it", S.BLOCKED, (6,), timedelta(), timedelta()),
    ("Thank everybody", S.PENDING, (), timedelta(), timedelta()),
)
BOX = """(title => [...document.querySelectorAll(".sheet li")].find(one => one.textContent.includes(title))
    .getBoundingClientRect())"""

WIDE = "(view => view.scrollWidth - view.clientWidth)(document.querySelector('.frame .view'))"
SMALL = "[...document.querySelectorAll('.sheet button')].filter(one => one.offsetWidth < 24 || one.offsetHeight < 24)"


async def left(page: Page, title: str) -> float:
    return float(await page.value(f"{BOX}('{title}').left"))


async def waited(place: World) -> Mission:
    """A mission whose third task waited for three days."""
    crew, lead, agent = await led(place)
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    at = now()
    mission = Mission(
        crew_id=crew, lead_agent_id=lead, trace_id=f"mission-{new_id()}", title="Release 2.1",
        status=MissionStatus.IN_PROGRESS, started_at=at - DAYS - 20 * MINUTE, **here,
    )  # fmt: skip
    tasks: list[MissionTask] = []
    for number, (title, status, before, began, ended) in enumerate(PLAN):
        has_ended = status in (S.COMPLETED, S.FAILED)
        tasks.append(
            MissionTask(
                mission_id=mission.id, title=title, status=status, task_order=number, assigned_agent_id=agent,
                depends_on=[tasks[one].id for one in before], started_at=at - began if began else None,
                completed_at=at - ended if has_ended else None, estimated_cost=0.25 if has_ended else None,
                duration_ms=int((began - ended).total_seconds() * 1000) if has_ended else None, **here,
            )
        )  # fmt: skip
    await place.add(mission, *tasks)
    return mission


async def test_tasks_stand_where_they_ran_and_planned_ones_behind_now(
    place: World, crew: str, page: Page, axe: str
) -> None:
    mission = await waited(place)
    await enter(page, place, f"missions/{mission.id}")
    await page.until(f"document.querySelectorAll('.sheet li').length === {len(PLAN)}")
    assert await page.value(OVERLAPS) == 0
    places = {title: await left(page, title) for title, *_ in PLAN}
    assert places["Read the log"] == places["Read the issues"], "they began at the same time"
    assert places["Write the features"] == places["Write the fixes"]
    assert places["Read the log"] < places["Ask for the branch"] < places["Write the features"]
    line = await page.value("document.querySelector('.axis b').getBoundingClientRect().left")
    assert all(places[title] < line for title, _, _, began, _ in PLAN if began)
    assert line < places["Put it together"] < places["Translate it"]
    await page.see("3 d", ".axis .break")
    assert await page.value("document.querySelector('.sheet').offsetWidth") < 3000, "three days take no room"
    assert await page.value(f"{BOX}('Read the log').top") != await page.value(f"{BOX}('Read the issues').top")
    await page.see("$0.25", ".sheet")
    await pictures(page, "mission-in-time")
    await judge(page, axe, "a mission in time")
    assert page.complaints == []


async def test_the_plan_is_seen_whole_and_walked_along_its_edges(place: World, crew: str, page: Page) -> None:
    mission = await waited(place)
    await enter(page, place, f"missions/{mission.id}")
    await page.until(f"document.querySelectorAll('.sheet li').length === {len(PLAN)}")
    await page.look()
    await page.value("document.querySelector('.sheet button[tabindex=\"0\"]').focus()")
    for key, title in (
        ("ArrowRight", "Ask for the branch"), ("ArrowRight", "Write the"), ("ArrowLeft", "Ask for the branch"),
        ("ArrowLeft", "Read the"), ("k", "Read the log"), ("ArrowDown", "Read the issues"),
    ):  # fmt: skip
        await page.press(key)
        await page.until(f"document.activeElement.innerText.includes('{title}')")
    await page.press("f")
    await page.until(f"{WIDE} <= 0")
    await pictures(page, "mission-fit")
    await page.press("+")
    await page.until(f"{WIDE} > 0")
    await page.look(*PHONE)
    await page.see("now Planned", ".sheet")
    heads = "[...document.querySelectorAll('.sheet li')].map(one => one.querySelector('strong').innerText)"
    order = await page.value(heads)
    assert order.index("Ask for the branch") < order.index("Write the fixes") < order.index("Put it together")
    assert order.index("Put it together") < order.index("Translate it"), order
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints == []


async def test_two_hundred_tasks_are_seen_at_once(place: World, crew: str, page: Page) -> None:
    """As marks of 24 pixels and more, none over another."""
    mission = await many(place, 200)
    await place.database.execute(
        "UPDATE mission_tasks SET status = 'COMPLETED', started_at = now() - (200 - task_order) * interval '1 minute',"
        " completed_at = now() - (199 - task_order) * interval '1 minute', duration_ms = 60000 WHERE task_order < 150"
    )
    await place.database.execute("UPDATE missions SET status = 'IN_PROGRESS' WHERE id = $1", mission)
    await enter(page, place, f"missions/{mission}")
    await page.until("document.querySelectorAll('.sheet li').length === 200")
    assert await page.value(OVERLAPS) == 0
    await pictures(page, "mission-many-ran")
    await page.press("f")
    await page.until("document.querySelector('.mark')")
    assert await page.value(OVERLAPS) == 0
    assert await page.value(f"{SMALL}.length") == 0
    await pictures(page, "mission-many-fit")
    assert page.complaints == []


async def test_a_mission_is_paused_and_continued_before_other_eyes(
    place: World, crew: str, page: Page, tmp_path: Path
) -> None:
    mission = await waited(place)
    async with browsing(tmp_path / "other") as other:
        await enter(other, place, "missions")
        await other.see("in progress", ".view")
        await enter(page, place, f"missions/{mission.id}")
        await press(page, "Pause", "main header")
        await page.see("Ada Lovelace paused the mission", "main")
        await page.see("paused", "main header")
        await pictures(page, "mission-paused")
        await other.see("paused", ".view")
        await go(page, place, "")
        await page.see("Paused mission", "main")
        await page.see("Release 2.1", "main")
        await press(page, "Continue", "main")
        await other.see("in progress", ".view")
        assert other.complaints == []
    paused = await place.database.fetchrow("SELECT paused_at, paused_by FROM missions WHERE id = $1", mission.id)
    assert tuple(paused) == (None, None)
    assert page.complaints == []
