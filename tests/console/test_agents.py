"""The page of an agent and of a crew: each part shows what there is, and changes it where a person may."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from models.resources.skills import Skill
from models.staff.runs import Run, RunStatus
from tests.console.deck import PHONE, choose, enter, page, pictures, place
from tests.console.test_crews import button, edit
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "page", "place"]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
GRACE = "grace-of-crews@example.com"
PARTS = ("overview", "runs", "resources", "limits", "memory", "changes", "folder")


@dataclass
class Desk:
    """An agent with a hostile name, one of everything beside it, and the folder of its crew."""

    agent: str
    crew: str
    folder: Path


@pytest.fixture(scope="module")
async def desk(place: World) -> Desk:
    crew = await place.database.fetchval("SELECT id FROM crews LIMIT 1")
    made = await place.rest(
        place.owner, "POST", "/api/v1/agents",
        {"crew_id": crew, "name": f"Rosa {HOSTILE}", "slug": "rosa", "llm_provider": "OPENAI", "llm_model": "gpt-4o",
         "system_prompt": f"# Be kind\n{HOSTILE}", "role_title": "Editor"},
    )  # fmt: skip
    agent = made.json()["id"]
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    await place.add(
        Skill(made_in=place.workspace.id, name="knots", name_key="knots", slug="knots-of-rosa",
              display_name=f"Knots {HOSTILE}", description="Use when something has to hold."),
        Run(agent_id=agent, status=RunStatus.FAILED, prompt="Write", created_at=now(), started_at=now(),
            finished_at=now(), error_message=f"The provider refuses: {HOSTILE}", **here),
    )  # fmt: skip
    key = {"name": "Key of OpenAI", "type": "API_KEY", "provider": "OPENAI", "value": "sk-of-a-test-0123456789"}
    assert (await place.rest(place.owner, "POST", "/api/v1/credentials", key)).status_code == 201
    folder = place.settings.storage_path / "workspaces" / place.workspace.id / "crews" / crew / "output"
    (folder / "rosa").mkdir(parents=True)
    (folder / "rosa" / "notes.md").write_text(f"# Notes\n\n{HOSTILE}\n")
    (folder / "rosa" / "data.bin").write_bytes(b"\0\1\2")
    return Desk(agent, crew, folder)


async def test_every_part_looks_well(place: World, desk: Desk, page: Page, axe: str) -> None:
    await enter(page, place, f"agents/{desk.agent}")
    for part in PARTS:
        await page.click(f'nav[aria-label="Parts of the agent"] a[href$="/{part}"]')
        await page.until(f"location.pathname.endsWith('/{part}')")
        await page.until("document.querySelector('.content :is(h2, .view, .empty)')")
        await page.until("!document.querySelector('.skeleton')")
        await pictures(page, f"agent-{part}")
        await judge(page, axe, part)
        assert await page.value("document.querySelectorAll('main img').length") == 0
    for part in ("agents", "files", "settings", "container", "changes"):
        await page.open(f"{place.url}/console/{place.workspace.slug}/crews/{desk.crew}/{part}")
        await page.until("document.querySelector('.content :is(h2, .view, .empty)')")
        await page.until("!document.querySelector('.skeleton')")
        await pictures(page, f"crew-{part}")
        await judge(page, axe, f"crew {part}")
    assert await page.value("document.title.includes('owned')") is False
    assert page.complaints == []


async def test_resources_and_limits_are_given_and_taken(place: World, desk: Desk, page: Page) -> None:
    await enter(page, place, f"agents/{desk.agent}/resources")
    await choose(page, "[name=skillId]", "Knots")
    await page.click("form:has([name=skillId]) .primary")
    await page.until("[...document.querySelectorAll('main li strong')].some(one => one.innerText.startsWith('Knots'))")
    await choose(page, "[name=credentialId]", "Key of OpenAI")
    await page.until("document.querySelector('[name=envVarName]')?.value === 'OPENAI_API_KEY'")
    await page.click("form:has([name=credentialId]) .primary")
    await page.see("OPENAI_API_KEY", "main li code")
    assert await place.database.fetchval("SELECT count(*) FROM agent_credentials WHERE agent_id = $1", desk.agent) == 1
    await page.click("li:has(code) button")
    await page.see("No", "main")
    await page.until("!document.querySelector('main li code')")
    await page.press("z")
    await page.see("OPENAI_API_KEY", "main li code")
    await page.click('a[href$="/limits"]')
    await edit(page, "When", "not a time", taken=False)
    await page.see("must be five fields", "main")
    await page.press("Escape")
    await edit(page, "When", "0 9 * * 1-5")
    await page.see("0 9 * * 1-5", "main")
    await page.fill("[name=amountUsd]", "5")
    await page.click("form:has([name=amountUsd]) .primary")
    await page.see("$0.00 spent", "main")
    assert await place.database.fetchval("SELECT hard_stop FROM budgets WHERE agent_id = $1", desk.agent)
    assert page.complaints == []


async def test_the_policy_of_a_crew_is_changed_and_its_fault_stands_beside_it(
    place: World, desk: Desk, page: Page
) -> None:
    async def level(value: str) -> None:
        opener = "[...document.querySelectorAll('.editable')].find(one => one.innerText.startsWith('Agents act'))"
        await page.until(f"{opener}?.querySelector('button.value')")
        await page.value(f"{opener}.querySelector('button.value').click()")
        await page.until("document.activeElement.matches('.editable select')")
        await page.value(
            f"(one => {{ one.value = {value!r}; one.dispatchEvent(new Event('change', {{bubbles: true}})) }})"
            "(document.activeElement)"
        )
        await page.value(f"{button('Save')}.click()")

    await enter(page, place, f"crews/{desk.crew}/settings")
    await level("full")
    await page.until("document.querySelector('.editable .fault')")
    await page.press("Escape")
    await page.until("!document.querySelector('.editable select')")
    await level("strict")
    await page.until("!document.querySelector('.editable select')")
    await page.see("Only with consent", "main")
    assert await place.database.fetchval("SELECT autonomy_level FROM crews WHERE id = $1", desk.crew) == "strict"


async def test_files_are_shown_and_uploaded(place: World, desk: Desk, page: Page) -> None:
    await enter(page, place, f"crews/{desk.crew}/files")
    await page.see("rosa/", ".files")
    await page.press("j")
    await page.press("Enter")
    await page.until("location.search === '?folder=rosa'")
    await page.see("notes.md", ".files")
    await page.value(
        "[...document.querySelectorAll('.files li button')].find(b => b.innerText.includes('notes')).click()"
    )
    await page.see("Notes", "dialog[open] h1, dialog[open] .answer")
    assert await page.value("document.querySelectorAll('dialog img').length") == 0
    await page.press("Escape")
    await page.until("!document.querySelector('dialog')")
    await page.value(
        "[...document.querySelectorAll('.files li button')].find(b => b.innerText.includes('bin')).click()"
    )
    await page.see("Not a text", "dialog[open]")
    await page.press("Escape")
    await page.value(
        "(chooser => { const given = new DataTransfer(); given.items.add(new File(['one,two'], 'table.csv'));"
        " chooser.files = given.files; chooser.dispatchEvent(new Event('change', {bubbles: true})) })"
        "(document.querySelector('input[type=file]'))"
    )
    await page.see("table.csv is uploaded", ".notices")
    await page.see("table.csv", ".files ul")
    assert (desk.folder / "rosa" / "table.csv").read_text() == "one,two"
    assert page.complaints == []


async def test_two_browsers_and_the_keyboard_alone(place: World, desk: Desk, page: Page, tmp_path: Path) -> None:
    await enter(page, place, f"agents/{desk.agent}")
    async with browsing(tmp_path / "other") as other:
        await enter(other, place, "crews")
        await other.see("Rosa", ".view")
        await page.value("document.querySelector('.editable button.value').focus()")
        await page.press("Enter")
        await page.until("document.activeElement.matches('.editable input')")
        await page.command("Input.insertText", text="Rosalind")
        await page.press("Enter")
        await page.see("Rosalind", "h1")
        await other.see("Rosalind", ".view")
        await page.until("document.activeElement.matches('.editable button.value')")
    await page.press("g")
    await page.press("a")
    await page.until("location.pathname.endsWith('/crews')")
    await page.see("Rosalind", ".view")
    assert page.complaints == []


async def test_a_member_reads_and_changes_nothing(place: World, desk: Desk, page: Page, axe: str) -> None:
    grace = await new_user(place, full_name="Grace", email=GRACE)
    here: dict[str, Any] = {"workspace_id": place.workspace.id, "user_id": grace.id}
    await place.add(Membership(role=Role.MEMBER, accepted_at=now(), **here))
    await page.look(*PHONE)
    await enter(page, place, f"agents/{desk.agent}", GRACE)
    await page.see("Be kind", "main")
    assert await page.value("document.querySelectorAll('.editable button').length") == 0
    assert await page.value(f"{button('Delete')} === undefined")
    for part in ("resources", "limits", "memory", "changes"):
        await page.open(f"{place.url}/console/{place.workspace.slug}/agents/{desk.agent}/{part}")
        await page.until("document.querySelector('.content :is(h2, .empty)')")
        await page.until("!document.querySelector('.skeleton')")
        assert await page.value("document.querySelectorAll('.content :is(form, .editable button)').length") == 0
        await judge(page, axe, f"{part} of a member")
    await page.see("You may not see this", "main")
    await page.open(f"{place.url}/console/{place.workspace.slug}/crews")
    await page.see("Scout", ".view")
    assert await page.value(f"{button('New agent')} === undefined && {button('New crew')} === undefined")


async def begin(page: Page, label: str, text: str) -> None:
    """Opens what is shown under this label, and types without sending it."""
    opener = (
        "[...document.querySelectorAll('.editable')]"
        f".find(one => one.querySelector('.label')?.innerText === {label!r})?.querySelector('button.value')"
    )
    await page.until(opener)
    await page.value(f"{opener}.click()")
    await page.until("document.activeElement.matches('.editable :is(input, textarea)')")
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text=text)


async def test_what_somebody_else_has_changed_meanwhile_is_shown(place: World, desk: Desk, page: Page) -> None:
    path = f"/api/v1/agents/{desk.agent}"
    role = "SELECT role_title FROM agents WHERE id = $1"
    await enter(page, place, "agents/rosa")
    await page.see("Editor", "main")
    await begin(page, "Role", "Mine")
    assert (await place.rest(place.owner, "PATCH", path, {"role_title": "Theirs"})).status_code == 200
    await page.value(f"{button('Save')}.click()")
    await page.see("changed this to “Theirs” meanwhile", ".editable [role=alert]")
    assert await place.database.fetchval(role, desk.agent) == "Theirs"
    assert await page.value("document.querySelector('.editable input').value") == "Mine"
    await page.value(f"{button('Save')}.click()")
    await page.until("!document.querySelector('.editable input')")
    assert await place.database.fetchval(role, desk.agent) == "Mine"
    await begin(page, "Role", "Editor")
    assert (await place.rest(place.owner, "PATCH", path, {"description": "Reads"})).status_code == 200
    await page.value(f"{button('Save')}.click()")
    await page.until("!document.querySelector('.editable input')")
    row = await place.database.fetchrow("SELECT role_title, description FROM agents WHERE id = $1", desk.agent)
    assert tuple(row or ()) == ("Editor", "Reads")
    await begin(page, "Persona", "Mine")
    assert (await place.rest(place.owner, "PUT", f"{path}/persona", {"content": "Theirs"})).status_code == 200
    await page.value(f"{button('Save')}.click()")
    await page.see("changed this to “Theirs” meanwhile", ".editable [role=alert]")
    await page.value(f"{button('Save')}.click()")
    await page.until("!document.querySelector('.editable textarea')")
    assert await place.database.fetchval("SELECT persona FROM agents WHERE id = $1", desk.agent) == "Mine"
    assert all("PRECONDITION_FAILED" in one or "412" in one for one in page.complaints), page.complaints


async def test_a_server_is_bound_and_unbound(place: World, desk: Desk, page: Page, axe: str) -> None:
    server = {
        "name": "weather",
        "display_name": "Weather",
        "transport": "streamable-http",
        "endpoint": "https://a.test/",
    }
    made = await place.rest(place.owner, "POST", "/api/v1/integrations", server)
    assert made.status_code == 201, made.text
    bound = "SELECT count(*) FROM agent_mcp_bindings WHERE agent_id = $1"
    await enter(page, place, "agents/rosa/resources")
    await choose(page, "[name=mcpServerId]", "Weather")
    await page.until("document.querySelector('form:has([name=mcpServerId]) [name=credentialId]')")
    await judge(page, axe, "a server to bind")
    await pictures(page, "agent-bind")
    await page.click("form:has([name=mcpServerId]) .primary")
    row = "[...document.querySelectorAll('main li')].find(one => one.innerText.startsWith('Weather'))"
    await page.until(row)
    assert await place.database.fetchval(bound, desk.agent) == 1
    enabled = "SELECT enabled FROM agent_mcp_bindings WHERE agent_id = $1"
    await page.value(f"{row}.querySelector('button').click()")
    await page.until(f"{row}.innerText.includes('Turn on')")
    assert await place.database.fetchval(enabled, desk.agent) is False
    await page.value(f"{row}.querySelector('button').click()")
    await page.until(f"{row}.innerText.includes('Turn off')")
    assert await place.database.fetchval(enabled, desk.agent) is True
    await page.value(f"[...{row}.querySelectorAll('button')].at(-1).click()")
    await page.until(f"!({row})")
    assert await place.database.fetchval(bound, desk.agent) == 0
    await page.press("z")
    await page.until(row)
    assert await place.database.fetchval(bound, desk.agent) == 1
    assert page.complaints == []
