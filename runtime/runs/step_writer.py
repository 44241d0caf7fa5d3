"""Steps of runs that end at the same time are stored by one statement: while one is under way, the next are gathered.

Each run waits until its own step is stored, so nothing waits for more than the statement before it.
"""

import asyncio

from resolvers.staff.runs import work
from resolvers.staff.runs.work import Batch, RunClaim

Waiting = tuple[RunClaim, Batch, int, "asyncio.Future[bool]"]


class StepWriter:
    """Writes the steps of the runs of one process. Row-level security applies to each statement: it belongs to one
    workspace.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[Waiting]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._alone: set[asyncio.Task[None]] = set()

    async def append(self, claim: RunClaim, batch: Batch, written: int) -> bool:
        """As `work.append`. Steps with output or costs use a statement of their own."""
        if batch.frames or batch.charges:
            return await work.append(claim, batch, written)
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[bool] = loop.create_future()
        self._waiting.setdefault(claim.workspace_id, []).append((claim, batch, written, stored))
        if claim.workspace_id not in self._tasks:
            self._tasks[claim.workspace_id] = loop.create_task(self._run(claim.workspace_id))
        return await stored

    async def _run(self, workspace_id: str) -> None:
        try:
            while waiting := self._waiting.pop(workspace_id, None):
                await self._store(waiting)
        finally:
            del self._tasks[workspace_id]

    async def _store(self, waiting: list[Waiting]) -> None:
        try:
            stored = await work.append_steps([(claim, batch) for claim, batch, _, _ in waiting])
        except Exception as error:
            return _tell(waiting, error)
        _tell([each for each in waiting if each[0].run_id in stored], True)
        for each in waiting:
            if each[0].run_id not in stored:
                task = asyncio.get_running_loop().create_task(_alone(each))
                self._alone.add(task)
                task.add_done_callback(self._alone.discard)


async def _alone(each: Waiting) -> None:
    """The run is lost, or its row is locked: this run alone waits for the lock."""
    claim, batch, written, _ = each
    try:
        _tell([each], await work.append(claim, batch, written))
    except Exception as error:
        _tell([each], error)


def _tell(waiting: list[Waiting], outcome: bool | Exception) -> None:
    for *_, stored in waiting:
        if stored.done():  # the run waits no more
            continue
        if isinstance(outcome, Exception):
            stored.set_exception(outcome)
        else:
            stored.set_result(outcome)
