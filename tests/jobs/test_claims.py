"""A claim at a ring that another process is in the way of is made again a moment later, and not for ever."""

import asyncio

import pytest

from runtime.engine.background import MOST_MISSED, Carrier
from tests.jobs.yard import YARD

pytestmark = pytest.mark.anyio
JOB = YARD[0].job.name


@pytest.mark.slow
@pytest.mark.parametrize(("refusals", "claims"), [(0, 1), (2, 3), (99, 1 + MOST_MISSED)])
async def test_who_was_refused_looks_again(refusals: int, claims: int) -> None:
    made: list[str] = []

    async def claim(name: str) -> None:
        made.append(name)
        if len(made) <= refusals:
            raise OSError("somebody else is at it")

    carrier = Carrier(YARD, "executor", claim)
    carrier.start()
    carrier.ring(JOB)
    async with asyncio.timeout(20):
        while len(made) < claims:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    await carrier.stop()
    assert made == [JOB] * claims
