"""A conversation under bad conditions: cut lines, late pages, refusals, ended logins, and frames that nobody knows."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from models.people.workspaces import Membership, Role
from models.staff.runs import ChatEventType, SystemEvent
from resolvers.kernel.store.bus import Topic, bus
from tests.console.deck import EMAIL, enter, page, place
from tests.console.test_chat import FIELD, LAST, TURNS, begin, begin_slowly, done, say
from tests.people.auth.browsers import PASSWORD
from tests.process.browser import CHROMIUM, Page
from tests.process.players import RESULT, Player, call, hire, returned, text
from tests.process.terminals import Wire
from tests.process.workbench import player, run_of
from tests.world import World, now

__all__ = ["page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
ROOT = Path(__file__).parents[2]
WORDS = [f"{number} " for number in range(300)]
SAID = f"{LAST}.querySelector('.answer')?.textContent"
DOOR = "location.pathname === '/login'"


def counts(player: Player, prompt: str) -> None:
    player.play(prompt, *(event for word in WORDS for event in (text(word), 0.01)), RESULT)


async def sign_in_at(page: Page, url: str, path: str) -> None:
    await page.look()
    await page.open(f"{url}/login?callbackUrl={path}")
    await page.fill("#login [name=email]", EMAIL)
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")


@pytest.mark.slow
async def test_a_broken_line_loses_and_doubles_nothing(place: World, player: Player, page: Page) -> None:
    counts(player, "count")
    wire = Wire(place.url)
    async with wire.open() as url:
        await sign_in_at(page, url, f"/console/{place.workspace.slug}/chat?agent=scout")
        await page.until(f"document.activeElement === document.querySelector('{FIELD}')")
        await say(page, "count")
        await page.see("5 6", "[role=log]")
        for _ in range(4):
            wire.cut()
            await asyncio.sleep(0.6)
        await page.see("1,010 in, 20 out", "[role=log]")
        assert (await page.value(SAID)).split() == "".join(WORDS).split()
        assert "The connection is lost" not in await page.text("main")
    assert player.prompts == ["count"]


@pytest.mark.slow
async def test_a_page_that_is_loaded_in_the_middle_of_a_turn_shows_all_of_it(
    place: World, player: Player, page: Page
) -> None:
    counts(player, "count on")
    await begin(page, place, "count on")
    for _ in range(3):
        await page.see("5 6", "[role=log]")
        await page.reload()
    await page.see("1,010 in, 20 out", "[role=log]")
    assert (await page.value(SAID)).split() == "".join(WORDS).split()
    assert await page.value(f"{TURNS}.length") == 2


@pytest.mark.slow
async def test_the_history_says_what_was_seen_live(place: World, player: Player, page: Page) -> None:
    thought = [{"type": "thinking", "content": piece, "metadata": {"streaming": True}} for piece in ("Let me ", "see.")]
    tools = (
        call("Bash", "t1", command="ls -la"),
        returned("t1", "README.md"),
        call("Read", "t2", path="x"),
        returned("t2", "no such file", is_error=True),
    )
    player.play("look", *thought, text("I look."), *tools, text("One "), text("file."), RESULT)
    await begin_slowly(page, place, player, "look")
    await done(page)
    await page.see("One file.", "[role=log]")
    await page.until(f"document.activeElement === document.querySelector('{FIELD}')")
    await page.see("Scout has answered", "main")
    chat = (await run_of(place, "look"))["chat_id"]
    marks = "SELECT count(*) FROM chat_read_cursors JOIN users ON users.id = user_id WHERE email = $1 AND chat_id = $2"
    assert await place.database.fetchval(marks, EMAIL, chat) == 1
    parts = f"[...{LAST}.querySelectorAll('details, .answer')].map(one => one.textContent).join('|')"
    parts = f"{parts}.replaceAll(/[0-9.]+ m?s/g, '').replaceAll(/\\s+/g, ' ')"  # how long each took
    before = await page.value(parts)
    assert [word in before for word in ("Let me see.", "I look.", "Bash", "Read", "failed", "One file.")] == [True] * 6
    await page.reload()
    await page.until(f"{TURNS}.length === 2")
    await page.until(f"{parts} === {json.dumps(before)}")
    assert page.complaints == []
    origin = place.url.removeprefix("http")
    assert {url for url in page.requests if not url.startswith((f"http{origin}/", f"ws{origin}/graphql"))} == set()


@pytest.mark.slow
async def test_a_refused_message_stays_in_the_field_and_a_failure_is_said_once(
    place: World, player: Player, page: Page
) -> None:
    player.play("break", text("Half"))
    player.fails["break"] = "The provider refuses"
    await begin_slowly(page, place, player, "break")
    await page.see("The provider refuses", "[role=log] .error")
    await done(page)
    assert await page.value("document.querySelectorAll('[role=log] .error').length") == 1
    assert (await run_of(place, "break"))["status"] == "FAILED"
    await place.database.execute("UPDATE agents SET status = 'PENDING_REVIEW' WHERE slug = 'scout'")
    try:
        await say(page, "typed meanwhile")
        await page.see("The agent is waiting for an approval", "form .fault")
        assert await page.value(f"document.querySelector('{FIELD}').value") == "typed meanwhile"
        assert await page.value(f"{TURNS}.length") == 2
    finally:
        await place.database.execute("UPDATE agents SET status = 'IDLE' WHERE slug = 'scout'")


@pytest.mark.slow
async def test_an_ended_login_leads_back_to_the_sign_in(place: World, player: Player, page: Page) -> None:
    await page.look()
    await enter(page, place, "chat?new=1")
    await page.see("Talk with an agent")
    await asyncio.sleep(1)  # the subscriptions have begun
    await place.database.execute(
        "UPDATE sessions SET revoked_at = now() FROM users WHERE users.id = user_id AND email = $1", EMAIL
    )
    bus.ring(Topic.access, await place.database.fetchval("SELECT id FROM users WHERE email = $1", EMAIL))
    await page.until(DOOR)
    assert "%2Fchat" in await page.value("location.search")


@pytest.mark.slow
async def test_the_chosen_workspace_is_kept(place: World, player: Player, page: Page) -> None:
    user = await place.database.fetchval("SELECT id FROM users WHERE email = $1", EMAIL)
    second = Membership(workspace_id=place.other.id, user_id=user, role=Role.OWNER, accepted_at=now())
    await place.add(second)
    try:
        await enter(page, place, "")
        await page.until("document.querySelector('nav select')?.options.length === 2")
        await page.value(
            f"(found => {{ found.value = '{place.other.slug}';"
            " found.dispatchEvent(new Event('change', {bubbles: true})); })(document.querySelector('nav select'))"
        )
        await page.see("Begin with a crew", "main")
        await page.open(f"{place.url}/")
        await page.until(f"location.pathname === '/console/{place.other.slug}'")
        await page.see("Begin with a crew", "main")
    finally:
        await place.database.execute("DELETE FROM memberships WHERE id = $1", second.id)


# ---- what a visit costs ----------------------------------------------------------------------------------------------

ASKED = """(fetch => {
  window.asked = [];
  window.fetch = (...given) => { window.asked.push(given[1]?.body ?? String(given[0])); return fetch(...given); };
})(window.fetch)"""


@pytest.mark.slow
async def test_a_visit_asks_for_nothing_more_than_it_needs(place: World, player: Player, page: Page) -> None:
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=ASKED)
    await page.look()
    await enter(page, place, "chat?new=1")
    await page.see("Talk with an agent")
    page.requests.clear()
    await page.reload()
    await page.see("Talk with an agent")
    await asyncio.sleep(1)  # what followed the first reading came within half a second
    asked = [json.loads(body).get("documentId") for body in await page.value("window.asked") if body.startswith("{")]
    assert len(set(asked)) >= 3
    # once to show it, and once more where the events begin: what happened between is not missed
    assert {name: asked.count(name) for name in asked if asked.count(name) > 2} == {}
    files = [url for url in page.requests if "/console/assets/" in url]
    assert len(files) > 3
    assert len(files) == len(set(files))
    await hire(place, place.owner, "latecomer", "Latecomer")
    await page.see("Latecomer", "main")


@pytest.mark.slow
async def test_without_a_socket_the_agents_are_shown_all_the_same(place: World, player: Player, page: Page) -> None:
    await page.look()
    await enter(page, place, "chat?new=1")
    deaf = "window.WebSocket = class { constructor() { this.send = this.close = () => {}; } };"
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=deaf)
    await page.reload()
    await page.see("Builder", "main")


# ---- every kind of frame ---------------------------------------------------------------------------------------------


def test_every_frame_that_is_sent_has_a_taker() -> None:
    source = (ROOT / "console" / "screens" / "chat" / "turns.svelte.ts").read_text()
    taken = set(re.findall(r'\btype === "(\w+)"', source))
    assert taken >= set(ChatEventType), "a kind of frame that the server can send is a line of its name"
    known = set(re.findall(r'\bsubtype === "(\w+)"', source))
    assert known <= set(SystemEvent)


def test_subtypes_of_system_frames_are_named_in_one_place() -> None:
    """Text beside the list is what no page knows of; `success` is a subtype of a result."""
    sources = [file for place in ("runtime", "resolvers") for file in (ROOT / place).rglob("*.py")]
    found = {name for file in sources for name in re.findall(r'"subtype": "(\w+)"', file.read_text())}
    assert found <= {"success"}
    used = {name for file in sources for name in re.findall(r"SystemEvent\.(\w+)", file.read_text())}
    assert used == set(SystemEvent)


@pytest.mark.slow
async def test_an_unknown_frame_is_a_quiet_line(place: World, player: Player, page: Page) -> None:
    frames = (
        ({"type": "from_tomorrow", "content": "New words"}, "New words"),
        ({"type": "from_the_day_after", "content": ""}, "from the day after"),
        ({"type": "constructor", "content": "Not a taker"}, "Not a taker"),
        ({"type": "system", "content": "", "metadata": {"subtype": "not_yet_known"}}, "not yet known"),
        ({"type": "system", "content": "At an end", "metadata": {"reason": "x"}}, "At an end"),
        ({"type": "system", "content": "A secret", "metadata": {"subtype": "redacted"}}, "A secret"),
    )  # fmt: skip
    player.play("tomorrow", *(frame for frame, _ in frames), 20.0)
    await begin(page, place, "tomorrow")
    for _, line in frames:
        await page.see(line, "[role=log]")
    lines = f"[...{LAST}.querySelectorAll('.line')].map(one => one.innerText)"
    assert await page.value(lines) == [line for _, line in frames]
    assert page.complaints == []


@pytest.mark.slow
async def test_a_model_that_is_asked_again_is_told_and_ends_are_told_apart(
    place: World, player: Player, page: Page
) -> None:
    told = {"subtype": "api_retry", "attempt": 1, "max_retries": 3, "retry_delay_ms": 4000, "error_status": 529}
    player.play("again", {"type": "system", "content": "api_retry", "metadata": told}, 20.0)
    await begin(page, place, "again")
    await page.see("529", "[role=log]")
    assert "(1 of 3) in 4 s" in await page.text("[role=log]")
    await page.press("Escape")
    await page.until(f"{LAST}.innerText.includes('Stopped')")
