"""The caching headers of every operation's answer, and a cache in between that gives no answer to another caller."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from resolvers.kernel.declarations.operation import Auth, Operation
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.generation.registry import operations, routes_of
from tests.generation.surfaces import Call, Outcome, by_rest

pytestmark = pytest.mark.anyio
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

NEVER, ASK_FIRST = "private, no-store", "private, no-cache"
VARIES = "Authorization, Cookie, Accept-Encoding"
SAID_OTHERWISE = {
    "agents.avatar": ("private, max-age=31536000, immutable", VARIES),  # another picture has another address
    "auth.error_page": (NEVER, "Accept"),  # the same for everybody, as JSON or for browsers
    "chats.stream": ("no-cache", VARIES),
    "credentials.reveal": ("no-store", VARIES),  # the contract's words
    "journal.stream": ("no-cache", VARIES),  # the contract's words; nothing validates it, so each request is asked anew
    "oauth.callback": ("no-store", VARIES),
}
"""Operations whose answers say by themselves how they are kept."""


def is_for_whoever_has_asked(op: Operation[Any], outcome: Outcome) -> None:
    """Checks for every answer which callers may get it again: for accepted calls, and for refusals that any caller
    gets.
    """
    expected = [(ASK_FIRST if outcome.etag else NEVER, VARIES)]
    expected += [SAID_OTHERWISE[op.name]] if op.name in SAID_OTHERWISE else []
    assert (outcome.kept, outcome.varies) in expected, str(outcome)


# ---- behind nginx ----------------------------------------------------------------------------------------------------

CONFIGURATION = """
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    proxy_cache_path {directory}/cache keys_zone=all:10m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass {url};
            proxy_set_header Host $http_host;
            proxy_cache all;
            proxy_cache_valid any 1m;
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
}}
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.asynccontextmanager
async def caching(url: str, directory: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an nginx that keeps what it may, of everybody, for a minute."""
    assert NGINX is not None
    port, user = _free_port(), "user root;" if os.getuid() == 0 else ""
    file = directory / "nginx.conf"
    file.write_text(CONFIGURATION.format(directory=directory, port=port, url=url, user=user))
    process = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(directory), "-e", f"{directory}/error.log", "-c", str(file)
    )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(httpx2.ConnectError):
                        await client.get("/healthz")
                        break
                    await asyncio.sleep(0.05)
            yield client
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.skipif(NGINX is None, reason="there is no nginx here")
async def test_a_cache_in_between_gives_nobody_what_was_the_owners(estate: Estate, tmp_path: Path) -> None:
    shown, asked = list[str](), 0
    async with caching(estate.world.url, tmp_path) as client:
        asset = next(iter(await _public(client)))
        kept = [(await client.get(asset)).headers["x-cache"] for _ in range(3)]
        assert kept[-1] == "HIT", "a cache that keeps nothing shows nothing"
        for op in operations():
            for route in routes_of(op):
                if op.auth is Auth.NONE or route.method != "GET":
                    continue
                asked += 1
                raw, place = valid(op, estate), estate.home.workspace.id
                for person in (estate.caller(op), estate.caller(op), None):
                    outcome = await by_rest(client, Call(op, raw, person, place), route)
                if outcome.status < 400:
                    shown.append(f"{op.name}: {outcome}")
                await estate.recorder.undo()
        query, person = {"query": "{ viewer { email } }"}, estate.world.owner
        mine, nobodys = [
            await client.get("/graphql", params=query, headers={"accept": "application/json"} | given)
            for given in ({"authorization": f"Bearer {person.token}"}, {})
        ]
        assert mine.json()["data"]["viewer"]["email"] == person.email
        assert (nobodys.headers["x-cache"], person.email in nobodys.text) == ("MISS", False)
    assert asked > 100
    assert shown == []


async def _public(client: httpx2.AsyncClient) -> list[str]:
    """Addresses that a page names for good: everybody gets the same there."""
    page = (await client.get("/login", headers={"accept": "text/html"})).text
    return [part for part in page.split('"') if part.startswith("/console/assets/")]
