"""The money of a run's model calls: reserved before each call, and booked with the answer."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from resolvers.resources.costs.money import micros
from runtime.adapters.conversation import TokenUsage
from runtime.coding.allowance import NOTHING, Allowance, Exhausted, ModelUse
from runtime.coding.asked import CallAsked
from runtime.coding.gateway import KeyRefused, Metered
from runtime.coding.inbox import Inbox
from runtime.coding.metering import tokens_of, usage_of
from runtime.runs.prompt import BYTES_A_TOKEN

PATIENCE: Final = 2.0
Cost = Callable[[str, TokenUsage], Awaitable[float | None]]
"""US dollars for a model's usage; None if the price is unknown."""


@dataclass(frozen=True, slots=True)
class Booking:
    """A call that is paid for. `counted`: by its provider, and not by us."""

    model: str
    usage: TokenUsage
    counted: bool
    cost: float | None
    ms: int


class RunAccount:
    """The account of one coding agent process. `over` names the limit that is used up, if any: then the process must
    end.
    """

    def __init__(self, model: str, cost: Cost, allowance: Allowance, inbox: Inbox[Booking | KeyRefused, Any]) -> None:
        self._model, self._cost, self._allowance, self._inbox = model, cost, allowance, inbox
        self.over = ""
        self.patience = 0.0
        """Until when, by the clock of this process, the rest of what it has printed is read then."""

    async def reserve(self, call: CallAsked) -> "Reserved":
        model, most = call.model or self._model, usage_of(call.reads, call.writes)
        reserved = Reserved(self, call, ModelUse(1, tokens_of(most), await self._micros(model, most)))
        try:
            await self._allowance.take(reserved.most)
        except Exhausted as exhausted:
            if not self.over:
                self.over, self.patience = exhausted.of, time.monotonic() + PATIENCE
            self._inbox.halt()
            raise
        return reserved

    async def settle(self, call: CallAsked, most: ModelUse, became: Metered | KeyRefused | None) -> None:
        used = NOTHING
        try:
            if isinstance(became, KeyRefused):
                self._inbox.call(became)
            elif became is not None:
                usage = became.usage or usage_of(call.reads, -(-became.wrote // BYTES_A_TOKEN))
                model = call.model or self._model
                used = ModelUse(1, tokens_of(usage), await self._micros(model, usage))
                cost = await self._cost(model, usage)
                self._inbox.call(Booking(model, usage, became.usage is not None, cost, became.ms))
        finally:
            self._allowance.settle(most, used)

    async def _micros(self, model: str, usage: TokenUsage) -> int:
        """A model without a price that was not chosen for the agent has the price of the chosen one."""
        cost = await self._cost(model, usage)
        return micros(cost if cost is not None else await self._cost(self._model, usage)) or 0


@dataclass(frozen=True, slots=True)
class Reserved:
    account: RunAccount
    call: CallAsked
    most: ModelUse

    async def settle(self, became: Metered | KeyRefused | None) -> None:
        await self.account.settle(self.call, self.most, became)
