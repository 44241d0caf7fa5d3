"""When the schedule rehearses a restore: weekly, and again with the next bundle after one that failed."""

from datetime import datetime, timedelta
from functools import partial

import orjson
import pytest

from models.migrations.cluster import NOTE
from resolvers.instance.bundles.records import REHEARSED
from resolvers.kernel import AcrossWorkspaces, across_workspaces
from resolvers.oversight.backups.schedule import REHEARSAL_EVERY, needs_rehearsal
from tests.world import World, now

pytestmark = pytest.mark.anyio


async def test_a_rehearsal_is_due_weekly_and_after_a_failure(world: World) -> None:
    async def is_due(after: timedelta) -> bool:
        return bool(await across_workspaces(partial(_needs, now() + after)))

    assert await is_due(timedelta())
    for ok in (True, False, True):
        fact = {"created_at": "2026-12-01T00:00:00Z", "ok": ok, "seconds": 1.0, "rows": 1}
        await world.database.execute(NOTE, REHEARSED, orjson.dumps(fact).decode())
        assert await is_due(timedelta()) is not ok
        assert await is_due(timedelta(days=6)) is not ok
        assert await is_due(REHEARSAL_EVERY + timedelta(minutes=1))


async def _needs(at: datetime, rows: AcrossWorkspaces) -> bool:
    return await needs_rehearsal(rows, at)
