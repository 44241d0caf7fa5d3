"""Makes and rehearses backups of the instance on schedule: `crewship backup`, in a process of its own."""

import asyncio
import sys
from typing import Final

from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.background.clocks import AcrossWorkspaces
from resolvers.oversight.backups.schedule import DAILY, needs_rehearsal
from runtime.engine.clocks import Tick, ticks

SAID: Final = 2000  # bytes of what a command said
WITHOUT_A_SEAL: Final = "CREWSHIP_BACKUP_KEEP is set, and CREWSHIP_BACKUP_PASSPHRASE is not: no backup was made"


def _scheduled() -> bool:
    return instance.settings.backup_keep is not None


@ticks(DAILY, here=_scheduled)
async def back_up(tick: Tick) -> None:
    """An interrupted tick starts over, with a bundle more."""
    if instance.settings.backup_passphrase is None:
        log.error(WITHOUT_A_SEAL)
        return
    beside = ("--incremental",) if instance.settings.backup_incremental else ()
    if not await _succeeds("create", *beside):
        return
    await _succeeds("rotate", "--scope", "instance", "--keep-last", str(instance.settings.backup_keep))

    async def due(rows: AcrossWorkspaces) -> bool:
        return await needs_rehearsal(rows, tick.now)

    if await tick.write(due):
        await _succeeds("rehearse")


async def _succeeds(command: str, *options: str) -> bool:
    """The command has the environment of the server, and names no secret in its arguments."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crewship", "backup", command, *options,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await child.communicate()
    except BaseException:
        if child.returncode is None:
            child.kill()
            await child.wait()
        raise
    if child.returncode:
        log.error("scheduled backup failed", command=command, error=said[-SAID:].decode(errors="replace").strip())
    return child.returncode == 0
