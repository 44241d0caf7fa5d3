"""Live GraphQL of instances with settings of their own, and at their end."""

import asyncio
import contextlib
import hashlib
import json
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from resolvers.live import attendance, hub
from tests.live.graphql import CREWS, INIT, VIEWER, crews_made, email_of, events_of, parts_of, socket, talking
from tests.live.outlets import until
from tests.people.auth.browsers import signed_in
from tests.world import world_on

pytestmark = pytest.mark.anyio


async def test_allowed_origins_may_use_the_cookie(database: Any, tmp_path: Any) -> None:
    async with world_on(database, tmp_path, allowed_origins=("https://ui.example",), env="production") as world:
        browser, user = await signed_in(world)
        cookie = f"authjs.session-token={browser.access}"
        async with socket(world, origin="https://ui.example", cookie=cookie) as talk:
            await talk.begin()
            assert await email_of(talk) == user.email
        async with socket(world, origin="http://localhost:3000", cookie=cookie) as talk:
            await talk.say(INIT)
            assert (await talk.closed())[0] == 4403


async def test_upgrades_and_operations_count_as_requests(database: Any, tmp_path: Any) -> None:
    async with world_on(database, tmp_path, ratelimit_disabled=False, ratelimit_api=5) as world:
        async with talking(world, world.owner) as talk:
            for number in range(4):
                await talk.subscribe(str(number), VIEWER)
                assert await talk.next(str(number))
                assert (await talk.hear())["type"] == "complete"
            await talk.subscribe("5", VIEWER)
            answer = await talk.hear()
            assert (answer["type"], answer["payload"][0]["extensions"]["code"]) == ("error", "RATE_LIMITED")
            with pytest.raises(InvalidStatus) as refused:
                async with socket(world):
                    pass
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["retry-after"] == "60"


async def test_trusted_documents_are_those_of_http(database: Any, tmp_path: Any) -> None:
    id = hashlib.sha256(CREWS.encode()).hexdigest()
    file = tmp_path / "documents.json"
    file.write_text(json.dumps({id: CREWS}))
    async with (
        world_on(database, tmp_path, trusted_documents_file=file, trusted_documents_only=True) as world,
        talking(world, world.owner) as talk,
    ):
        before = hub.listeners()
        await talk.say(
            {"id": "s", "type": "subscribe", "payload": {"documentId": id, "variables": {"ws": world.workspace.id}}}
        )
        await until(lambda: hub.listeners() > before)
        await crews_made(world, 1)
        assert (await talk.next("s"))["workspaceEvents"]["name"] == "1"
        for payload, code in (({"documentId": "0" * 64}, "NOT_FOUND"), ({"query": VIEWER}, "FORBIDDEN")):
            await talk.say({"id": "x", "type": "subscribe", "payload": payload})
            answer = await talk.hear()
            assert (answer["type"], answer["id"], answer["payload"][0]["extensions"]["code"]) == ("error", "x", code)


async def test_stopping_the_server_ends_the_socket_for_now(database: Any, tmp_path: Any) -> None:
    async with world_on(database, tmp_path) as world:
        made = socket(world)
        talk = await made.__aenter__()
        await talk.begin(authorization=f"Bearer {world.owner.token}")
        await talk.listen("s", CREWS, ws=world.workspace.id)
    assert (await talk.closed())[0] == 1012  # clients come again after this one
    await made.__aexit__(None, None, None)
    assert attendance.connections == {}


async def test_stopping_the_server_ends_streams_so_that_clients_come_again(database: Any, tmp_path: Any) -> None:
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as clients:
        async with world_on(database, tmp_path) as world:
            client = await clients.enter_async_context(
                httpx2.AsyncClient(base_url=world.url, headers={"authorization": f"Bearer {world.owner.token}"})
            )
            body = {"query": CREWS, "variables": {"ws": world.workspace.id}}
            parts = await clients.enter_async_context(
                client.stream("POST", "/graphql", json=body, headers={"accept": "multipart/mixed;subscriptionSpec=1.0"})
            )
            events = await clients.enter_async_context(client.stream("POST", "/graphql/stream", json=body))
            assert hub.listeners() == 2
            started = loop.time()
        assert loop.time() - started < 3
        heard = [item async for item in events_of(events) if item.data is not None]
        assert heard == []  # nothing that says it was complete
        last = [item async for item in parts_of(parts)]
        assert [(item.data["payload"], item.data["errors"][0]["extensions"]["code"]) for item in last] == [
            (None, "UNAVAILABLE")
        ]
    assert attendance.connections == {}
