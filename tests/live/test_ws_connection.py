"""How a socket of /ws is opened, kept and ended (contract: websocket.connection, close_codes)."""

import asyncio
import secrets
from typing import Any

import pytest
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from models.people.auth import CliToken
from models.people.workspaces import Membership, Role
from resolvers.attention import channels
from resolvers.identity.credentials import TICKET_LIFETIME
from resolvers.instance.crypto import TokenKind
from resolvers.instance.running import instance
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.database import database as pool
from resolvers.kernel.store.database import unavailable
from resolvers.live import attendance
from rest_compat.ws import endpoint, heartbeat
from tests.every import each_of
from tests.live.outlets import OF
from tests.live.sockets import Client, address, client_of, opened, ticket
from tests.people.auth.browsers import new_user, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
REVOKED = {"type": "session_revoked", "payload": {"reason": "session_revoked", "message": "session_revoked"}}


def sockets() -> float:
    return REGISTRY.get_sample_value("crewshipd_ws_connections") or 0.0


def expired(world: World) -> str:
    now = instance.clock.seconds() - TICKET_LIFETIME.total_seconds() - 60
    token, _ = instance.signer.sign(
        TokenKind.ws,
        user_id=world.owner.user_id,
        token_id="c0",
        lifetime=TICKET_LIFETIME,
        name="",
        email="",
        now=int(now),
    )
    return token


async def refusal(url: str, **options: Any) -> tuple[int, str, str]:
    """Status, body and kind of the answer instead of a socket."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, **options):
            pass
    answer = refused.value.response
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.status_code, (answer.body or b"").decode(), answer.headers["content-type"]


async def test_a_refused_upgrade_is_no_fault_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for path, status in (("/ws?token=bad", 401), ("/nowhere", 404)):
        assert (await refusal(world.url.replace("http", "ws", 1) + path))[0] == status
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def works(client: Client, world: World) -> None:
    """It is authenticated: it may listen, and was told nothing."""
    await client.subscribe(f"workspace:{world.workspace.id}")
    await client.settle()
    assert [frame["type"] for frame in client.heard] == ["pong"]


# ---- who is let in --------------------------------------------------------------------------------------------------


async def test_a_ticket_of_a_cli_token_opens_a_socket(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await works(client, world)


async def test_a_ticket_of_a_login_session_opens_a_socket(world: World) -> None:
    browser, user = await signed_in(world)
    async with client_of(world, browser) as client:
        await client.subscribe(f"user:{user.id}")
        await client.settle()
        assert [frame["type"] for frame in client.heard] == ["pong"]


@pytest.mark.parametrize("by_session", [False, True])
async def test_the_first_frame_may_bring_the_ticket(world: World, by_session: bool) -> None:
    browser, user = await signed_in(world)
    token = await ticket(world, browser if by_session else world.viewer)
    async with opened(address(world)) as client:
        await client.say("auth", token=token)
        await client.subscribe(f"user:{user.id if by_session else world.viewer.user_id}")  # without waiting
        await client.settle()
        assert [frame["type"] for frame in client.heard] == ["pong"]


async def test_an_auth_frame_of_somebody_who_is_known_is_ignored(world: World) -> None:
    async with client_of(world, world.viewer) as client:
        await client.say("auth", token=await ticket(world, world.outsider))
        await client.say("auth", token="junk")
        await works(client, world)
        await client.subscribe(f"workspace:{world.other.id}")
        assert (await client.hears("error"))["channel"] == f"workspace:{world.other.id}"
    token = await ticket(world, world.viewer)
    async with opened(address(world)) as client:
        await client.say("auth", token=token)
        await client.say("auth", token=token)
        await works(client, world)


async def test_a_ticket_without_a_value_is_one_that_was_not_sent(world: World) -> None:
    async with opened(address(world, "")) as client:
        await client.say("auth", token=await ticket(world, world.viewer))
        await works(client, world)


@each_of("kind", ["junk", "expired", "cli token", "session cookie", "nul", "surrogate", "long"])
async def test_a_bad_ticket_in_the_address_is_refused_before_the_upgrade(world: World, kind: str) -> None:
    browser, _ = await signed_in(world)
    tokens = {
        "junk": "a.b.c",
        "expired": expired(world),
        "cli token": world.owner.token,
        "session cookie": browser.access,
    }
    tokens |= {"nul": "\0", "long": "a" * 6000}
    url = address(world) + "?token=%ED%A0%80" if kind == "surrogate" else address(world, tokens[kind])
    before = len(attendance.connections)
    status, body, content_type = await refusal(url)
    assert (status, content_type) == (401, "text/plain; charset=utf-8")
    assert body == ("session_expired" if kind == "expired" else "session_invalid")
    assert (sockets(), len(attendance.connections)) == (0, before)


async def test_neither_the_cookie_nor_a_cli_token_opens_a_socket(world: World) -> None:
    browser, _ = await signed_in(world)
    headers = {"cookie": f"authjs.session-token={browser.access}", "authorization": f"Bearer {world.owner.token}"}
    async with opened(address(world), additional_headers=headers) as client:
        await client.subscribe("providers")
        await client.until(lambda: client.closed)
        assert [frame["type"] for frame in client.heard] == ["error"]


async def test_a_ticket_whose_session_is_over_is_refused(world: World) -> None:
    browser, _ = await signed_in(world)
    token = await ticket(world, browser)
    await world.database.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
    assert (await refusal(address(world, token)))[:2] == (401, "session_expired")
    await world.database.execute("UPDATE sessions SET revoked_at = now()")
    assert (await refusal(address(world, token)))[:2] == (401, "session_revoked")
    async with opened(address(world)) as client:
        await client.say("auth", token=token)
        await client.until(lambda: client.closed)
        assert (client.heard, client.closed) == ([REVOKED], 4401)


async def test_a_ticket_of_a_user_who_is_gone_is_refused(world: World) -> None:
    user = await new_user(world)
    row = CliToken(user_id=user.id, name="test", token_hash=user.id)
    await world.add(row)
    token, _ = instance.signer.sign(
        TokenKind.ws, user_id=user.id, token_id=row.id, lifetime=TICKET_LIFETIME, now=instance.clock.seconds()
    )
    await world.database.execute("DELETE FROM users WHERE id = $1", user.id)
    assert (await refusal(address(world, token)))[0] == 401
    async with opened(address(world)) as client:
        await client.say("auth", token=token)
        await client.until(lambda: client.closed)
        assert ([frame["type"] for frame in client.heard], client.closed) == (["error"], 1000)


@each_of(
    "first",
    [
        '{"type":"subscribe","channel":"providers"}', '{"type":"auth"}', '{"type":"auth","token":null}',
        '{"type":"auth","token":7}',
        '{"type":"auth","token":"a.b.c"}', '{"type":"auth","token":"\\u0000"}', '"auth"', "[]", "{", "",
        b'{"type":"auth"}',
    ],
)  # fmt: skip
async def test_a_first_frame_that_does_not_authenticate_ends_the_socket(world: World, first: str | bytes) -> None:
    async with opened(address(world)) as client:
        await client.connection.send(first)
        await client.subscribe("providers")
        await client.until(lambda: client.closed)
        (frame,) = client.heard
        assert (frame["type"], client.closed, "channel" in frame) == ("error", 1000, False)
        assert frame["payload"]["message"] == frame["payload"]["error"] != ""


async def test_who_says_nothing_is_sent_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint.INTRODUCTION == 10.0
    monkeypatch.setattr(endpoint, "INTRODUCTION", 0.1)
    async with opened(address(world)) as client:
        await client.until(lambda: client.closed)
        assert [frame["payload"]["message"] for frame in client.heard] == ["no auth frame came in time"]
        assert client.closed == 1000


async def test_who_leaves_before_being_known_leaves_nothing(world: World) -> None:
    before = len(attendance.connections)
    async with opened(address(world)):
        pass
    assert (sockets(), len(attendance.connections)) == (0, before)


async def test_a_database_that_is_away_is_no_fault_of_the_ticket(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        async def __aenter__(self) -> None:
            raise unavailable()

        async def __aexit__(self, *_: object) -> None: ...

    token = await ticket(world, world.viewer)
    monkeypatch.setattr(pool, "lease", Nothing)
    with pytest.raises(InvalidStatus) as refused:
        async with connect(address(world, token)):
            pass
    answer = refused.value.response
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert b"database" in (answer.body or b"")
    async with opened(address(world)) as client:
        await client.say("auth", token=token)
        await client.until(lambda: client.closed)
        assert ([frame["type"] for frame in client.heard], client.closed) == (["error"], 1000)


@pytest.mark.parametrize("first", [False, True])
async def test_a_handshake_does_not_wait_for_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    class Stuck:
        async def __aenter__(self) -> None:
            await asyncio.sleep(60)

        async def __aexit__(self, *_: object) -> None: ...

    token = await ticket(world, world.viewer)
    monkeypatch.setattr(pool, "lease", Stuck)
    monkeypatch.setattr(channels, "PATIENCE", 0.1)
    async with asyncio.timeout(5):
        if first:
            with pytest.raises(InvalidStatus) as refused:
                async with connect(address(world, token)):
                    pass
            assert refused.value.response.status_code == 503
        else:
            async with opened(address(world)) as client:
                await client.say("auth", token=token)
                await client.until(lambda: client.closed)
                assert [frame["payload"]["code"] for frame in client.heard] == ["UNAVAILABLE"]


# ---- from which page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "production", "good"),
    [
        (None, True, True), ("{own}", True, True), ("http://127.0.0.1:1", True, True),
        ("https://127.0.0.1", False, True),
        ("http://localhost:3000", False, True), ("http://localhost:3000", True, False),
        ("https://evil.example", False, False),
        ("null", False, False), ("https://ui.example", True, True), ("https://ui.example:8443", True, False),
        ("", True, True),
        ("http://127.0.0.1.evil.example", False, False), ("http://evil.example/127.0.0.1", False, False),
        ("junk", False, False),
    ],
)  # fmt: skip
async def test_the_page_must_be_of_this_server(
    world: World, monkeypatch: pytest.MonkeyPatch, origin: str | None, production: bool, good: bool
) -> None:
    changed = {"env": "Production" if production else "development", "allowed_origins": ("https://ui.example",)}
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update=changed))
    headers = {} if origin is None else {"origin": origin.format(own=world.url)}
    url = address(world, await ticket(world, world.viewer))
    if good:
        async with opened(url, additional_headers=headers) as client:
            await works(client, world)
    else:
        assert (await refusal(url, additional_headers=headers))[::2] == (403, "text/plain; charset=utf-8")
        assert (await refusal(address(world), additional_headers=headers))[0] == 403


# ---- while it lasts -------------------------------------------------------------------------------------------------


async def test_the_heart_beats_for_all_by_one_timer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert heartbeat.EVERY == 30.0
    monkeypatch.setattr(heartbeat, "EVERY", 0.05)
    tasks = len(asyncio.all_tasks())
    async with client_of(world, world.viewer) as one, client_of(world, world.owner) as other:
        await one.until(lambda: len(one.of("ping")) > 2 and len(other.of("ping")) > 2)
        assert one.heard[0] == {"type": "ping", "payload": None}
        beating = [task for task in asyncio.all_tasks() if "OpenSockets" in repr(task.get_coro())]
        assert len(beating) == 1
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) <= tasks


async def test_open_sockets_are_counted(world: World) -> None:
    assert sockets() == 0
    async with client_of(world, world.viewer) as one:
        async with client_of(world, world.owner) as other:
            await one.settle()
            await other.settle()
            assert sockets() == 2
        await one.until(lambda: sockets() == 1)
    async with asyncio.timeout(30):
        while sockets():
            await asyncio.sleep(0.01)


async def test_signing_out_ends_the_sockets_of_that_session_at_once(world: World) -> None:
    browser, user = await signed_in(world)
    other = type(browser)(world.url)
    await other.log_in(user.email)
    async with (
        client_of(world, browser) as client,
        client_of(world, browser) as second,
        client_of(world, other) as stays,
    ):
        await client.subscribe(f"user:{user.id}")
        await client.settle()
        assert (
            await browser.send("POST", "/api/auth/signout", json={"csrfToken": await browser.csrf()})
        ).status_code == 200
        for ended in (client, second):
            await ended.until(lambda ended=ended: ended.closed, 3)
            assert (ended.of("session_revoked"), ended.closed) == ([REVOKED], 4401)
        await stays.settle()
        assert [frame["type"] for frame in stays.heard] == ["pong"]


async def test_a_session_that_ends_between_the_look_and_the_handshake_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, user = await signed_in(world)
    known = endpoint.identify

    async def slow(caller: Any) -> str:
        found = await known(caller)
        await world.database.execute("UPDATE sessions SET revoked_at = now() WHERE user_id = $1", user.id)
        bus.ring(Topic.access, user.id)
        await asyncio.sleep(0.1)
        return found

    token = await ticket(world, browser)
    monkeypatch.setattr(endpoint, "identify", slow)
    async with opened(address(world, token)) as client:
        await client.until(lambda: client.closed)
        assert (client.heard, client.closed) == ([REVOKED], 4401)


async def test_an_operation_that_finds_the_session_over_ends_the_socket(world: World) -> None:
    browser, user = await signed_in(world)
    async with client_of(world, browser) as client:
        await world.database.execute("UPDATE sessions SET revoked_at = now() WHERE user_id = $1", user.id)
        await client.subscribe(f"user:{user.id}")  # nobody has rung
        await client.until(lambda: client.closed)
        assert (client.heard, client.closed) == ([REVOKED], 4401)


async def test_a_look_that_fails_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, user = await signed_in(world)
    async with client_of(world, browser) as client:
        await client.settle()
        lease = pool.lease

        def away() -> Any:
            raise ConnectionRefusedError

        monkeypatch.setattr(pool, "lease", away)
        bus.ring(Topic.access, user.id)
        await asyncio.sleep(0.2)
        monkeypatch.setattr(pool, "lease", lease)
        await client.settle()
        assert client.of("session_revoked") == []


async def test_a_membership_that_ends_ends_the_subscription_alone(world: World) -> None:
    leaver = await world.person(f"leaver-{secrets.token_hex(3)}", None)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=leaver.user_id, role=Role.MEMBER))
    channel = f"workspace:{world.workspace.id}"
    async with client_of(world, leaver) as client:
        await client.subscribe(channel)
        await client.settle()
        await world.database.execute("DELETE FROM memberships WHERE user_id = $1", leaver.user_id)
        bus.ring(Topic.access, leaver.user_id)
        assert (await client.hears("error"))["channel"] == channel
        await world.database.execute(
            f"INSERT INTO events (workspace_id, channel, type, payload) VALUES ({OF}, $1, 'test.happened', '{{}}')",
            channel,
        )
        bus.ring(Topic.events)
        await asyncio.sleep(0.1)
        await client.settle()
        assert client.on(channel) == client.of("error")


async def test_a_client_that_leaves_leaves_nothing(world: World) -> None:
    before = len(attendance.connections)
    async with client_of(world, world.viewer) as client:
        await client.subscribe(f"workspace:{world.workspace.id}")
        await client.settle()
        await client.connection.close(1000)
        await client.until(lambda: client.closed)
        assert client.closed == 1000
    async with asyncio.timeout(30):
        while len(attendance.connections) > before or sockets():
            await asyncio.sleep(0.01)
