"""Schedules in a yard of routines: they are made by people, and their time is moved to the past."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from resolvers.identity.caller import Caller
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.work import routine_schedules
from resolvers.work.routine_schedules.firing import look
from rest_compat.work.routine_schedules import RoutineScheduleJSON
from tests.work.routine_runs.yard import RoutineYard
from tests.world import now

MINUTE = timedelta(minutes=1)


async def made(yard: RoutineYard, routine: Any, caller: Caller | None = None, **raw: Any) -> dict[str, Any]:
    sent = {"target_pipeline_id": routine.id, "cron_expr": "0 0 1 1 *", "name": "tides", **raw}
    return await yard.ask(  # type: ignore[no-any-return]
        routine_schedules.create_routine_schedule, sent, RoutineScheduleJSON, caller
    )


async def changed(yard: RoutineYard, id: str, **raw: Any) -> dict[str, Any]:
    return await yard.ask(  # type: ignore[no-any-return]
        routine_schedules.update_routine_schedule, {"id": id, **raw}, RoutineScheduleJSON
    )


async def due(yard: RoutineYard, id: str, at: datetime | None = None) -> datetime:
    """Moves the next time to the past; without a time, to this moment."""
    at = (at or now() - timedelta(seconds=1)).replace(microsecond=0)
    await yard.estate.owner.execute("UPDATE routine_schedules SET next_run_at = $2 WHERE id = $1", id, at)
    return at


async def ticks() -> None:
    await look(across_workspaces, now())


async def row(yard: RoutineYard, id: str) -> Any:
    return await yard.found("SELECT * FROM routine_schedules WHERE id = $1", id)


async def until(yard: RoutineYard, id: str, reached: Callable[[Any], bool], seconds: float = 20.0) -> Any:
    """The row of a schedule, once it is so."""
    async with asyncio.timeout(seconds):
        while not reached(found := await row(yard, id)):
            await asyncio.sleep(0.02)
    return found


async def fired(yard: RoutineYard, id: str, reached: Callable[[Any], bool] | None = None) -> Any:
    """The row after one tick, when the outcome is known."""
    await ticks()
    return await until(yard, id, reached or (lambda found: found["last_status"] is not None))


async def runs(yard: RoutineYard, id: str) -> list[Any]:
    sql = "SELECT * FROM routine_runs WHERE triggered_by_id = $1 ORDER BY started_at"
    return await yard.estate.owner.fetch(sql, id)


async def item(yard: RoutineYard, kind: str, source: str) -> Any:
    sql = "SELECT * FROM inbox_items WHERE kind = $1 AND source_id LIKE $2 || '%'"
    return await yard.found(sql, kind, source)
