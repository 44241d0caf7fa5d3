"""The own name: what it may be, who may change it, and where it is shown."""

from typing import Any

import pytest

from tests.every import each_of
from tests.people.auth.browsers import Browser, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/users/me"


async def test_the_name_is_changed_and_nothing_else(world: World) -> None:
    browser, user = await signed_in(world)
    body = {"full_name": "  Grace Hopper ", "email": "other@example.com", "avatar_url": "https://example.com/a.png"}
    answer = await browser.send("PATCH", PATH, json=body)
    shown = {"id": user.id, "email": user.email, "full_name": "Grace Hopper", "avatar_url": None}
    assert (answer.status_code, answer.json()) == (200, shown)
    row = await world.database.fetchrow("SELECT full_name, email, avatar_url FROM users WHERE id = $1", user.id)
    assert tuple(row) == ("Grace Hopper", user.email, None)


@each_of("name", ["G", "\U0001f4a5" * 100, " a" + "b" * 98 + " "])
async def test_a_name_of_1_to_100_characters_is_taken(world: World, name: str) -> None:
    browser, _ = await signed_in(world)
    answer = await browser.send("PATCH", PATH, json={"full_name": name})
    assert (answer.status_code, answer.json()["full_name"]) == (200, name.strip())


@each_of(
    "body",
    [{}, {"full_name": None}, {"full_name": ""}, {"full_name": "  "}, {"full_name": "a" * 101}, {"full_name": 7}, []],
)
async def test_what_is_refused_changes_nothing(world: World, body: Any) -> None:
    browser, _ = await signed_in(world)
    before = await world.snapshot()
    assert (await browser.send("PATCH", PATH, json=body)).status_code == 400
    assert await world.snapshot() == before


async def test_a_token_with_scopes_renames_nobody(world: World) -> None:
    scoped = (await world.rest(world.member, "POST", "/api/v1/auth/cli-token", {"scopes": ["crews:read"]})).json()
    headers = {"authorization": f"Bearer {scoped['token']}"}
    answer = await Browser(world.url).send("PATCH", PATH, json={"full_name": "Grace"}, headers=headers)
    assert answer.status_code == 403
    assert (await Browser(world.url).send("PATCH", PATH, json={"full_name": "Grace"})).status_code == 401


async def test_by_graphql(world: World) -> None:
    """Clients that ask for `success`, which was the whole answer once, get it."""
    browser, user = await signed_in(world)
    document = (
        "mutation($in: UpdateProfileInput!) { updateProfile(input: $in) { success id email fullName avatarUrl } }"
    )
    answer = await browser.send(
        "POST", "/graphql", json={"query": document, "variables": {"in": {"fullName": "Grace"}}}
    )
    shown = {"success": True, "id": user.id, "email": user.email, "fullName": "Grace", "avatarUrl": None}
    assert answer.json()["data"] == {"updateProfile": shown}
    nothing = (await browser.send("POST", "/graphql", json={"query": document, "variables": {"in": {}}})).json()
    assert nothing["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
