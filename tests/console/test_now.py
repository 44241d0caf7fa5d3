"""Now: what needs a person, answered in place by mouse, by keyboard and on a phone."""

import asyncio
import time
from typing import Any

import pytest

from tests.console.deck import EMAIL, PHONE, enter, give, page, pictures, place, press
from tests.console.needs import HOSTILE, Needs, given
from tests.people.auth.browsers import PASSWORD
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.terminals import Wire
from tests.world import World

__all__ = ["axe", "given", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


LIST = """query($ws: ID) { attention(workspaceId: $ws, first: 100) {
    nodes { title handover { note by { fullName } } } } }"""


def row(title: str) -> str:
    return f"[...document.querySelectorAll('.waits li')].find(row => row.innerText.includes('{title}'))"


async def press_in(page: Page, title: str, button: str) -> None:
    found = f"[...({row(title)})?.querySelectorAll('button') ?? []].find(one => one.innerText.trim() === '{button}')"
    await page.until(found)
    await page.value(f"{found}.click()")


async def gone(page: Page, title: str) -> None:
    await page.until(f"document.querySelector('.waits') && !({row(title)})")


async def one(place: World, table: str, id: str, columns: str) -> tuple[Any, ...]:
    found = await place.database.fetchrow(f"SELECT {columns} FROM {table} WHERE id = $1", id)
    assert found is not None
    return tuple(found)


async def becomes(place: World, table: str, id: str, columns: str, *wanted: Any) -> None:
    """A row goes from the screen before the service has answered."""
    deadline = time.monotonic() + 10
    while (found := await one(place, table, id, columns)) != wanted:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_everything_that_needs_me_is_there(place: World, given: Needs, page: Page, axe: str) -> None:
    await enter(page, place, "")
    await page.see("Which branch do I release?", ".waits")
    for title in ("The agent wants to call run_command", "Write the changelog", "A note from Scout", "GitHub"):
        await page.see(title, ".waits")
    await page.see("Write the release notes", ".waits")
    await page.see("Scout", "aside")
    await page.until(
        f"[...document.querySelectorAll('aside li:has(a[href$=\"/runs/{given.failed.id}\"])')]"
        ".some(row => row.innerText.includes('failed') && row.innerText.includes('The provider refuses'))"
    )
    await page.until("document.title === '(7) Now · Crewship'")
    assert (await page.value("document.querySelector('link[rel=icon]').href")).endswith("/static/badge.svg")
    await pictures(page, "now")
    await judge(page, axe, "now")
    for title in ("run_command", "Which branch", "A note", "Write the changelog"):
        await page.value(f"{row(title)}.querySelector('.what').click()")
        await page.until(f"{row(title)}.querySelector('.details')")
        if title == "run_command":
            await page.see("rm -r build", ".waits .details")
            await pictures(page, "now-open")
            await judge(page, axe, "now with details")
        assert await page.value("document.querySelectorAll('main :is(img, script), [href^=javascript]').length") == 0
    await page.see(HOSTILE, ".waits")
    assert await page.value("document.title") == "(7) Now · Crewship"
    assert page.complaints == []


async def test_it_is_answered_in_place(place: World, given: Needs, page: Page) -> None:
    await enter(page, place, "")
    await press_in(page, "run_command", "Approve")
    await page.fill("form textarea", "Only this time")
    await page.press("Enter")
    await gone(page, "run_command")
    await press_in(page, "Which branch", "Answer")
    await page.fill("form textarea", "release/2")
    await page.click("form button.primary")
    await gone(page, "Which branch")
    await press_in(page, "A note", "Done")
    await page.see("Done: A note from Scout", ".notices")
    await becomes(place, "inbox_items", given.message.id, "state", "resolved")
    await page.press("z")
    await page.until(row("A note"))
    await becomes(place, "inbox_items", given.message.id, "state", "unread")
    await press_in(page, "Budget", "Raise")
    await page.until("document.querySelector('form input')?.value === '10'")
    await page.click("form button.primary")
    await gone(page, "Budget")
    await press_in(page, "Write the release notes", "Accept")
    await gone(page, "Write the release notes")
    await page.until("document.title.startsWith('(3) ')")
    await becomes(place, "approvals", given.approval.id, "status, comment", "approved", "Only this time")
    answered = ("RESOLVED", "release/2", "approve")
    await becomes(place, "escalations", given.escalation.id, "status, resolution, action", *answered)
    await becomes(place, "budgets", given.budget.id, "amount_micros", 10_000_000)
    await becomes(place, "missions", given.issue.id, "status", "DONE")
    assert page.complaints == []


@pytest.mark.slow
async def test_the_keyboard_alone_is_enough(place: World, given: Needs, page: Page, axe: str) -> None:
    await enter(page, place, "")
    await page.until(row("run_command"))
    await page.press("?", shift=True)
    await page.see("Act on the row", "dialog[open]")
    await judge(page, axe, "keys")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    await page.press("j")
    await page.press("Enter")
    await page.see("rm -r build", ".waits .details")
    await page.press("j")
    await page.see("main is ahead", ".waits .details")
    await page.press("k")
    await page.press("e")
    await page.until("document.activeElement.innerText === 'Approve'")
    await page.press("Enter")
    await page.until("document.activeElement.matches('form textarea')")
    await page.press("Enter")
    await gone(page, "run_command")
    await page.see("Approve: The agent wants to call run_command", ".notices")
    await becomes(place, "approvals", given.approval.id, "status", "approved")
    await page.press("k", control=True)
    await page.until("document.activeElement.matches('dialog[open] input')")
    await page.command("Input.insertText", text="buil")
    await page.see("Builder", "dialog[open]")
    await judge(page, axe, "palette")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_phone_is_enough(place: World, given: Needs, page: Page) -> None:
    await page.look(*PHONE)
    await enter(page, place, "")
    await press_in(page, "run_command", "Deny")
    await page.fill("form textarea", "Not now")
    await pictures(page, "now-deny")
    await page.look(*PHONE)
    narrow = "[...document.querySelectorAll('.waits button, form textarea')].every(one => {"
    narrow += " const at = one.getBoundingClientRect(); return at.left >= 0 && at.right <= innerWidth })"
    assert await page.value(narrow)
    await page.click("form button.danger")
    await page.see("Deny: The agent wants to call run_command", ".notices")
    await becomes(place, "approvals", given.approval.id, "status, comment", "denied", "Not now")


@pytest.mark.slow
async def test_what_others_decide_leaves_without_a_reload(place: World, given: Needs, page: Page) -> None:
    await enter(page, place, "")
    await page.until(row("run_command"))
    body = {"status": "approved", "comment": ""}
    decided = await place.rest(place.admin, "POST", f"/api/v1/approvals/{given.approval.id}/decide", body)
    assert decided.status_code == 200
    await gone(page, "run_command")
    await page.until("document.title.startsWith('(6) ')")


@pytest.mark.slow
async def test_a_member_sees_no_act_of_an_admin(place: World, given: Needs, page: Page) -> None:
    ours = "UPDATE memberships SET role = $2 FROM users WHERE users.id = user_id AND email = $1"
    await place.database.execute(ours, EMAIL, "VIEWER")
    try:
        await enter(page, place, "")
        await page.until(row("run_command"))
        assert await page.value(f"{row('run_command')}.querySelectorAll('.acts button').length") == 0
        await page.see("This needs manager", ".waits")
        shown = await page.value("[...document.querySelectorAll('.waits .acts button')].map(one => one.innerText)")
        assert set(shown) <= {"Retry", "Dismiss", "Done"}, shown
    finally:
        await place.database.execute(ours, EMAIL, "OWNER")
    assert page.complaints == []


@pytest.mark.slow
async def test_any_row_is_handed_over_and_taken_back_by_keys_on_a_phone(
    place: World, given: Needs, page: Page, axe: str
) -> None:
    await page.look(*PHONE)
    await enter(page, place, "")
    rows = "document.querySelectorAll('.waits > ul > li')"
    each = f"[...{rows}].every(row => [...row.querySelectorAll('button')].some(one => one.innerText === 'Hand over'))"
    await page.until(f"{rows}.length === 7 && {each}")
    for title in ("run_command", "GitHub"):
        found = f"[...{row(title)}.querySelectorAll('button')].find(one => one.innerText === 'Hand over')"
        await page.value(f"{found}.focus()")
        await page.press("Enter")
        await page.until("document.activeElement.matches('form select')")
        await give(page, ".waits form select", place.admin.user_id)
        offered = await page.value("[...document.querySelectorAll('.waits form option')].map(one => one.value)")
        assert place.viewer.user_id not in offered  # whose role decides nothing
        await page.fill(".waits form textarea", "You know it")
        await judge(page, axe, "hand over")
        await pictures(page, "now-hand-over")
        await page.look(*PHONE)
        await page.press("Enter")
        await gone(page, title)
    told = await place.graphql(place.admin, LIST)
    notes = {one["title"]: one["handover"] for one in told["data"]["attention"]["nodes"]}
    assert notes["GitHub"] == {"note": "You know it", "by": {"fullName": "Ada Lovelace"}}
    await page.press("z")
    await page.until(row("GitHub"))
    await page.see("Handed over", ".waits details")
    await page.click(".waits summary")
    await page.see("Admin Example has it", ".waits details")
    await press(page, "Take back")
    await page.until(row("run_command"))
    await page.until("document.title.startsWith('(7) ')")
    await becomes(place, "approvals", given.approval.id, "status", "pending")
    await page.look()
    assert page.complaints == []


@pytest.mark.slow
async def test_a_failed_run_begins_again(place: World, given: Needs, page: Page) -> None:
    await enter(page, place, "")
    await press_in(page, "Write the changelog", "Retry")
    await page.see("Retry: Write the changelog", ".notices")
    await gone(page, "Write the changelog")
    again = "SELECT count(*) FROM runs WHERE retry_of = $1"
    assert await place.database.fetchval(again, given.failed.id) == 1
    assert page.complaints == []


@pytest.mark.slow
async def test_what_happens_while_the_connection_is_lost_is_caught_up(place: World, given: Needs, page: Page) -> None:
    wire = Wire(place.url)
    async with wire.open() as url:
        await page.open(f"{url}/login?callbackUrl=/console/{place.workspace.slug}")
        await page.fill("#login [name=email]", EMAIL)
        await page.fill("#login [name=password]", PASSWORD)
        await page.press("Enter")
        await page.until(row("run_command"))
        wire.refusing = True
        wire.cut()
        await page.see("The connection is lost", "main")
        body = {"status": "approved", "comment": ""}
        decided = await place.rest(place.admin, "POST", f"/api/v1/approvals/{given.approval.id}/decide", body)
        assert decided.status_code == 200
        assert await page.value(f"!!({row('run_command')})")
        wire.refusing = False
        await gone(page, "run_command")
        await page.until("!document.body.innerText.includes('The connection is lost')")


@pytest.mark.slow
async def test_nothing_needs_me(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "")
    await page.see("Nothing needs you", ".waits")
    await pictures(page, "now-empty")
    await judge(page, axe, "nothing")
    assert await page.value("document.title") == "Now · Crewship"
