"""Missions: found and made, their tasks as a graph, and steered by mouse, by keyboard and on a phone."""

import json

import pytest

from tests.console.deck import enter, page, pictures, place
from tests.console.voyages import HOSTILE, Voyage, crew, voyage
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World

__all__ = ["axe", "crew", "page", "place", "voyage"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
TEMPLATE = """mutation($ws: ID, $input: CreateMissionTemplateInput!) {
    createMissionTemplate(workspaceId: $ws, input: $input) { id } }"""
STEPS = [{"id": "a", "title": "Task A"}, {"id": "b", "title": "Task B"}, {"id": "c", "title": "Task C"}]
STEPS += [{"id": "all", "title": "Aggregate Results", "agent_role": "lead", "depends_on": ["a", "b", "c"]}]
PARALLEL = {"name": "parallel", "templateJson": {"steps": STEPS}}
MARKUP = "document.querySelectorAll('main :is(img, script), [href^=javascript]').length"


def button(text: str, within: str = "body") -> str:
    return f"[...document.querySelectorAll('{within} button')].find(one => one.innerText.trim() === '{text}')"


async def press(page: Page, text: str, within: str = "body") -> None:
    await page.until(f"(found => found && !found.disabled)({button(text, within)})")
    await page.value(f"{button(text, within)}.click()")


async def choose(page: Page, selector: str, text: str) -> None:
    """The option with this text."""
    await page.until(f"[...document.querySelectorAll('{selector} option')].some(one => one.text.startsWith('{text}'))")
    await page.value(
        f"(choice => {{ choice.value = [...choice.options].find(one => one.text.startsWith('{text}')).value;"
        f" choice.dispatchEvent(new Event('change', {{bubbles: true}})) }})(document.querySelector('{selector}'))"
    )


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
    await page.until(button("New mission"))
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
