"""Whose a socket of GraphQL is: tokens, tickets, cookies and the pages they come from, and the workspace it names."""

from typing import Any

import pytest

from resolvers.kernel.store.database import unavailable
from resolvers.live import attendance, hub
from schema.live import transport_ws
from tests.every import each_of
from tests.live.graphql import INIT, email_of, own, socket
from tests.live.sockets import ticket
from tests.people.auth.browsers import signed_in
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["authorization", "Authorization"])
async def test_a_cli_token_introduces(world: World, name: str) -> None:
    async with socket(world) as talk:
        await talk.begin(**{name: f"Bearer {world.manager.token}"})
        assert await email_of(talk) == world.manager.email


@pytest.mark.parametrize("name", ["token", "ticket"])
@pytest.mark.parametrize("by_session", [True, False])
async def test_a_ticket_introduces(world: World, name: str, by_session: bool) -> None:
    browser, user = await signed_in(world)
    async with socket(world) as talk:
        await talk.begin(**{name: await ticket(world, browser if by_session else world.manager)})
        assert await email_of(talk) == (user.email if by_session else world.manager.email)


async def test_headers_of_the_upgrade_introduce(world: World) -> None:
    async with socket(world, authorization=f"Bearer {world.manager.token}") as talk:
        await talk.begin()
        assert await email_of(talk) == world.manager.email
    async with socket(world, authorization=f"Bearer {world.manager.token}") as talk:
        await talk.begin(authorization=f"Bearer {world.viewer.token}")  # what is said on the socket counts
        assert await email_of(talk) == world.viewer.email


async def test_a_session_cookie_introduces_pages_of_this_server_only(world: World) -> None:
    browser, user = await signed_in(world)
    cookie = f"authjs.session-token={browser.access}"
    for origin in (None, world.url, world.url + "/"):
        async with socket(world, origin=origin, cookie=cookie) as talk:
            await talk.begin()
            assert await email_of(talk) == user.email
    for origin in (
        "https://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        "http://localhost:3000",
        "http://127.0.0.1",
        world.url.replace("http", "https"),
    ):
        async with socket(world, origin=origin, cookie=cookie) as talk:
            await talk.say(INIT)
            assert await talk.closed() == (4403, "request origin not allowed")
        # whoever has a token of its own needs no cookie
        async with socket(world, origin=origin, cookie=cookie) as talk:
            await talk.begin(authorization=f"Bearer {world.viewer.token}")
            assert await email_of(talk) == world.viewer.email


@each_of(
    ("payload", "reason"),
    [
        (None, "no_credentials"),
        ({}, "no_credentials"),
        ({"authorization": ""}, "no_credentials"),
        ({"authorization": "Basic abc"}, "no_credentials"),
        ({"authorization": "Bearer nonsense"}, "session_invalid"),
        ({"authorization": "Bearer ünïcödé ☃"}, "session_invalid"),
        ({"authorization": 5, "token": ["x"]}, "no_credentials"),
        ({"token": "nonsense"}, "session_invalid"),
        ({"ticket": "a.b.c"}, "session_invalid"),
        ({"token": "crewship_cli_" + "0" * 64}, "session_invalid"),
    ],
)
async def test_who_is_not_known_is_sent_away(world: World, payload: Any, reason: str) -> None:
    async with socket(world) as talk:
        await talk.say({"type": "connection_init", "payload": payload})
        assert await talk.closed() == (4403, reason)
    assert attendance.connections == {}


async def test_a_cookie_does_not_stand_in_for_a_bad_authorization(world: World) -> None:
    browser, _ = await signed_in(world)
    async with socket(world, cookie=f"authjs.session-token={browser.access}") as talk:
        await talk.say(INIT | {"payload": {"authorization": "Basic abc"}})
        assert await talk.closed() == (4403, "no_credentials")


async def test_without_a_database_one_may_come_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> str:
        raise unavailable()

    monkeypatch.setattr(transport_ws, "identify", away)
    async with socket(world) as talk:
        await talk.say(INIT | {"payload": {"authorization": f"Bearer {world.owner.token}"}})
        assert (await talk.closed())[0] == 1013


@each_of("named", ["a\0b", "\0", "☃", "x" * 10_000, "other"])
async def test_a_workspace_of_no_use_is_refused_for_each_operation(world: World, named: str) -> None:
    async with socket(world) as talk:
        await talk.begin(authorization=f"Bearer {world.owner.token}", workspaceId=named)
        await talk.subscribe("s", "subscription { workspaceEvents { __typename } }")
        assert (await talk.hear())["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        await talk.subscribe("q", "{ labels { id } }")
        assert (await talk.hear())["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("how", ["header", "X-Workspace-ID", "workspaceId"])
async def test_the_connection_may_name_the_workspace(world: World, how: str) -> None:
    headers = {"X-Workspace-ID": world.workspace.id} if how == "header" else {}
    said = {} if how == "header" else {how: world.workspace.slug}
    async with socket(world, **headers) as talk:
        await talk.begin(authorization=f"Bearer {world.owner.token}", **said)
        await talk.listen("s", "subscription { workspaceEvents { __typename } }")
        assert list(hub.channels) == [own(world)]
        await talk.subscribe("q", "{ labels { id } }")
        assert "labels" in await talk.next("q")
