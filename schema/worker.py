"""Work whose cost a document decides: done beside the event loop, piece by piece, and refused where too much waits.

Python runs one thread at a time, so that this makes nothing faster: it lets everybody else be served meanwhile.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from resolvers.errors import Code, Refusal

T = TypeVar("T")
MOST = 64  # pieces that wait or are under way


class Worker:
    """One thread, and the pieces of work that wait for it."""

    def __init__(self, most: int = MOST) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="graphql")
        self._most, self._waiting = most, 0

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Raises Refusal UNAVAILABLE where there is no room."""
        if self._waiting >= self._most:
            raise Refusal(Code.UNAVAILABLE, "Too many new documents at once; try again")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1


worker = Worker()
