"""The state of the answering process: its start time, log level, and free disk space."""

import asyncio
import shutil
from typing import Annotated

from resolvers.kernel import Absent, Action, Context, NoInput, Output, instance, procedure
from resolvers.oversight.admin.log_level import LogLevelState, log_level_of

PATIENCE = 3.0  # seconds, for a disk that may not answer


class Disk(Output):
    """The file system of the data directory, in bytes; only `error` if it cannot be read."""

    path: str
    total_bytes: Annotated[int | None, Absent()] = None
    free_bytes: Annotated[int | None, Absent()] = None
    used_bytes: Annotated[int | None, Absent()] = None
    used_pct: Annotated[float | None, Absent()] = None
    error: Annotated[str | None, Absent()] = None


class AdminHealth(Output):
    """The process that answers."""

    uptime_seconds: int
    log_level: LogLevelState
    disk: Disk


@procedure("admin.health", Action.MANAGE, late=True)
async def admin_health(ctx: Context, data: NoInput) -> AdminHealth:
    """Get the health of the server.

    Returns uptime, log level and disk usage of the process that answers.
    """
    return AdminHealth(
        uptime_seconds=int(instance.uptime()), log_level=await log_level_of(ctx), disk=await _disk_of_data()
    )


async def _disk_of_data() -> Disk:
    path = str(instance.settings.data_dir)
    try:
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.to_thread(shutil.disk_usage, path)
    except TimeoutError:
        return Disk(path=path, error="The disk does not answer")
    except OSError as error:
        return Disk(path=path, error=error.strerror or "The disk cannot be read")
    usable = found.used + found.free  # without what is reserved for root
    return Disk(
        path=path,
        total_bytes=found.total,
        free_bytes=found.free,
        used_bytes=found.used,
        used_pct=100 * found.used / usable if usable else 0.0,
    )
