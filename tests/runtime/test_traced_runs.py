"""Runs name their span to the servers that they call, in the trace of the caller that asked for them."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from models.staff.runs import Run
from models.trace_context import calling
from resolvers.instance import mcp_client, trace_context
from resolvers.instance.outbound import Policy
from resolvers.instance.running import instance
from resolvers.staff.runs import work
from runtime.runs.job import Job, Outcome, Sink
from tests.resources.integrations.mcp_hosts import hostile
from tests.runtime.doubles import speaks
from tests.runtime.estate import Estate
from tests.runtime.shop import Shop
from tests.staff.runs.test_trace_context import GIVEN, NOWHERE, TRACE

pytestmark = pytest.mark.anyio


@contextlib.contextmanager
def collecting(**where: Any) -> Iterator[None]:
    with mock.patch.object(instance, "_settings", instance.settings.model_copy(update=where)):
        yield


async def heard_by_a_server(estate: Estate, shop: Shop, **where: Any) -> tuple[Run, str | None]:
    """A run for a caller with a trace, and the `traceparent` that an MCP server received from it."""
    async with hostile() as server:

        async def does(job: Job, sink: Sink) -> Outcome:
            asked = mcp_client.McpServer(server.url("locked"), policy=Policy.PRIVATE_TOO)
            with contextlib.suppress(mcp_client.McpFailed):
                await mcp_client.called(asked, "speak", {})
            return await speaks(job, sink)

        with collecting(**where):
            await shop.worker(does)
            calling.set(GIVEN)
            run = await estate.ask()
            calling.set(None)
            assert (await estate.ended(run.id)).status == "COMPLETED"
        assert server.seen, "the server was not asked"
        return run, server.seen.get("traceparent")


async def test_a_run_names_its_span_in_the_callers_trace_to_servers(estate: Estate, shop: Shop) -> None:
    run, heard = await heard_by_a_server(estate, shop, **NOWHERE)
    assert heard == f"00-{TRACE}-{trace_context.span_id(run.id, 0):016x}-01"
    assert await work.traceparent(run.workspace_id, run.id) == heard
    assert await work.traceparent(run.workspace_id, "gone") is None
    assert trace_context.current.get() is None


async def test_without_a_collector_a_run_names_no_trace(estate: Estate, shop: Shop) -> None:
    assert (await heard_by_a_server(estate, shop))[1] is None


async def test_a_run_below_another_one_is_in_its_trace(estate: Estate) -> None:
    above = await estate.ask()
    await estate.owner.execute("UPDATE runs SET traceparent = $2 WHERE id = $1", above.id, GIVEN)
    below = await estate.ask()
    await estate.owner.execute("UPDATE runs SET parent_id = $2 WHERE id = $1", below.id, above.id)
    assert await work.traceparent(below.workspace_id, below.id) == (
        f"00-{TRACE}-{trace_context.span_id(below.id, 0):016x}-01"
    )
