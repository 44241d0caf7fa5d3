"""A caller waits for the end of a run, or until it waits for a person or an event."""

import asyncio
import contextlib
import time
from collections import Counter
from typing import Any, Final

import orjson

from resolvers.identity.caller import Caller
from resolvers.kernel import Topic
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.reader import Shape
from resolvers.kernel.store.bus import bus
from resolvers.work.routine_runs.listing import get_routine_run

LONGEST_WAIT: Final = 300
"""Seconds."""
LOOK: Final = 5.0
PAUSE: Final = 0.2
"""Seconds between two looks at least: events of other runs are announced, too."""
MOST_WAITS: Final = 100
"""Waits of one credential in a workspace, in a process. A wait beyond them is answered at once."""
_waits: Counter[tuple[str, str | None]] = Counter()


async def wait_for_end(
    caller: Caller,
    begun: bytes,
    shape: Shape | None,
    place: str | None,
    seconds: float,
    read: Operation[Any] = get_routine_run,
) -> bytes:
    """The result of a run that has begun, when it has ended or waits, or after so many seconds. It looks when events
    are announced, by `read`, and holds no connection to the database meanwhile. A caller with 100 waits gets it as it
    is.
    """
    waiter = (caller.credential or caller.user_id, place or caller.workspace)  # all machines have one credential
    if _waits[waiter] >= MOST_WAITS:
        return begun
    _waits[waiter] += 1
    try:
        return await _end_of(caller, begun, shape, place, seconds, read)
    finally:
        _waits[waiter] -= 1
        if not _waits[waiter]:
            del _waits[waiter]


async def _end_of(
    caller: Caller, begun: bytes, shape: Shape | None, place: str | None, seconds: float, read: Operation[Any]
) -> bytes:
    shown: dict[str, Any] = orjson.loads(begun)
    until, rung = time.monotonic() + seconds, asyncio.Event()
    silence = bus.on(Topic.events, lambda key: rung.set())
    try:
        while True:
            rung.clear()
            asked = time.monotonic()
            answer = await read(caller, {"id": shown["run_id"]}, shape, place=place)
            body: bytes = answer.body or begun
            if orjson.loads(body)["status"] != "RUNNING" or asked >= until:
                return body
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK, until - asked)):
                    await rung.wait()
            await asyncio.sleep(max(0.0, PAUSE - (time.monotonic() - asked)))
    finally:
        silence()
