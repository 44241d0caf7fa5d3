"""Pages of other origins, the same host's other ports among them, do nothing with the cookie of a signed-in browser."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live.graphql import INIT, email_of, socket
from tests.people.auth.browsers import signed_in
from tests.process.browser import CHROMIUM, browsing
from tests.world import World

pytestmark = pytest.mark.anyio

STEAL = 'mutation { createCliToken(input: {name: "stolen"}) { token } }'
WAYS = [
    ("/graphql", "application/json"),
    ("/graphql", "multipart/mixed;subscriptionSpec=1.0"),
    ("/graphql/stream", "text/event-stream"),
]


def neighbours(world: World) -> list[str]:
    port = int(world.url.rsplit(":", 1)[1])
    return [
        f"http://127.0.0.1:{port + 1}",
        f"http://localhost:{port}",
        "http://localhost:3000",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1",
        "null",
        "file://",
    ]


async def stolen(world: World) -> int:
    return int(await world.database.fetchval("SELECT count(*) FROM cli_tokens WHERE name = 'stolen'"))


async def test_a_socket_opened_by_cookie_belongs_to_the_own_origin(world: World) -> None:
    browser, user = await signed_in(world)
    cookie = f"authjs.session-token={browser.access}"
    for origin in neighbours(world):
        async with socket(world, origin=origin, cookie=cookie) as talk:
            await talk.say(INIT)
            assert await talk.closed() == (4403, "request origin not allowed")
    for origin in (world.url, None):  # what sends no Origin is no page
        async with socket(world, origin=origin, cookie=cookie) as talk:
            await talk.begin()
            assert await email_of(talk) == user.email
    assert await stolen(world) == 0


@pytest.mark.parametrize(("path", "accept"), WAYS)
async def test_nothing_is_written_by_cookie_for_another_origin(world: World, path: str, accept: str) -> None:
    browser, _ = await signed_in(world)
    cookie = f"authjs.session-token={browser.access}"
    async with httpx2.AsyncClient(base_url=world.url, verify=False) as client:
        for origin in neighbours(world):
            for headers in ({"origin": origin}, {"referer": origin + "/page"}):
                answer = await client.post(
                    path, json={"query": STEAL}, headers={"cookie": cookie, "accept": accept, **headers}
                )
                assert answer.status_code == 403
                read = await client.get(
                    path,
                    params={"query": "{ viewer { email } }"},
                    headers={"cookie": cookie, "accept": accept, **headers},
                )
                assert read.status_code == 403
        # what a page sends without being asked first
        for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await client.post(
                path,
                content=json.dumps({"query": STEAL}),
                headers={"cookie": cookie, "accept": accept, "content-type": media},
            )
            assert answer.status_code == 415
        read = await client.get(path, params={"query": STEAL}, headers={"cookie": cookie, "accept": accept})
        assert read.status_code in (405, 406)
    assert await stolen(world) == 0


# ---- in a browser ----------------------------------------------------------------------------------------------------

ATTACK = """
(async () => {
  const url = %r, body = JSON.stringify({query: %r}), said = [];
  const ws = await new Promise((resolve) => {
    const socket = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-transport-ws");
    socket.onopen = () => socket.send(JSON.stringify({type: "connection_init"}));
    socket.onmessage = ({data}) => {
      said.push(data);
      const acknowledged = JSON.parse(data).type === "connection_ack";
      if (acknowledged) socket.send(JSON.stringify({id: "1", type: "subscribe", payload: JSON.parse(body)}));
      else resolve("heard");
    };
    socket.onclose = ({code}) => resolve(code);
  });
  const attempt = (path, options) => fetch(url + path, {credentials: "include", ...options})
      .then((answer) => answer.status, () => "failed");
  const seen = {ws, said};
  seen.json = await attempt("/graphql", {method: "POST", body, headers: {"content-type": "application/json"}});
  seen.plain = await attempt("/graphql", {method: "POST", body, mode: "no-cors"});
  seen.stream = await attempt("/graphql/stream", {method: "POST", body, mode: "no-cors"});
  const query = "?query=" + encodeURIComponent("{ __schema { types { name fields { name } } } }");
  seen.image = await new Promise((resolve) => {
    const image = new Image();
    image.onerror = image.onload = () => resolve("done");
    image.src = url + "/graphql" + query;
  });
  seen.get = await attempt("/graphql" + query, {mode: "no-cors", headers: {accept: "application/json"}});
  return seen;
})()
"""


@contextlib.asynccontextmanager
async def neighbour(host: str) -> AsyncIterator[str]:
    """A page of this machine, on a port of its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 14\r\n"
                b"connection: close\r\n\r\n<p>A page.</p>\n"
            )
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, host, 0)
    async with server:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_a_page_on_another_port_does_nothing_in_a_real_browser(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from schema.bridge import endpoint

    asked: list[Any] = []
    purpose = endpoint._asked_on_purpose
    monkeypatch.setattr(
        endpoint,
        "_asked_on_purpose",
        lambda transport: asked.append((dict(transport.headers), purpose(transport))) or asked[-1][1],
    )
    browser, user = await signed_in(world)
    async with browsing(tmp_path) as page, neighbour("127.0.0.1") as url:
        await page.command(
            "Network.setCookie",
            name="authjs.session-token",
            value=browser.access,
            url=world.url,
            httpOnly=True,
            sameSite="Lax",
        )
        await page.open(url)
        await page.see("A page.")
        seen = await page.value(ATTACK % (world.url, STEAL))
        assert (seen["ws"], seen["said"]) == (4403, [])
        assert await stolen(world) == 0
        assert len(asked) == 2, "the image and the fetch reach the server"
        assert [allowed for _, allowed in asked] == [False, False]
        assert all(b"cookie" in headers for headers, _ in asked), (
            "the browser sends the cookie: ports are nothing to it"
        )
        await page.open(world.url + "/graphql")
        await page.until("location.pathname === '/graphql' && document.readyState === 'complete'")
        own = await page.value(ATTACK % (world.url, "{ viewer { email } }"))
        assert own["ws"] == "heard"
        assert user.email in own["said"][1]
        assert (own["json"], own["get"]) == (200, 200)
