"""Issues: moved on the board by mouse and by keys, found in a list, created from anywhere, and worked on in place."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.work.missions import MissionStatus
from tests.console.deck import enter, page, pictures, place
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.work.issues.board import Board
from tests.world import World

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
MEMBER = "mary@example.com"
IN = "[data-status={}] [data-issue='{}']"


@pytest.fixture
async def board(place: World) -> AsyncIterator[Board]:
    """Three issues of a crew; the first one is in the backlog, the second one is to do, the third one is in review."""
    made = await Board.of(place)
    for title, status in (
        ("Sharpen the axe", MissionStatus.BACKLOG),
        ("Stack the wood", MissionStatus.TODO),
        (f"Fell {HOSTILE}", MissionStatus.REVIEW),
    ):
        await made.in_state(status, title=title, description=f"As **agreed**. {HOSTILE}")
    yield made
    await place.database.execute("DELETE FROM missions")


async def found(place: World, title: str) -> Any:
    return await place.database.fetchrow("SELECT * FROM missions WHERE title LIKE $1 || '%'", title)


async def test_the_board_moves_issues_and_their_pages_change_them(
    place: World, board: Board, page: Page, axe: str
) -> None:
    axes, wood = [(await found(place, title))["id"] for title in ("Sharpen", "Stack")]
    await enter(page, place, "issues")
    await page.see("Sharpen the axe", "[data-status=BACKLOG]")
    await page.see("<img src=x", "[data-status=REVIEW]")
    await pictures(page, "issues")
    await judge(page, axe, "board")
    await page.drag(
        IN.format("BACKLOG", axes), "[data-status=IN_PROGRESS]", hold="document.querySelector('section.takes')"
    )
    await page.until(f'document.querySelector("{IN.format("IN_PROGRESS", axes)}")')
    await page.see("is in In progress", ".notices")
    assert (await found(place, "Sharpen"))["status"] == "IN_PROGRESS"
    await page.press("ArrowLeft")
    await page.until(f'document.activeElement.matches("{IN.format("TODO", wood)}")')
    await page.press("]")
    await page.until(f'document.activeElement.matches("{IN.format("IN_PROGRESS", wood)}")')
    await page.press("c")
    await page.until("document.activeElement.matches('dialog[open] [name=title]')")
    await page.fill("dialog [name=title]", "Light the fire")
    await page.press("Enter")
    await page.see("Light the fire", "[data-status=BACKLOG]")
    await page.value("document.querySelector('[data-status=BACKLOG] [data-issue]').focus()")
    await page.press("Enter")
    await page.see("Light the fire", "h1")
    await page.fill("[name=body]", "Where is the **match**?")
    await page.press("Enter", control=True)
    await page.see("Where is the match?", "ol article")
    await page.see("Light the fire", "h1")
    assert page.complaints == []
