"""MCP servers of a run, as its coding agent reaches them: by the gateway, with stand-ins for their secrets."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from models.agents import CliAdapter
from models.integrations import CredentialPlacement, Transport
from resolvers.instance.mcp_client import McpServer
from resolvers.integrations.configuration import McpConfiguration
from resolvers.integrations.testing import policy
from resolvers.rules.mcp_credentials import headers_with
from runtime.coding.gateway import LOOPBACK, Way, port_beside
from runtime.coding.keys import Key, StandIn
from runtime.job import Job
from runtime.mcp_servers import RunServer, configuration_for
from runtime.sandbox.boundary import Network

STAND_IN = "mcp-stand-in-"


async def configuration_through(
    job: Job, servers: Sequence[RunServer], adapter: CliAdapter, network: Network, *, guarded: bool
) -> tuple[McpConfiguration, dict[str, Way]]:
    """What the coding agent is told, and where the gateway leads. What speaks by the older transport names further
    addresses in its stream, and is reached as the crew's network lets it.
    """
    told, ways = list[RunServer](), dict[str, Way]()
    for number, server in enumerate(servers, 1):
        given = server.given
        if given.transport is Transport.stdio or not given.endpoint or McpServer(given.endpoint).by_events:
            told.append(server)
            continue
        name, secret = f"mcp{number}", server.secret
        stand_in = f"{STAND_IN}{secrets.token_hex(16)}"
        names = _names(server, stand_in)
        if secret is not None and names:
            ways[name], secret = Way(given.endpoint, StandIn(stand_in, Key(secret), names), policy()), stand_in
        else:
            ways[name] = Way(given.endpoint, None, policy())
        endpoint = f"http://{LOOPBACK}:{port_beside(network)}/{name}"
        told.append(replace(server, given=replace(given, endpoint=endpoint), secret=secret))
    return await configuration_for(job, told, adapter, guarded=guarded), ways


def _names(server: RunServer, stand_in: str) -> frozenset[str]:
    """Of the headers in which it can be found again: not of one that encodes it."""
    placed = headers_with(server.given.cred_type or CredentialPlacement.bearer, server.given.cred_header, stand_in)
    return frozenset(name for name, value in placed.items() if stand_in in value)
