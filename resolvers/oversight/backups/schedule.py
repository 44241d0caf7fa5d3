"""The schedule of backups of the instance, if CREWSHIP_BACKUP_KEEP is set: a bundle daily, a rehearsal weekly."""

from datetime import datetime, timedelta
from typing import Final

import orjson
from sqlmodel import col

from models.kernel import InstanceFact
from resolvers.instance.bundles.records import REHEARSED
from resolvers.kernel import AcrossWorkspaces, clock

DAILY: Final = clock("backups.daily", every=timedelta(days=1))
REHEARSAL_EVERY: Final = timedelta(days=6, hours=12)
"""Half a day less than a week: bundles are not made at the same second each day."""

SUCCEEDED: Final = orjson.dumps({"ok": True}).decode().strip("{}")


async def needs_rehearsal(rows: AcrossWorkspaces, now: datetime) -> bool:
    """A rehearsal that failed is repeated with the next bundle."""
    recent = (col(InstanceFact.name) == REHEARSED, col(InstanceFact.created_at) > now - REHEARSAL_EVERY)
    return not await rows.everywhere.exists(InstanceFact, *recent, col(InstanceFact.value).contains(SUCCEEDED))
