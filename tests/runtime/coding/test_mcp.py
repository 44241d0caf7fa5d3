"""MCP servers of a coding agent: reached by the gateway of the run, which has the secrets, and no others."""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from models.resources.integrations import CredentialPlacement, IntegrationScope, Transport
from models.staff.agents import CliAdapter
from resolvers.instance.mcp_client import McpFailed, McpServer, called, offered
from resolvers.instance.outbound import Policy as Reachable
from resolvers.resources.integrations.configuration import configuration_of, configured
from resolvers.resources.integrations.given import GivenServer
from runtime.coding import mcp
from runtime.coding.adapter import CodingAdapter
from runtime.coding.gateway import ModelGateway as OfRun
from runtime.coding.older_transport import Announced, Rewriting
from runtime.egress import EgressGateway, Policy
from runtime.runs.mcp_servers import RunServer
from tests.every import each_of
from tests.resources.integrations.mcp_hosts import Locked, official
from tests.runtime.adapters.sinks import Journal, job
from tests.runtime.adapters.vendors import Says, Vendor, vendor
from tests.runtime.coding.test_gateway import Account, Nowhere

pytestmark = pytest.mark.anyio
SECRET = "the-secret-of-the-server"


@pytest.fixture(scope="module")
async def other(anyio_backend: str) -> AsyncIterator[Vendor]:
    """Any server of HTTP will do: what is asked of it is kept."""
    async with vendor("anthropic") as made:
        yield made


async def through(
    other: Vendor, monkeypatch: pytest.MonkeyPatch, placement: CredentialPlacement, reachable: Reachable
) -> tuple[Any, Any]:
    async def configuration(job: Any, servers: Any, adapter: CliAdapter, *, guarded: bool) -> Any:
        return configuration_of(adapter, [configured(one.given, one.secret, {}) for one in servers])

    monkeypatch.setattr(mcp, "configuration_for", configuration)
    monkeypatch.setattr(mcp, "policy", lambda: reachable)
    given = GivenServer(
        "s1", IntegrationScope.workspace, "tickets", Transport.streamable_http, f"{other.url}/v1/messages",
        None, None, None, placement, None, None, "c1", None,
    )  # fmt: skip
    network = EgressGateway(Policy())
    servers = [RunServer(given, SECRET), RunServer(replace(given, transport=Transport.stdio, endpoint=None), None)]
    return await mcp.configuration_through(job("x"), servers, CliAdapter.CLAUDE_CODE, network, guarded=False)


async def test_a_server_gets_the_secret_and_the_sandbox_does_not(
    agent: Callable[..., CodingAdapter],
    server: Vendor,
    other: Vendor,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other.reset()
    told, ways = await through(other, monkeypatch, CredentialPlacement.bearer, Reachable.PRIVATE_TOO)
    assert SECRET not in repr(told.environment)
    other.says(Says(text=("pong",)))
    server.says(Says(text=("Done.",)))
    assert (await agent(mcp=told, ways=ways).run(job("DO call servers"), journal.attempt())).error is None
    assert other.headers[0]["authorization"] == f"Bearer {SECRET}"
    sent = {name.lower(): value for name, value in other.asked[0]["from"].items()}
    assert sent["authorization"].startswith("Bearer mcp-stand-in-")
    assert "pong" in journal.text
    assert len(journal.charges) == 1


@contextlib.asynccontextmanager
async def reached(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, str]]:
    """What a coding agent is told of the server, and the bearer token that it has for it; a gateway runs."""
    told = list[Any]()

    async def configuration(job: Any, servers: Any, adapter: CliAdapter, *, guarded: bool) -> Any:
        told.extend(servers)

    monkeypatch.setattr(mcp, "configuration_for", configuration)
    monkeypatch.setattr(mcp, "policy", lambda: Reachable.PRIVATE_TOO)
    given = GivenServer(
        "s1", IntegrationScope.workspace, "harbour", Transport.streamable_http, endpoint,
        None, None, None, CredentialPlacement.bearer, None, None, "c1", None,
    )  # fmt: skip
    _, ways = await mcp.configuration_through(
        job("x"), [RunServer(given, SECRET)], CliAdapter.CLAUDE_CODE, EgressGateway(Policy()), guarded=False
    )
    listener = socket.create_server(("127.0.0.1", 0))
    async with OfRun(ways, Nowhere(), Account()).serve([listener]):
        [server] = told
        place = f"127.0.0.1:{listener.getsockname()[1]}"
        yield server.given.endpoint.replace("127.0.0.1:8080", place), server.secret


@pytest.mark.parametrize("transport", ["mcp", "sse"])
async def test_the_official_client_works_through_the_gateway(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By both transports, with a stand-in for the token: neither needs the network of the crew."""
    locked = Locked(SECRET)
    with official(locked) as urls:
        async with reached(urls[transport], monkeypatch) as (address, stand_in):
            assert stand_in != SECRET
            server = McpServer(address, {"authorization": f"Bearer {stand_in}"}, Reachable.PRIVATE_TOO)
            assert {tool.name for tool in await offered(server)} == {"add", "shout"}
            assert (await called(server, "add", {"a": 2, "b": 3})).text == "5"
            refused = McpServer(address, {"authorization": "Bearer another"}, Reachable.PRIVATE_TOO)
            with pytest.raises(McpFailed):
                await offered(refused)
    assert set(locked.seen) == {SECRET, "another"}


@pytest.mark.slow
async def test_a_stream_leads_to_what_it_has_named_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with official() as urls:
        async with reached(urls["sse"], monkeypatch) as (address, _), httpx2.AsyncClient() as client:
            base = address.removesuffix("/sse")
            for other in ("", "/messages/", "/to/1", "/mcp", "/../mcp", "/sse/../messages/"):
                assert (await client.post(f"{base}{other}")).status_code == 404, other
            async with client.stream("GET", address) as stream:
                lines = aiter(stream.aiter_lines())
                assert [await anext(lines), await anext(lines)] == ["event: endpoint", "data: /mcp1/to/1"]
                ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
                assert (await client.post(f"{base}/to/1", json=ping)).status_code == 202
                assert (await client.post(f"{base}/to/2", json=ping)).status_code == 404


@each_of("size", [1, 3, 1000])
@each_of("end", ["\n", "\r\n", "\r"])
def test_the_first_address_of_a_stream_is_rewritten(size: int, end: str) -> None:
    announced = Announced("mcp1", "https://harbour.example.com/v1/sse?key=1")
    told = ": ping||event: endpoint|data: messages?id=7||event: message|data: event: endpoint|data: /x||"
    stream = told.replace("|", end).encode()
    rewriting = Rewriting(announced)
    made = b"".join(rewriting.feed(stream[at : at + size]) for at in range(0, len(stream), size)) + rewriting.end()
    assert made == told.replace("messages?id=7", "/mcp1/to/1").replace("|", end).encode()
    assert announced.leads_to("to/1") == "https://harbour.example.com/v1/messages?id=7"
    assert announced.leads_to("sse") == "https://harbour.example.com/v1/sse?key=1"
    assert announced.leads_to("to/2") is None


@pytest.mark.parametrize(
    "address", ["https://evil.example.com/m", "http://harbour.example.com/m", "//evil.example.com/"]
)
def test_an_address_elsewhere_is_not_reached(address: str) -> None:
    announced = Announced("mcp1", "https://harbour.example.com/sse")
    assert announced.named(address) == address
    assert announced.leads_to("to/1") is None


def test_a_stream_that_names_nothing_is_passed_on() -> None:
    rewriting = Rewriting(Announced("mcp1", "https://harbour.example.com/sse"))
    stream = b"data: x\n" * 20_000
    assert rewriting.feed(stream[:50_000]) + rewriting.feed(stream[50_000:]) + rewriting.end() == stream


async def test_a_server_on_a_private_address_is_not_reached(
    agent: Callable[..., CodingAdapter],
    server: Vendor,
    other: Vendor,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other.reset()
    told, ways = await through(other, monkeypatch, CredentialPlacement.bearer, Reachable.PUBLIC)
    server.says(Says(text=("Done.",)))
    assert (await agent(mcp=told, ways=ways).run(job("DO call servers"), journal.attempt())).error is None
    assert "502" in journal.text
    assert other.asked == []
