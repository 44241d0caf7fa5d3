"""A terminal in the console, in a real browser, on the running service and its sandbox."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from resolvers.instance.running import instance
from rest_compat.ws import terminals
from runtime.runs.terminals import SandboxedTerminals
from runtime.sandbox import Unconfined
from tests.console.deck import pictures
from tests.people.auth.browsers import PASSWORD, new_user
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.process.players import hire
from tests.world import World, now, world_on

__all__ = ["axe"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
EMAIL = "ada@example.com"
PROMISED = 30.0  # seconds
AGAIN = ".ended button"
SHOWN = "[...document.querySelectorAll('.xterm-rows > div')].map(row => row.textContent).join('\\n')"


@pytest.fixture(scope="module")
async def place(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), role="api") as made:
        found = SandboxedTerminals(made.settings)
        if not await found.available():
            pytest.skip("no sandbox on this machine")
        instance.terminals = found
        await hire(made, made.owner)
        await hire(made, made.owner, "builder", "Builder")
        yield made
        instance.terminals = None


@pytest.fixture
async def page(place: World, tmp_path: Path) -> AsyncIterator[Page]:
    """A tab of somebody who is a manager, and signed in."""
    await place.database.execute("DELETE FROM users WHERE email = $1", EMAIL)
    ada = await new_user(place, full_name="Ada Lovelace", email=EMAIL)
    await place.add(Membership(workspace_id=place.workspace.id, user_id=ada.id, role=Role.MANAGER, accepted_at=now()))
    async with browsing(tmp_path / "profile") as made:
        await made.look()
        await made.open(f"{place.url}/terminal?agent=scout")  # the address from before the console
        await made.fill("#login [name=email]", EMAIL)
        await made.fill("#login [name=password]", PASSWORD)
        await made.press("Enter")
        await made.until("/agents\\/[^/]+\\/terminal$/.test(location.pathname)")
        yield made
        # what a refused handshake, or a login that has ended, leaves in the console is no fault of the page
        expected = ("/ws/terminal", "/graphql")
        assert [said for said in made.complaints if not any(path in said for path in expected)] == []
        port = place.url.rsplit(":", 1)[1]
        known = tuple(f"{kind}://127.0.0.1:{port}" for kind in ("http", "ws"))
        assert {url for url in made.requests if not url.startswith((*known, "data:"))} == set()


async def seen(page: Page, text: str, within: float = 20) -> None:
    await page.until(f"({SHOWN}).includes({json.dumps(text)})", within)


async def typed(page: Page, text: str, until: str) -> None:
    await page.command("Input.insertText", text=text)
    await page.press("Enter")
    await seen(page, until)


@pytest.mark.slow
async def test_a_shell_in_a_page(place: World, page: Page, axe: str) -> None:
    await seen(page, "$")
    assert await page.value("document.activeElement.className") == "xterm-helper-textarea"
    await typed(page, "echo hello-$((6*7)) é€🚀", "hello-42 é€🚀")
    await typed(page, "stty size", str(await page.value("document.querySelectorAll('.xterm-rows > div').length")) + " ")
    await page.see("Scout", "h1")
    assert await page.value("document.querySelector('.terminal').getAttribute('aria-label')") == "Terminal of Scout"
    await page.look(700, 500)
    rows = await page.value("document.querySelectorAll('.xterm-rows > div').length")
    await page.until(f"document.querySelectorAll('.xterm-rows > div').length !== {rows} || {rows} < 30")
    await asyncio.sleep(0.3)
    rows = await page.value("document.querySelectorAll('.xterm-rows > div').length")
    await typed(page, "stty size", f"{rows} ")
    await page.look()
    await typed(page, "sleep 1000", "sleep 1000")
    await interrupt(page)
    await typed(page, "printf '\\033[31mred\\033[0m \\033[1;34mblue\\033[0m\\n'; ls --color /", "red blue")
    colours = "[...document.querySelectorAll('.xterm-rows span')].filter(one => one.innerText === 'red')"
    await page.until(f"getComputedStyle({colours}.at(-1)).color === 'rgb(163, 22, 26)'")
    await typed(page, "printf '\\033[38;2;200;30;30mexact\\033[0m\\n'", "exact")
    slider = "document.querySelector('.scrollbar.vertical .slider')"
    assert await page.value(f"getComputedStyle({slider}).backgroundColor") != "rgba(0, 0, 0, 0)"
    await pictures(page, "terminal")
    await judge(page, axe, "terminal")
    await typed(page, "exit", "exit")
    await page.see("The shell has ended.", ".ended")
    await page.until(f"document.activeElement === document.querySelector('{AGAIN}')")
    await pictures(page, "terminal-ended")
    await judge(page, axe, "ended")
    await page.press("Enter")
    await page.until("!document.querySelector('.ended')")
    await seen(page, "$")
    await typed(page, "echo again-$((7*8))", "again-56")


async def interrupt(page: Page) -> None:
    key = {"key": "c", "code": "KeyC", "windowsVirtualKeyCode": 67, "modifiers": 2}
    await page.command("Input.dispatchKeyEvent", type="rawKeyDown", **key)
    await page.command("Input.dispatchKeyEvent", type="keyUp", **key)
    await seen(page, "^C")


@pytest.mark.slow
async def test_by_keyboard_and_for_screen_readers(place: World, page: Page, axe: str) -> None:
    await seen(page, "$")
    key = {"key": "F6", "code": "F6", "windowsVirtualKeyCode": 117, "modifiers": 2}
    await page.command("Input.dispatchKeyEvent", type="rawKeyDown", **key)
    await page.command("Input.dispatchKeyEvent", type="keyUp", **key)
    assert await page.value("document.activeElement.type") == "checkbox", "there is no way out of the terminal"
    await page.press("Space")
    await page.until("document.activeElement.className === 'xterm-helper-textarea'")
    for letter in "echo aloud":  # to xterm.js in this mode, what comes without keys is of an input method
        key = {"key": letter, "text": letter, "windowsVirtualKeyCode": ord(letter.upper())}
        await page.command("Input.dispatchKeyEvent", type="keyDown", **key)
        await page.command("Input.dispatchKeyEvent", type="keyUp", **key)
    await page.press("Enter")
    await seen(page, "\naloud")
    await page.until("document.querySelector('.xterm-accessibility')?.textContent.includes('aloud')")
    assert await page.value("document.querySelector('.xterm-helper-textarea').getAttribute('aria-label')")
    await judge(page, axe, "read aloud")


@pytest.mark.slow
async def test_a_member_who_is_removed_is_told_so(place: World, page: Page) -> None:
    await seen(page, "$")
    since = time.monotonic()
    await place.database.execute(
        "DELETE FROM memberships WHERE user_id = (SELECT id FROM users WHERE email = $1)", EMAIL
    )
    await page.see("your membership or role has changed, or its crew is gone", ".ended", PROMISED)
    assert time.monotonic() - since < PROMISED
    await page.click(AGAIN)
    await page.see("The terminal was not opened:", ".ended")


@pytest.mark.slow
async def test_a_login_that_ended_leads_to_the_sign_in(place: World, page: Page) -> None:
    await seen(page, "$")
    await place.database.execute("DELETE FROM sessions")
    await page.see("Your login has ended, and the terminal with it.", ".ended", PROMISED)
    await page.click(AGAIN)
    await page.until("location.pathname === '/login'")
    assert "%2Fagents%2Fscout%2Fterminal" in await page.value("location.search")


@pytest.mark.slow
async def test_why_there_is_none(place: World, page: Page, monkeypatch: pytest.MonkeyPatch, axe: str) -> None:
    await seen(page, "$")
    await typed(page, "exit", "exit")
    await page.see("The shell has ended.", ".ended")
    monkeypatch.setattr(terminals, "MOST_OF_USER", 0)
    await page.click(AGAIN)
    await page.see("Too many terminals are open. Close one, or try again later.", ".ended")
    monkeypatch.setattr(terminals, "MOST_OF_USER", 5)
    monkeypatch.setattr(terminals, "IDLE", 0.5)
    await page.click(AGAIN)
    await page.see("nothing was typed for half an hour", ".ended")
    monkeypatch.setattr(instance, "terminals", SandboxedTerminals(place.settings, Unconfined()))
    await page.click(AGAIN)
    await page.see("it cannot be reached, or has no sandbox", ".ended")
    await page.open(f"{place.url}/terminal?agent=nobody")
    await page.see("Not found", "main")
    await page.open(f"{place.url}/terminal")
    await page.until("location.pathname.endsWith('/crews')")
    await page.see("Builder", "main")
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'builder'")
    old = f"{place.url}/terminal?agent=builder&workspace={place.workspace.id}"
    await page.open(old)
    await page.until(f"location.pathname === '/console/{place.workspace.slug}/agents/builder/terminal'")
    await page.open(f"{place.url}/console/{place.workspace.slug}/chat?agent=builder")
    await page.see("Builder", "h1")
    await page.until("document.querySelector(\"header a[href$='/agents/" + agent + "/terminal']\")")


@pytest.mark.slow
async def test_what_is_selected_is_copied_and_what_was_copied_is_pasted(place: World, page: Page) -> None:
    await seen(page, "$")
    grants = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    await page.command("Browser.grantPermissions", permissions=grants)
    await typed(page, "echo to-copy-$((6*7))", "to-copy-42")
    row = "[...document.querySelectorAll('.xterm-rows > div')].findLast(row => row.textContent.includes('to-copy-42'))"
    place_of = f"(at => ({{x: at.x + 20, y: at.y + at.height / 2}}))({row}.getBoundingClientRect())"
    at = await page.value(place_of)
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            await page.command("Input.dispatchMouseEvent", type=kind, **at, button="left", clickCount=count)
    await page.until("[...document.querySelectorAll('.bar button')].some(one => one.innerText === 'Copy')")
    await page.value("[...document.querySelectorAll('.bar button')].find(one => one.innerText === 'Copy').click()")
    await page.until("navigator.clipboard.readText().then(text => text.includes('copy'))")
    await page.value("navigator.clipboard.writeText('echo pasted-$((7*8))')")
    await page.value("[...document.querySelectorAll('.bar button')].find(one => one.innerText === 'Paste').click()")
    await page.until("document.activeElement.className === 'xterm-helper-textarea'")
    await seen(page, "echo pasted-")
    await page.press("Enter")
    await seen(page, "pasted-56")


@pytest.mark.slow
async def test_the_folder_of_a_crew_has_one_too(place: World, page: Page) -> None:
    crew = await place.database.fetchval("SELECT id FROM crews")
    await page.open(f"{place.url}/console/{place.workspace.slug}/crews/{crew}/terminal")
    await seen(page, "$")
    await typed(page, "echo crew-$((6*7))", "crew-42")
    await page.look(390, 844)
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    before = "document.adoptedStyleSheets.length"
    assert await page.value(before) > 0
    await page.value("document.querySelector('main nav a').click()")
    await page.until(f"!document.querySelector('.terminal') && {before} === 0")
