"""What every screen of the console stands on: addresses, keys, colours, errors, and a lost connection."""

import pytest

from tests.console.deck import EMAIL, PHONE, enter, page, pictures, place
from tests.people.auth.browsers import PASSWORD
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.terminals import Wire
from tests.world import World

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
SCREEN = "No runs yet"


async def test_addresses_and_keys_lead_where_they_say(place: World, page: Page, axe: str) -> None:
    await enter(page, place)
    await page.see(SCREEN, "main")
    await pictures(page, "runs-empty")
    await judge(page, axe, "no runs")
    await page.press("?", shift=True)
    await page.see("Search and go", "dialog[open]")
    await judge(page, axe, "keys")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    await page.press("k", control=True)
    await page.until("document.activeElement.matches('dialog[open] input')")
    await page.command("Input.insertText", text="buil")
    await page.see("Builder", "dialog[open]")
    await judge(page, axe, "palette")
    await page.press("Escape")
    await page.open(f"{place.url}/console/{place.workspace.slug}/nothing/here")
    await page.see("Nothing is at this address", "main")
    await judge(page, axe, "no such screen")
    await page.press("g")
    await page.press("r")
    await page.see(SCREEN, "main")
    await page.value("history.back()")
    await page.see("Nothing is at this address", "main")
    assert page.complaints == []


@pytest.mark.slow
async def test_workspaces_are_found(place: World, page: Page) -> None:
    await enter(page, place)
    await page.open(f"{place.url}/console")
    await page.until(f"location.pathname === '/console/{place.workspace.slug}'")
    await page.open(f"{place.url}/console/{place.other.slug}/runs")
    await page.see("You are not in this workspace", "main")
    await page.click("main .button")
    await page.until(f"location.pathname === '/console/{place.workspace.slug}'")


@pytest.mark.slow
async def test_colours_are_chosen_and_kept(place: World, page: Page, axe: str) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    await enter(page, place)
    light = await page.value(ground)
    await page.click("nav .foot button:last-child")
    await page.see(EMAIL, "dialog[open]")
    await pictures(page, "settings")
    await judge(page, axe, "settings")
    await page.click("dialog [value=dark]")
    dark = await page.value(ground)
    assert dark != light
    await page.reload()
    await page.see(SCREEN, "main")
    assert await page.value(ground) == dark
    await page.look(dark=True)
    await page.click("nav .foot button:last-child")
    await page.click("dialog [value=light]")
    assert await page.value(ground) == light
    assert page.complaints == []


async def test_a_lost_connection_says_so(place: World, page: Page, axe: str) -> None:
    wire = Wire(place.url)
    async with wire.open() as url:
        await page.open(f"{url}/login?callbackUrl=/console/{place.workspace.slug}/runs")
        await page.fill("#login [name=email]", EMAIL)
        await page.fill("#login [name=password]", PASSWORD)
        await page.press("Enter")
        await page.see(SCREEN, "main")
        wire.refusing = True
        wire.cut()
        await page.see("The connection is lost", "main")
        await pictures(page, "lost")
        await judge(page, axe, "lost")
        wire.refusing = False
        await page.until("!document.body.innerText.includes('The connection is lost')")


@pytest.mark.slow
async def test_a_server_that_does_not_answer_is_said(place: World, page: Page, axe: str) -> None:
    await enter(page, place)
    await page.see(SCREEN, "main")
    await page.command("Network.setBlockedURLs", urls=["*/graphql"])
    await page.reload()
    await page.see("No connection", "main")
    await pictures(page, "offline")
    await judge(page, axe, "offline")
    await page.command("Network.setBlockedURLs", urls=[])
    await page.click("main .failure button")
    await page.see(SCREEN, "main")


@pytest.mark.slow
async def test_a_phone_has_the_same_ways(place: World, page: Page) -> None:
    await page.look(*PHONE)
    await enter(page, place)
    await page.click("nav .foot button")
    await page.until("document.activeElement.matches('dialog[open] input')")
    await page.command("Input.insertText", text="sco")
    await page.see("Scout", "dialog[open]")
    fits = "[...document.querySelectorAll('nav a, nav button')].filter(one => one.offsetParent)"
    fits += ".every(one => { const at = one.getBoundingClientRect(); return at.left >= 0 && at.right <= innerWidth })"
    assert await page.value(fits)


@pytest.mark.slow
async def test_the_palette_begins_what_a_person_may(place: World, page: Page, axe: str) -> None:
    await enter(page, place)
    await page.see(SCREEN, "main")
    await page.press("k", control=True)
    await page.until("document.activeElement.matches('dialog[open] input')")
    await pictures(page, "palette")
    await page.command("Input.insertText", text="create an agent")
    await page.press("Enter")
    await page.until("location.pathname.endsWith('/crews') && document.querySelector('dialog[open] form')")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    await page.press("k", control=True)
    await page.until("document.activeElement.matches('dialog[open] input')")
    await page.command("Input.insertText", text="curl")
    await page.press("Enter")
    await page.see("query Crews", "dialog[open]")
    await pictures(page, "copy")
    await judge(page, axe, "copy")
    assert page.complaints == []
