"""Tokens are renewed before they end: once, whatever runs beside it; and what is refused has expired."""

import asyncio
from typing import Any

import pytest

import runtime.oauth
from resolvers.kernel import across_workspaces
from resolvers.oauth.refreshing import enqueue_due
from tests.oauth.server import Authorities, asked_for
from tests.oauth.test_consents import come_back, connect, row_of, text_of
from tests.recovery.mailbox import delivering, idle
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


async def test_a_refresh_token_that_is_not_replaced_stays(world: World, authorities: Authorities) -> None:
    id = await ending(world, authorities)
    authorities.token = {"access_token": "canary-second", "refresh_token": None}
    await renewed(world)
    assert await text_of(await row_of(world, id), "refresh_token") == "canary-refresh"


async def test_one_that_lasts_is_left_alone(world: World, authorities: Authorities) -> None:
    await ending(world, authorities, "11 minutes")
    await renewed(world)
    assert authorities.asked == []


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
    ask = runtime.oauth.refreshed

    async def overtaken(*given: Any) -> Any:
        tokens = await ask(*given)
        change = "UPDATE credentials SET refresh_token = value WHERE id = $1"
        await across_workspaces(lambda rows: rows.fetch(change, id))
        return tokens

    monkeypatch.setattr(runtime.oauth, "refreshed", overtaken)
    await renewed(world)
    assert len(authorities.to("/token")) == 1
    assert await text_of(await row_of(world, id), "value") == "canary-access"
