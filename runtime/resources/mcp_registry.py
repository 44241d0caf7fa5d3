"""Syncs the mirror of the MCP registry on request, and daily from then on."""

from functools import partial

from resolvers.instance.outbound import Policy
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.background.clocks import AcrossWorkspaces
from resolvers.kernel.declarations.jobs import INSTANCE
from resolvers.kernel.ground.inputs import NoInput
from resolvers.resources.mcp_registry.syncing import (
    DAILY,
    LARGEST_PAGE,
    MOST_PAGES,
    SYNC,
    TIMEOUT,
    RegistryPage,
    fetched,
    is_due,
    store,
)
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks


@ticks(DAILY)
async def refresh(tick: Tick) -> None:
    async def enqueue(rows: AcrossWorkspaces) -> None:
        if await is_due(rows):
            rows.enqueue(SYNC, INSTANCE)

    await tick.write(enqueue)


@carries(SYNC)
async def sync(work: Work, data: NoInput) -> None:
    """Page by page. Each is kept as it comes: an attempt that fails leaves a mirror that is older in its last pages."""
    cursor, begun, seen = None, work.now, 0
    for number in range(MOST_PAGES):
        page = await work.call(f"page {number}", partial(_page, cursor), timeout=2 * TIMEOUT)
        await store(page.entries, begun)
        seen += len(page.entries)
        cursor = page.cursor
        if cursor is None:
            break
    log.info("the MCP registry was synchronised", servers=seen)


async def _page(cursor: str | None, _: str) -> RegistryPage:
    """The operator names the registry, which may be one of their own network."""
    async with instance.http(Policy.CONFIGURED, timeout=TIMEOUT, most=LARGEST_PAGE) as http:
        return await fetched(http, cursor)
