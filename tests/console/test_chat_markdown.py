"""Answers in Markdown in a chat of the console; words of people stay as they are."""

import pytest

from tests.console.deck import page, pictures, place
from tests.console.test_chat import begin, done
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.players import RESULT, Player, text
from tests.process.test_pages_of_markdown import ANSWER
from tests.process.workbench import player
from tests.world import World

__all__ = ["axe", "page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
SAID = "[role=log] .answer"


async def test_an_answer_in_the_chat(place: World, player: Player, page: Page, axe: str) -> None:
    player.play("plan", *(text(ANSWER[at : at + 7]) for at in range(0, len(ANSWER), 7)), RESULT)
    await begin(page, place, "plan")
    await done(page)
    live = await page.value(f"document.querySelector('{SAID}').innerHTML")
    assert await page.text(f"{SAID} h3") == "Plan"
    assert await page.value(f"document.querySelectorAll('{SAID} :is(td, th)').length") == 6
    link = f"document.querySelector('{SAID} a')"
    assert await page.value(f"[{link}.href, {link}.rel]") == ["https://example.com/a_b", "noopener noreferrer"]
    await page.command("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    await page.click(f"{SAID} .code button")
    await page.until(f"/Copied|Selected/.test(document.querySelector('{SAID} .code').innerText)")
    await pictures(page, "chat-markdown")
    await judge(page, axe, "answer")
    await page.reload()
    await page.see("After it all.", SAID)
    assert await page.value(f"document.querySelector('{SAID}').innerHTML") == live
    assert page.complaints == []


async def test_words_of_users_stay_as_they_are(place: World, player: Player, page: Page) -> None:
    player.play("# not **bold**", text("ok"), RESULT)
    await begin(page, place, "# not **bold**")
    await done(page)
    assert await page.text(SAID) == "ok"
    assert "# not **bold**" in await page.text("[role=log] > ol > li:first-child")
