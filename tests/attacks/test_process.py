"""What reaches the process from beside it: connections that are passed on, and roles that no second lock holds."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from crewship.perimeter.protocol import Protocol
from crewship.process.app import create_app
from crewship.process.serve import listen_unix
from resolvers.instance.passwords import Cost, Passwords
from tests.conftest import Database
from tests.process.commands import CREWSHIP, PATIENCE, environment
from tests.world import serving, settings_for

pytestmark = pytest.mark.anyio

ADA = {"full_name": "Ada Lovelace", "email": "ada@example.com", "password": "correct horse"}
BOOTSTRAP = "mutation($input: BootstrapInput!) { bootstrap(input: $input) { email } }"
CAMEL = {"fullName": ADA["full_name"], "email": ADA["email"], "password": ADA["password"]}


@contextlib.asynccontextmanager
async def forwarding(port: int) -> AsyncIterator[int]:
    """Passes connections on, byte by byte, as ssh -R, socat and a balancer in TCP mode do."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    async with await asyncio.start_server(pass_on, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "crewship", "crew.example.com"])
async def test_a_visitor_of_a_forwarder_is_not_at_the_machine(database: Database, tmp_path: Path, host: str) -> None:
    settings = settings_for(database.url, tmp_path, public_url="https://crew.example.com")
    async with contextlib.AsyncExitStack() as stack:
        url = await stack.enter_async_context(serving(create_app(settings, passwords=Passwords(Cost(1, 64, 1)))))
        port = await stack.enter_async_context(forwarding(int(url.rsplit(":", 1)[1])))
        stranger = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"host": host}, trust_env=False)
        )
        assert (await stranger.post("/api/v1/bootstrap", json=ADA)).status_code == 403
        assert (await stranger.get("/metrics")).status_code == 404
        assert (await stranger.get("/api/v1/system/setup-status")).json()["needs_bootstrap"] is True


async def test_who_opens_the_unix_socket_is_at_the_machine(database: Database, tmp_path: Path) -> None:
    settings = settings_for(database.url, tmp_path, public_url="https://crew.example.com")
    listener = listen_unix(tmp_path / "service.sock")
    app = create_app(settings, passwords=Passwords(Cost(1, 64, 1)))
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="on", log_level="warning", access_log=False, proxy_headers=False, http=Protocol)
    )
    task = asyncio.create_task(server._serve([listener]))
    try:
        async with asyncio.timeout(30):
            while not server.started:
                await asyncio.sleep(0.01)
        transport = httpx2.AsyncHTTPTransport(uds=str(tmp_path / "service.sock"))
        async with httpx2.AsyncClient(base_url="http://crew.example.com", transport=transport) as client:
            assert (await client.get("/metrics")).status_code == 200
            passed_on = {"x-forwarded-for": "127.0.0.1"}
            assert (await client.get("/metrics", headers=passed_on)).status_code == 404
            assert (await client.post("/api/v1/bootstrap", json=ADA, headers=passed_on)).status_code == 403
            made = await client.post("/graphql", json={"query": BOOTSTRAP, "variables": {"input": CAMEL}})
            assert made.json()["data"]["bootstrap"]["email"] == ADA["email"], made.text
    finally:
        server.should_exit = True
        await task


@pytest.mark.slow
@pytest.mark.parametrize("host", ["rebound.example.com", "crewship", "203.0.113.7", ""])
async def test_another_name_reads_no_metrics(database: Database, tmp_path: Path, host: str) -> None:
    app = create_app(settings_for(database.url, tmp_path), passwords=Passwords(Cost(1, 64, 1)))
    async with serving(app) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/metrics", headers={"host": host})).status_code == 404


@pytest.mark.slow
async def test_a_role_past_row_level_security_serves_nothing(empty_database: Database, tmp_path: Path) -> None:
    strong = empty_database.server.dsn("postgres", empty_database.name)
    env = environment(tmp_path, DATABASE_URL=strong, CREWSHIP_MIGRATION_DATABASE_URL=empty_database.owner_url)
    refused = subprocess.run(
        [*CREWSHIP, "serve"], env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert refused.returncode == 1
    [line] = [text for text in refused.stderr.splitlines() if text.startswith("crewship:")]
    assert "the role postgres of DATABASE_URL is superuser and BYPASSRLS" in line
    assert "NOSUPERUSER NOBYPASSRLS" in line
    assert "serves at" not in refused.stdout
