"""Limits the homes of an agent's coding agents in all its chats: above the limit, the least recently used homes are
removed.

A home in use by a run is kept. No run of the agent begins while a home is moved away: a run finds its home, or none,
never one that is being removed.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple

from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel import AcrossWorkspaces
from resolvers.people.workspaces import files
from resolvers.staff.runs.lifecycle import starts_of
from runtime.engine.clocks import Tick
from runtime.sandbox.boundary import MIB, Limits
from runtime.sandbox.sums import measure_directory

NEVER: Final = datetime.min.replace(tzinfo=UTC)
PAGE: Final = 500
LAST_USED: Final = """
    SELECT chat.id, max(run.created_at) AS at FROM unnest($3::text[]) AS chat (id)
    LEFT JOIN runs run ON run.workspace_id = $1 AND run.chat_id = chat.id AND run.agent_id = $2
    GROUP BY chat.id
"""
HELD: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
# What is of no chat is of a run, and goes with that.
UNUSED: Final = """
    SELECT 1 FROM chats WHERE workspace_id = $1 AND id = $2 AND NOT EXISTS (
        SELECT FROM runs WHERE workspace_id = $1 AND chat_id = $2 AND agent_id = $3 AND status = 'RUNNING'
    )
"""


class Home(NamedTuple):
    used: datetime
    chat_id: str
    size: int


async def bound(tick: Tick, workspace_id: str, agent_id: str, chats: Sequence[str]) -> None:
    """`chats`: those that have a home of this agent."""
    above = (*files.of_agent(workspace_id, agent_id), files.CODING)
    most = instance.settings.coding_storage * MIB
    sizes = {chat_id: await asyncio.to_thread(_size, above, chat_id, most) for chat_id in chats}
    over = sum(sizes.values()) - most
    if over <= 0:
        return
    homes = list[Home]()
    for at in range(0, len(chats), PAGE):
        asked = [workspace_id, agent_id, list(chats[at : at + PAGE])]
        rows = await tick.write(lambda across, asked=asked: across.fetch(LAST_USED, *asked))  # type: ignore[misc]
        homes += [Home(row["at"] or NEVER, row["id"], sizes[row["id"]]) for row in rows]
    for home in sorted(homes):
        if over <= 0:
            break
        if await tick.write(partial(_set_aside, workspace_id, agent_id, home.chat_id)):
            over -= home.size
            log.info("the home of a coding agent was removed for its size", agent=agent_id, chat=home.chat_id)
    await instance.store.clear()


async def _set_aside(workspace_id: str, agent_id: str, chat_id: str, across: AcrossWorkspaces) -> bool:
    await across.fetch(HELD, starts_of(agent_id))
    if not await across.fetch(UNUSED, workspace_id, chat_id, agent_id):
        return False
    return await instance.store.set_aside(*files.of_agent(workspace_id, agent_id), files.CODING, chat_id)


def _size(above: tuple[str, ...], chat_id: str, most: int) -> int:
    """Bytes. If the folder is too deep or takes too long to measure, a number of at least the limit."""
    try:
        here = instance.store.open_base((*above, chat_id))
    except OSError:
        return 0
    try:
        usage, whole = measure_directory(here, Limits(disk=most), threading.Event())
    finally:
        os.close(here)
    return usage.disk if whole else max(usage.disk, most)
