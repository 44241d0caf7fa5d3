"""What clients keep for their users."""

import asyncio
import json
from typing import Any

import pytest

from models.auth import UserPreference
from models.bounds import PREFERENCE
from resolvers.auth.preferences import MOST
from tests.world import Person, World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/me/preferences"


@pytest.fixture(autouse=True)
async def _none(world: World) -> None:
    for key in await kept(world):
        await world.rest(world.viewer, "DELETE", f"{PATH}/{key}", workspace=None)


async def put(world: World, key: str, body: bytes, person: Person | None = None) -> Any:
    async with world.client(person or world.viewer) as client:
        return await client.put(f"{PATH}/{key}", content=body, headers={"content-type": "application/json"})


async def kept(world: World, person: Person | None = None) -> Any:
    answer = await world.rest(person or world.viewer, "GET", PATH, workspace=None)
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("value", [b"null", b"false", b"1.5", b'"dark"', b"[]", b'{"columns": [1, 2], "dense": true}'])
async def test_any_json_is_kept_and_replaced(world: World, value: bytes) -> None:
    assert await kept(world) == {}
    assert (await put(world, "ui.layout_1-x", b"[0]")).status_code == 204
    answer = await put(world, "ui.layout_1-x", value)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await kept(world) == {"ui.layout_1-x": json.loads(value)}
    assert await kept(world, world.member) == {}


async def test_graphql_says_the_same(world: World) -> None:
    document = """mutation ($value: JSON) {
        a: setPreference(input: {key: "b", value: $value}) { key }
        b: setPreference(input: {key: "a", value: null}) { key }
    }"""
    answer = await world.graphql(world.viewer, document, {"value": {"x": [1]}})
    assert answer["data"] == {"a": {"key": "b"}, "b": {"key": "a"}}
    answer = await world.graphql(world.viewer, "{ preferences { key value } }")
    assert answer["data"]["preferences"] == [{"key": "a", "value": None}, {"key": "b", "value": {"x": [1]}}]
    assert await kept(world) == {"a": None, "b": {"x": [1]}}
    await world.graphql(world.viewer, 'mutation { deletePreference(input: {key: "b"}) { key } }')
    assert await kept(world) == {"a": None}


@pytest.mark.parametrize(
    ("key", "body", "status"),
    [
        ("theme", b"", 400),
        ("theme", b"  ", 400),
        ("theme", b"{", 400),
        ("theme", b"1 2", 400),
        ("theme", b'"\\u0000"', 400),
        ("theme", b"[" * 200 + b"]" * 200, 400),
        ("bad%20key", b"1", 400),
        ("a%2Fb", b"1", 400),
        ("k" * 65, b"1", 400),
        ("theme", b'"%b"' % (b"x" * PREFERENCE), 413),
    ],
)
async def test_what_is_refused_changes_nothing(world: World, key: str, body: bytes, status: int) -> None:
    assert (await put(world, "theme", b'"light"')).status_code == 204
    answer = await put(world, key, body)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.json()["error"]
    assert await kept(world) == {"theme": "light"}


async def test_deleting_is_idempotent(world: World) -> None:
    await put(world, "theme", b"1")
    for _ in range(2):
        assert (await world.rest(world.viewer, "DELETE", f"{PATH}/theme", workspace=None)).status_code == 204
    assert await kept(world) == {}
    assert (await world.rest(world.viewer, "DELETE", f"{PATH}/bad%20key", workspace=None)).status_code == 400


async def test_the_largest_of_any_kind_fits_its_column(world: World) -> None:
    """Small numbers take the most room beside what they take as text."""
    values = b"[" + b",".join([b"1"] * ((PREFERENCE - 2) // 2)) + b"]"
    assert (await put(world, "numbers", values)).status_code == 204


async def test_no_more_than_a_hundred_two_at_once_included(world: World) -> None:
    user = world.viewer.user_id
    await world.add(*[UserPreference(user_id=user, key=f"k{n}", value=n) for n in range(MOST - 1)])
    answers = await asyncio.gather(put(world, "one", b"1"), put(world, "other", b"1"))
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert len(await kept(world)) == MOST
    assert (await put(world, "k0", b"7")).status_code == 204, "what is there may be replaced"
