"""Followers of the outbox: an event in a workspace causes later work.

A follower has a position in the order of delivery, stored as a fact. It moves in the transaction that does the work, so
each event is followed once, in order, by any process: the work and the new position commit together or not at all. See
docs/webhooks.md.
"""

from collections.abc import Sequence
from typing import Any

from sqlmodel import SQLModel

from models.base import table_of
from models.kernel import FOLLOWS
from resolvers.kernel.background.clocks import AcrossWorkspaces

MOST = 500  # events of one transaction
PLACE = "SELECT split_part(value, ':', 1), split_part(value, ':', 2)::bigint FROM instance_facts WHERE name = $1"
HORIZON = "SELECT events_horizon()::text"
# Events for a part of a workspace's readers (row_events) are for these readers alone.
NEXT = """
    SELECT xid::text AS xid, seq, workspace_id, channel, type, payload, created_at FROM events
    WHERE (xid, seq) >= ($1::text::xid8, $2::bigint) AND xid < $3::text::xid8
        AND ($4::text[] IS NULL OR type = ANY ($4)) AND ($6::text[] IS NULL OR workspace_id = ANY ($6))
        AND ($7 OR channel NOT LIKE 'workspace:%#%')
    ORDER BY xid, seq LIMIT $5
"""
NEWS = """
    SELECT EXISTS (SELECT FROM events WHERE (xid, seq) >= ($1::text::xid8, $2::bigint) AND xid < $3::text::xid8)
"""
MOVE = """
    INSERT INTO instance_facts (name, value, created_at) VALUES ($1, $2, now())
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now()
"""


def news(follower: str, model: type[SQLModel] | None = None) -> str:
    """SQL that says whether there may be events that this follower has not been given: when its clock is to tick.

    `model`: without a row of this table there is no subscriber, and no tick.
    """
    place = f"FROM instance_facts WHERE name = '{follower + FOLLOWS}'"
    followed = "" if model is None else f"EXISTS (SELECT FROM {table_of(model).name}) AND "
    return f"""
        {followed}(NOT EXISTS (SELECT {place}) OR EXISTS (
            SELECT FROM events WHERE (xid, seq) >= (
                (SELECT split_part(value, ':', 1)::xid8 {place}), (SELECT split_part(value, ':', 2)::bigint {place})
            )
        ))
    """


async def follow(
    rows: AcrossWorkspaces,
    follower: str,
    model: type[SQLModel] | None,
    subscribed: tuple[Any, ...] = (),
    types: Sequence[str] | None = None,
    *,
    parts: bool = False,
) -> tuple[list[Any], bool]:
    """Returns events that this follower has not received, limited to `types` if given, and whether there may be more.
    The first call returns none: a follower begins with later events.

    `subscribed`: conditions that select the subscribers' rows of `model`. Events of workspaces without subscribers are
    skipped; if no workspace has any, nothing is read. Without a model, events of all workspaces are read. `parts`: also
    events for a part of a workspace's readers, for a follower that shows none of them to anybody.
    """
    fact = follower + FOLLOWS
    horizon = await rows.fetchval(HORIZON)
    place = await rows.fetch(PLACE, fact)
    if place and not await rows.fetchval(NEWS, *place[0], horizon):
        return [], False  # a place that moved by itself would be a write a second, for ever
    # behind the horizon: subscriptions from before an event below it are committed by now
    everywhere, where = rows.everywhere, ("workspace_id",)
    places: list[Any] | None = None
    if model is not None and place:
        places = [row[0] for row in await everywhere.select(model, *subscribed, columns=where, distinct=True)]
    kinds = None if types is None else list(types)
    is_heard = place and (places is None or places)
    found = await rows.fetch(NEXT, *place[0], horizon, kinds, MOST, places, parts) if is_heard else []
    more = len(found) == MOST
    # what is not older than every running transaction waits
    await rows.fetchval(MOVE, fact, f"{found[-1]['xid']}:{found[-1]['seq'] + 1}" if more else f"{horizon}:0")
    return found, more
