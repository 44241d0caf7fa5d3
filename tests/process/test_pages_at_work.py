"""The page at `/` in a real browser on the running service: from the first user to a conversation, and all between."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from models.people.workspaces import Membership, Role
from resolvers.kernel.store.bus import Topic, bus
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import RUN, SAID, axe, judge
from tests.process.players import RESULT, Player, call, hire, returned, text
from tests.process.terminals import Wire
from tests.process.workbench import EMAIL, SEND, answered, new_chat, page, place, player, run_of, say, sign_in
from tests.world import World, now

__all__ = ["axe", "page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


# ---- a conversation --------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_conversation_with_everything_in_it(place: World, player: Player, page: Page) -> None:
    begun = (
        {"type": "status", "content": "starting the agent"},
        {"type": "system", "content": "init", "metadata": {"subtype": "init", "model": "m-1"}},
    )
    thought = [{"type": "thinking", "content": piece, "metadata": {"streaming": True}} for piece in ("Let me ", "see.")]
    tools = (
        call("Bash", "t1", command="ls -la"),
        returned("t1", "README.md"),
        call("Read", "t2", path="x"),
        returned("t2", "no such file", is_error=True),
    )
    player.play("look", *begun, *thought, text("I look."), *tools, text("One "), text("file."), RESULT)
    await sign_in(page, place.url)
    await say(page, "look")
    await page.see("One file.", "#turns")
    await page.see("m-1 · 1,010 in, 20 out tokens · 1.2 s", "#turns")
    folded = await page.value(
        "[...document.querySelectorAll('#turns details')].map(part => [part.open,"
        " part.querySelector('summary').innerText])"
    )
    assert [[is_open, said.split()] for is_open, said in folded] == [
        [False, ["Thinking"]],
        [False, ["Bash", "ls", "-la", "done"]],
        [False, ["Read", "x", "failed"]],
    ]
    assert (
        await answered(page, "look") == 'ThinkingLet me see.I look.Bashls -ladone{\n  "command":'
        ' "ls -la"\n}README.mdReadxfailed{\n  "path": "x"\n}no such fileOne file.'
    )
    assert await page.value("document.activeElement.id") == "message"
    await page.see("Scout has answered.", "#composer")
    await page.until("document.querySelector('#runs .run')?.dataset.status === 'COMPLETED'")
    assert await page.value("document.querySelector('#crews .agent[aria-current]').dataset.status") == "IDLE"
    marks = "SELECT count(*) FROM chat_read_cursors JOIN users ON users.id = user_id WHERE email = $1"
    assert await place.database.fetchval(marks, EMAIL) == 1
    # the history says the same as what was seen live
    address = await page.value("location.hash")
    assert re.fullmatch(r"#agent=scout&chat=\w+", address)
    before = await answered(page, "look")
    await page.command("Page.reload")
    await page.until("document.querySelectorAll('#turns > li').length === 2")
    assert await answered(page, "look") == before
    assert page.complaints == []
    origin = place.url.removeprefix("http")
    assert {url for url in page.requests if not url.startswith((f"http{origin}/", f"ws{origin}/graphql"))} == set()


@pytest.mark.slow
async def test_what_is_said_is_never_markup(place: World, player: Player, page: Page) -> None:
    hostile = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>&lt;b&gt;"
    player.play(
        hostile,
        text(hostile),
        call(hostile, "t1", x=hostile),
        returned("t1", hostile),
        {"type": "image", "content": 'x" onerror="', "metadata": {"media_type": "image/png"}},
    )
    player.fails[hostile] = hostile
    await sign_in(page, place.url)
    await new_chat(page)
    await say(page, hostile)
    await page.see("An image that cannot be shown", "#turns")
    await page.see("&lt;b&gt;", "#turns .error:last-child")
    # text, name of the tool, its input in brief, its result, the error
    assert (await answered(page, hostile)).count(hostile) == 5
    assert await page.value("document.querySelectorAll('#turns img, #turns script').length") == 0
    assert await page.value("document.title") == "Crewship"
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    player.play("picture", {"type": "image", "content": picture, "metadata": {"media_type": "image/png"}}, RESULT)
    await say(page, "picture")
    await page.until("document.querySelector('#turns img')?.naturalWidth === 1")
    assert page.complaints == []


@pytest.mark.slow
async def test_escape_cancels_and_a_failure_is_said(place: World, player: Player, page: Page) -> None:
    player.play("long", text("A long "), *([0.05, text("tale ")] * 400))
    player.play("break", text("Half"))
    player.fails["break"] = "The provider refuses"
    await sign_in(page, place.url)
    await new_chat(page)
    await say(page, "long")
    await page.see("tale", "#turns")
    assert (
        await page.value("document.querySelector('#send').hidden && !document.querySelector('#cancel').hidden") is True
    )
    await page.press("Escape")
    await page.until("!document.querySelector('#send').hidden")
    assert (await run_of(place, "long"))["status"] == "CANCELLED"
    await page.until("document.querySelector('#runs').innerText.includes('cancelled')")
    await say(page, "break")
    await page.see("The provider refuses", "#turns .error")
    assert await page.value("document.querySelectorAll('#turns .error').length") == 1
    await page.until("document.querySelector('#runs .run').dataset.status === 'FAILED'")
    await page.until("document.querySelector('#runs .run').title === 'The provider refuses'")


@pytest.mark.slow
async def test_a_refused_message_stays_in_the_field(place: World, player: Player, page: Page) -> None:
    player.hold.set()
    await sign_in(page, place.url)
    await new_chat(page)
    await say(page, "first")
    await page.until("document.querySelector('#runs .run')?.dataset.status === 'RUNNING'")
    chat = (await run_of(place, "first"))["chat_id"]
    await page.value("document.querySelector('#send').hidden")
    # another tab of the same user is as quick
    body = json.dumps({"query": SEND, "variables": {"chat": chat, "text": "second"}})
    options = f"{{method: 'POST', headers: {{'content-type': 'application/json'}}, body: {json.dumps(body)}}}"
    await page.value(
        f"fetch('/graphql', {options}).then(answer => answer.json()).then(found => {{ window.found = found; }})"
    )
    assert await page.value("window.found.errors[0].extensions.reason") == "already_running"
    await page.fill("#message", "typed meanwhile")
    await page.press("Enter")
    assert await page.value("document.querySelector('#message').value") == "typed meanwhile"
    player.hold.clear()
    await page.until("!document.querySelector('#send').hidden")
    await place.database.execute("UPDATE agents SET status = 'PENDING_REVIEW' WHERE slug = 'scout'")
    try:
        await page.value("document.querySelector('#message').focus()")
        await page.press("Enter")
        await page.see("The agent is waiting for an approval", "#chat-refusal")
        assert await page.value("document.querySelector('#message').value") == "typed meanwhile"
        assert await page.value("document.querySelectorAll('#turns > li').length") == 2
    finally:
        await place.database.execute("UPDATE agents SET status = 'IDLE' WHERE slug = 'scout'")


# ---- lines that break, and pages that come late ----------------------------------------------------------------------


WORDS = [f"{number} " for number in range(300)]


def counts(player: Player, prompt: str) -> None:
    player.play(prompt, *(event for word in WORDS for event in (text(word), 0.01)), RESULT)


@pytest.mark.slow
async def test_a_broken_line_loses_and_doubles_nothing(place: World, player: Player, page: Page) -> None:
    counts(player, "count")
    wire = Wire(place.url)
    async with wire.open() as url:
        await sign_in(page, url)
        await new_chat(page)
        await say(page, "count")
        await page.see("5 6", "#turns")
        for _ in range(4):
            wire.cut()
            await asyncio.sleep(0.6)
        await page.see("tokens", "#turns")
        assert await answered(page, "count") == "".join(WORDS).rstrip()
        assert await page.text("#connection") == ""
    assert player.prompts == ["count"]


@pytest.mark.slow
async def test_a_page_that_is_loaded_in_the_middle_of_a_turn_shows_all_of_it(
    place: World, player: Player, page: Page
) -> None:
    counts(player, "count on")
    await sign_in(page, place.url)
    await new_chat(page)
    await say(page, "count on")
    for _ in range(3):
        await page.see("5 6", "#turns")
        await page.command("Page.reload")
    await page.see("tokens", "#turns")
    assert await answered(page, "count on") == "".join(WORDS).rstrip()
    assert await page.value("document.querySelectorAll('#turns > li').length") == 2


@pytest.mark.slow
async def test_what_happens_elsewhere_is_seen_here(place: World, player: Player, page: Page) -> None:
    await sign_in(page, place.url)
    await new_chat(page)
    await say(page, "mine")
    await answered(page, "mine")
    chat = (await run_of(place, "mine"))["chat_id"]
    before = await page.value("document.querySelectorAll('#runs .run').length")
    assert "errors" not in await place.graphql(place.member, SEND, {"chat": chat, "text": "theirs"})
    await page.see("Member Example", "#turns")
    assert await answered(page, "theirs") == "theirs"
    await page.until(f"document.querySelectorAll('#runs .run').length === {before + 1}")
    await hire(place, place.owner, f"new-{before}", "Newcomer")
    await page.see("Newcomer", "#crews")
    await page.click("#runs .run")
    await page.see("theirs", "#turns")


@pytest.mark.slow
async def test_an_ended_login_leads_back_to_the_door(place: World, player: Player, page: Page) -> None:
    await sign_in(page, place.url)
    await page.until("document.querySelector('#crews')")
    await place.database.execute(
        "UPDATE sessions SET revoked_at = now() FROM users WHERE users.id = user_id AND email = $1", EMAIL
    )
    bus.ring(Topic.access, await place.database.fetchval("SELECT id FROM users WHERE email = $1", EMAIL))
    await page.until("!document.querySelector('#login').hidden")
    assert await page.value("document.querySelector('#workbench').hidden") is True


@pytest.mark.slow
async def test_the_chosen_workspace_is_kept(place: World, player: Player, page: Page) -> None:
    user = await place.database.fetchval("SELECT id FROM users WHERE email = $1", EMAIL)
    second = Membership(workspace_id=place.other.id, user_id=user, role=Role.OWNER, accepted_at=now())
    await sign_in(page, place.url)
    await place.add(second)
    try:
        await page.command("Page.reload")
        await page.see("Other", "#choose-workspace")
        await page.value(
            f"(found => {{ found.value = '{place.other.id}';"
            " found.dispatchEvent(new Event('change')); })(document.querySelector('#workspace'))"
        )
        await page.see("No agents work here yet")
        await page.command("Page.reload")
        await page.see("No agents work here yet")
        await page.fill("#new-agent [name=name]", "Deck Hand")
        await page.press("Enter")
        await page.until("document.querySelector('#chat-title').innerText === 'Deck Hand'")
        await say(page, "ahoy")
        assert await answered(page, "ahoy") == "ahoy"
    finally:
        await place.database.execute("DELETE FROM memberships WHERE id = $1", second.id)


# ---- what a visit costs ----------------------------------------------------------------------------------------------

ASKED = """(fetch => {
  window.asked = [];
  window.fetch = (...given) => { window.asked.push(given[1]?.body ?? given[0]); return fetch(...given); };
})(window.fetch)"""


@pytest.mark.slow
async def test_a_visit_asks_for_nothing_twice(place: World, player: Player, page: Page) -> None:
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=ASKED)
    await sign_in(page, place.url)
    await page.until("document.readyState === 'complete'")
    page.requests.clear()
    await page.command("Page.reload")
    await page.until("document.querySelector('#chat-title').innerText === 'Scout'")
    await page.until("window.asked.some(body => body.includes('query Chats'))")
    await asyncio.sleep(1)  # what followed the first reading came within half a second
    asked = await page.value("window.asked")
    assert len([body for body in asked if "query Crew(" in body]) == 1
    assert [body for body in asked if "healthz" in body] == []
    files = [url for url in page.requests if "/static/" in url and "favicon" not in url]
    assert len(files) > 15
    assert [url for url in files if "?v=" not in url] == []
    assert len(files) == len(set(files))
    await hire(place, place.owner, "latecomer", "Latecomer")
    await page.see("Latecomer", "#crews")


@pytest.mark.slow
async def test_without_a_socket_the_crew_is_shown_all_the_same(place: World, player: Player, page: Page) -> None:
    await sign_in(page, place.url)
    deaf = "window.WebSocket = class { constructor() { this.send = this.close = () => {}; } };"
    await page.command("Page.addScriptToEvaluateOnNewDocument", source=deaf)
    await page.command("Page.reload")
    await page.see("Builder", "#crews")


# ---- who sees it -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_every_control_has_a_name_and_nothing_is_wider_than_the_screen(
    place: World, player: Player, page: Page, tmp_path: Path
) -> None:
    player.play("wide", text("x" * 600), call("Bash", "t1", command="y" * 600), RESULT)
    await sign_in(page, place.url)
    await say(page, "wide")
    await answered(page, "wide")
    nodes = (await page.command("Accessibility.getFullAXTree"))["nodes"]
    shown = [(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes if not node["ignored"]]
    assert [
        role
        for role, name in shown
        if role in {"button", "textbox", "combobox", "link", "log", "navigation", "region"} and not name
    ] == []
    assert [name for role, name in shown if role == "main"] == ["Scout"]
    for width in (1280, 960, 360):
        await page.screenshot(tmp_path / "page.png", width, 700)
        assert await page.value("document.documentElement.scrollWidth <= innerWidth"), width
    # a small screen has room for one of the two
    assert await page.value("document.querySelector('#chat').offsetParent === null")
    await page.click("#crews .agent")
    await page.until(
        "document.querySelector('#chat').offsetParent !== null"
        " && document.querySelector('#crews').offsetParent === null"
    )
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await page.click("#back")
    assert await page.value(
        "document.querySelector('#chat').offsetParent === null"
        " && document.querySelector('#crews').offsetParent !== null"
    )


SMALL = """[...document.querySelectorAll('a, button, input, select, textarea, summary')].filter(element => {
  const target = /checkbox|radio/.test(element.type) ? (element.closest('label') ?? element) : element;
  const { width, height } = target.getBoundingClientRect();
  const inText = getComputedStyle(element).display === 'inline' && element.closest('p, li, small');
  return element.checkVisibility() && !inText && Math.min(width, height) < 24;
}).map(element => element.outerHTML.slice(0, 120))"""


@pytest.mark.slow
async def test_targets_are_large_enough_and_one_part_is_the_main_one(
    place: World, player: Player, page: Page, axe: str
) -> None:
    await sign_in(page, place.url)
    for width in (1280, 360):
        await page.look(width)
        assert await page.value(SMALL) == [], width
    mains = "[...document.querySelectorAll('main, [role=main]')].filter(part => part.querySelector('*').offsetParent)"
    await page.until(f"{mains}.map(part => part.id).join() === 'side'")
    await page.value(axe)
    assert await page.value(RUN.replace("SAID", SAID)) == [], "the list alone"
    await page.click("#crews .agent")
    await page.until(f"{mains}.map(part => part.id).join() === 'chat'")
    await page.look(1280)
    await page.until("document.querySelector('#side').getAttribute('role') === null")
    await judge(page, axe, "both")
    for path in ("/account", "/terminal"):
        await page.open(f"{place.url}{path}")
        await page.until("document.querySelector('main a, main button')?.checkVisibility()")
        for width in (1280, 360):
            await page.look(width)
            assert await page.value(SMALL) == [], (path, width)


@pytest.mark.slow
async def test_enter_while_an_answer_runs_says_why_nothing_is_sent(place: World, player: Player, page: Page) -> None:
    player.play("slow", text("Word"), *([0.1] * 300), RESULT)
    await sign_in(page, place.url)
    await new_chat(page)
    await say(page, "slow")
    await page.see("Word", "#turns")
    await page.fill("#message", "next")
    assert await page.text("#wait") == ""
    await page.press("Enter")
    await page.see("Scout is still answering.", "#wait")
    assert await page.value("document.querySelector('#message').value") == "next"
    await page.press("Escape")
    await page.until("!document.querySelector('#send').hidden")
    assert await page.text("#wait") == ""
    await page.press("Enter")
    assert await answered(page, "next") == "next"


async def test_a_form_says_all_that_is_wrong_in_whole_sentences(place: World, player: Player, page: Page) -> None:
    await page.open(f"{place.url}/login")
    await page.until("!document.querySelector('#login').hidden")
    await page.value("document.querySelector('#login').hidden = !(document.querySelector('#account').hidden = false)")
    await page.fill("#account [name=email]", "nobody")
    await page.fill("#account [name=password]", "short")
    fault = "{ message: 'email: must be', extensions: { fields: { email: 'must be an email address' } } }"
    await page.value(
        "import(document.querySelector('link[href*=\"form.js\"]').href)"
        f".then(({{ showFaults }}) => showFaults(document.querySelector('#account form'), {fault}))"
    )
    said = await page.value("[...document.querySelectorAll('#account .fault')].map(fault => fault.textContent)")
    assert said == [
        "Full name must not be empty.",
        "Email must be an email address.",
        "Password must have at least 8 characters.",
    ]
    assert await page.value("document.activeElement.name") == "email"
