"""The history that positions belong to: which of those given on an earlier timeline of the cluster are good now.

A promoted replica, or a copy that was recovered to an earlier moment, continues from a place of the log on a timeline
of its own. What the old timeline had after that place is gone, and its transaction numbers are given again. A position
is good there if all that is before it had been copied:

- A reader stores a mark now and then: the lowest transaction that still ran. A copy that has the mark has everything
  before it.
- A reader that lived through the change looks for what it has delivered since the mark. If all of it is there, its own
  position is good, too, and the bound moves there for the cursors of all processes.

See docs/live.md.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from secrets import token_hex
from typing import Any

from models.kernel import HISTORY
from resolvers.kernel.store.across import ALL_ROWS, rows_in
from resolvers.live.delivered import Position

MARKED_EVERY = 2.0  # seconds between two marks, at least
TRAIL = 5000  # delivered events that are remembered

# The control file names the timeline of the last checkpoint; a promoted server is ahead of that for a while.
KEY = """
    SELECT to_hex(hashtextextended(concat(system_identifier, ':',
        ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer, ':',
        (SELECT oid FROM pg_database WHERE datname = current_database())), 0))
    FROM pg_control_system()
"""
FACTS = f"SELECT name, value FROM instance_facts WHERE name = '{HISTORY}' OR starts_with(name, '{HISTORY}:')"  # noqa: S608
BEGIN = f"""
    INSERT INTO instance_facts (name, value, created_at)
    VALUES ('{HISTORY}', $1::text || ':' || $1 || ':' || events_horizon()::text, now()) ON CONFLICT (name) DO NOTHING
"""  # noqa: S608
# One process turns the page, all others find it turned.
TURN = f"""
    WITH turned AS (
        UPDATE instance_facts SET value = concat_ws(':', $2::text, $3::text, events_horizon()), created_at = now()
        WHERE name = '{HISTORY}' AND value = $1 RETURNING 1
    )
    INSERT INTO instance_facts (name, value, created_at)
    SELECT '{HISTORY}:' || split_part($1, ':', 2), split_part($1, ':', 3), now() FROM turned
    ON CONFLICT (name) DO NOTHING
"""  # noqa: S608
# It does not wait for a replica: a copy without it has the mark before.
MARK = f"""
    UPDATE instance_facts SET value = split_part(value, ':', 1) || ':' || $1::text || ':' || events_horizon()::text
    FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
    WHERE name = '{HISTORY}' AND split_part(value, ':', 2) = $1
"""  # noqa: S608
RAISE = f"""
    UPDATE instance_facts SET value = $2::bigint::text, created_at = now()
    WHERE name = '{HISTORY}:' || $1::text AND value::bigint < $2
"""  # noqa: S608
STORED = """
    SELECT xid::text::bigint, seq, created_at FROM events
    WHERE xid >= $1::text::xid8 AND (xid, seq) <= ($2::text::xid8, $3::bigint)
"""
"""The events from a transaction up to a position."""
# A row that was last written before the bound is the same on both timelines.
STANDING = """
    SELECT watched.workspace_id, watched.chat_id, c.last_seq, f.created_at,
        coalesce(age(f.xmin), age(c.xmin)) > age(($4::bigint % 4294967296)::text::xid)
    FROM unnest($1::text[], $2::text[], $3::int[]) AS watched(workspace_id, chat_id, seq)
    JOIN chats c ON c.workspace_id = watched.workspace_id AND c.id = watched.chat_id
    LEFT JOIN LATERAL (
        SELECT created_at, xmin FROM run_frames
        WHERE workspace_id = watched.workspace_id AND chat_id = watched.chat_id AND seq = watched.seq LIMIT 1
    ) f ON true
    WHERE c.last_seq >= watched.seq
"""
Event = tuple[int, int, datetime]


class History:
    """The present history of the database, by its name in cursors, and the bounds of earlier ones."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.epoch, self.bounds = "", dict[str, int]()
        self._trail: deque[Event] = deque(maxlen=TRAIL)
        self._whole_from = 0  # the transaction from which the trail is complete
        self._due, self._marked = False, 0.0

    def place(self, position: Position) -> None:
        """Nothing before this position will be delivered."""
        self._trail.clear()
        self._whole_from, self._due, self._marked = position.xid + 1, True, 0.0

    def deliver(self, xid: int, seq: int, at: datetime) -> None:
        if len(self._trail) == TRAIL:
            self._whole_from = self._trail[0][0] + 1
        self._trail.append((xid, seq, at))
        self._due = True

    def touch(self) -> None:
        """A reader of its own stands behind the last mark."""
        self._due = True

    async def mark(self, conn: Any) -> None:
        """Stores how far everything is final, where that may have moved."""
        now = asyncio.get_running_loop().time()
        if self._due and now - self._marked >= MARKED_EVERY:
            self._due, self._marked = False, now
            await conn.execute(MARK, self.epoch)

    async def enter(self, conn: Any) -> str:
        """Reads the present history, or begins one where the timeline is new. Returns the name of the one before."""
        key, before = await conn.fetchval(KEY), self.epoch
        while True:
            facts = dict(await conn.fetch(FACTS))
            present = facts.pop(HISTORY, None)
            if present is None:
                await conn.execute(BEGIN, key)
                continue
            known, self.epoch, _ = present.split(":")
            if known == key:
                break
            await conn.execute(TURN, present, key, token_hex(8))
        self._take(facts)
        return before

    def _take(self, facts: dict[str, str]) -> None:
        self.bounds = {name.partition(":")[2]: int(bound) for name, bound in facts.items() if ":" in name}

    async def carries(self, conn: Any, epoch: str, position: Position) -> bool:
        """True if this reader's position in an earlier history is good in the present one."""
        bound = self.bounds.get(epoch)
        if bound is None:
            return False
        if position.xid < bound:
            return True
        since = [event for event in self._trail if event[0] >= bound]
        if self._whole_from > bound or not since or since[-1][:2] != position[:2]:
            return False
        found = await conn.fetch(STORED, str(bound), str(position.xid), position.seq)
        if {tuple(row) for row in found} != set(since):
            return False
        await conn.execute(RAISE, epoch, position.xid + 1)
        self.bounds[epoch] = position.xid + 1
        return True

    async def good(self, epoch: str, xid: int) -> bool:
        """True if a position of that history is good now."""
        if epoch == self.epoch or self.bounds.get(epoch, 0) > xid:
            return True
        if epoch in self.bounds:  # another process may have moved it
            self._take(dict(await rows_in(ALL_ROWS, FACTS)))
        return self.bounds.get(epoch, 0) > xid

    async def lost_chats(
        self, conn: Any, epoch: str, chats: Iterable[tuple[str, str, int, datetime | None]]
    ) -> list[tuple[str, str]]:
        """The chats whose frames, up to a number that was stored at a time, are not what they were."""
        asked = list(chats)
        columns = [list(column) for column in zip(*[chat[:3] for chat in asked], strict=True)] or [[], [], []]
        rows = await conn.fetch(STANDING, *columns, self.bounds.get(epoch, 0))
        same = {(workspace_id, id): (at, old) for workspace_id, id, _, at, old in rows}
        return [
            (workspace_id, id)
            for workspace_id, id, frame, at in asked
            if frame and not _is_same(at, *same.get((workspace_id, id), (None, False)))
        ]

    async def good_frame(self, epoch: str, workspace_id: str, chat_id: str, frame: int) -> bool:
        """True if a chat's frames up to this one are as they were in that history."""
        if epoch == self.epoch or not frame:
            return True
        rows = await rows_in(workspace_id, STANDING, [workspace_id], [chat_id], [frame], self.bounds.get(epoch, 0))
        return bool(rows) and bool(rows[0][4])


def _is_same(at: datetime | None, stored: datetime | None, old: bool) -> bool:
    return old or (at is not None and at == stored)
