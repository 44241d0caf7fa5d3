"""Settings: the settings of the workspace, the audit log with what changed, and the journal, live."""

from typing import Any

import pytest

from models.kernel import AuditLog
from models.oversight.journal import JournalActor, JournalEntry, Severity
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.oversight.audit import seals, verification
from tests.console.deck import PHONE, enter, give, go, page, pictures, place, tab_to
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
ROWS = "document.querySelectorAll('main .view li').length"

LINES = (
    "new Set([...document.querySelectorAll('.tools > :is(input, select), .tools .more > *')]"
    ".map((one) => one.getBoundingClientRect()).map(({top, bottom}) => Math.round((top + bottom) / 40))).size"
)


async def test_a_change_of_the_workspace_is_seen_in_the_audit_log(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "settings/workspace")
    await page.click("main .editable button")
    await page.until("document.activeElement.matches('.editable input')")
    await page.fill(".editable input", f"The hut {HOSTILE}")
    await page.press("Enter")
    await page.see("The hut <img", "main")
    await page.click("main section:nth-of-type(2) header button")
    await page.fill("dialog[open] [name=pattern]", "run_*")
    await page.press("Enter")
    await page.see("run_*", "main")
    await give(page, "main section:last-of-type select", "ANTHROPIC")
    await page.see("claude", "main")
    await pictures(page, "settings-settings")
    await judge(page, axe, "settings")
    await page.click("main li button")
    await page.see("No tool needs an approval.", "main")
    await page.press("z")
    await page.see("run_*", "main")
    await go(page, place, "settings/audit?action=workspace.updated")
    await page.until(f"{ROWS} === 1")
    assert await page.value(LINES) == 1, "the filters stand in one row"
    await page.press("j")
    await page.press("Enter")
    await page.see("+The hut <img", "dialog[open] .more")
    await page.see("-Workspace", "dialog[open] .less")
    assert await page.value("document.querySelectorAll(':is(main, dialog) :is(img, script)').length") == 0
    await pictures(page, "settings-audit-entry")
    await judge(page, axe, "an entry")
    await page.press("Escape")
    await page.click(".tools .more button")
    await page.until(f"{ROWS} > 1")
    await pictures(page, "settings-audit")
    await judge(page, axe, "audit")
    await page.fill(".tools [type=search]", "nothing of this kind")
    await page.see("No entry fits these filters", "main")
    assert await page.value("location.search") == "?q=nothing+of+this+kind"
    assert page.complaints == []
    await place.database.execute("UPDATE workspaces SET name = 'Workspace' WHERE id = $1", place.workspace.id)
    await place.database.execute("DELETE FROM approval_gates")


async def test_the_audit_log_is_checked_against_its_seals(
    place: World, page: Page, axe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By keyboard alone, on a phone: portion by portion, until the first that is broken."""
    monkeypatch.setattr(seals, "PORTION", 2)
    monkeypatch.setattr(verification, "MOST_SEALS", 1)
    here: dict[str, Any] = {"workspace_id": place.workspace.id, "action": "agent.updated", "entity_type": "AGENT"}
    await place.add(*[AuditLog(entity_id=f"a{number}", data={"n": number}, **here) for number in range(9)])
    await seals.seal(across_workspaces)
    await page.look(*PHONE)
    await enter(page, place, "settings/audit")
    await page.until(f"{ROWS} > 1")
    await tab_to(page, "Verify")
    await page.press("Enter")
    await page.see("The log is whole", "dialog[open]")
    await page.see("Entries checked", "dialog[open] dl")
    assert await page.value("document.documentElement.scrollWidth") <= PHONE[0]
    await pictures(page, "settings-audit-whole")
    await judge(page, axe, "a whole log")
    await page.press("Escape")
    await page.until("document.activeElement.textContent.trim() === 'Verify'")
    row = await place.database.fetchval("SELECT id FROM audit_logs WHERE entity_id = 'a4'")
    await place.database.execute("UPDATE audit_logs SET action = 'forged' WHERE id = $1", row)
    await page.press("Enter")
    await page.see("The log is broken here", "dialog[open]")
    await page.see(f"row {row} was changed since seal", "dialog[open] li")
    await pictures(page, "settings-audit-broken")
    await judge(page, axe, "a broken log")
    assert page.complaints == []
    await place.database.execute("UPDATE audit_logs SET action = 'agent.updated' WHERE id = $1", row)


async def test_the_journal_is_live(place: World, page: Page, axe: str) -> None:
    here: dict[str, Any] = {"workspace_id": place.workspace.id, "actor_type": JournalActor.system}
    await place.add(JournalEntry(entry_type="test.first", summary="The first entry", payload={"a": HOSTILE}, **here))
    await page.look(*PHONE)
    await enter(page, place, "settings/journal?type=test.first")
    await page.see("The first entry", "main .view")
    await place.add(JournalEntry(entry_type="test.other", summary="Another", **here))
    await place.add(JournalEntry(entry_type="test.first", summary=f"Second {HOSTILE}", severity=Severity.error, **here))
    await page.see("Second <img", "main .view li")
    assert await page.value(ROWS) == 2
    await pictures(page, "settings-journal")
    await judge(page, axe, "journal")
    await page.press("j")
    await page.press("j")
    await page.press("Enter")
    await page.see('"a": "<img', "dialog[open]")
    await pictures(page, "settings-journal-entry")
    await judge(page, axe, "a journal entry")
    await page.click("dialog[open] .editable button")
    await page.until("document.activeElement.matches('dialog[open] select')")
    await give(page, "dialog[open] select", "pin")
    await page.press("Enter")
    await page.see("pinned", "dialog[open] .editable button")
    assert page.complaints == []
