"""Resources: credentials, integrations, skills, webhooks, channels, connectors and templates."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.attention.webhook_endpoints import DeliveryState, WebhookDelivery
from models.base import new_id
from models.people.workspaces import Membership, Role
from models.resources.credentials import Credential, CredentialStatus, CredentialType
from models.resources.integrations import CrewIntegration, ToolBinding, Transport
from models.resources.skills import ScanStatus, SkillCategory, SkillProposal
from models.staff.crews import Crew
from tests.console.deck import PHONE, enter, give, page, pictures, place, press, tab_to
from tests.console.test_missions import PARALLEL, TEMPLATE
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
SECRET = "sk-harbour-7f3a9c"
ROWS = "document.querySelectorAll('.view li').length"
MARKUP = "document.querySelectorAll('main :is(img, script)').length"


async def create(page: Page, name: str, value: str = SECRET) -> None:
    """A key, by the form; its page is then shown."""
    await press(page, "Create credential")
    await page.fill("dialog [name=name]", name)
    await page.fill("dialog [name=value]", value)
    await press(page, "Create", "dialog")
    await page.until("!document.querySelector('dialog[open]') && location.pathname.split('/').length === 6")
    await page.see(name, "h1")


async def test_a_credential_is_created_given_and_rotated(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "resources")
    await page.see("No credentials yet", "main")
    await press(page, "Create credential")
    await press(page, "Create", "dialog")
    await page.until("document.querySelector('dialog [name=name][aria-invalid]')")
    await pictures(page, "resources-credential-form")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog')")
    await create(page, "Harbour key")
    await press(page, "Give to an agent")
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    await give(page, "dialog [name=agentId]", agent)
    await page.fill("dialog [name=envVarName]", "HARBOUR_KEY")
    await press(page, "Give to an agent", "dialog form")
    await page.see("HARBOUR_KEY", "main")
    await press(page, "Rotate")
    await page.fill("dialog [name=value]", "sk-second")
    await press(page, "Rotate", "dialog form")
    await page.see("The previous value is valid until", "main")
    assert SECRET not in await page.value("document.documentElement.outerHTML")
    await pictures(page, "resources-credential")
    await judge(page, axe, "credential")
    await press(page, "Delete")
    await press(page, "Delete", "dialog")
    await page.see("No credentials yet", "main")
    assert page.complaints == []


@pytest.fixture
async def stored(place: World) -> AsyncIterator[list[str]]:
    """Credentials in all states, with hostile texts; the ids."""
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    rows = [
        Credential(
            name=HOSTILE if status is CredentialStatus.ERROR else f"Key {status.lower()}", type=CredentialType.API_KEY,
            provider="GITHUB", status=status, account_label=HOSTILE, token_expires_at="2020-01-01",
            last_error=f"Refused: {HOSTILE}" if status is CredentialStatus.ERROR else None, **here,
        )
        for status in CredentialStatus
    ]  # fmt: skip
    await place.add(*rows)
    yield [row.id for row in rows]
    await place.database.execute("DELETE FROM credentials")


@pytest.mark.slow
async def test_credentials_are_found_by_keys_alone(place: World, page: Page, axe: str, stored: list[str]) -> None:
    await enter(page, place, "runs")
    await page.press("g")
    await page.press("e")
    await page.see("Key expired", ".view")
    await pictures(page, "resources-credentials")
    await judge(page, axe, "credentials")
    assert await page.value(MARKUP) == 0
    await give(page, 'select[aria-label="Any state"]', "EXPIRED")
    await page.until(f"{ROWS} === 1 && location.search === '?state=EXPIRED'")
    await page.press("j")
    await page.press("Enter")
    await page.see("Key expired", "h1")
    await page.value("history.back()")
    await page.until(f"{ROWS} === 1")
    await press(page, "Clear")
    await page.fill("input[type=search]", "KEY REV")
    await page.until(f"{ROWS} === 1 && location.search === '?search=KEY+REV'")
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/credentials/{stored[6]}")
    await page.see("Refused: <img", "main .problem")
    await judge(page, axe, "credential with an error")
    assert await page.value(MARKUP) == 0
    assert await page.value("document.title") != "owned"
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/credentials/nothing")
    await page.see("Not found", "main")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_credential_is_created_by_keys_on_a_phone(place: World, page: Page) -> None:
    await page.look(*PHONE)
    await enter(page, place, "resources/credentials")
    await page.see("Create credential", "main")
    await page.press("n")
    await page.until("document.activeElement.name === 'name'")
    await page.command("Input.insertText", text="By keys")
    for name in ("type", "provider", "value"):
        await page.press("Tab")
        await page.until(f"document.activeElement.name === '{name}'")
    await page.command("Input.insertText", text=SECRET)
    await page.press("Enter")
    await page.see("By keys", "h1")
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await page.value("[...document.querySelectorAll('main button')].find(one => one.innerText === 'Delete').focus()")
    await page.press("Enter")
    await page.until("document.querySelector('dialog[open]')")
    await press(page, "Delete", "dialog")
    await page.until("location.pathname.endsWith('/resources/credentials')")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_viewer_reads_and_changes_nothing(place: World, stored: list[str], tmp_path: Path) -> None:
    eve = await new_user(place, full_name="Eve", email="eve@example.com")
    await place.add(Membership(role=Role.VIEWER, accepted_at=now(), workspace_id=place.workspace.id, user_id=eve.id))
    async with browsing(tmp_path / "eve") as page:
        await enter(page, place, "resources/credentials", email="eve@example.com")
        await page.see("Key expired", ".view")
        assert "Create credential" not in await page.text("main")
        await page.open(f"{place.url}/console/{place.workspace.slug}/resources/credentials/{stored[0]}")
        await page.see("Key active", "h1")
        await page.see("This needs", "main")
        assert await page.value("document.querySelectorAll('main :is(button, input, select)').length") == 0
        assert page.complaints == []


@pytest.mark.slow
async def test_two_browsers_see_the_same_credentials(place: World, page: Page, tmp_path: Path) -> None:
    async with browsing(tmp_path / "other") as other:
        await enter(other, place, "resources/credentials")
        await other.see("No credentials yet", "main")
        await enter(page, place, "resources/credentials")
        await create(page, "Seen by two")
        await other.see("Seen by two", ".view")
        await press(page, "Delete")
        await press(page, "Delete", "dialog")
        await other.see("No credentials yet", "main")


@pytest.fixture
async def server(place: World) -> AsyncIterator[CrewIntegration]:
    """An MCP server of a crew, with tools whose texts are hostile."""
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    crew = Crew(name="Dockers", slug=f"dockers-{new_id()[-6:]}", **here)
    made = CrewIntegration(
        crew_id=crew.id, name="cranes", display_name="Cranes", transport=Transport.streamable_http,
        endpoint="https://cranes.example.com/mcp", **here,
    )  # fmt: skip
    tools = [
        ToolBinding(crew_integration_id=made.id, tool_name=name, description=HOSTILE, **here)
        for name in ("lift", "lower")
    ]
    await place.add(crew, made, *tools)
    yield made
    await place.database.execute("DELETE FROM crews WHERE id = $1", crew.id)


@pytest.mark.slow
async def test_a_server_is_added_bound_and_turned_off(
    place: World, page: Page, axe: str, server: CrewIntegration
) -> None:
    await enter(page, place, "resources/integrations")
    await page.see("Cranes", ".view")
    await pictures(page, "resources-integrations")
    await judge(page, axe, "servers")
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/integrations/{server.crew_id}/{server.id}")
    await page.see("lower", "main")
    await page.click("main li input[type=checkbox]")
    off = "SELECT count(*) FROM tool_bindings WHERE crew_integration_id = $1 AND NOT enabled"
    for _ in range(100):
        if await place.database.fetchval(off, server.id) == 1:
            break
        await asyncio.sleep(0.05)
    assert await place.database.fetchval(off, server.id) == 1
    await pictures(page, "resources-crew-server")
    await judge(page, axe, "server of a crew")
    assert await page.value(MARKUP) == 0
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/integrations")
    await press(page, "Add MCP server")
    await page.fill("dialog [name=name]", "tides")
    await page.fill("dialog [name=endpoint]", "https://tides.example.com/mcp")
    await press(page, "Create", "dialog")
    await page.see("tides", "h1")
    await press(page, "Bind an agent")
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    await give(page, "dialog [name=agentId]", agent)
    await press(page, "Bind an agent", "dialog form")
    await page.see("Scout", "main ul")
    await press(page, "Turn off")
    await page.see("Turn on", "main")
    await press(page, "Delete")
    await press(page, "Delete", "dialog")
    await page.until("location.pathname.endsWith('/resources/integrations')")
    assert page.complaints == []


@pytest.mark.slow
async def test_webhooks_go_out_and_come_in(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "resources/webhooks")
    await press(page, "Add endpoint")
    await page.fill("dialog [name=name]", "Harbour office")
    await page.fill("dialog [name=url]", "https://office.example.com/hook")
    await press(page, "Create", "dialog")
    await page.see("whsec_", "dialog[open] code")
    secret = await page.text("dialog[open] code")
    await judge(page, axe, "secret")
    await press(page, "Done", "dialog")
    await page.see("Harbour office", "main")
    assert secret not in await page.value("document.documentElement.outerHTML")
    await pictures(page, "resources-webhooks")
    await judge(page, axe, "webhooks")
    endpoint = await place.database.fetchval("SELECT id FROM webhook_endpoints")
    await place.add(
        WebhookDelivery(
            workspace_id=place.workspace.id, endpoint_id=endpoint, event_type="run.failed", subject=HOSTILE,
            payload={"note": HOSTILE}, state=DeliveryState.failed, attempts=8, status=500, xid=1, seq=1,
            error="Refused", answer=HOSTILE, happened_at=now(),
        )
    )  # fmt: skip
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/webhooks/{endpoint}")
    await page.see("run.failed", "main")
    await press(page, "Payload")
    await page.see("<img", "main pre")
    await pictures(page, "resources-endpoint")
    await judge(page, axe, "endpoint")
    assert await page.value(MARKUP) == 0
    await press(page, "Send again")
    await page.see("pending", "main li")
    await press(page, "Send a test")
    await page.see("webhook.test", "main li")
    await press(page, "Send a test")
    await page.see("A test of this endpoint is still pending", ".notices")
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/webhooks/agents/{agent}")
    await page.see("Nothing was received yet", "main")
    await press(page, "New secret")
    await press(page, "New secret", "dialog")
    await page.until("document.querySelector('dialog[open] code')?.innerText.length > 15")
    await press(page, "Done", "dialog")
    await page.see("/webhook", "main code")
    await pictures(page, "resources-incoming")
    await judge(page, axe, "incoming")
    await press(page, "Send a test")
    await page.see("accepted", "main li")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_channel_is_added_and_deleted(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "resources/channels")
    await page.see("No channels yet", "main")
    await press(page, "Add channel")
    await give(page, "dialog [name=type]", "webhook")
    await page.fill("dialog [name=url]", "nonsense")
    await press(page, "Create", "dialog")
    await page.see("http or https", "dialog")
    await judge(page, axe, "form of a channel")
    await page.select("dialog [name=url]")
    await page.fill("dialog [name=url]", "https://bell.example.com/hook")
    await press(page, "Create", "dialog form")
    await press(page, "Done", "dialog")
    await page.see("bell.example.com", "main")
    await pictures(page, "resources-channels")
    await judge(page, axe, "channels")
    await press(page, "Delete")
    await press(page, "Delete", "dialog")
    await page.see("No channels yet", "main")
    await press(page, "Add channel")
    await give(page, "dialog [name=type]", "shoutrrr")
    await give(page, "dialog [name=provider]", "ntfy")
    await page.fill("dialog [name='fields.topic']", "harbour")
    await pictures(page, "resources-channel-service")
    await judge(page, axe, "form of a service")
    await press(page, "Create", "dialog form")
    await page.see("Chat or push service", "main")
    await page.until("!document.querySelector('dialog[open]')")
    assert (
        await place.database.fetchval("SELECT provider FROM notification_channels WHERE deleted_at IS NULL") == "ntfy"
    )
    assert page.complaints == []


TEXT = "---\nname: {name}\ndescription: How to moor a ship in a storm, step by step.\n---\n\n# Mooring\n\n{body}\n"


@pytest.mark.slow
async def test_a_skill_is_imported_and_a_proposed_one_is_reviewed(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "resources/skills")
    await press(page, "Import skill")
    await page.fill("dialog [name=content]", TEXT.format(name="mooring", body=HOSTILE))
    await press(page, "Import skill", "dialog form")
    await page.see("Mooring", "main pre")
    assert await page.value(MARKUP) == 0
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    await give(page, 'select[aria-label="Give to an agent"]', agent)
    await page.see("Scout", "main ul")
    await pictures(page, "resources-skill")
    await judge(page, axe, "skill")
    crew = await place.database.fetchval("SELECT crew_id FROM agents WHERE id = $1", agent)
    await place.add(
        SkillProposal(
            workspace_id=place.workspace.id, crew_id=crew, file_name="skill-mooring.md", name="mooring",
            description="How to moor", description_quality="", category=SkillCategory.CUSTOM,
            scan_status=ScanStatus.CLEAN, content=TEXT.format(name="mooring", body="Use two lines."),
        )
    )  # fmt: skip
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/skills")
    await page.see("proposed", ".view")
    await pictures(page, "resources-skills")
    await judge(page, axe, "skills")
    await page.press("j")
    await page.press("Enter")
    await page.see("What changes", "main")
    await page.see("+Use two lines.", "main pre")
    await page.see("-<img", "main pre")
    assert "+name" not in await page.text("main pre")
    await pictures(page, "resources-proposal")
    await judge(page, axe, "proposal")
    await press(page, "Approve")
    await page.see("Use two lines.", "main pre")
    await press(page, "Delete")
    await press(page, "Delete", "dialog")
    await page.until("location.pathname.endsWith('/resources/skills')")
    assert page.complaints == []


@pytest.mark.slow
async def test_connectors_and_templates_are_looked_at_and_used(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "resources/connectors")
    await page.until(f"{ROWS} > 1")
    await judge(page, axe, "connectors")
    await page.press("j")
    await page.press("Enter")
    await page.see("Install", "main")
    await pictures(page, "resources-connector")
    await judge(page, axe, "connector")
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/templates")
    await page.until(f"{ROWS} > 1")
    await pictures(page, "resources-templates")
    await judge(page, axe, "templates")
    await page.press("j")
    await page.press("Enter")
    await page.see("Prompt", "main")
    await judge(page, axe, "template of a crew")
    await press(page, "Use template")
    await page.select("dialog [name=crewName]")
    await page.fill("dialog [name=crewName]", "From a template")
    await press(page, "Create crew", "dialog")
    await page.until("location.pathname.includes('/crews/')")
    await page.see("From a template", "h1")
    made = await place.graphql(place.owner, TEMPLATE, {"input": PARALLEL})
    template = made["data"]["createMissionTemplate"]["id"]
    await page.look(*PHONE)
    await page.open(f"{place.url}/console/{place.workspace.slug}/resources/templates/{template}")
    await tab_to(page, "Start a mission")
    await page.press("Enter")
    await page.until(f"document.querySelector('dialog [name=workflowTemplate]')?.value === '{template}'")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]') && location.search === ''")
    assert page.complaints == []
