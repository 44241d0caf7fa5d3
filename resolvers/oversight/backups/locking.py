"""The lock of a workspace: one bundle at a time is made of it, or restored into it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import asyncpg
from sqlalchemy import func, select
from sqlmodel import col

from models.oversight.backups import BackupLock
from resolvers.kernel import AcrossWorkspaces, Code, Refusal, across_workspaces

LASTS: Final = timedelta(hours=1)
HELD: Final = "Another backup of this workspace is under way"


@asynccontextmanager
async def locked(workspace_id: str, user_id: str) -> AsyncIterator[None]:
    """CONFLICT while another one holds it. One that has expired is taken over; the end of the block lets it go, if it
    is still its own.
    """
    try:
        acquired = await across_workspaces(partial(_take, workspace_id, user_id))
    except asyncpg.UniqueViolationError:
        raise Refusal(Code.CONFLICT, HELD) from None
    try:
        yield
    finally:
        await across_workspaces(partial(_release, workspace_id, acquired))


async def _take(workspace_id: str, user_id: str, rows: AcrossWorkspaces) -> datetime:
    here = rows.within(workspace_id)
    await here.take(BackupLock, col(BackupLock.expires_at) <= func.now(), columns=("workspace_id",))
    if await here.exists(BackupLock):
        raise Refusal(Code.CONFLICT, HELD)
    ((now,),) = await here.report(select(func.now()))
    await here.insert_all([BackupLock(acquired_by=user_id, acquired_at=now, expires_at=now + LASTS)])
    return now  # type: ignore[no-any-return]


async def _release(workspace_id: str, acquired: datetime, rows: AcrossWorkspaces) -> None:
    await rows.within(workspace_id).take(BackupLock, col(BackupLock.acquired_at) == acquired, columns=("workspace_id",))
