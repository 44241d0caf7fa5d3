"""An engine that is loaded when the first run needs it: a server without work pays neither its half second nor its thirty megabytes."""

import asyncio
from collections.abc import Awaitable, Callable

from runtime.engine import Body, Engine

Prepare = Callable[[], Awaitable[None]]


class WakingEngine:
    """Opens `engine` at its first use, after `prepare` (making its tables, where that is this process's to do). A failure is tried again at the next use."""

    def __init__(self, engine: Engine, prepare: Prepare | None = None) -> None:
        self._engine, self._prepare = engine, prepare
        self._body: Body | None = None
        self._awake = False
        self._waking = asyncio.Lock()

    async def open(self, body: Body) -> None:
        self._body = body

    async def close(self) -> None:
        async with self._waking:
            self._body = None
            if self._awake:
                await self._engine.close()

    async def _woken(self) -> Engine:
        if not self._awake:
            async with self._waking:
                if self._body is None:
                    raise RuntimeError("the engine is closed")
                if not self._awake:
                    if self._prepare is not None:
                        await self._prepare()
                    await self._engine.open(self._body)
                    self._awake = True
        return self._engine

    async def start(self, run_id: str) -> None:
        await (await self._woken()).start(run_id)

    async def resume(self, run_id: str) -> None:
        await (await self._woken()).resume(run_id)

    async def fork(self, run_id: str, new_run_id: str, before: int) -> None:
        await (await self._woken()).fork(run_id, new_run_id, before)

    async def cancel(self, run_id: str) -> None:
        await (await self._woken()).cancel(run_id)

    async def step(self, name: str, body: Callable[[], Awaitable[None]]) -> bool:
        return await self._engine.step(name, body)  # inside a run, which has woken it

    async def forget(self, older_than: float) -> None:
        if self._awake:
            await self._engine.forget(older_than)
