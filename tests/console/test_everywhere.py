"""What holds on every screen: generated over the console's own list of them."""

import json
from collections.abc import Awaitable, Callable

import pytest

from crewship.perimeter import console
from tests.console.deck import PHONE
from tests.console.everywhere import ADDRESSES, GEOMETRY, House, house, paths, unreached
from tests.process.browser import CHROMIUM
from tests.process.looks import RUN, SAID, axe

__all__ = ["axe", "house"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
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
    await each(house, judge)


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
    await each(house, judge)


@pytest.mark.slow
async def test_the_keyboard_alone_reaches_each_control(house: House) -> None:
    async def judge(address: str) -> object:
        await house.go(address)
        return await unreached(house.page)

    await house.page.look()
    await each(house, judge)


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
