"""What an agent asks people in the middle of its work: decided where it is asked, and seen when others decide."""

import pytest

from models.attention.approvals import Approval
from tests.console.deck import EMAIL, enter, page, pictures, place
from tests.console.test_chat import FIELD, HOSTILE, asks, say
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.players import RESULT, Player, text
from tests.process.workbench import player
from tests.world import World

__all__ = ["axe", "page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
ASKED = "[role=log] section"


async def ask_in_chat(place: World, player: Player, page: Page, prompt: str) -> Approval:
    """A chat whose run shows a question, and waits."""
    asked, frame = await asks(place)
    player.play(prompt, frame, *([0.2] * 200), text("After it."), RESULT)
    await page.look()
    await enter(page, place, "chat?agent=scout")
    await page.until(f"document.activeElement === document.querySelector('{FIELD}')")
    await say(page, prompt)
    await page.see("run_command needs consent", ASKED)
    await page.see("rm -r build", f"{ASKED} pre")
    return asked


async def status(place: World, asked: Approval) -> tuple[object, ...]:
    return tuple(await place.database.fetchrow("SELECT status, comment FROM approvals WHERE id = $1", asked.id))


async def test_a_question_is_text_and_denied_with_a_reason(place: World, player: Player, page: Page, axe: str) -> None:
    asked = await ask_in_chat(place, player, page, "clean up")
    await page.see("waits", ASKED)
    assert "Thinking" not in await page.text("[role=log]")
    assert HOSTILE.replace('"', '\\"') in await page.text(f"{ASKED} pre")
    assert await page.value("document.querySelectorAll('[role=log] img').length") == 0
    await judge(page, axe, "question")
    await page.fill(f"{ASKED} input", "Not the build")
    await page.click(f"{ASKED} button.danger")
    await page.see("Denied by you: Not the build", ASKED)
    assert await status(place, asked) == ("denied", "Not the build")
    assert await page.value(f"document.querySelector('{ASKED} button')") is None
    await pictures(page, "chat-question-decided")
    await judge(page, axe, "question decided")
    assert page.complaints == []


async def test_the_other_button_approves(place: World, player: Player, page: Page) -> None:
    asked = await ask_in_chat(place, player, page, "clean up well")
    await page.click(f"{ASKED} button.primary")
    await page.see("Approved by you", ASKED)
    assert await status(place, asked) == ("approved", "")
    await page.reload()
    await page.see("Approved by you", ASKED)


async def test_a_decision_made_elsewhere_is_seen_with_who_made_it(place: World, player: Player, page: Page) -> None:
    asked = await ask_in_chat(place, player, page, "clean up later")
    body = {"status": "approved", "comment": "Go"}
    assert (await place.rest(place.admin, "POST", f"/api/v1/approvals/{asked.id}/decide", body)).status_code == 200
    await page.see("Approved by Admin Example: Go", ASKED)
    assert await page.value(f"document.querySelector('{ASKED} button')") is None
    second, frame = await asks(place)
    player.play("and again", frame, *([0.2] * 200), RESULT)
    await page.click("form button.danger")
    await page.until("!document.querySelector('form button.danger')")
    await say(page, "and again")
    await page.until(f"document.querySelectorAll('{ASKED} button.primary').length === 1")
    assert (await place.rest(place.admin, "POST", f"/api/v1/approvals/{second.id}/cancel", {})).status_code == 200
    await page.see("Cancelled", "[role=log] > ol > li:last-child")


async def test_who_cannot_decide_sees_the_question_without_buttons(place: World, player: Player, page: Page) -> None:
    ours = "UPDATE memberships SET role = $2 FROM users WHERE users.id = user_id AND email = $1"
    await place.database.execute(ours, EMAIL, "MEMBER")
    try:
        await ask_in_chat(place, player, page, "clean up as a member")
        await page.see("This needs", ASKED)
        assert await page.value(f"document.querySelector('{ASKED} button')") is None
    finally:
        await place.database.execute(ours, EMAIL, "OWNER")
