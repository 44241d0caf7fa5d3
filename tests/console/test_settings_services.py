"""Settings: service accounts and their tokens, of which each is shown once."""

import pytest

from tests.console.deck import EMAIL, PHONE, enter, page, pictures, place
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]


async def test_an_account_gets_a_token_and_ends(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "settings/services")
    await page.see("No service accounts yet", "main")
    await page.until("document.querySelector('main header .primary')")
    await page.press("n")
    await page.fill("dialog[open] [name=name]", "<b>Nightly</b>")
    await page.fill("dialog[open] [name=description]", "Builds the report")
    await judge(page, axe, "a new account")
    await page.press("Enter")
    await page.see("No tokens yet", "main")
    await page.until("document.querySelector('main section .primary')")
    await page.press("n")
    await page.fill("dialog[open] [name=name]", "Report")
    await page.fill("dialog[open] [name=scopes]", "crews:read nonsense:read")
    await page.press("Enter")
    await page.until("document.querySelector('dialog[open] .fault')")
    await page.select("dialog[open] [name=scopes]")
    await page.fill("dialog[open] [name=scopes]", "crews:read")
    await page.press("Enter")
    await page.see("shown only once", "dialog[open]")
    token = await page.text("dialog[open] code")
    assert len(token) > 20
    await pictures(page, "settings-token")
    await judge(page, axe, "a token")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    await page.see("crews:read", "main")
    assert token not in await page.text("body")
    await pictures(page, "settings-service")
    await judge(page, axe, "an account")
    await page.click("main li button:first-child")
    await page.see("The old one ends", "dialog[open]")
    await page.click("dialog[open] form .primary")
    await page.see("shown only once", "dialog[open]")
    assert await page.text("dialog[open] code") != token
    await page.press("Escape")
    await page.see("Ended", "main")
    await page.click("main li .danger")
    await page.click("dialog[open] .danger")
    await page.see("No tokens yet", "main")
    await page.click("header button:not(.danger)")
    await page.see("inactive", "header")
    await page.press("z")
    await page.until("!document.querySelector('header').innerText.includes('inactive')")
    await page.click("main .facts .editable:nth-child(3) button")
    await page.until("document.activeElement.matches('.facts input')")
    await page.fill(".facts input", "Writes the summary")
    await page.press("Enter")
    await page.see("Writes the summary", ".facts")
    await delete_on_a_phone(page, place, axe)
    assert page.complaints == []


async def delete_on_a_phone(page: Page, place: World, axe: str) -> None:
    await page.look(*PHONE)
    await page.open(f"{place.url}/console/{place.workspace.slug}/settings/services")
    await page.see("<b>Nightly</b>", "main .view")
    await pictures(page, "settings-services")
    await judge(page, axe, "accounts")
    await page.press("j")
    await page.press("Enter")
    await page.click("header .danger")
    await page.click("dialog[open] .danger")
    await page.see("No service accounts yet", "main")


async def test_a_member_reads_who_may_see_accounts(place: World, page: Page, axe: str) -> None:
    roles = "UPDATE memberships SET role = $2 FROM users WHERE users.id = user_id AND email = $1"
    await place.database.execute(roles, EMAIL, "MEMBER")
    await enter(page, place, "settings/services")
    await page.see("You may not see this", "main")
    await page.see("Creating service accounts needs the role admin.", "main")
    await judge(page, axe, "no right")
    await page.press("n")
    assert not await page.value("document.querySelector('dialog[open]')")
    await place.database.execute(roles, EMAIL, "OWNER")
