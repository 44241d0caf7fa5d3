"""MCP servers of a coding agent: reached by the gateway of the run, which has the secrets, and no others."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from models.agents import CliAdapter
from models.integrations import CredentialPlacement, IntegrationScope, Transport
from resolvers.instance.outbound import Policy as Reachable
from resolvers.integrations.configuration import configuration_of, configured
from resolvers.integrations.given import GivenServer
from runtime.coding import mcp
from runtime.coding.adapter import CodingAdapter
from runtime.egress import Gateway, Policy
from runtime.mcp_servers import RunServer
from tests.runtime.adapters.sinks import Journal, job
from tests.runtime.adapters.vendors import Says, Vendor, vendor

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
    network = Gateway(Policy())
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
