"""An access cookie in the hands of somebody else, or of somebody else's making."""

import pytest

from tests.people.auth.browsers import ACCESS, SECURE_ACCESS, Browser, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
WHO, SESSION, REFRESH = "/api/v1/auth/cli-token/validate", "/api/auth/session", "/api/auth/token/refresh"


async def later(world: World, user_id: str, seconds: int) -> None:
    """As if the last refresh had been so long ago."""
    await world.database.execute(
        f"UPDATE sessions SET refreshed_at = refreshed_at - interval '{seconds} seconds' WHERE user_id = $1", user_id
    )


async def test_a_refresh_ends_the_access_token_from_before_it(world: World) -> None:
    browser, user = await signed_in(world)
    stolen = Browser(world.url, cookies={ACCESS: browser.access})
    assert (await browser.send("POST", REFRESH)).status_code == 200
    assert (await stolen.send("GET", WHO)).status_code == 200, "a request that was under way"
    assert (await stolen.send("GET", SESSION)).json()["user"]["id"] == user.id
    await later(world, user.id, 61)
    answer = await stolen.send("GET", WHO)
    assert (answer.status_code, answer.json()["error"]) == (401, "session_expired")
    assert (await Browser(world.url, cookies=dict(stolen.cookies)).send("GET", SESSION)).json() == {}
    async with world.client(authorization=f"Bearer {stolen.access}") as client:
        assert (await client.post("/graphql", json={"query": "{ viewer { id } }"})).json()["errors"][0]["extensions"][
            "code"
        ] == "UNAUTHENTICATED"
    assert (await stolen.send("GET", "/api/v1/ws-token")).status_code == 401
    assert (await browser.send("GET", WHO)).status_code == 200
    assert (await browser.send("GET", SESSION)).json()["user"]["id"] == user.id


async def test_two_refreshes_leave_nothing_of_the_first_token(world: World) -> None:
    browser, _ = await signed_in(world)
    first = Browser(world.url, cookies={ACCESS: browser.access})
    for _ in range(2):
        assert (await browser.send("POST", REFRESH)).status_code == 200
    assert (await first.send("GET", WHO)).status_code == 401
    assert (await browser.send("GET", WHO)).status_code == 200


async def test_a_cookie_from_before_sessions_were_counted_is_good_until_the_next_refresh(world: World) -> None:
    browser, user = await signed_in(world)
    await world.database.execute("UPDATE sessions SET refreshed_at = NULL, generation = 0 WHERE user_id = $1", user.id)
    assert (await browser.send("GET", WHO)).status_code == 200


async def test_on_https_a_plain_cookie_does_not_stand_in_front_of_the_secure_one(world: World) -> None:
    """Any page of a sibling domain, and anybody on an http connection, can set the plain one."""
    attacker, theirs = await signed_in(world)
    victim, own = await signed_in(world, https=True)
    for order in ((ACCESS, SECURE_ACCESS), (SECURE_ACCESS, ACCESS)):
        values = {ACCESS: attacker.access, SECURE_ACCESS: victim.access}
        both = Browser(world.url, https=True, cookies={name: values[name] for name in order})
        assert (await both.send("GET", WHO)).json()["user_id"] == own.id
        plain = Browser(world.url, cookies=dict(both.cookies))
        assert (await plain.send("GET", WHO)).json()["user_id"] == theirs.id
    assert (
        await Browser(world.url, https=True, cookies={ACCESS: attacker.access, SECURE_ACCESS: victim.access}).send(
            "POST", "/api/auth/signout"
        )
    ).status_code == 200
    assert (await attacker.send("GET", WHO)).status_code == 200, (
        "the session that is signed out is the one that was used"
    )
    assert (await victim.send("GET", WHO)).status_code == 401
