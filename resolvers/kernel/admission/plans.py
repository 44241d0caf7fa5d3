"""Plans are compiled off the event loop, within a budget of the caller's, and kept up to a sum of bytes. See ADR 25."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prometheus_client import Counter

from resolvers.kernel.admission.gate import ReadPlan
from resolvers.kernel.ground.pace import Pace
from resolvers.kernel.reader.shape import weight

KEPT = 32 * 2**20  # bytes of all plans of a process
BESIDE, FIELD = 2000, 400  # bytes of a plan beside its text, and of each field of the shape that it keeps
COMPILATIONS = 120  # a minute, for one principal
TOO_MANY = f"More than {COMPILATIONS} new kinds of queries within a minute; try again"


COMPILED = Counter(
    "crewship_plans_compiled", "Statements that this process has put together, since they were not known yet"
)


class Shelf:
    """Every plan of the process, as they came. The oldest not used since it was last looked at goes first."""

    def __init__(self, limit: int = KEPT) -> None:
        self.limit, self.size = limit, 0
        self._order: deque[tuple[dict[Any, ReadPlan], Any, ReadPlan, int]] = deque()

    def keep(self, plans: dict[Any, ReadPlan], key: Any, plan: ReadPlan) -> None:
        plans[key] = plan
        size = _size(plan)
        self._order.append((plans, key, plan, size))
        self.size += size
        while self.size > self.limit and len(self._order) > 1:
            plans, key, plan, size = self._order.popleft()
            if plans.get(key) is not plan:
                pass
            elif plan.used:
                plan.used = False
                self._order.append((plans, key, plan, size))
                continue
            else:
                del plans[key]
            self.size -= size


def _size(plan: ReadPlan) -> int:
    """Bytes, about."""
    shapes = plan.shape if isinstance(plan.shape, tuple) else () if plan.shape is None else (plan.shape,)
    return len(plan.sql) + BESIDE + FIELD * sum(map(weight, shapes))


class Compilation:
    """One thread that compiles: one plan at a time, and a plan that several wait for once."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._under_way: dict[Any, asyncio.Future[ReadPlan]] = {}

    async def plan(
        self, plans: dict[Any, ReadPlan], key: Any, build: Callable[[], ReadPlan], pay: Callable[[], None]
    ) -> ReadPlan:
        """Returns the plan under `key`, or builds it with `build`. Calls `pay` unless another call is already building
        it.
        """
        if key in plans:
            return plans[key]
        place = (id(plans), key)
        waited = self._under_way.get(place)
        if waited is None:
            pay()
            waited = self._under_way[place] = asyncio.get_running_loop().run_in_executor(self._thread, build)
            waited.add_done_callback(lambda done: self._made(place, plans, key, done))
        return await asyncio.shield(waited)

    def _made(self, place: Any, plans: dict[Any, ReadPlan], key: Any, done: asyncio.Future[ReadPlan]) -> None:
        self._under_way.pop(place, None)
        if not done.cancelled() and done.exception() is None:
            COMPILED.inc()
            shelf.keep(plans, key, done.result())


shelf = Shelf()
budget = Pace(COMPILATIONS, TOO_MANY)
reads = Compilation("compile-reads")
tails = Compilation("compile-tails")  # a transaction waits for its tail: it does not stand behind reads
