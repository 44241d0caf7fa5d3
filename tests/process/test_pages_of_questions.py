"""What an agent asks people in the middle of its work, and every kind of frame, in the page at `/`."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.attention.inbox import InboxItem, InboxKind, inbox_item_id
from models.staff.runs import ChatEventType, SystemEvent
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.players import RESULT, Player, text
from tests.process.workbench import EMAIL, new_chat, page, place, player, say, sign_in
from tests.world import World, now

__all__ = ["axe", "page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


async def asks(place: World, tool: str = "run_command") -> tuple[Approval, dict[str, Any]]:
    """What a run has asked, with its item in the inbox, and the frame that says so."""
    here = {"workspace_id": place.workspace.id}
    made = Approval(
        kind=ApprovalKind.tool_call, reason=f"The agent wants to call {tool}", tool=tool,
        payload={"tool": tool, "args": {"command": "rm -r build", "note": HOSTILE}},
        timeout_at=now() + timedelta(hours=1), created_at=now(), **here,
    )  # fmt: skip
    item = InboxItem(
        id=inbox_item_id(InboxKind.waitpoint, made.id), kind=InboxKind.waitpoint, source_id=made.id, title=made.reason,
        blocking=True, **here,
    )  # fmt: skip
    await place.add(made, item)
    metadata = {"subtype": "approval_requested", "tool_name": tool, "approval_id": made.id, "waits": True}
    return made, {"type": "system", "content": made.reason, "metadata": metadata}


async def status(place: World, asked: Approval) -> tuple[Any, ...]:
    return tuple(await place.database.fetchrow("SELECT status, comment FROM approvals WHERE id = $1", asked.id))


async def ask_in_chat(place: World, player: Player, page: Page, prompt: str) -> Approval:
    """A chat whose run shows a question, and waits."""
    asked, frame = await asks(place)
    player.play(prompt, frame, *([0.2] * 200), text("After it."), RESULT)
    await sign_in(page, place.url)
    await new_chat(page)
    await say(page, prompt)
    await page.see("run_command needs consent", "#turns .approval")
    await page.see("rm -r build", "#turns .approval pre")
    return asked


@pytest.mark.slow
async def test_a_question_is_decided_where_it_is_asked(
    place: World, player: Player, page: Page, axe: str, tmp_path: Path
) -> None:
    asked = await ask_in_chat(place, player, page, "clean up")
    await page.see("The agent waits until", "#turns .approval")
    assert "Thinking" not in await page.text("#turns")
    assert HOSTILE.replace('"', '\\"') in await page.text("#turns .approval pre")
    assert await page.value("document.querySelectorAll('#turns img').length") == 0
    await judge(page, axe, "question")
    await page.screenshot(tmp_path / "question.png")
    await page.fill("#turns .approval [name=comment]", "Not the build")
    await page.click("#turns .approval button.quiet")
    await page.see("Rejected by you: Not the build", "#turns .approval")
    assert await status(place, asked) == ("denied", "Not the build")
    assert await page.value("document.querySelector('#turns .choice').offsetParent") is None
    await judge(page, axe, "question decided")
    assert page.complaints == []


@pytest.mark.slow
async def test_the_other_button_approves(place: World, player: Player, page: Page) -> None:
    asked = await ask_in_chat(place, player, page, "clean up well")
    await page.click("#turns .approval .row button:first-child")
    await page.see("Approved by you.", "#turns .approval")
    assert await status(place, asked) == ("approved", "")
    await page.command("Page.reload")
    await page.see("Approved by you.", "#turns .approval")


@pytest.mark.slow
async def test_a_decision_made_elsewhere_is_seen(place: World, player: Player, page: Page) -> None:
    asked = await ask_in_chat(place, player, page, "clean up later")
    body = {"status": "approved", "comment": "Go"}
    assert (await place.rest(place.admin, "POST", f"/api/v1/approvals/{asked.id}/decide", body)).status_code == 200
    await page.see("Approved by Admin Example: Go", "#turns .approval")
    assert await page.value("document.querySelector('#turns .choice').offsetParent") is None
    second, frame = await asks(place)
    player.play("and again", frame, *([0.2] * 200), RESULT)
    await page.click("#cancel")
    await say(page, "and again")
    await page.until("document.querySelectorAll('#turns .choice:not([hidden])').length === 1")
    assert (await place.rest(place.admin, "POST", f"/api/v1/approvals/{second.id}/cancel", {})).status_code == 200
    await page.see("Cancelled: the run has ended", "#turns > li:last-child")


@pytest.mark.slow
async def test_who_cannot_decide_sees_the_question_without_buttons(place: World, player: Player, page: Page) -> None:
    ours = "UPDATE memberships SET role = $2 FROM users WHERE users.id = user_id AND email = $1"
    await place.database.execute(ours, EMAIL, "MEMBER")
    try:
        await ask_in_chat(place, player, page, "clean up as a member")
        await page.see("An admin of the workspace can decide.", "#turns .approval")
        assert await page.value("document.querySelector('#turns .choice').offsetParent") is None
    finally:
        await place.database.execute(ours, EMAIL, "OWNER")


# ---- every kind of frame ---------------------------------------------------------------------------------------------

TURNS = "import('/static/turns.js').then(({ Turns }) => { const turns = new Turns('me'); return EXPRESSION; })"


async def of_turns(page: Page, expression: str) -> Any:
    return await page.value(TURNS.replace("EXPRESSION", expression))


@pytest.fixture
async def opened(place: World, page: Page) -> Page:
    await page.open(f"{place.url}/login")
    await page.until("!document.querySelector('#login').hidden")
    return page


async def test_every_frame_that_is_sent_has_a_taker(opened: Page) -> None:
    kinds = await of_turns(opened, "turns.kinds")
    assert sorted(kinds["types"]) == sorted(ChatEventType), "turns.js shows what the server can send, and nothing else"
    assert sorted(kinds["events"]) == sorted(SystemEvent)


def test_subtypes_of_system_frames_are_named_in_one_place() -> None:
    """Text beside the list is what no page knows of; `success` is a subtype of a result."""
    root = Path(__file__).parents[2]
    sources = [file for place in ("runtime", "resolvers") for file in (root / place).rglob("*.py")]
    found = {name for file in sources for name in re.findall(r'"subtype": "(\w+)"', file.read_text())}
    assert found <= {"success"}
    used = {name for file in sources for name in re.findall(r"SystemEvent\.(\w+)", file.read_text())}
    assert used == set(SystemEvent)


async def test_an_unknown_frame_is_a_quiet_line(opened: Page) -> None:
    frames = (
        ("{ type: 'from_tomorrow', content: 'New words' }", "New words"),
        ("{ type: 'from_tomorrow', content: '' }", "from tomorrow"),
        ("{ type: 'constructor', content: 'Not a taker' }", "Not a taker"),
        ("{ type: 'system', content: '', metadata: { subtype: 'not_yet_known' } }", "not yet known"),
        ("{ type: 'system', content: 'At an end', metadata: { reason: 'x' } }", "At an end"),
        ("{ type: 'system', content: 'A secret', metadata: { subtype: 'redacted' } }", "A secret"),
    )  # fmt: skip
    for frame, line in frames:
        made = await of_turns(opened, f"(turns.apply({frame}), turns.list.map(({{ parts }}) => parts))")
        assert made == [[{"kind": "line", "text": line}]], frame


async def test_a_model_that_is_asked_again_is_told(opened: Page) -> None:
    told = "{ subtype: 'api_retry', attempt: 1, max_retries: 3, retry_delay_ms: 4000, error_status: 529 }"
    frame = f"{{ type: 'system', content: 'api_retry', metadata: {told} }}"
    status = await of_turns(opened, f"turns.apply({frame}).status")
    assert status == "The model does not answer (status 529). Next try (1 of 3) in 4 s …"


async def test_an_end_without_a_reply_is_no_cancelled_one(opened: Page) -> None:
    line = "turns.apply({ type: 'system', content: 'That was it', metadata: { reason: 'turn_limit' } })"
    for metadata, cancelled in (("{ no_reply: true }", False), ("{}", True)):
        assert (
            await of_turns(opened, f"({line}, turns.apply({{ type: 'done', metadata: {metadata} }}).cancelled)")
            is cancelled
        )
