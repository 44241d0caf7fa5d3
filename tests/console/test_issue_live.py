"""Two browsers on one issue: each shows the changes of the other, also those made while it was disconnected."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.work.missions import MissionStatus
from tests.console.deck import EMAIL, enter, page, pictures, place, press
from tests.people.auth.browsers import PASSWORD
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.process.terminals import Wire
from tests.work.issues.board import Board
from tests.world import World

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
LOST = "The connection is lost"
TALK = "[aria-label='Comments and changes']"
FORM = "[name=description]"


@pytest.fixture
async def issue(place: World) -> AsyncIterator[dict[str, Any]]:
    board = await Board.of(place)
    made = await board.in_state(MissionStatus.TODO, title="Stack the wood", description="Dry wood")
    yield {"board": board, **made}
    await place.database.execute("DELETE FROM missions")


async def write(page: Page, text: str) -> None:
    await press(page, "Edit description")
    await page.until(f"document.activeElement.matches('{FORM}')")
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text=text)


async def test_each_sees_what_the_other_changes(
    place: World, issue: dict[str, Any], page: Page, tmp_path: Path
) -> None:
    path = f"issues/{issue['identifier']}"
    other_issue = await issue["board"].in_state(MissionStatus.TODO, title="Sharpen the axe")
    async with browsing(tmp_path / "other") as other:
        for one in (page, other):
            await enter(one, place, path)
            await one.see("Dry wood", ".main")
            await one.until("document.querySelector('[name=body]')")
        await write(page, "Wet wood")
        await page.press("Enter", control=True)
        await other.see("Wet wood", ".main")
        await other.fill("[name=body]", "It is wet")
        await other.press("Enter", control=True)
        await page.see("It is wet", f"{TALK} article")
        await page.fill("[name=body]", "half a ")  # what others change leaves what is being written
        await press(other, "New sub-issue")
        await other.fill("dialog [name=title]", "Find the saw")
        await other.press("Enter")
        await page.see("Find the saw", "[aria-label=Sub-issues]")
        await press(other, "Add relation")
        await other.fill("dialog [name=targetIdentifier]", other_issue["identifier"])
        await other.press("Enter")
        await page.see("Sharpen the axe", "[aria-label=Relations]")
        assert await page.value("document.querySelector('[name=body]').value") == "half a "
        given = {"assignee_id": issue["board"].worker.id, "assignee_type": "agent"}
        await issue["board"].change(issue, **given)
        await press(other, "Start work")
        await page.see("In progress", "header")
        await page.until("document.querySelector('[aria-label=\"Work of agents\"] li')")
        assert page.complaints == other.complaints == []


async def test_two_descriptions_meet(place: World, issue: dict[str, Any], page: Page, axe: str, tmp_path: Path) -> None:
    path = f"issues/{issue['identifier']}"
    async with browsing(tmp_path / "other") as other:
        for one in (page, other):
            await enter(one, place, path)
            await one.see("Dry wood", ".main")
        await write(page, "Mine")
        # another part of the issue is no conflict
        await issue["board"].change(issue, priority="high")
        await page.see("High", "aside")
        await page.press("Enter", control=True)
        await other.see("Mine", "[aria-label=Description]")
        await write(page, "Mine again")
        await write(other, "Theirs")
        await other.press("Enter", control=True)
        await page.see("Theirs", "[aria-label=Description] .theirs")
        await page.see("changed the description meanwhile", "[aria-label=Description]")
        assert await page.value(f"document.querySelector('{FORM}').value") == "Mine again"
        await pictures(page, "issue-conflict")
        await judge(page, axe, "conflict")
        await press(page, "Replace with mine")
        await other.see("Mine again", "[aria-label=Description]")
        await write(page, "Thrown away")
        await write(other, "Kept")
        await other.press("Enter", control=True)
        await page.see("Kept", "[aria-label=Description] .theirs")
        await press(page, "Cancel")
        await page.see("Kept", "[aria-label=Description]")
        row = await issue["board"].row(issue)
        assert row["description"] == "Kept"
        assert page.complaints == other.complaints == []


async def test_a_cut_connection_says_so_and_catches_up(place: World, issue: dict[str, Any], page: Page) -> None:
    """The server closes the socket, and accepts none for a while."""
    wire = Wire(place.url)
    async with wire.open() as url:
        await page.open(f"{url}/login?callbackUrl=/console/{place.workspace.slug}/issues/{issue['identifier']}")
        await page.fill("#login [name=email]", EMAIL)
        await page.fill("#login [name=password]", PASSWORD)
        await page.press("Enter")
        await page.see("Dry wood", ".main")
        await page.see("Ada Lovelace", "nav")
        await page.until("document.querySelector('[name=body]')")
        wire.refusing = True
        wire.cut()
        await page.see(LOST, "main")
        for n in range(3):
            said = {"body": f"Log {n} is split"}
            answer = await issue["board"].ask("POST", issue["board"].of_issue(issue, "/comments"), said)
            assert answer.status_code == 201
        assert await page.value(f'document.querySelectorAll("{TALK} article").length') == 0
        wire.refusing = False
        await page.see("Log 2 is split", TALK)
        await page.until(f"!document.body.innerText.includes('{LOST}')")
        await issue["board"].change(issue, status="IN_PROGRESS")
        await page.see("In progress", "header")
        assert await page.value(f'[...document.querySelectorAll("{TALK} article p")].map(one => one.innerText)') == [
            f"Log {n} is split" for n in range(3)
        ]


async def test_a_browser_without_a_network_catches_up(place: World, issue: dict[str, Any], page: Page) -> None:
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    await enter(page, place, f"issues/{issue['identifier']}")
    await page.see("Dry wood", ".main")
    await page.until("document.querySelector('[name=body]')")
    await page.command("Network.emulateNetworkConditions", offline=True, **offline)
    await page.fill("[name=body]", "Said without a network")
    await page.press("Enter", control=True)
    await page.see("The server does not answer", f"{TALK} form")
    await page.see(LOST, "main")
    assert await page.value("document.querySelector('[name=body]').value") == "Said without a network"
    await issue["board"].change(issue, title="Stack the dry wood")
    await page.command("Network.emulateNetworkConditions", offline=False, **offline)
    await page.see("Stack the dry wood", "h1", within=30)
    await page.value("document.querySelector('[name=body]').focus()")
    await page.press("Enter", control=True)
    await page.see("Said without a network", f"{TALK} article")
    assert await page.value(f'document.querySelectorAll("{TALK} article").length') == 1
