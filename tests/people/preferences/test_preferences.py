"""Preferences: any JSON value under a key, of one user, in every workspace."""

import asyncio
from typing import Any

import orjson
import pytest

from models.people.preferences import LARGEST, Preference
from resolvers.people.preferences import MOST
from tests.every import each_of
from tests.people.auth.browsers import Browser, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/me/preferences"


async def put(browser: Browser, key: str, content: bytes) -> int:
    return (await browser.send("PUT", f"{PATH}/{key}", content=content)).status_code


async def listed(browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = (await browser.send("GET", PATH)).json()
    return found


VALUES: dict[str, Any] = {
    "nothing": None,
    "off": False,
    "theme": "dark",
    "zoom_1-x": 1.5,
    "count": 0,
    "empty": "",
    "none": [],
    "bare": {},
    "ui.layout": {"columns": [1, 2], "dense": True, "deep": {"null": None}},
    "ä".encode().hex(): "ä \U0001f4a5",
}


async def test_values_are_given_back_as_they_were_put(world: World) -> None:
    browser, user = await signed_in(world)
    assert (await browser.send("GET", PATH)).content == b"{}"
    for key, value in VALUES.items():
        answer = await browser.send("PUT", f"{PATH}/{key}", content=orjson.dumps(value))
        assert (answer.status_code, answer.content) == (204, b"")
    assert await listed(browser) == VALUES
    stranger, _ = await signed_in(world)
    assert await listed(stranger) == {}
    assert await world.database.fetchval("SELECT count(*) FROM preferences WHERE user_id = $1", user.id) == len(VALUES)


async def test_a_value_is_replaced_and_deleted(world: World) -> None:
    browser, _ = await signed_in(world)
    other, _ = await signed_in(world)
    for each in (browser, other):
        await put(each, "theme", b'"dark"')
    assert await put(browser, "theme", b"null") == 204
    assert await listed(browser) == {"theme": None}
    for _ in range(2):
        answer = await browser.send("DELETE", f"{PATH}/theme")
        assert (answer.status_code, answer.content) == (204, b"")
    assert await listed(browser) == {}
    assert await listed(other) == {"theme": "dark"}


@each_of(
    ("key", "content", "status"),
    [
        ("theme", b"", 400),
        ("theme", b"dark", 400),
        ("theme", b'"dark" true', 400),
        ("theme", b'"a\\u0000b"', 400),
        ("theme", b'"\\ud800"', 400),
        ("theme", b"NaN", 400),
        ("theme", b"[" * 300 + b"]" * 300, 400),
        ("bad%20key", b"1", 400),
        ("a%2Fb", b"1", 400),
        ("%C3%A4", b"1", 400),
        ("k" * 65, b"1", 400),
        ("k%0A", b"1", 400),
        ("theme", b'"' + b"a" * (LARGEST - 1) + b'"', 413),
    ],
)
async def test_what_is_refused_changes_nothing(world: World, key: str, content: bytes, status: int) -> None:
    browser, _ = await signed_in(world)
    await put(browser, "theme", b'"dark"')
    before = await world.snapshot()
    assert await put(browser, key, content) == status
    if status == 400 and key != "theme":
        assert (await browser.send("DELETE", f"{PATH}/{key}")).status_code == 400
    assert await world.snapshot() == before


async def test_as_large_as_it_may_be(world: World) -> None:
    browser, _ = await signed_in(world)
    for content in (b'"' + b"a" * (LARGEST - 2) + b'"', b"[" + b"1," * (LARGEST // 2 - 2) + b"10]"):
        assert len(content) in (LARGEST, LARGEST - 1)
        assert await put(browser, "k" * 64, content) == 204
        assert (await listed(browser))["k" * 64] == orjson.loads(content)


async def test_their_number_is_bounded(world: World) -> None:
    browser, user = await signed_in(world)
    await world.add(*(Preference(user_id=user.id, key=f"k{n}", value=n) for n in range(MOST - 1)))
    statuses = await asyncio.gather(*(put(browser, f"new{n}", b"1") for n in range(3)))
    assert sorted(statuses) == [204, 409, 409]
    assert await put(browser, "k0", b'"replaced"') == 204
    assert len(await listed(browser)) == MOST


async def test_by_graphql(world: World) -> None:
    sets = "mutation($key: String!, $value: JSON) { setPreference(input: {key: $key, value: $value}) { success } }"
    for value in ({"dense": [True]}, None):
        answer = await world.graphql(world.viewer, sets, {"key": "ui", "value": value})
        assert answer["data"]["setPreference"] == {"success": True}
        found = (await world.graphql(world.viewer, "{ preferences { key value } }"))["data"]["preferences"]
        assert found == [{"key": "ui", "value": value}]
    deletes = 'mutation { deletePreference(input: {key: "ui"}) { success } }'
    assert (await world.graphql(world.viewer, deletes))["data"]["deletePreference"] == {"success": True}
    large = await world.graphql(world.viewer, sets, {"key": "ui", "value": "a" * LARGEST})
    assert large["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert (await world.graphql(world.viewer, "{ preferences { key } }"))["data"]["preferences"] == []
