"""What a person changes here is shown at once, read once, and can be taken back; what others change is read too."""

import asyncio

import pytest

from crewship.perimeter import console
from tests.console.deck import enter, page, place
from tests.process.browser import CHROMIUM, Page
from tests.world import World

__all__ = ["page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
COUNT = """(real => (window.reads = 0, window.fetch = (to, how) => {
    if (how?.body?.includes('DOCUMENT')) reads++;
    return real(to, how);
}))(window.fetch)"""
NAME = "document.querySelector('main .editable button')?.innerText"


async def test_an_own_change_is_read_once(place: World, page: Page) -> None:
    document = next(id for id, text in console.documents().items() if text.startswith("query SettingsOfWorkspace("))
    await enter(page, place, "settings/workspace")
    await page.until(f"{NAME} === 'Workspace'")
    await asyncio.sleep(1.0)  # the events have begun
    await page.value(COUNT.replace("DOCUMENT", document[:32]))
    await page.click("main .editable button")
    await page.fill("main .editable input", "Lodge")
    await page.press("Enter")
    await page.until(f"{NAME} === 'Lodge'")
    await page.see("Name changed", ".notices")
    await asyncio.sleep(1.0)
    assert await page.value("reads") == 1
    await page.press("z")
    await page.until(f"{NAME} === 'Workspace'")
    await asyncio.sleep(1.0)
    assert await page.value("reads") == 2
    other = 'mutation($ws: ID!) { updateWorkspace(workspaceId: $ws, input: {name: "Cabin"}) { id } }'
    await place.graphql(place.owner, other)
    await page.until(f"{NAME} === 'Cabin'")
    assert page.complaints == []


async def test_what_was_read_ahead_is_read_once(place: World, page: Page) -> None:
    """By the pointer over a link; a change in between is read."""
    document = next(id for id, text in console.documents().items() if text.startswith("query SettingsMembers("))
    link = "document.querySelector('nav a[href$=\"/settings\"]')"
    over = f"{link}.dispatchEvent(new PointerEvent('pointerover', {{bubbles: true}}))"
    await enter(page, place, "account")
    await page.until(f"{NAME}")
    await asyncio.sleep(1.0)  # the events have begun
    await page.value(COUNT.replace("DOCUMENT", document[:32]))
    await page.value(over)
    await page.until("reads === 1")
    await asyncio.sleep(0.5)
    await page.value(f"{link}.click()")
    await page.see("Ada Lovelace", "main .view")
    await asyncio.sleep(0.5)
    assert await page.value("reads") == 1
    change = 'mutation($ws: ID!) { updateWorkspace(workspaceId: $ws, input: {name: "Workspace"}) { id } }'
    await place.graphql(place.owner, change)
    await page.until("reads === 2")
    assert page.complaints == []
