"""Every screen of the console, with its address in the world of a team at work, and what is looked for on each."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from models.resources.skills import Skill
from tests.architecture.source import ROOT
from tests.console.deck import EMAIL, enter, manned
from tests.console.showcase import Team
from tests.console.test_missions import PARALLEL, TEMPLATE
from tests.process.browser import Page, browsing
from tests.world import World, now

PATH = re.compile(r'\bscreen\("([^"]*)"')
ADDRESSES = {
    "act/:kind/:id": "act/approval/{approval}",
    "chat/:id": "chat/{chat}",
    "missions/:id": "missions/{mission}",
    "runs/:id": "runs/{run}",
    "crews/:id": "crews/{Product}",
    "crews/:id/:part": "crews/{Product}/settings",
    "agents/:id": "agents/{Linus}",
    "agents/:id/:part": "agents/{Linus}/limits",
    "issues/projects/:id": "issues/projects/{project}",
    "issues/:identifier": "issues/PRO-5",
    "resources/credentials/:id": "resources/credentials/{credential}",
    "resources/integrations/:id": "resources/integrations/{server}",
    "resources/integrations/:crew/:id": "resources/integrations/{Product}/{crew_server}",
    "resources/webhooks/:id": "resources/webhooks/{endpoint}",
    "resources/webhooks/agents/:id": "resources/webhooks/agents/{Linus}",
    "resources/skills/:id": "resources/skills/{skill}",
    "resources/skills/proposed/:crew/:file": "resources/skills/proposed/{Product}/none.md",
    "resources/connectors/:id": "resources/connectors/github",
    "resources/templates/:id": "resources/templates/{template}",
    "resources/templates/crews/:slug": "resources/templates/crews/{crew_template}",
    "settings/services/:id": "settings/services/{service}",
}
"""Of the paths with parameters; any other is its own address."""
MADE = {
    "endpoint": 'createWebhookEndpoint(workspaceId: $ws, input: {name: "Deploys", url: "https://hooks.example.com/a",'
    ' eventTypes: ["run.failed"]}) { id }',
    "service": 'createServiceAccount(workspaceId: $ws, input: {name: "Nightly"}) { id }',
    "server": 'createIntegration(workspaceId: $ws, input: {name: "cranes", transport: streamable_http,'
    ' endpoint: "https://cranes.example.com/mcp"}) { id }',
    "crew_server": 'createCrewIntegration(workspaceId: $ws, input: {crewId: "CREW", name: "boats",'
    ' transport: streamable_http, endpoint: "https://boats.example.com/mcp"}) { id }',
}


def paths() -> list[str]:
    """Of all screens, as the console lists them."""
    tables = [ROOT / "console/screens.ts", *sorted((ROOT / "console/screens").glob("*/screens.ts"))]
    return [path for table in tables for path in PATH.findall(table.read_text())]


class House:
    """A world in which each screen has something to show, and a browser that is signed in."""

    def __init__(self, place: World, page: Page, ids: dict[str, str]) -> None:
        self.place, self.page, self.ids = place, page, ids
        self.slug = place.workspace.slug

    @property
    def addresses(self) -> Iterator[str]:
        """Without rows: the screens that need none."""
        return (ADDRESSES.get(path, path).format(**self.ids) for path in paths() if self.ids or ":" not in path)

    def path(self, address: str) -> str:
        return f"/console/{self.slug}/{address}".rstrip("/")

    async def load(self, address: str) -> None:
        """As a new tab does."""
        await self.page.open(f"{self.place.url}{self.path(address)}")
        await self.page.until(SHOWN)

    async def go(self, address: str) -> None:
        """As a link does."""
        if await self.page.value("location.pathname") == self.path(address):
            return
        await self.page.value(GO.replace("TO", json.dumps(self.path(address))))
        await self.page.until(f"{ARRIVED} && {SHOWN}", within=10.0)


GO = """(window.left = document.querySelector('#content h1')?.innerText,
    document.querySelectorAll('#content > *').forEach(one => one.dataset.left = ''),
    history.pushState(null, '', TO), dispatchEvent(new PopStateEvent('popstate')))"""
# Chats are one component, which stays.
ARRIVED = (
    "(!document.querySelector('#content > [data-left]')"
    " || location.pathname.includes('/chat/') && document.querySelector('#content h1')?.innerText !== left)"
)
SHOWN = "document.querySelector('#content :is(h1, .failure)') && !document.querySelector('#content .skeleton')"


async def furnished(place: World) -> dict[str, str]:
    """The ids of a team's rows, by name; and of one row for each screen that needs one."""
    ids = await Team(place).make()
    skill = Skill(made_in=place.workspace.id, name="knots", name_key="knots", slug="knots", display_name="Knots")
    await place.add(skill)
    ids["skill"] = skill.id
    for name, mutation in MADE.items():
        said = await place.graphql(place.owner, f"mutation($ws: ID!) {{ {mutation} }}".replace("CREW", ids["Product"]))
        ids[name] = next(iter(said["data"].values()))["id"]
    said = await place.graphql(place.owner, TEMPLATE, {"input": PARALLEL})
    ids["template"] = said["data"]["createMissionTemplate"]["id"]
    said = await place.graphql(place.owner, "query($ws: ID!) { crewTemplates(workspaceId: $ws) { slug } }")
    ids["crew_template"] = said["data"]["crewTemplates"][0]["slug"]
    for name, table in (("credential", "credentials"), ("project", "projects"), ("approval", "approvals")):
        ids[name] = await place.database.fetchval(f"SELECT id FROM {table} LIMIT 1")
    return ids


@pytest.fixture(scope="module")
async def house(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    async with manned(module_database, folder / "data") as place, browsing(folder / "profile") as page:
        ids = await furnished(place)
        await page.look()
        await enter(page, place)
        yield House(place, page, ids)


@pytest.fixture(scope="module")
async def bare(house: House) -> House:
    """The same person, in a workspace of theirs in which nothing is."""
    here: dict[str, Any] = {"workspace_id": house.place.other.id, "user_id": await house.place.database.fetchval(ADA)}
    await house.place.add(Membership(role=Role.OWNER, accepted_at=now(), **here))
    empty = House(house.place, house.page, {})
    empty.slug = house.place.other.slug
    return empty


ADA = f"SELECT id FROM users WHERE email = '{EMAIL}'"
LOADING = """(window.loading = [], requestAnimationFrame(function look() {
    const one = document.querySelector('#content .skeleton');
    if (one) loading.push(one.parentElement.innerText.slice(0, 80));
    requestAnimationFrame(look);
}))"""
"""Notes the frames in which a person sees a skeleton."""
LATE = """(real => window.fetch = async (to, how) => {
    const answer = await real(to, how);
    if (String(to).endsWith('/graphql')) await new Promise(done => setTimeout(done, 250));
    return answer;
})(window.fetch)"""
SHIFTED = """(window.shifts = [], new PerformanceObserver(list => list.getEntries().forEach(({value, sources}) =>
    shifts.push({value, of: sources.map(({node, previousRect, currentRect}) =>
        [node?.outerHTML?.slice(0, 90) ?? node?.data, previousRect.y, currentRect.y, previousRect.x, currentRect.x])})))
    .observe({type: 'layout-shift'}))"""
"""Notes what moves by itself."""
CONTROLS = """[...document.querySelectorAll('#content :is(a[href], button, input, select, textarea, summary)')]
    .filter(one => !one.disabled && !one.closest('.unseen') && one.checkVisibility({visibilityProperty: true}))"""
GEOMETRY = f"""(() => {{
    const faults = [];
    const name = one => `${{one.localName}} ${{(one.innerText || one.ariaLabel || one.name || '').slice(0, 40)}}`;
    const scrolls = one => /auto|scroll/.test(getComputedStyle(one).overflowX);
    if (document.documentElement.scrollWidth > innerWidth) faults.push('the page scrolls sideways');
    for (const one of {CONTROLS}) {{
        if (!one.isConnected) continue;
        one.scrollIntoView({{block: 'center', inline: 'center'}});
        const at = one.getBoundingClientRect();
        if (at.width < 1 || at.height < 1) continue;
        if (at.left < -1 || at.right > innerWidth + 1) faults.push(`cut: ${{name(one)}}`);
        for (let box = one.parentElement; box && !scrolls(box); box = box.parentElement) {{
            const around = box.getBoundingClientRect(), hides = /hidden|clip/.test(getComputedStyle(box).overflowX);
            if (hides && (at.left < around.left - 2 || at.right > around.right + 2))
                {{ faults.push(`cut by its ${{box.localName}}.${{box.className}}: ${{name(one)}}`); break; }}
        }}
        const top = document.elementFromPoint(at.left + at.width / 2, at.top + at.height / 2);
        if (top && !one.contains(top) && !top.contains(one) && top.closest('label')?.control !== one)
            faults.push(`covered by ${{name(top)}}.${{top.className}}: ${{name(one)}}`);
    }}
    return [...new Set(faults)];
}})()"""
STOPS = f"""{CONTROLS}.filter(one => one.tabIndex >= 0 && (one.type !== 'radio' || one.checked))
    .forEach((one, at) => one.dataset.stop = at)"""
# Of a date the browser marks the part that has the keyboard.
STOP = """(one => ({within: !!one.closest('#content'), stop: one.dataset.stop ?? null,
    what: one.outerHTML.slice(0, 120),
    seen: one.id === 'content' || one.type === 'date' || [one, one.closest('label, li, td')].some(box => box &&
        [getComputedStyle(box).outlineStyle, getComputedStyle(box).boxShadow].some(shown => shown !== 'none'))
    }))(document.activeElement)"""
REST = (
    "[...document.querySelectorAll('#content [data-stop]')].map(one => [one.dataset.stop, one.outerHTML.slice(0, 120)])"
)
MOST = 600  # presses of Tab on one screen


async def unreached(page: Page) -> list[str]:
    """What the Tab key does not lead to, or does not show, or does not leave."""
    await page.value(STOPS)
    await asyncio.sleep(0.15)  # a conversation takes the keyboard a moment after it is shown
    await page.value("document.getElementById('content').focus()")
    reached, faults = set[str](), list[str]()
    for _ in range(MOST):
        await page.press("Tab")
        at = await page.value(STOP)
        if not at["within"]:
            break
        if at["stop"] is not None:
            reached.add(at["stop"])
            if not at["seen"]:
                faults.append(f"the focus is not seen: {at['what']}")
    else:
        faults.append("Tab does not leave")
    rest = await page.value(REST)
    return faults + [f"not reached: {what}" for stop, what in rest if stop not in reached]
