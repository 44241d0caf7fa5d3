"""Steps that end together are one statement, each of a run that is held; and nobody waits for a row of another run."""

import asyncio
from typing import Any

import asyncpg
import pytest

from resolvers.staff.runs import work
from resolvers.staff.runs.work import Batch, RunClaim, Step
from runtime.runs.step_writer import StepWriter
from tests.runtime.estate import Estate

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


async def claims(estate: Estate, number: int) -> list[RunClaim]:
    for _ in range(number):
        await estate.ask()
    return await work.claim("worker", number, seconds=30.0)


async def test_steps_that_end_together_are_one_statement(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    held, writer, together = await claims(estate, 6), StepWriter(), list[int]()
    append_steps = work.append_steps

    async def counted(batches: Any) -> set[str]:
        together.append(len(batches))
        return await append_steps(batches)

    monkeypatch.setattr(work, "append_steps", counted)
    batches = [Batch(announced=["later"], finished={"one": {"n": n}, "none": None}) for n in range(len(held))]
    stored = await asyncio.gather(*[writer.append(claim, batch, 0) for claim, batch in zip(held, batches, strict=True)])
    assert stored == [True] * len(held)
    assert together == [len(held)]
    for n, claim in enumerate(held):
        assert await work.steps(claim) == {
            "later": Step(False, None),
            "one": Step(True, {"n": n}),
            "none": Step(True, None),
        }


async def test_a_run_that_is_lost_is_not_written(estate: Estate) -> None:
    """The others are."""
    held, writer = await claims(estate, 3), StepWriter()
    await estate.owner.execute("UPDATE runs SET lease = lease + 1 WHERE id = $1", held[1].run_id)
    stored = await asyncio.gather(*[writer.append(claim, Batch(finished={"one": 1}), 0) for claim in held])
    assert stored == [True, False, True]
    assert [len(await work.steps(claim)) for claim in held] == [1, 0, 1]


async def test_a_row_that_somebody_has_holds_up_its_own_run_alone(estate: Estate) -> None:
    held, writer = await claims(estate, 3), StepWriter()
    other = await asyncpg.connect(estate.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    await other.execute("SELECT set_config('crewship.workspaces', '*', false)")
    try:
        async with other.transaction():
            await other.execute("SELECT FROM runs WHERE id = $1 FOR UPDATE", held[1].run_id)
            tasks = [asyncio.create_task(writer.append(claim, Batch(finished={"one": 1}), 0)) for claim in held]
            async with asyncio.timeout(10):
                assert await tasks[0]
                assert await tasks[2]
                for claim in (held[0], held[2]):
                    assert await writer.append(claim, Batch(finished={"two": 2}), 0)
            assert not tasks[1].done()
        assert await tasks[1]
    finally:
        await other.close()
    assert [len(await work.steps(claim)) for claim in held] == [2, 1, 2]


async def test_a_failure_is_told_to_all_who_wait(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_: Any) -> set[str]:
        raise OSError("away")

    held, writer = await claims(estate, 2), StepWriter()
    monkeypatch.setattr(work, "append_steps", away)
    stored = await asyncio.gather(
        *[writer.append(claim, Batch(finished={"one": 1}), 0) for claim in held], return_exceptions=True
    )
    assert [type(each) for each in stored] == [OSError, OSError]
    monkeypatch.undo()
    assert await asyncio.gather(*[writer.append(claim, Batch(finished={"one": 1}), 0) for claim in held]) == [True] * 2
