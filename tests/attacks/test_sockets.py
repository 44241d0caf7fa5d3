"""Sockets of clients that ask for too much, answer nothing, or are none."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from resolvers.kernel.store.database import database
from resolvers.live import hub
from tests.live.graphql import CREWS, announce, crews_made, own, socket, streaming, talking
from tests.live.outlets import until
from tests.live.sockets import client_of, ticket
from tests.world import World, world_on

pytestmark = pytest.mark.anyio


@pytest.fixture
async def limited(database: Any, tmp_path: Path) -> AsyncIterator[World]:
    async with world_on(database, tmp_path, ratelimit_disabled=False, ratelimit_api=20) as made:
        yield made


async def test_messages_count_as_requests(limited: World) -> None:
    async with client_of(limited, limited.viewer) as client:
        for n in range(100):
            await client.say(
                "send_message", channel=f"session:c{n}", payload={"session_id": f"c{n}", "content": "hello"}
            )
        await client.settle()
        await client.until(lambda: len(client.of("error")) == 100)
        refused = [frame for frame in client.of("error") if frame["payload"].get("code") == "RATE_LIMITED"]
        assert 75 <= len(refused) <= 100
        assert refused[0]["payload"] | {"message": "", "error": ""} == {
            "message": "",
            "error": "",
            "code": "RATE_LIMITED",
        }
        assert refused[0]["channel"].startswith("session:")


async def test_what_costs_nothing_is_not_counted(limited: World) -> None:
    async with client_of(limited, limited.viewer) as client:
        for _ in range(100):
            await client.say("ping")
        await client.until(lambda: len(client.of("pong")) == 100)
        assert client.of("error") == []
        await client.subscribe(own(limited))
        await client.settle()
        assert client.of("error") == []


async def test_a_channel_has_a_name_of_bounded_length(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await client.subscribe("session:" + "a" * 60_000)
        assert len(str(await client.hears("error"))) < 300


@pytest.mark.parametrize("path", ["/ws", "/graphql"])
async def test_nobody_has_to_answer_pings_of_the_protocol(
    world: World, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A client that reads only now and then answers none: the server asks for none, whatever its server is set to."""
    import uvicorn

    made = uvicorn.Config.__init__

    def impatient(self: Any, *args: Any, **options: Any) -> None:
        made(self, *args, **options | {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.05})

    monkeypatch.setattr(uvicorn.Config, "__init__", impatient)
    pings = list[bytes]()
    if path == "/ws":
        async with client_of(world, world.viewer) as client:
            client.connection.protocol.process_event = lambda frame: (
                pings.append(frame.data) if frame.opcode == 9 else None
            )  # type: ignore[method-assign,assignment]
            await asyncio.sleep(0.3)
            assert client.closed is None
    else:
        async with socket(world) as talk:
            await talk.begin(token=await ticket(world, world.viewer))
            assert await talk.silent(0.3)
    assert pings == []


async def test_a_plain_request_to_the_sockets_path(world: World) -> None:
    async with world.client() as client:
        anonymous = await client.get("/ws")
        assert (anonymous.status_code, anonymous.json()["status"], anonymous.json()["error"]) == (
            401,
            401,
            "no_credentials",
        )
        assert (await client.get("/ws?token=junk")).status_code == 401
        known = await client.get("/ws", params={"token": await ticket(world, world.viewer)})
        assert (known.status_code, known.headers["upgrade"], known.json()["instance"]) == (426, "websocket", "/ws")


# ---- from the first moment on ----------------------------------------------------------------------------------------


async def test_a_socket_that_is_cut_before_its_first_event_goes_on(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await client.subscribe(own(world), after="-")
        told = await client.hears("subscribed")
    assert (told["channel"], told["payload"], set(told)) == (own(world), {}, {"type", "channel", "payload", "cursor"})
    await announce(world, own(world), "crew.created", {"n": 1}, {"n": 2})
    async with client_of(world, world.viewer) as client:
        await client.subscribe(own(world), after=told["cursor"])
        await client.until(lambda: len(client.of("crew.created")) == 2)
        assert [frame["payload"]["n"] for frame in client.heard if frame.get("channel")] == [1, 2]


@pytest.mark.parametrize("how", ["graphql-transport-ws", "sse", "multipart"])
async def test_a_subscription_that_is_cut_before_its_first_event_goes_on(world: World, how: str) -> None:
    values = {"ws": world.workspace.id, "after": "-"}
    if how == "graphql-transport-ws":
        async with talking(world, world.viewer) as talk:
            await talk.subscribe("1", CREWS, **values)
            told = (await talk.next("1"))["workspaceEvents"]
    else:
        async with streaming(world, world.viewer, CREWS, values, how=how) as stream:
            told = (await stream.next())["workspaceEvents"]
    assert (told["__typename"], told["reason"]) == ("StreamReset", "subscribed")
    await until(lambda: not hub.listeners())
    await crews_made(world, 1, 2)
    async with streaming(world, world.viewer, CREWS, values | {"after": told["cursor"]}) as stream:
        assert [(await stream.next())["workspaceEvents"]["name"] for _ in range(2)] == ["1", "2"]


# ---- the second lock -------------------------------------------------------------------------------------------------


async def test_every_table_of_tenants_is_under_row_level_security(world: World) -> None:
    found = await world.database.fetch("""
        SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id' AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
    """)
    assert {"events", "idempotency_keys", "crews"} <= {row[0] for row in found}
    assert [row[0] for row in found if not row[1]] == []


async def test_by_the_name_of_a_partition_nobody_reads_a_row(world: World) -> None:
    await world.database.execute("INSERT INTO events (channel, type, payload) VALUES ('user:u', 't', '{}')")
    partitions = await world.database.fetch(
        "SELECT relname, relrowsecurity FROM pg_class WHERE relispartition AND relkind = 'r'"
    )
    assert [row["relname"] for row in partitions if not row["relrowsecurity"]] == []
    async with database.lease() as conn:
        conn.sees("*")
        assert await conn.fetchval("SELECT count(*) FROM events") > 0
        for row in partitions:
            try:
                assert await conn.fetchval(f'SELECT count(*) FROM "{row["relname"]}"') == 0
            except asyncpg.InsufficientPrivilegeError:
                continue


async def test_events_and_keys_are_seen_in_their_own_scope(world: World) -> None:
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload)"
        " SELECT id, 'workspace:' || id, 't', '{}' FROM workspaces"
    )
    await world.database.execute(
        "INSERT INTO events (channel, type, payload)"
        " VALUES ('user:a', 't', '{}'), ('user:b', 't', '{}'), ('providers', 't', '{}'), ('access:a', 't', '{}')"
    )
    await world.database.execute("SELECT set_config('crewship.principal', 'a', false)")
    await world.database.execute(
        "INSERT INTO idempotency_keys (principal, operation, key, request_hash) VALUES ('a', 'o', 'k', '')"
    )
    seen = "SELECT channel FROM events WHERE type = 't' ORDER BY 1"
    application = await asyncpg.connect(world.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    try:
        assert [*await application.fetch(seen), *await application.fetch("SELECT * FROM idempotency_keys")] == []
        for scope, channels in (
            (world.workspace.id, [own(world)]),
            ("@a", ["providers", "user:a"]),
            ("@", ["providers"]),
            ("", []),
        ):
            await application.execute("SELECT set_config('crewship.workspaces', $1, false)", scope)
            assert [row[0] for row in await application.fetch(seen)] == channels, scope
        for place, channel in (
            (world.other.id, f"workspace:{world.other.id}"),
            (None, own(world)),
            (None, "session:c"),
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await application.execute(
                    "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1, $2, 't', '{}')",
                    place,
                    channel,
                )
        for principal, keys in (("b", 0), ("a", 1)):
            await application.execute("SELECT set_config('crewship.principal', $1, false)", principal)
            assert await application.fetchval("SELECT count(*) FROM idempotency_keys") == keys
    finally:
        await application.close()
