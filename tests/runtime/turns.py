"""A run that a worker holds, with its sink, and what that stores."""

from typing import Any

import pytest

from models.staff.runs import Run
from resolvers.staff.runs import work
from resolvers.staff.runs.work import Batch, RunClaim
from runtime.runs.turn import TurnSink
from tests.runtime.doubles import LocalEngine, WordGuard
from tests.runtime.estate import Estate


class Turn:
    """A run, held, with its sink."""

    def __init__(self, estate: Estate, run: Run, claim: RunClaim) -> None:
        self.estate, self.run, self.claim = estate, run, claim

    @classmethod
    async def begin(cls, estate: Estate) -> "Turn":
        run = await estate.ask()
        [claim] = await work.claim("w", 1, seconds=30.0)
        return cls(estate, run, claim)

    async def sink(self, word: str = "") -> TurnSink:
        made = TurnSink(self.claim, LocalEngine(), WordGuard(word))
        await made.open()
        return made

    async def taken_over(self) -> "Turn":
        await self.estate.owner.execute(
            "UPDATE runs SET leased_until = now() - interval '1 s' WHERE id = $1", self.run.id
        )
        [claim] = await work.claim("w2", 1, seconds=30.0)
        return Turn(self.estate, self.run, claim)

    async def answer(self) -> list[dict[str, Any]]:
        return await self.estate.answer(str(self.run.chat_id))

    async def said(self) -> list[tuple[str, str]]:
        return [(event["type"], event["content"]) for event in await self.answer()]


class Batches:
    """What was stored at once of this turn: the sink of another test may still have something to store."""

    def __init__(self, turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run_id, self.all = turn.claim.run_id, list[Batch]()
        self.append = work.append
        monkeypatch.setattr(work, "append", self)

    async def __call__(self, claim: RunClaim, batch: Batch, written: int) -> bool:
        if claim.run_id == self.run_id:
            self.all.append(batch)
        return await self.append(claim, batch, written)
