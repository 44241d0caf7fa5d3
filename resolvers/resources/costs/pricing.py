"""The price of a model call: the workspace's own price, otherwise the published one."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic
from typing import Final

import asyncpg
from sqlmodel import col

from models.resources.costs import ModelPrice
from resolvers.instance import prices
from resolvers.kernel import AcrossWorkspaces, Refusal, Topic, across_workspaces, log
from resolvers.kernel.ground.constants import DATE
from resolvers.kernel.store.bus import bus

MOST_PRICES: Final = 1_000
"""The most prices of a workspace."""
LASTS: Final = 2.0
"""Seconds after which a process reads the prices of a workspace again, if no wake-up came before."""
MOST_WORKSPACES: Final = 1_000
"""The most workspaces whose prices a process keeps."""
TROUBLE: Final = (Refusal, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
A_MILLION_MICROS: Final = 10**12


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """Millionths of a US dollar per million tokens."""

    input: int
    output: int
    cached: int

    def cost(self, used: "Used") -> float:
        fresh = used.read - used.from_cache
        return (fresh * self.input + used.from_cache * self.cached + used.wrote * self.output) / A_MILLION_MICROS


@dataclass(frozen=True, slots=True)
class Used:
    """The tokens of a call. `read` is all that was read, cached or not."""

    read: int
    wrote: int
    from_cache: int = 0
    to_cache: int = 0


class _OwnPrices:
    """The own prices of workspaces, as this process has read them last."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, dict[str, OwnPrice]]] = OrderedDict()
        self._rings = 0

    def forget(self, key: str) -> None:
        """After a wake-up: what is being read at this moment may be old, too."""
        self._rings += 1
        workspace_id = key.removeprefix(ring_of(""))
        for known in [workspace_id] if workspace_id in self._known else [*self._known] if not key else []:
            self._known[known] = (0.0, self._known[known][1])

    async def of(self, workspace_id: str) -> dict[str, OwnPrice]:
        until, known = self._known.get(workspace_id, (0.0, {}))
        if until > monotonic():
            return known
        rings = self._rings
        try:
            known = await _read(workspace_id)
        except TROUBLE as error:  # the call has been made: it is priced by what is known
            log.warning("own prices of models unknown", workspace_id=workspace_id, error=type(error).__name__)
            return known
        self._known[workspace_id] = (monotonic() + LASTS if rings == self._rings else 0.0, known)
        self._known.move_to_end(workspace_id)
        while len(self._known) > MOST_WORKSPACES:
            self._known.popitem(last=False)
        return known


async def _read(workspace_id: str) -> dict[str, OwnPrice]:
    async def find(rows: AcrossWorkspaces) -> list[tuple[str, int, int, int | None]]:
        columns = ("model", "input_micros", "output_micros", "cached_input_micros")
        here = rows.within(workspace_id)
        return await here.select(
            ModelPrice, col(ModelPrice.since) <= DATE, columns=columns, order_by=col(ModelPrice.since)
        )

    return {
        model: OwnPrice(read, wrote, read if cached is None else cached)
        for model, read, wrote, cached in await across_workspaces(find)
    }


def ring_of(workspace_id: str) -> str:
    return f"model_prices/{workspace_id}"


_own = _OwnPrices()
bus.on(Topic.settings, _own.forget)


async def own_cost(workspace_id: str, model: str, used: Used) -> float | None:
    """US dollars by the workspace's own price; None if it has none for the model."""
    price = (await _own.of(workspace_id)).get(model) if workspace_id else None
    return None if price is None else price.cost(used)


async def cost(workspace_id: str, address: str, model: str, used: Used, *, provider: str | None = None) -> float | None:
    """US dollars; None where neither the workspace nor the provider has a price. The provider is known by the address
    of its API, or by its name. Call it outside a transaction.
    """
    own = await own_cost(workspace_id, model, used)
    return own if own is not None else await asyncio.to_thread(_published, address, model, used, provider)


def _published(address: str, model: str, used: Used, provider: str | None) -> float | None:
    return prices.price(
        address,
        model,
        read=used.read,
        wrote=used.wrote,
        from_cache=used.from_cache,
        to_cache=used.to_cache,
        provider=provider,
    )
