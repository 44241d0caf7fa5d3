"""What holds on every screen: generated over the console's own list of them."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from crewship.perimeter import console
from models.people.workspaces import Membership, Role
from tests.console.deck import PHONE, enter
from tests.console.everywhere import (
    ADDRESSES,
    GEOMETRY,
    LATE,
    LOADING,
    SHIFTED,
    House,
    bare,
    house,
    paths,
    unreached,
)
from tests.console.needs import HOSTILE
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, browsing
from tests.process.looks import RUN, SAID, axe
from tests.world import now

__all__ = ["axe", "bare", "house"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
Faults = dict[str, object]


async def each(house: House, judge: Callable[[str], Awaitable[object]]) -> None:
    """Every screen is judged, and all that is wrong is said at once."""
    faults: Faults = {}
    for address in house.addresses:
        try:
            if said := await judge(address):
                faults[address] = said
        except AssertionError as error:
            faults[address] = str(error)[:500]
    assert not faults, json.dumps(faults, indent=1)
    assert house.page.complaints == []


def test_each_screen_has_an_address() -> None:
    assert {path for path in paths() if ":" in path} == set(ADDRESSES)
    assert len(set(paths())) == len(paths()) > 40


@pytest.mark.slow
async def test_a_new_tab_shows_the_same_screen(house: House) -> None:
    head = "JSON.stringify([document.querySelector('h1')?.innerText.split('\\n')[0], location.pathname])"

    async def judge(address: str) -> object:
        await house.go(address)
        left = await house.page.value(head)
        await house.load(address)
        await house.page.until(f"{head} === {json.dumps(left)}", within=5.0)
        return None

    await each(house, judge)


@pytest.mark.slow
async def test_a_phone_cuts_and_covers_nothing(house: House) -> None:
    async def judge(address: str) -> object:
        await house.go(address)
        return await house.page.value(GEOMETRY)

    await house.page.look(*PHONE)
    try:
        await each(house, judge)
    finally:
        await house.page.look()


@pytest.mark.slow
async def test_everybody_can_use_each_screen(house: House, axe: str) -> None:
    """By axe, in light and dark."""
    run = RUN.replace("SAID", SAID)

    async def judge(address: str) -> object:
        await house.go(address)
        found = []
        for dark in (False, True):
            await house.page.look(dark=dark)
            found += await house.page.value(run)
        return found

    await house.load("")
    await house.page.value(axe)
    try:
        await each(house, judge)
    finally:
        await house.page.look()


@pytest.mark.slow
async def test_the_keyboard_alone_reaches_each_control(house: House) -> None:
    async def judge(address: str) -> object:
        await house.go(address)
        return await unreached(house.page)

    await house.page.look()
    await each(house, judge)


@pytest.mark.slow
@pytest.mark.parametrize("furnished", [True, False])
async def test_what_is_known_is_shown_at_once(house: House, bare: House, furnished: bool) -> None:
    """No skeleton on the way back to a screen, with rows or without."""
    there = house if furnished else bare

    async def judge(address: str) -> object:
        if address.startswith("chat/"):
            return None  # a conversation is read anew, up to its last frame
        await there.go(address)
        await asyncio.sleep(0.3)  # a part of it may come later
        await there.go(AWAY[address.startswith(AWAY[0])])
        await there.page.value("loading.length = 0")
        await there.go(address)
        return await there.page.value("loading")

    await there.load("settings/nowhere")
    await there.page.value(LOADING)
    await each(there, judge)


@pytest.mark.slow
async def test_an_empty_list_says_what_to_do(bare: House) -> None:
    silent = "[...document.querySelectorAll('#content .empty')].filter(one => !one.querySelector('p, a, button'))"

    async def judge(address: str) -> object:
        await bare.go(address)
        return await bare.page.value(f"{silent}.map(one => one.innerText)")

    await bare.load("settings/nowhere")
    await each(bare, judge)


@pytest.mark.slow
async def test_nothing_moves_when_the_data_come(house: House) -> None:
    async def judge(address: str) -> object:
        await house.go("settings/nowhere")
        await house.page.value("(document.activeElement.blur(), shifts.length = 0)")
        await house.go(address)
        await asyncio.sleep(0.1)
        moved = await house.page.value("shifts")
        return moved if sum(one["value"] for one in moved) > MOVED else None

    await house.load("settings/nowhere")
    await house.page.value(f"({LATE}, {SHIFTED})")
    await each(house, judge)


AWAY = ("account", "settings/flags")
MOVED = 0.02
"""The part of the screen that moves, times how far."""
ANSWERS = {
    "forbidden": "refused({code: 'FORBIDDEN', requires: {role: 'ADMIN', capability: null}})",
    "missing": "refused({code: 'NOT_FOUND'})",
    "failed": "new Response('no', {status: 500})",
    "offline": "Promise.reject(new TypeError('no network'))",
}
"""What the server answers, by the state that a person then sees."""
STAND_IN = """(() => { const real = fetch;
    const refused = extensions => new Response(JSON.stringify({data: null, errors: [{message: 'no', extensions}]}),
        {headers: {'content-type': 'application/json'}});
    window.fetch = async (to, how) => {
    if (!String(to).endsWith('/graphql') || how?.body?.includes('SHELL')) return real(to, how);
    return ANSWER; } })()"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ANSWERS)
async def test_each_screen_shows_what_goes_wrong(house: House, kind: str) -> None:
    shell = next(id for id, text in console.documents().items() if text.startswith("query Shell("))
    failure = f"document.querySelector('#content .failure[data-kind={kind}] :is(h1, h2)')?.checkVisibility()"
    instead = STAND_IN.replace("SHELL", shell[:32]).replace("ANSWER", ANSWERS[kind])

    async def judge(address: str) -> object:
        await house.go(address)
        return None if await house.page.value(failure) else await house.page.text("#content")

    await house.load("settings/nowhere")
    await house.page.value(instead)
    try:
        await each(house, judge)
    finally:
        await house.load("")


@pytest.mark.slow
async def test_a_viewer_sees_no_act_of_others(house: House, tmp_path: Path) -> None:
    """The acts on a screen are among the operations that the service lets the viewer call."""
    place = house.place
    eve = await new_user(place, full_name="Eve", email="eve@everywhere.example")
    member: dict[str, Any] = {"workspace_id": place.workspace.id, "user_id": eve.id, "accepted_at": now()}
    await place.add(Membership(role=Role.VIEWER, **member))
    ask = json.dumps({"query": f'{{ viewerOperations(workspaceId: "{place.workspace.slug}") {{ name may }} }}'})
    acts = "[...document.querySelectorAll('[data-act], [data-opens]')].map(one => one.dataset.act ?? one.dataset.opens)"
    async with browsing(tmp_path / "profile") as page:
        await enter(page, place, email="eve@everywhere.example")
        said = await page.value(
            "fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json'},"
            f" body: {json.dumps(ask)}}}).then(answer => answer.json())"
        )
        may = {one["name"] for one in said["data"]["viewerOperations"] if one["may"]}
        assert "createCrew" not in may
        theirs = House(place, page, house.ids)

        async def judge(address: str) -> object:
            await theirs.go(address)
            return sorted(set(await page.value(acts)) - may)

        await each(theirs, judge)


PASSING = {"isCurrent", "uptime", "uptimeSeconds", "freeBytes", "usedPct", "lastUsedAt", "extensions"}
"""Fields of which two reads, or two ways to sign in, say different things."""


def lasting(read: Any) -> Any:
    if isinstance(read, dict):
        return {name: lasting(value) for name, value in read.items() if name not in PASSING}
    return [lasting(one) for one in read] if isinstance(read, list) else read


@pytest.mark.slow
async def test_the_copied_curl_reads_what_is_shown(house: House) -> None:
    page = house.page
    said = await page.value(
        "fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({query:"
        " 'mutation { createCliToken(input: {name: \"curl\"}) { token } }'})}).then(answer => answer.json())"
    )
    token = said["data"]["createCliToken"]["token"]
    variables = {"PATH": os.environ["PATH"], "CREWSHIP_TOKEN": token}
    copied = "[...document.querySelectorAll('dialog[open] button')].find(one => one.innerText === 'Copy as curl')"
    again = (
        "fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json'}, body: BODY})"
        ".then(answer => answer.json())"
    )

    async def judge(address: str) -> object:
        await house.go(address)
        await page.press("k", control=True)
        await page.until("document.activeElement.matches('dialog[open] input[type=search]')")
        await page.command("Input.insertText", text="copy as")
        await page.see("Copy as GraphQL or curl", "#palette-hits")
        await page.press("Enter")
        await page.until(copied)
        await page.value(
            f"(navigator.clipboard.writeText = async text => void (window.copied = text), {copied}.click())"
        )
        curl = await page.value("window.copied")
        await page.press("Escape")
        await page.until("!document.querySelector('dialog[open]')")
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", curl, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        body = curl.split("--data '", 1)[1].rsplit("'", 1)[0].replace("'\\''", "'")
        shown = await page.value(again.replace("BODY", json.dumps(body)))
        found = json.loads(out or b"{}")
        return (
            None
            if found.get("data") and lasting(found) == lasting(shown)
            else [curl, out.decode()[:500], json.dumps(shown)[:500]]
        )

    await house.load("")
    await each(house, judge)


NAMES = (
    ("crews", "name"), ("agents", "name"), ("agents", "role_title"), ("missions", "title"), ("missions", "description"),
    ("mission_tasks", "title"), ("projects", "name"), ("labels", "name"), ("chats", "title"), ("runs", "prompt"),
    ("runs", "error_message"), ("credentials", "name"), ("skills", "display_name"), ("skills", "description"),
    ("users", "full_name"), ("workspaces", "name"), ("approvals", "reason"), ("escalations", "reason"),
    ("messages", "content"), ("run_spans", "name"), ("webhook_endpoints", "name"), ("service_accounts", "name"),
    ("workflow_templates", "name"), ("workspace_mcp_servers", "display_name"), ("crew_integrations", "display_name"),
)  # fmt: skip


@pytest.mark.slow
async def test_a_hostile_name_is_text_on_each_screen(house: House) -> None:
    """The last: from here on all names are hostile."""
    for table, column in NAMES:
        known = "SELECT 1 FROM information_schema.columns WHERE table_name = $1 AND column_name = $2"
        assert await house.place.database.fetchval(known, table, column), (table, column)
        await house.place.database.execute(f"UPDATE {table} SET {column} = $1 || right(md5({table}::text), 5)", HOSTILE)
    taken = "document.title.includes('owned') || document.querySelectorAll('#content :is(img[src=x], script)').length"
    shown = "document.body.innerText.includes('<img src=x')"
    seen = []

    async def judge(address: str) -> object:
        await house.load(address)
        seen.append(bool(await house.page.value(shown)))
        return await house.page.value(taken) or await house.page.value(GEOMETRY)

    await house.page.look(*PHONE)
    try:
        await each(house, judge)
    finally:
        await house.page.look()
    assert sum(seen) > len(seen) // 2
