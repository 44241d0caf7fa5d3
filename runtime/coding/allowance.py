"""What a run may still use of its model, when several calls of it are made at once.

What a call may use at most is set aside before it is made, and what it has used takes that place when it is answered.
A call for which not enough is left waits for those that are under way. Alone, it is made as long as anything is left:
so a run goes beyond its limits by what one call uses, however many are made at once. See ADR 64.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

REACHED, USED, SPENT = "turns", "tokens", "money"


class Exhausted(Exception):
    """Nothing is left: `of` is what there is no more of."""

    def __init__(self, of: str) -> None:
        super().__init__(of)
        self.of = of


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Of calls of a model: how many, their tokens, and millionths of a US dollar."""

    turns: int = 0
    tokens: int = 0
    micros: int = 0

    def __add__(self, other: "ModelUse") -> "ModelUse":
        return ModelUse(self.turns + other.turns, self.tokens + other.tokens, self.micros + other.micros)


NOTHING: Final = ModelUse()


class Allowance:
    """Of one run, in this process. What has no limit is None."""

    def __init__(self, *, turns: int, tokens: int | None, micros: int | None) -> None:
        self._limits = {REACHED: turns, USED: tokens, SPENT: None if micros is None else max(micros, 1)}
        self._used = NOTHING
        self._open = list[ModelUse]()
        self._settled = asyncio.Event()

    async def take(self, most: ModelUse) -> None:
        """Sets it aside; give it back by `settle`. Raises Exhausted."""
        while True:
            if (of := self._beyond(self._used, reached=True)) is not None:
                raise Exhausted(of)
            if not self._open or self._beyond(sum(self._open, self._used + most)) is None:
                self._open.append(most)
                return
            await self._settled.wait()

    def settle(self, most: ModelUse, used: ModelUse) -> None:
        self._open.remove(most)
        self._used += used
        settled, self._settled = self._settled, asyncio.Event()
        settled.set()

    def _beyond(self, use: ModelUse, *, reached: bool = False) -> str | None:
        """The limit that is passed, or `reached`."""
        amounts = {REACHED: use.turns, USED: use.tokens, SPENT: use.micros}
        for of, limit in self._limits.items():
            if limit is not None and (amounts[of] > limit or (reached and amounts[of] == limit)):
                return of
        return None
