"""Runs: a long table with filters in the address, and the trace of one run."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.staff.chats import Chat
from models.staff.run_spans import RunSpan, SpanKind, SpanStatus
from models.staff.runs import BY_WEBHOOK, NEVER, Run, RunStatus
from tests.console.deck import PHONE, enter, page, pictures, place
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.players import RESULT, Player, call, text
from tests.process.workbench import SEND, player, run_of
from tests.world import World, now, stored

__all__ = ["axe", "page", "place", "player"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
MANY, SPANS = 10_000, 5_000
ROWS = "document.querySelectorAll('.view li').length"
EARLIER = {
    "id": "'r' || number",
    "status": "'COMPLETED'",
    "error_message": "NULL",
    **{
        name: f"{name} - interval '1 day' - number * interval '1 s'"
        for name in ("created_at", "started_at", "finished_at")
    },
}


@pytest.fixture
async def failed(place: World) -> AsyncIterator[Run]:
    """A run with a trace of many spans, above many other runs."""
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    began = now() - timedelta(minutes=2)
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    made = Run(
        agent_id=agent, status=RunStatus.FAILED, prompt="Write the changelog", created_at=began, started_at=began,
        finished_at=began + timedelta(seconds=90), error_message=f"The provider refuses: {HOSTILE}", **here,
    )  # fmt: skip
    await place.add(made)
    columns = stored(Run)
    values = ", ".join(EARLIER.get(name, name) for name in columns.split(", "))
    earlier = (
        f"INSERT INTO runs ({columns}) SELECT {values} FROM runs, generate_series(1, $2::int) number WHERE id = $1"
    )
    await place.database.execute(earlier, made.id, MANY)
    for seq in range(1, 8):
        tool = seq % 2 == 0
        at = began + timedelta(seconds=seq * 10)
        await place.add(
            RunSpan(
                run_id=made.id,
                seq=seq,
                parent_seq=seq - 1 if seq == 7 else None,
                status=SpanStatus.COMPLETED,
                kind=SpanKind.TOOL_CALL if tool else SpanKind.MODEL_CALL,
                name="read_file" if tool else "gpt-5-mini",
                started_at=at,
                finished_at=at + timedelta(seconds=8),
                summary="The first line",
                changed=f"{seq}",
                input={"path": "notes.md", "note": HOSTILE},
                output=f"All of it: {HOSTILE}",
                created_at=began,
                **here,
            )
        )
    yield made
    await place.database.execute("TRUNCATE run_spans, approvals, runs CASCADE")


async def test_ten_thousand_runs_and_the_trace_of_one(place: World, failed: Run, page: Page, axe: str) -> None:
    await enter(page, place, "runs")
    await page.see("The provider refuses", ".view")
    assert await page.value("document.querySelector('h1 small').innerText") == "10,001"
    assert await page.value(ROWS) < 60
    await pictures(page, "runs")
    await judge(page, axe, "runs")
    await page.press("j")
    for _ in range(4):
        before = await page.value("document.querySelector('.view ul').offsetHeight")
        await page.value("document.querySelector('.view').scrollTo(0, 1e9)")
        await page.until(f"document.querySelector('.view ul').offsetHeight > {before}")
        assert await page.value("document.querySelector('.view').scrollTop") > before / 2, "back at the chosen row"
    assert await page.value(ROWS) < 60
    await page.click(".states button:nth-of-type(5)")
    await page.until("document.querySelector('h1 small').innerText === '1'")
    assert await page.value("location.search") == "?state=FAILED"
    await page.press("j")
    await page.press("Enter")
    await page.until(f"location.pathname.endsWith('/runs/{failed.id}')")
    await page.see("read_file", ".trace")
    await page.press("j")
    await page.press("j")
    await page.press("Enter")
    await page.see("All of it", ".trace section")
    assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0
    await pictures(page, "run")
    await judge(page, axe, "run")
    await page.value("history.back()")
    await page.until("location.search === '?state=FAILED' && document.querySelector('h1 small')?.innerText === '1'")
    assert page.complaints == []


@pytest.mark.slow
async def test_runs_that_ended_since_a_day(place: World, failed: Run, page: Page) -> None:
    assert failed.finished_at is not None
    await enter(page, place, "runs")
    await page.until("document.querySelector('h1 small')?.innerText === '10,001'")
    day = await page.value(f"new Date({failed.finished_at.timestamp() * 1000}).toLocaleDateString('sv')")
    await page.value(
        f"(field => (field.value = '{day}', field.dispatchEvent(new Event('change', {{ bubbles: true }}))))"
        "(document.querySelector('[name=ended]'))"
    )
    await page.until(f"location.search === '?ended={day}' && document.querySelector('h1 small').innerText === '1'")
    await page.see("The provider refuses", ".view")
    await page.click(".rest > button")
    await page.until("location.search === '' && document.querySelector('h1 small').innerText === '10,001'")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_retry_that_fails_keeps_what_was_written(place: World, failed: Run, page: Page) -> None:
    await place.database.execute("UPDATE runs SET trigger_type = $2 WHERE id = $1", failed.id, BY_WEBHOOK)
    await enter(page, place, f"runs/{failed.id}")
    await page.click("[data-opens=retryRun]")
    await page.until("document.querySelector('dialog textarea')?.value === 'Write the changelog'")
    await page.fill("dialog textarea", " again")
    await page.command("Network.setBlockedURLs", urls=["*/graphql"])
    await page.click("dialog .primary")
    await page.until("document.querySelector('dialog [role=alert]')?.innerText.length > 10")
    await page.command("Network.setBlockedURLs", urls=[])
    assert "again" in await page.value("document.querySelector('dialog textarea').value")
    assert await page.value("location.pathname.endsWith('/runs/" + failed.id + "')")
    assert await place.database.fetchval("SELECT count(*) FROM runs WHERE retry_of = $1", failed.id) == 0


async def more_spans(place: World, run: Run) -> None:
    rows = """INSERT INTO run_spans (workspace_id, run_id, seq, kind, name, status, started_at, finished_at, changed,
            created_at)
        SELECT $1, $2, number, 'TOOL_CALL', 'call ' || number, 'COMPLETED', $3::timestamptz + number * interval '10 ms',
               $3::timestamptz + number * interval '11 ms', number::text, $3
          FROM generate_series(10, $4::int) number"""
    await place.database.execute(rows, place.workspace.id, run.id, run.created_at, SPANS)


@pytest.mark.slow
async def test_five_thousand_spans_are_few_elements(place: World, failed: Run, page: Page) -> None:
    await more_spans(place, failed)
    await page.look(*PHONE)
    await enter(page, place, f"runs/{failed.id}")
    await page.until("document.querySelector('.trace ul').offsetHeight > 4900 * 34")
    await page.value("document.querySelector('.view').scrollTo(0, 1e9)")
    await page.see("call 4998", ".trace")
    assert await page.value(ROWS) < 80
    await page.look()


@pytest.mark.slow
async def test_steer_runs_by_keyboard_on_a_phone(place: World, page: Page, axe: str) -> None:
    """Approves what a run waits for, cancels it, and starts another with another input."""
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    began = now() - timedelta(minutes=2)
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    gate: dict[str, Any] = {"kind": ApprovalKind.tool_call, "tool": "delete_file", "reason": HOSTILE}
    approval = Approval(**gate, agent_id=agent, payload={"path": HOSTILE}, **here)
    parked: dict[str, Any] = {"waits_for": approval.id, "waits_since": began, "leased_until": NEVER}
    waits = Run(agent_id=agent, prompt="Tidy", trigger_type=BY_WEBHOOK, started_at=began, **parked, **here)
    approval.run_id = waits.id
    await place.add(waits, approval)
    try:
        await page.look(*PHONE)
        await enter(page, place, "runs?state=WAITING")
        await page.see("Scout", ".view")
        await page.press("j")
        await page.press("Enter")
        await page.see("Waits for consent: delete_file", "main section")
        await pictures(page, "run-waits")
        await judge(page, axe, "a run that waits")
        await page.look(*PHONE)
        await page.fill("main section input", "Only this once")
        await page.press("Tab")
        await page.press("Enter")
        await page.until("!document.querySelector('main section')")
        decided = "SELECT status || ' ' || comment FROM approvals WHERE id = $1"
        assert await place.database.fetchval(decided, approval.id) == "approved Only this once"
        await page.value("document.querySelector('.acts button').focus()")
        await page.press("Enter")
        await page.see("is kept", "dialog")
        await page.value("document.querySelector('dialog button.danger').focus()")
        await page.press("Enter")
        await page.see("is being cancelled", ".notices")
        finished = "UPDATE runs SET status = 'FAILED', finished_at = now(), waits_for = NULL WHERE id = $1"
        await place.database.execute(finished, waits.id)
        await page.open(f"{place.url}/console/{place.workspace.slug}/runs/{waits.id}")
        await page.click(".acts button")
        await page.until("document.activeElement.matches('dialog textarea') && document.activeElement.value === 'Tidy'")
        await page.select("dialog textarea")
        await page.fill("dialog textarea", "Tidy the attic")
        await page.press("Enter", control=True)
        await page.until(f"!location.pathname.endsWith('{waits.id}') && document.querySelector('dl a')")
        again = await place.database.fetchval("SELECT prompt FROM runs WHERE retry_of = $1", waits.id)
        assert again == "Tidy the attic"
        assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0
        assert page.complaints == []
    finally:
        await page.open("about:blank")
        await place.database.execute("DELETE FROM approvals")
        await place.database.execute("DELETE FROM runs")
        await page.look()


@pytest.mark.slow
async def test_filters_are_in_the_address(place: World, failed: Run, page: Page) -> None:
    """Each filter narrows the table, is kept by the address, and is taken back at once."""
    await enter(page, place, "runs?state=COMPLETED,FAILED&trigger=USER&sort=oldest")
    await page.until("document.querySelector('h1 small')?.innerText === '10,001'")
    assert await page.value("document.querySelectorAll('.states [aria-pressed=true]').length") == 2
    day = (failed.created_at - timedelta(hours=1)).date().isoformat()
    await page.open(f"{place.url}/console/{place.workspace.slug}/runs?state=FAILED&since={day}")
    await page.until("document.querySelector('h1 small')?.innerText === '1'")
    await page.open(f"{place.url}/console/{place.workspace.slug}/runs?q=provider")
    await page.until("document.querySelector('h1 small')?.innerText === '1'")
    await page.fill("main input[type=search]", " REFUSES that")
    await page.see("No run fits these filters", "main")
    assert await page.value("location.search") == "?q=provider+REFUSES+that"
    await page.open(f"{place.url}/console/{place.workspace.slug}/runs?until=2001-01-01&state=NONSENSE")
    await page.see("No run fits these filters", "main")
    await page.click(".rest button")
    await page.until("document.querySelector('h1 small')?.innerText === '10,001' && location.search === ''")
    assert page.complaints == []


@pytest.mark.slow
async def test_the_log_stands_beside_the_trace(place: World, player: Player, page: Page, axe: str) -> None:
    """The log is live, shows markup as text, is in the address, and stands above the trace on a phone."""
    player.play(
        "log it", text("Let me "), text(f"see. {HOSTILE}"), call("Bash", "t1", command="ls"), *([0.1] * 60), RESULT
    )
    chat = Chat(
        agent_id=await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1"),
        workspace_id=place.workspace.id,
    )
    await place.add(chat)
    assert "errors" not in await place.graphql(place.owner, SEND, {"chat": chat.id, "text": "log it"})
    run = await run_of(place, "log it")
    await enter(page, place, f"runs/{run['id']}")
    await page.click(".acts button[aria-pressed]")
    await page.see(f"Let me see. {HOSTILE}", "main section li")
    assert await page.value("location.search") == "?log=1"
    await page.see("Bash", "main section ol")
    assert await page.value("document.querySelectorAll('main :is(img, script)').length") == 0
    await pictures(page, "run-log")
    await judge(page, axe, "run with its log")
    await page.look(*PHONE)
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await page.click("main section header button")
    await page.until("!document.querySelector('main section') && location.search === ''")
    await page.look()
    assert page.complaints == []
