"""Tokens are renewed before they end: once, whatever runs beside it; and what is refused has expired."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

import runtime.resources.oauth
from resolvers.kernel import across_workspaces
from resolvers.resources.oauth.refreshing import ENDED, enqueue_due, enqueue_ended
from tests.people.recovery.mailbox import delivering, idle
from tests.resources.oauth.server import Authorities, asked_for
from tests.resources.oauth.test_consents import come_back, connect, row_of, text_of
from tests.world import World

pytestmark = pytest.mark.anyio


async def ending(world: World, authorities: Authorities, left: str = "5 minutes") -> str:
    made = await connect(world, authorities)
    state = asked_for(made["auth_url"])["state"]
    assert (await come_back(world, code="good", state=state, iss=authorities.url)).status_code == 200
    id: str = made["credential_id"]
    await world.database.execute(
        f"UPDATE credentials SET oauth_expires_at = now() + interval '{left}' WHERE id = $1", id
    )
    authorities.asked.clear()
    return id


async def renewed(world: World, times: int = 1) -> None:
    await asyncio.gather(*[across_workspaces(enqueue_due) for _ in range(times)])
    async with delivering(world):
        await idle(world)


async def test_a_token_that_ends_soon_is_renewed_once(world: World, authorities: Authorities) -> None:
    id = await ending(world, authorities)
    authorities.token = {"access_token": "canary-second", "refresh_token": "canary-rotated", "expires_in": 7200}
    await renewed(world, times=5)
    (sent,) = authorities.to("/token")
    assert (sent["grant_type"], sent["refresh_token"]) == ("refresh_token", "canary-refresh")
    assert sent["resource"] == f"{authorities.url}/mcp"
    row = await row_of(world, id)
    assert (await text_of(row, "value"), await text_of(row, "refresh_token")) == ("canary-second", "canary-rotated")
    assert row["status"] == "ACTIVE"
    await renewed(world)
    assert len(authorities.to("/token")) == 1


@pytest.mark.slow
async def test_a_refresh_token_that_is_not_replaced_stays(world: World, authorities: Authorities) -> None:
    id = await ending(world, authorities)
    authorities.token = {"access_token": "canary-second", "refresh_token": None}
    await renewed(world)
    assert await text_of(await row_of(world, id), "refresh_token") == "canary-refresh"


async def test_one_that_lasts_is_left_alone(world: World, authorities: Authorities) -> None:
    await ending(world, authorities, "11 minutes")
    await renewed(world)
    assert authorities.asked == []


@pytest.mark.slow
async def test_a_refusal_ends_it_and_the_workspace_is_told(world: World, authorities: Authorities) -> None:
    id = await ending(world, authorities)
    authorities.status, authorities.token = 400, {"error": "invalid_grant"}
    since = await world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events")
    await renewed(world)
    row = await row_of(world, id)
    assert (row["status"], await text_of(row, "value")) == ("EXPIRED", "canary-access")
    told = [event for event in await world.events(since) if event["type"] == "credential.expired"]
    assert [event["payload"]["credential_id"] for event in told] == [id]
    assert "canary" not in str(told)


async def test_who_connects_anew_meanwhile_keeps_the_new_token(
    world: World, authorities: Authorities, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await ending(world, authorities)
    authorities.token = {"access_token": "canary-late", "refresh_token": "canary-late-refresh"}
    ask = runtime.resources.oauth.refreshed

    async def overtaken(*given: Any) -> Any:
        tokens = await ask(*given)
        change = "UPDATE credentials SET refresh_token = value WHERE id = $1"
        await across_workspaces(lambda rows: rows.fetch(change, id))
        return tokens

    monkeypatch.setattr(runtime.resources.oauth, "refreshed", overtaken)
    await renewed(world)
    assert len(authorities.to("/token")) == 1
    assert await text_of(await row_of(world, id), "value") == "canary-access"


async def over(world: World, id: str) -> Any:
    """The credential, after the clock has looked for what has ended."""
    await asyncio.gather(*[across_workspaces(enqueue_ended) for _ in range(3)])
    async with delivering(world):
        await idle(world)
    return await row_of(world, id)


async def test_what_nothing_renews_expires_when_it_ends_and_the_workspace_is_told_once(
    world: World, authorities: Authorities
) -> None:
    id = await ending(world, authorities)
    bare = "UPDATE credentials SET refresh_token = NULL, oauth_expires_at = now() + $2::interval WHERE id = $1"
    await world.database.execute(bare, id, timedelta(minutes=1))
    since = await world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events")
    assert (await over(world, id))["status"] == "ACTIVE"
    await world.database.execute(bare, id, timedelta(seconds=-1))
    for _ in range(2):
        row = await over(world, id)
        assert (row["status"], row["last_error"], await text_of(row, "value")) == ("EXPIRED", ENDED, "canary-access")
    told = [event for event in await world.events(since) if event["type"] == "credential.expired"]
    assert [event["payload"] for event in told] == [{"credential_id": id, "reason": ENDED}]
    assert authorities.asked == []


@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("POST", "/rotate")])
async def test_a_value_that_somebody_gives_does_not_end_with_the_token_before(
    world: World, authorities: Authorities, method: str, path: str
) -> None:
    id = await ending(world, authorities, "-1 minute")
    await world.database.execute("UPDATE credentials SET refresh_token = NULL WHERE id = $1", id)
    answer = await world.rest(world.owner, method, f"/api/v1/credentials/{id}{path}", {"value": "by hand"})
    assert answer.status_code == 200
    row = await over(world, id)
    assert (row["status"], row["oauth_expires_at"], await text_of(row, "value")) == ("ACTIVE", None, "by hand")
