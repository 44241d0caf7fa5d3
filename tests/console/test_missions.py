"""Missions: found and made, their tasks as a graph, and steered by mouse, by keyboard and on a phone."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.work.missions import Mission, MissionTask
from tests.console.deck import EMAIL, PHONE, choose, enter, named, page, pictures, place, press
from tests.console.voyages import HOSTILE, Voyage, crew, led, voyage
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World

__all__ = ["axe", "crew", "page", "place", "voyage"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
TEMPLATE = """mutation($ws: ID, $input: CreateMissionTemplateInput!) {
    createMissionTemplate(workspaceId: $ws, input: $input) { id } }"""
STEPS: list[dict[str, Any]] = [{"id": id, "title": f"Task {id.upper()}"} for id in ("a", "b", "c")]
STEPS += [{"id": "all", "title": "Aggregate Results", "agent_role": "lead", "depends_on": ["a", "b", "c"]}]
PARALLEL = {"name": "parallel", "templateJson": {"steps": STEPS}}
OVERLAPS = """(boxes => boxes.filter((one, at) => boxes.slice(at + 1).some(other => one.left < other.right - 1
    && other.left < one.right - 1 && one.top < other.bottom - 1 && other.top < one.bottom - 1)).length)
    ([...document.querySelectorAll('.sheet li')].map(one => one.getBoundingClientRect()))"""
MARKUP = "document.querySelectorAll('main :is(img, script), [href^=javascript]').length"


async def reach(page: Page, text: str, within: str = "body") -> None:
    """The keyboard comes to a button."""
    await page.until(named(text, within))
    await page.value(f"{named(text, within)}.focus()")


def task(title: str) -> str:
    return (
        f"[...document.querySelectorAll('.sheet li button')].find(one => one.innerText.includes({json.dumps(title)}))"
    )


async def open_task(page: Page, title: str) -> None:
    await page.until(task(title))
    await page.value(f"{task(title)}.click()")
    await page.see(title, ".work section h2")


async def test_a_mission_is_made_from_a_template_started_and_cancelled(place: World, crew: str, page: Page) -> None:
    await enter(page, place, "missions")
    await page.see("No missions yet")
    assert (await place.graphql(place.owner, TEMPLATE, {"input": PARALLEL}))["data"]["createMissionTemplate"]
    await page.until(named("New mission"))
    await page.press("n")
    await page.fill("dialog [name=title]", "Release 2.1")
    await choose(page, "dialog [name=workflowTemplate]", "parallel")
    await press(page, "Create", "dialog")
    await page.until("document.querySelectorAll('.sheet li').length === 4")
    await page.see("Aggregate Results", ".sheet")
    assert await page.value("document.querySelectorAll('.sheet svg path.edge').length") == 3
    await press(page, "Start", "main header")
    await page.see("in progress", "main header")
    await open_task(page, "Task B")
    assert "task=" in await page.value("location.search")
    await press(page, "Cancel mission", "main header")
    await press(page, "Cancel mission", "dialog")
    await page.see("cancelled", "main header")
    status = await place.database.fetchval("SELECT status FROM missions WHERE title = 'Release 2.1'")
    assert status == "CANCELLED"
    assert page.complaints == []


@pytest.mark.slow
async def test_a_mission_shows_its_tasks_and_all_of_each(place: World, voyage: Voyage, page: Page, axe: str) -> None:
    await enter(page, place, "missions")
    await page.see("Write the release notes", ".view")
    await pictures(page, "missions")
    await judge(page, axe, "missions")
    await choose(page, ".filters label:nth-of-type(1) select", "failed")
    await page.see("No mission fits these filters")
    assert await page.value("location.search") == "?state=FAILED"
    await choose(page, ".filters label:nth-of-type(4) select", "Changed last")
    await press(page, "Clear", ".filters")
    await page.see("Write the release notes", ".view")
    assert await page.value("location.search") == "?sort=recently_changed"
    await page.press("j")
    await page.press("Enter")
    await page.until("document.querySelectorAll('.sheet li').length === 10")
    await pictures(page, "mission")
    await judge(page, axe, "a mission")
    await open_task(page, "Sort the changes")
    await page.see("Trace", ".work section")
    await page.see(HOSTILE, ".work section")
    await pictures(page, "mission-task")
    await judge(page, axe, "a task of a mission")
    await open_task(page, "Write the fixes")
    await page.see("No access", ".work section")
    assert await page.value(MARKUP) == 0
    assert "owned" not in await page.value("document.title")
    assert page.complaints == []


@pytest.mark.slow
async def test_what_a_mission_waits_for_is_answered_there(place: World, voyage: Voyage, page: Page, axe: str) -> None:
    await enter(page, place, f"missions/{voyage.mission.id}")
    await page.see("Builder asks: Which branch is released?", "main")
    await page.see("Builder is paused after 3 runs without progress: The provider refuses", "main")
    await press(page, "Answer", "main")
    await page.see(HOSTILE, "dialog")
    await pictures(page, "mission-question")
    await judge(page, axe, "a question of a mission")
    await page.fill("dialog [name=resolution]", "release/2")
    await press(page, "Answer", "dialog")
    await page.until("!document.querySelector('main').innerText.includes('Builder asks')")
    answered = await place.database.fetch("SELECT status, resolution FROM escalations")
    assert [tuple(row) for row in answered] == [("RESOLVED", "release/2")]
    await press(page, "Resume", "main ul")
    await page.until("!document.querySelector('main').innerText.includes('is paused')")
    await press(page, "Look", "main")
    await page.see("Write the breaking changes", ".work section h2")
    await page.fill(".held textarea", "Well said")
    await press(page, "Approve", ".held")
    await page.until("!document.querySelector('.held')")
    decided = await place.database.fetch(
        "SELECT status, evaluation_notes FROM mission_tasks WHERE id = $1", voyage.task("Write the breaking").id
    )
    assert [tuple(row) for row in decided] == [("COMPLETED", "Well said")]
    assert await page.value(MARKUP) == 0
    assert page.complaints == []


@pytest.mark.slow
async def test_money_and_checkpoints_of_a_mission(place: World, voyage: Voyage, page: Page, axe: str) -> None:
    await enter(page, place, f"missions/{voyage.mission.id}?part=money")
    await page.see("$0.00 spent", ".money")
    await page.see("1 min 20 s", ".money")
    await pictures(page, "mission-money")
    await judge(page, axe, "money of a mission")
    await page.click(".money .editable button")
    await page.select(".money .editable input")
    await page.command("Input.insertText", text="7.5")
    await page.press("Enter")
    await page.see("7.5", ".money .editable .value")
    await page.fill(".money [name=amountUsd]", "2")
    await press(page, "Set a budget", ".money")
    await page.until("document.querySelectorAll('.money .budget').length === 2")
    budgets = await place.database.fetch("SELECT period, amount_micros FROM budgets ORDER BY period")
    assert [tuple(row) for row in budgets] == [("day", 2_000_000), ("total", 7_500_000)]
    await page.open(f"{place.url}/console/{place.workspace.slug}/missions/{voyage.mission.id}?part=checkpoints")
    await page.see("Before the fixes", ".checkpoints")
    await pictures(page, "mission-checkpoints")
    await judge(page, axe, "checkpoints of a mission")
    await press(page, "Fork", ".checkpoints")
    await page.see("Fork: Write the release notes", "main h1")
    await page.open(f"{place.url}/console/{place.workspace.slug}/missions/{voyage.mission.id}?part=about")
    await page.see("First read, then write.", ".about")
    await pictures(page, "mission-about")
    await judge(page, axe, "a mission in words")
    await page.click(".about .editable button")
    await page.select(".about input")
    await page.command("Input.insertText", text="Release 2.1")
    await page.press("Enter")
    await page.see("Release 2.1", "main h1")
    assert await page.value(MARKUP) == 0
    assert page.complaints == []


@pytest.mark.slow
async def test_a_plan_is_made_and_changed_by_keys_alone(place: World, crew: str, page: Page, axe: str) -> None:
    await enter(page, place, "missions")
    await page.until(named("New mission"))
    await page.press("n")
    await page.until("document.activeElement?.name === 'title'")
    await page.command("Input.insertText", text="Release 2.1")
    await page.press("Enter")
    await page.see("No tasks yet", "main")
    await pictures(page, "mission-empty")
    for number, title in enumerate(("Read", "Write", "Print"), 1):
        await reach(page, "Add a task")
        await page.press("Enter")
        await page.until("document.activeElement?.name === 'title'")
        await page.command("Input.insertText", text=title)
        if number > 1:
            await page.value(f"document.querySelectorAll('dialog [type=checkbox]')[{number - 2}].focus()")
            await page.press("Space")
            if number == 2:
                await pictures(page, "mission-task-form")
                await judge(page, axe, "the form of a task")
            await page.value("document.querySelector('dialog [name=title]').focus()")
        await page.press("Enter")
        await page.until(
            f"!document.querySelector('dialog') && document.querySelectorAll('.sheet li').length === {number}"
        )
        await page.press("Escape")
    assert await page.value("document.querySelectorAll('.sheet svg path.edge').length") == 2
    await page.value("document.querySelector('.sheet li button[tabindex=\"0\"]').focus()")
    await page.press("ArrowRight")
    await page.until("document.activeElement.innerText.includes('Write')")
    await page.press("Enter")
    await page.see("Write", ".work section h2")
    await reach(page, "Edit", ".work section")
    await page.press("Enter")
    await page.until("document.activeElement?.name === 'title'")
    assert await page.value("document.querySelectorAll('dialog [type=checkbox]').length") == 1, "what waits for it"
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text="Rewrite")
    await page.press("Enter")
    await page.see("Rewrite", ".sheet")
    await reach(page, "Delete", ".work section")
    await page.press("Enter")
    await page.until("document.querySelector('dialog')")
    await reach(page, "Delete", "dialog")
    await page.press("Enter")
    await page.until("document.querySelectorAll('.sheet li').length === 2 && !document.querySelector('.work section')")
    left = await place.database.fetch("SELECT title, status, depends_on::text FROM mission_tasks ORDER BY title")
    assert [tuple(row) for row in left] == [("Print", "PENDING", "[]"), ("Read", "PENDING", "[]")]
    assert page.complaints == []


@pytest.mark.slow
async def test_work_begins_again_from_a_task_and_another_browser_sees_it(
    place: World, voyage: Voyage, page: Page, tmp_path: Path
) -> None:
    await place.database.execute("UPDATE missions SET status = 'FAILED' WHERE id = $1", voyage.mission.id)
    async with browsing(tmp_path / "other") as other:
        await enter(other, place, "missions")
        await other.see("failed", ".view")
        await enter(page, place, f"missions/{voyage.mission.id}")
        await open_task(page, "Sort the changes")
        await press(page, "Restart from here", ".work section")
        await press(page, "Restart from here", "dialog")
        await page.see("planning", "main header")
        await other.see("planning", ".view")
        await other.click(".view a")
        await other.see("2 of 10 done", "main")
        await other.until("document.querySelectorAll('.sheet li').length === 10")
        await press(page, "Start", "main header")
        await other.see("in progress", "main header")
        assert other.complaints == []
    assert page.complaints == []


@pytest.mark.slow
async def test_two_hundred_tasks_stand_apart(place: World, crew: str, page: Page) -> None:
    mission = await many(place, 200)
    await enter(page, place, f"missions/{mission}")
    await page.until("document.querySelectorAll('.sheet li').length === 200")
    assert await page.value(OVERLAPS) == 0
    assert await page.value("document.querySelector('.work .view').scrollHeight > innerHeight")
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await pictures(page, "mission-many")
    for _ in range(120):
        await page.press("j")
    await page.until("document.activeElement.closest('.sheet li')")
    assert await page.value(
        "(box => box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth)"
        "(document.activeElement.getBoundingClientRect())"
    )
    await page.look(*PHONE)
    assert await page.value(OVERLAPS) == 0
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await page.look()
    assert page.complaints == []


async def many(place: World, number: int) -> str:
    """A mission whose tasks each wait for some before."""
    crew, lead, _ = await led(place)
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    mission = Mission(crew_id=crew, lead_agent_id=lead, trace_id=f"mission-{new_id()}", title="Many", **here)
    tasks: list[MissionTask] = []
    for at in range(number):
        before = [] if at % 9 == 0 else [tasks[at * 7 // 8 - other].id for other in range(1 + at % 2) if at > 8]
        of: dict[str, Any] = {"mission_id": mission.id, "task_order": at, "depends_on": before}
        tasks.append(MissionTask(title=f"Task {at} of a long plan", **of, **here))
    await place.add(mission, *tasks)
    return mission.id


@pytest.mark.slow
async def test_a_viewer_reads_and_changes_nothing(place: World, voyage: Voyage, page: Page) -> None:
    await place.database.execute("UPDATE memberships SET role = 'VIEWER' WHERE user_id = $1", await ada(place))
    try:
        await enter(page, place, f"missions/{voyage.mission.id}?part=about")
        await page.see("First read, then write.", ".about")
        assert await page.value("document.querySelectorAll('.about button').length") == 0
        await page.until("document.querySelector('.about [title]').title === 'This needs manager.'")
        for part, text in (("money", "This needs manager"), ("checkpoints", "Before the fixes")):
            await page.open(f"{place.url}/console/{place.workspace.slug}/missions/{voyage.mission.id}?part={part}")
            await page.see(text, "main")
            assert await page.value("document.querySelectorAll('main form, main button').length") == 1, "only: Look"
        await page.open(f"{place.url}/console/{place.workspace.slug}/missions/{voyage.mission.id}")
        await open_task(page, "Write the breaking")
        shown = await page.value("[...document.querySelectorAll('main button')].map(one => one.innerText.trim())")
        acts = {"Start", "Cancel mission", "Clone", "Add a task", "Answer", "Resume", "Approve", "Reject", "Edit"}
        assert acts.isdisjoint(shown), shown
        await page.open(f"{place.url}/console/{place.workspace.slug}/missions")
        await page.see("Write the release notes", ".view")
        assert not await page.value(named("New mission"))
        assert page.complaints == []
    finally:
        await place.database.execute("UPDATE memberships SET role = 'OWNER' WHERE user_id = $1", await ada(place))


async def ada(place: World) -> str:
    return str(await place.database.fetchval("SELECT id FROM users WHERE email = $1", EMAIL))
