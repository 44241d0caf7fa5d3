"""Signing in over GraphQL in a service with limits, and one that other origins may call."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.people.auth.browsers import Browser, new_user, set_cookies, signed_in
from tests.people.auth.test_sign_in_by_graphql import PATH, REFRESH, ask, guesses, token
from tests.world import World, world_on

pytestmark = pytest.mark.anyio


@pytest.fixture
async def limited(database: Any, tmp_path: Path) -> AsyncIterator[World]:
    chosen = {"ratelimit_disabled": False, "ratelimit_auth": 5, "ratelimit_api": 1000}
    async with world_on(database, tmp_path, **chosen) as world:
        yield world


@pytest.mark.parametrize("path", [PATH, "/graphql"])
async def test_each_guess_of_a_document_counts_as_one(limited: World, path: str) -> None:
    user, browser = await new_user(limited), Browser(limited.url)
    document, given = guesses(user.email, await token(browser), 20)
    answer = (await ask(browser, document, path, **given)).json()
    decided = [one for one in (answer.get("data") or {}).values() if one is not None]
    assert len(decided) == 4  # the fifth was the token
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"RATE_LIMITED"}
    counted = "SELECT failed_login_count FROM users WHERE id = $1"
    assert await limited.database.fetchval(counted, user.id) == 4
    assert (await browser.send("GET", "/api/auth/csrf")).status_code == 429, "a route counts in the same bucket"


async def test_a_page_of_another_host_exchanges_no_tokens(database: Any, tmp_path: Path) -> None:
    elsewhere = "https://front.example"
    async with world_on(database, tmp_path, allowed_origins=[elsewhere]) as world:
        browser, _ = await signed_in(world)
        refused = await ask(browser, REFRESH, headers={"origin": elsewhere})
        assert (refused.status_code, set_cookies(refused)) == (403, [])
        assert refused.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        read = await ask(browser, "{ viewer { id } }", "/graphql", headers={"origin": elsewhere})
        assert read.status_code == 200
        own = await ask(browser, REFRESH, headers={"origin": world.url})
        assert own.json()["data"]["refreshSession"]["ok"] is True
