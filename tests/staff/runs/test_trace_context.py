"""The trace of a caller: the runs of its requests belong to it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from resolvers.instance import trace_context
from tests.live.conversations import new_chat
from tests.staff.webhooks.test_triggering import hooked, send
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-01"
NOWHERE = {"otel_traces_endpoint": SecretStr("http://127.0.0.1:9/v1/traces")}
SEND = 'mutation($chat: ID!) { sendMessage(input: {chatId: $chat, content: "Hello"}) { runId } }'


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (GIVEN, GIVEN),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"01-{TRACE}-{SPAN}-01-what-comes-later", f"01-{TRACE}-{SPAN}-01"),
        (f"{GIVEN}-more", None),
        (f"01-{TRACE}-{SPAN}-01more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (GIVEN.upper(), None),
        (f" {GIVEN}", None),
        (GIVEN[:-1], None),
        (f"{GIVEN}, {GIVEN}", None),
        (f"01-{TRACE}-{SPAN}-01-{'x' * 200}", None),
        (f"00-{TRACE}-{SPAN}-0\u0661", None),
        ("", None),
    ],
)
def test_only_sane_values_are_taken(given: str, taken: str | None) -> None:
    assert trace_context.sane(given.encode()) == taken


async def started(world: World, **headers: str) -> str | None:
    """What the run notes that a message over GraphQL starts."""
    chat = await new_chat(world)
    answer = await world.graphql(world.owner, SEND, {"chat": chat.id}, **headers)
    return await noted(world, answer["data"]["sendMessage"]["runId"])


async def noted(world: World, run_id: str) -> str | None:
    found: str | None = await world.database.fetchval("SELECT traceparent FROM runs WHERE id = $1", run_id)
    return found


async def test_runs_of_requests_belong_to_the_callers_trace(database: Any, tmp_path: Path) -> None:
    async with world_on(database, tmp_path, **NOWHERE) as world:
        assert await started(world, traceparent=GIVEN) == GIVEN
        assert await started(world) is None, "of the request before"
        assert await started(world, traceparent="00-nonsense") is None
        agent = await hooked(world)
        assert (await send(world, agent, traceparent=GIVEN)).status_code == 202
        hook = await world.database.fetchval("SELECT id FROM runs WHERE agent_id = $1", agent.id)
        assert await noted(world, hook) == GIVEN


async def test_without_a_collector_no_trace_is_noted(world: World) -> None:
    assert await started(world, traceparent=GIVEN) is None
