"""Authorization servers on this machine, which MCP servers may be at for once."""

from collections.abc import AsyncIterator
from unittest import mock

import pytest

from resolvers.instance.running import instance
from tests.resources.oauth.server import Authorities
from tests.world import World


@pytest.fixture
async def authorities(world: World) -> AsyncIterator[Authorities]:
    for table in ("agent_mcp_bindings", "crew_integrations", "workspace_mcp_servers", "credentials"):
        await world.database.execute(f"DELETE FROM {table}")
    allowed = instance.settings.model_copy(update={"mcp_allow_private": True})
    with mock.patch.object(instance, "_settings", allowed):
        async with Authorities().listening() as made:
            yield made
