"""The sweep of many expired rows, and somebody who listens meanwhile."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import AcrossWorkspaces, across_workspaces
from resolvers.kernel.store.bus import Topic, bus
from tests.live.sockets import client_of
from tests.partitions import part_off
from tests.world import World

OLD = (
    (
        "INSERT INTO events (workspace_id, channel, type, payload, created_at) SELECT $1::text, 'workspace:'"
        " || $1, 'crew.updated', '{{}}', now() - interval '8 days' FROM generate_series(1, {rows})"
    ),
    (
        "INSERT INTO idempotency_keys (principal, operation, key, request_hash, created_at)"
        " SELECT $1, 'labels.create', i, '', now() - interval '25 hours' FROM generate_series(1, {rows}) AS i"
    ),
    (
        "INSERT INTO run_frames (workspace_id, chat_id, seq, type, payload, created_at)"
        " SELECT $1, 'swept', i, 'chat_event', '{{}}', now() - interval '31 days' FROM generate_series(1, {rows}) AS i"
    ),
)
LEFT = (
    "SELECT (SELECT count(*) FROM events WHERE created_at < now() - interval '7 days') + (SELECT count(*)"
    " FROM idempotency_keys WHERE created_at < now() - interval '24 hours') + (SELECT count(*)"
    " FROM run_frames WHERE chat_id = 'swept')"
)
PAST = (("events", 9, 7), ("run_frames", 33, 30))
"""The partitions that these rows are in: between so many days ago, and an hour more."""
EVERY = 0.02  # seconds between events that are heard


@dataclass
class Swept:
    """Seconds of the whole, of each portion, and from the writing of each event of that time to when it was heard."""

    rows: int
    whole: float = 0.0
    portions: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    left: int = 0


async def sweep_old(superuser: "asyncpg.Connection[Any]", world: World, rows: int) -> Swept:
    """Fills each of three tables with `rows` expired rows, and has them removed."""
    made = Swept(rows)
    await superuser.execute("SET session_replication_role = replica; SET statement_timeout = 0")
    for table, begin, end in PAST:
        times = [
            await superuser.fetchval("SELECT now() - make_interval(days => $1, hours => 1)", days)
            for days in (begin, end)
        ]
        await part_off(superuser, table, "19990101", *times)
    for sql in OLD:
        await superuser.execute(sql.format(rows=rows), world.workspace.id)
    await superuser.execute("SET session_replication_role = origin")
    await superuser.execute("VACUUM (ANALYZE) events, idempotency_keys, run_frames")

    async def timed(portion: Callable[[AcrossWorkspaces], Awaitable[Any]]) -> Any:
        begun = time.perf_counter()
        try:
            return await across_workspaces(portion)
        finally:
            made.portions.append(time.perf_counter() - begun)

    async with client_of(world, world.owner) as listener:
        channel = f"workspace:{world.workspace.id}"
        await listener.subscribe(channel)
        await listener.settle()
        begun = time.perf_counter()
        sweeping = asyncio.create_task(sweeper.sweep(timed))
        while not sweeping.done():
            made.waited.append(await _heard(listener, world, channel, len(made.waited)))
            await asyncio.sleep(EVERY)
        await sweeping
        made.whole = time.perf_counter() - begun
    made.left = await superuser.fetchval(LEFT)
    return made


async def _heard(listener: Any, world: World, channel: str, number: int) -> float:
    type, begun = f"test.tick{number}", time.perf_counter()
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1, $2, $3, '{}')",
        world.workspace.id,
        channel,
        type,
    )
    bus.ring(Topic.events)
    await listener.hears(type)
    return time.perf_counter() - begun
