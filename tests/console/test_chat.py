"""Chat: a conversation with an agent, live, with its tools, its questions and its ends."""

from datetime import timedelta
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.staff.chats import Chat, Message
from models.staff.run_spans import RunSpan, SpanKind, SpanStatus
from tests.console.deck import PHONE, enter, page, pictures, place, press
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.players import RESULT, Player, call, returned, text
from tests.process.workbench import SEND, player, run_of
from tests.world import World, now

__all__ = ["axe", "page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FIELD = "form textarea"
TURNS = "document.querySelectorAll('[role=log] > ol > li')"
ROWS = "document.querySelectorAll('.view li').length"
LAST = "[...document.querySelectorAll('[role=log] > ol > li')].at(-1)"


async def say(page: Page, message: str) -> None:
    await page.fill(FIELD, message)
    await page.press("Enter")


def button(name: str, turn: int) -> str:
    return f"[...{TURNS}[{turn}].querySelectorAll('button')].find(one => one.innerText === '{name}')"


async def done(page: Page) -> None:
    await page.until(f"{LAST}?.dataset.state === 'done' && {LAST}.classList.contains('agent')")


async def begin(page: Page, place: World, message: str, agent: str = "scout") -> None:
    """Signs in and sends the first message of a new chat."""
    await page.look()
    await enter(page, place, f"chat?agent={agent}")
    await page.until(f"document.activeElement === document.querySelector('{FIELD}')")
    await say(page, message)
    await page.until("/chat\\/./.test(location.pathname)")


async def unfold(page: Page, details: str, number: int) -> None:
    """Opens parts of a turn, once as many are there: their code is loaded later than the turn."""
    await page.until(f"{details}.length === {number}")
    await page.value(f"{details}.forEach(one => {{ one.open = true; }})")


async def begin_slowly(page: Page, place: World, player: Player, message: str) -> None:
    """Begins a chat whose agent says nothing until its page is there."""
    player.hold.set()
    try:
        await begin(page, place, message)
        await page.see(message, "[role=log]")
    finally:
        player.hold.clear()


def edits(player: Player, prompt: str) -> None:
    change = {"file_path": "notes.md", "old_string": "one\ntwo", "new_string": "one\nthree"}
    player.play(
        prompt,
        {"type": "status", "content": "starting the agent"},
        {"type": "system", "content": "init", "metadata": {"subtype": "init", "model": "m-1"}},
        {"type": "thinking", "content": "Let me see."},
        text("I **look** first."),
        call("Bash", "t1", command="ls -la"),
        returned("t1", "README.md"),
        call("Edit", "t2", **change),
        returned("t2", "no such file", is_error=True),
        text("\n\n| File | State |\n| --- | --- |\n| README.md | kept |\n"),
        {"type": "image", "content": PICTURE, "metadata": {"media_type": "image/png"}},
        RESULT,
    )


async def asks(place: World, tool: str = "run_command") -> tuple[Approval, dict[str, Any]]:
    """A question of a run, and the frame that shows it."""
    made = Approval(
        kind=ApprovalKind.tool_call, reason=f"The agent wants to call {tool}", tool=tool,
        payload={"tool": tool, "args": {"command": "rm -r build", "note": HOSTILE}},
        timeout_at=now() + timedelta(hours=1), created_at=now(), workspace_id=place.workspace.id,
    )  # fmt: skip
    await place.add(made)
    metadata = {"subtype": "approval_requested", "tool_name": tool, "approval_id": made.id, "waits": True}
    return made, {"type": "system", "content": made.reason, "metadata": metadata}


async def test_a_conversation_with_tools_and_a_question(place: World, player: Player, page: Page) -> None:
    edits(player, "look")
    asked, frame = await asks(place)
    player.play("clean up", frame, *([0.1] * 100), text("After it."), RESULT)
    await page.look()
    await enter(page, place, "chat")
    await page.see("Talk with an agent")
    await page.click("a[href$='agent=scout']")
    await page.until(f"document.activeElement === document.querySelector('{FIELD}')")
    player.hold.set()  # until the conversation is on the page: what is said of the end comes with its frames
    await say(page, "look")
    await page.see("look", "[role=log]")
    player.hold.clear()
    await page.see("1,010 in, 20 out", "[role=log]")
    folded = f"[...{LAST}.querySelectorAll('summary')].map(one => one.innerText.split(/\\s+/)[0])"
    await page.until(f"{folded}.join() === 'Thinking,Bash,Edit'")
    await page.until("document.querySelector('.view li')?.innerText.includes('look')")
    await page.value(f"{LAST}.querySelectorAll('details')[2].querySelector('summary').click()")
    await page.see("-two", "[role=log] pre")
    assert await page.value(f"{LAST}.querySelector('img').naturalWidth") == 1
    assert await page.value("document.querySelector('h1').innerText") == "look Scout"
    await say(page, "clean up")
    await page.see("run_command needs consent", "[role=log]")
    await page.fill("section input", "Not the build")
    await page.click("section button.danger")
    await page.see("Denied by you: Not the build", "[role=log] section")
    decided = "SELECT status || ': ' || comment FROM approvals WHERE id = $1"
    assert await place.database.fetchval(decided, asked.id) == "denied: Not the build"
    await page.press("Escape")
    await page.click("form button.danger")
    await page.until(f"{LAST}.innerText.includes('Stopped')")
    assert (await run_of(place, "clean up"))["status"] == "CANCELLED"
    assert page.complaints == []


@pytest.mark.slow
async def test_how_it_looks(place: World, player: Player, page: Page, axe: str) -> None:
    edits(player, "look at it")
    _, frame = await asks(place)
    player.play("tidy", text("I begin."), frame, *([0.1] * 300))
    calls = [(call("Bash", f"b{n}", command=f"make {n}"), returned(f"b{n}", "ok")) for n in range(40)]
    steps = [event for both in calls for event in both]
    player.play("long work", *steps, text("All is **built**."), RESULT)
    await begin(page, place, "look at it")
    await done(page)
    await pictures(page, "chat")
    await judge(page, axe, "chat")
    await say(page, "long work")
    await page.see("All is built.", "[role=log]")
    await done(page)
    await say(page, "tidy")
    await page.see("run_command needs consent", "[role=log]")
    await page.value("document.querySelectorAll('[role=log] details').forEach(one => { one.open = true; })")
    await pictures(page, "chat-question")
    await judge(page, axe, "chat with a question")
    await page.open(f"{place.url}/console/{place.workspace.slug}/chat")
    await page.see("Talk with an agent")
    await pictures(page, "chats")
    await judge(page, axe, "chats")


@pytest.mark.slow
async def test_a_message_is_changed_in_a_branch_and_an_answer_given_again(
    place: World, player: Player, page: Page
) -> None:
    await begin(page, place, "first")
    await done(page)
    await say(page, "second")
    await page.until(f"{TURNS}.length === 4 && {LAST}.dataset.state === 'done'")
    first = await page.value("location.pathname")
    await page.until(f"{button('Edit', 2)} && {button('Answer again', 3)}")
    await page.value(f"{button('Edit', 2)}.click()")
    await page.until("document.activeElement.name === 'content'")
    await page.command("Input.insertText", text=" and third")
    await page.press("Enter", control=True)
    # what only the branch says: the conversation before it stays until the branch is loaded
    await page.until(f"{TURNS}[2]?.innerText.includes('and third')")
    assert await page.value("location.pathname") != first
    await page.until(f"{TURNS}.length === 4 && {LAST}.dataset.state === 'done'")
    told = "SELECT count(*) FROM messages WHERE content LIKE '%and third%' AND role = 'user'"
    assert await place.database.fetchval(told) == 1
    assert "first" in await page.value(f"{TURNS}[0].innerText")
    await page.until(button("Answer again", 3))
    await page.value(f"{button('Answer again', 3)}.click()")
    await page.until(f"{TURNS}.length === 6 && {LAST}.dataset.state === 'done'")
    assert await place.database.fetchval("SELECT count(*) FROM runs WHERE retry_of IS NOT NULL") == 1
    assert page.complaints == []


@pytest.mark.slow
async def test_a_file_is_dropped_and_taken_away(place: World, player: Player, page: Page) -> None:
    await begin(page, place, "with a file")
    await done(page)
    drop = """(place => { const data = new DataTransfer(); data.items.add(new File(['one'], NAME));
        place.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})) })
        (document.querySelector('.transcript'))"""
    await page.value(drop.replace("NAME", repr("notes <b>.md")))
    await page.see("notes <b>.md", ".end ul")
    await page.until("document.querySelector('.end ul button')")
    assert await place.database.fetchval("SELECT size FROM chat_attachments WHERE name = 'notes <b>.md'") == 3
    await page.click(".end ul button")
    await page.click("dialog button.primary")
    await page.until("!document.querySelector('.end ul')")
    assert page.complaints == []


@pytest.mark.slow
async def test_keys_alone_on_a_phone(place: World, player: Player, page: Page) -> None:
    await page.look(*PHONE)
    await enter(page, place, "runs")
    await page.until("document.querySelector('nav li b, .view li, .empty')")
    slow = {"offline": False, "latency": 400, "downloadThroughput": -1, "uploadThroughput": -1}
    await page.command("Network.emulateNetworkConditions", **slow)  # the key is pressed before the screen is loaded
    await page.press("g")
    await page.press("h")
    await page.press("n")
    await page.see("Talk with an agent")
    await page.command("Network.emulateNetworkConditions", **(slow | {"latency": 0}))
    await page.value("document.querySelector(\"a[href$='agent=builder']\").focus()")
    await page.press("Enter")
    await page.until(f"document.activeElement === document.querySelector('{FIELD}')")
    player.play("wide", text("x" * 600), call("Bash", "t1", command="y" * 600), RESULT)
    await say(page, "wide")
    await done(page)
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await page.value("document.querySelector('header a').click()")
    await page.see("wide", ".view")
    await page.press("j")
    await page.press("Enter")
    await page.until("/chat\\/./.test(location.pathname)")
    await page.see("Bash", "[role=log]")
    assert page.complaints == []


@pytest.mark.slow
async def test_what_a_turn_took_is_there_after_a_reload(place: World, player: Player, page: Page) -> None:
    """The time of each call from the trace of its run; what failed, and what was stopped, at its message."""
    edits(player, "timed")
    player.play("in vain", text("I try."))
    player.fails["in vain"] = "No such model"
    await begin(page, place, "timed")
    await done(page)
    await say(page, "in vain")
    await page.see("No such model", "[role=log]")
    run = await run_of(place, "timed")
    for seq, (tool, milliseconds) in enumerate((("Bash", 1500), ("Edit", 250), ("Bash", 9000)), 1):
        began = run["created_at"]
        here = {"workspace_id": place.workspace.id, "run_id": run["id"], "created_at": began}
        ended = began + timedelta(milliseconds=milliseconds)
        await place.add(RunSpan(
            seq=seq, kind=SpanKind.TOOL_CALL, name=tool, status=SpanStatus.COMPLETED, started_at=began,
            finished_at=ended, changed=f"{seq}", **here,
        ))  # fmt: skip
    await page.reload()
    await page.until(f"{TURNS}[1]?.querySelectorAll('summary').length === 3")
    await page.see("1.5 s", "[role=log] li:nth-child(2) details[data-state=done]")
    await page.see("250 ms", "[role=log] li:nth-child(2) details[data-state=failed]")
    await page.until(f"{TURNS}[2].innerText.includes('No such model') && {button('Answer again', 2)}")
    assert await page.value(f"{TURNS}.length") == 3
    assert page.complaints == []


@pytest.mark.slow
async def test_chats_are_found_renamed_and_deleted(place: World, player: Player, page: Page) -> None:
    """By keyboard alone; the address keeps what the list is narrowed by."""
    await begin(page, place, "about rain")
    await done(page)
    chat = (await run_of(place, "about rain"))["chat_id"]
    builder = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'builder'")
    other = Chat(title="Tides", agent_id=builder, workspace_id=place.workspace.id, last_message_seq=1)
    await place.add(
        other, Message(chat_id=other.id, seq=1, role="assistant", content="High", workspace_id=place.workspace.id)
    )
    await page.open(f"{place.url}/console/{place.workspace.slug}/chat")
    await page.see("Tides", ".view")
    await page.fill("header input[type=search]", "RAIN")
    await page.until("location.search === '?q=RAIN' && document.querySelectorAll('.view li').length === 1")
    await page.click(".view a")
    await page.until(f"location.pathname.endsWith('/chat/{chat}') && location.search === '?q=RAIN'")
    await press(page, "Rename", ".acts")
    await page.until("document.activeElement.name === 'title' && document.activeElement.value === 'about rain'")
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text=HOSTILE)
    await page.press("Enter")
    await page.until(f"document.querySelector('h1').innerText.startsWith({HOSTILE!r})")
    await page.until("document.querySelector('.empty')?.innerText.includes('No chat fits')")
    await page.click(".empty button")
    await page.see("Tides", ".view")
    await page.click("header button[aria-pressed]")
    await page.until("location.search === '?unread=1' && document.querySelectorAll('.view li').length === 1")
    await page.see("Tides", ".view")
    await page.click("header button[aria-pressed]")
    chosen = f"field.value = '{builder}'; field.dispatchEvent(new Event('change', {{bubbles: true}}))"
    await page.value(f"(field => {{ {chosen}; }})(document.querySelector('select[name=with]'))")
    found = await place.database.fetchval("SELECT count(*) FROM chats WHERE agent_id = $1", builder)
    await page.until(
        f"location.search === '?with={builder}' && document.querySelectorAll('.view li').length === {found}"
    )
    await page.click(".acts button.danger")
    await page.click("dialog button.danger")
    await page.until("location.pathname.endsWith('/chat')")
    assert await place.database.fetchval("SELECT count(*) FROM chats WHERE id = $1", chat) == 0
    assert await place.database.fetchval("SELECT count(*) FROM runs WHERE chat_id = $1", chat) == 1
    assert page.complaints == []


@pytest.mark.slow
async def test_changes_of_files_are_diffs(place: World, player: Player, page: Page) -> None:
    """Reads the texts before and after under the names that coding agents use; other input stays as it is."""
    several = [{"old_string": "one", "new_string": "two"}, {"old_string": "three", "new_string": HOSTILE}]
    inputs: list[dict[str, Any]] = [
        {"file_path": "a.md", "edits": several},
        {"filePath": "b.md", "oldString": "one", "newString": "two"},
        {"path": "c.md", "content": "one\ntwo\n"},
        {"patch": "*** Begin Patch\n*** Update File: d.md\n@@ x\n-one\n+two\n*** End Patch"},
        {"command": "cat - -one"},
    ]
    steps = [
        event
        for at, given in enumerate(inputs)
        for event in (call("Edit", f"t{at}", **given), returned(f"t{at}", "ok"))
    ]
    player.play("change", *steps, text("Done."), RESULT)
    await begin(page, place, "change")
    await done(page)
    await unfold(page, "[...document.querySelectorAll('[role=log] details')]", 5)
    shown = "[...document.querySelectorAll('[role=log] pre')].filter(one => one.ariaLabel === 'Input')"
    await page.until(f"{shown}.length === 5")
    lines = f"{shown}.map(one => ['more', 'less'].map(kind => one.querySelectorAll('.' + kind).length).join())"
    assert await page.value(lines) == ["2,2", "1,1", "2,0", "1,1", "0,0"]
    assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0
    assert page.complaints == []


@pytest.mark.slow
async def test_what_is_said_is_never_markup(place: World, player: Player, page: Page) -> None:
    player.play(
        HOSTILE,
        text(HOSTILE),
        call(HOSTILE, "t1", x=HOSTILE),
        returned("t1", HOSTILE),
        {"type": "image", "content": 'x" onerror="', "metadata": {"media_type": "image/png"}},
    )
    player.fails[HOSTILE] = HOSTILE
    await begin_slowly(page, place, player, HOSTILE)
    await page.see("An image that cannot be shown", "[role=log]")
    await done(page)
    await page.value("document.querySelector('[role=log] details summary').click()")
    await page.see("onerror", "[role=log] pre")
    assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0
    assert "owned" not in (await page.value("document.title")).replace(HOSTILE[:40], "")
    await page.reload()
    await page.see("onerror", "[role=log] .error")
    assert page.complaints == []


@pytest.mark.slow
async def test_what_happens_elsewhere_is_seen_here(place: World, player: Player, page: Page) -> None:
    await begin(page, place, "mine")
    await done(page)
    chat = (await run_of(place, "mine"))["chat_id"]
    assert "errors" not in await place.graphql(place.member, SEND, {"chat": chat, "text": "theirs"})
    await page.until(f"{TURNS}.length === 4 && {LAST}.dataset.state === 'done'")
    react = 'mutation($c: ID!, $m: ID!) { addReaction(input: {chatId: $c, messageId: $m, emoji: "🎉"}) { success } }'
    message = await place.database.fetchval(
        "SELECT id FROM messages WHERE chat_id = $1 ORDER BY seq DESC LIMIT 1", chat
    )
    assert "errors" not in await place.graphql(place.member, react, {"c": chat, "m": message})
    await page.see("🎉 1", "[role=log]")
    player.play("held", text("So it is."), *([0.1] * 100))
    await say(page, "held")
    await page.see("So it is.", "[role=log]")
    await say(page, "and quickly")
    await page.see("Queued for the next turn", "[role=log]")
    await page.press("Escape")
    await page.until("!document.querySelector('form button.danger')")
    await page.reload()
    await page.see("and quickly", "[role=log]")
    assert page.complaints == []


@pytest.mark.slow
async def test_the_list_stays_while_chats_are_opened(place: World, player: Player, page: Page) -> None:
    """A chat that is opened from far below leaves the list where it was."""
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    here: dict[str, Any] = {"workspace_id": place.workspace.id, "agent_id": agent}
    day = now() - timedelta(days=1)
    rows = [Chat(id=f"old-{at}", title=f"Old {at}", updated_at=day - timedelta(hours=at), **here) for at in range(60)]
    await place.add(*rows)
    await page.look()
    await enter(page, place, "chat")
    await page.until("document.querySelector('.view ul')?.offsetHeight >= 40 * 60")
    await page.value("document.querySelector('.view').scrollTo(0, 1500)")
    await page.until("document.querySelector(\"a[href$='chat/old-26']\")")
    await page.click("a[href$='chat/old-26']")
    await page.until("document.querySelector('[role=log]')")
    assert await page.value("document.querySelector('.view').scrollTop") == 1500
    assert await page.value("document.querySelector('.view [aria-current=page]').innerText.includes('Old 26')")
    await page.click("a[href$='chat/old-27']")
    await page.until("document.querySelector('h1').innerText.startsWith('Old 27')")
    assert await page.value("document.querySelector('.view').scrollTop") == 1500
    assert page.complaints == []
