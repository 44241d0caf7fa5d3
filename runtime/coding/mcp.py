"""MCP servers of a run, as its coding agent reaches them: by the gateway, with stand-ins for their secrets."""

import secrets
from collections.abc import Sequence
from dataclasses import replace

from models.resources.integrations import CredentialPlacement, Transport
from models.staff.agents import CliAdapter
from resolvers.instance.mcp_client import McpServer
from resolvers.resources.integrations.configuration import McpConfiguration
from resolvers.resources.integrations.testing import policy
from resolvers.rules.mcp_credentials import headers_with
from runtime.coding.gateway import LOOPBACK, ProviderWay, port_beside
from runtime.coding.keys import Key, KeyStandIn
from runtime.coding.older_transport import STREAM, Announced
from runtime.runs.job import Job
from runtime.runs.mcp_servers import RunServer, configuration_for
from runtime.sandbox.boundary import Network

STAND_IN = "mcp-stand-in-"


async def configuration_through(
    job: Job, servers: Sequence[RunServer], adapter: CliAdapter, network: Network, *, guarded: bool
) -> tuple[McpConfiguration, dict[str, ProviderWay]]:
    """The configuration for the coding agent, and the destinations of the gateway, which does not use the crew's
    network.
    """
    told, ways = list[RunServer](), dict[str, ProviderWay]()
    for number, server in enumerate(servers, 1):
        given = server.given
        if given.transport is Transport.stdio or not given.endpoint:
            told.append(server)
            continue
        name, secret, by_events = f"mcp{number}", server.secret, McpServer(given.endpoint).by_events
        stand_in = f"{STAND_IN}{secrets.token_hex(16)}"
        names = _names(server)
        key = KeyStandIn(stand_in, Key(secret), names) if secret is not None and names else None
        ways[name] = ProviderWay(given.endpoint, key, policy(), Announced(name, given.endpoint) if by_events else None)
        endpoint = f"http://{LOOPBACK}:{port_beside(network)}/{name}{f'/{STREAM}' if by_events else ''}"
        told.append(replace(server, given=replace(given, endpoint=endpoint), secret=stand_in if key else None))
    return await configuration_for(job, told, adapter, guarded=guarded), ways


def _names(server: RunServer) -> frozenset[str]:
    """The headers that carry the secret; none if no header can hold it."""
    given = server.given
    return frozenset(headers_with(given.cred_type or CredentialPlacement.bearer, given.cred_header, server.secret))
