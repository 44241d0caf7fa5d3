"""The remaining model usage of a run with concurrent calls.

The maximum of a call is reserved before it is made; the answer replaces the reservation by the actual usage. A call for
which too little is left waits for those under way. Alone, it proceeds while anything is left: so a run exceeds its
limits by one call at most, however many calls are concurrent. See ADR 64.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

REACHED, USED, SPENT = "turns", "tokens", "money"


class Exhausted(Exception):
    """A limit is used up: `of` names it."""

    def __init__(self, of: str) -> None:
        super().__init__(of)
        self.of = of


@dataclass(frozen=True, slots=True)
class ModelUse:
    """The usage of model calls: their number, tokens, and millionths of a US dollar."""

    turns: int = 0
    tokens: int = 0
    micros: int = 0

    def __add__(self, other: "ModelUse") -> "ModelUse":
        return ModelUse(self.turns + other.turns, self.tokens + other.tokens, self.micros + other.micros)


NOTHING: Final = ModelUse()


class Allowance:
    """The limits of one run, in this process. None means no limit."""

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
