"""What is drawn of a conversation stays the same elements, so that nobody clicks on what is gone."""

import pytest

from tests.console.deck import page, place
from tests.console.test_chat import LAST, TURNS, begin, button, done, say
from tests.process.browser import CHROMIUM, Page
from tests.process.players import RESULT, Player, text
from tests.process.workbench import player, run_of
from tests.world import World

__all__ = ["page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]


@pytest.mark.slow
async def test_buttons_stay_while_turns_begin_end_and_are_read_anew(place: World, player: Player, page: Page) -> None:
    await begin(page, place, "steady")
    await done(page)
    await page.until(f"{button('Edit', 0)} && {button('Answer again', 1)} && document.querySelector('form .primary')")
    kept = f"[...document.querySelectorAll('[role=log] li, [role=log] li button, form .primary'), {LAST}]"
    await page.value(f"window.kept = {kept}; window.kept.length")
    gone = "window.kept.filter(one => !one.isConnected).map(one => one.outerHTML)"
    player.play("held", text("I begin"), *([0.1] * 100), RESULT)
    await say(page, "held")
    await page.see("I begin", "[role=log]")
    assert await page.value(gone) == []
    assert await page.value(f"{button('Answer again', 1)}.disabled"), "one run at a time"
    await page.press("Escape")
    await page.until(f"{LAST}.innerText.includes('Stopped') && !{button('Answer again', 1)}.disabled")
    assert await page.value(gone) == []
    # a frame is missing: the conversation is read anew
    chat = (await run_of(place, "steady"))["chat_id"]
    await page.until(f"{button('Answer again', 3)}")
    await page.value(f"window.kept = {kept}; window.kept.length")
    await place.database.execute("UPDATE chats SET last_seq = last_seq + 5 WHERE id = $1", chat)
    await say(page, "after a gap")
    await page.until(f"{TURNS}.length === 6 && {LAST}.dataset.state === 'done' && {button('Answer again', 5)}")
    assert await page.value(gone) == []
    assert page.complaints == []
