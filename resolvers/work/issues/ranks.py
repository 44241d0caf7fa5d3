"""Ranks: the places of issues on boards.

A rank is the digits of a fraction, without zeros at its end, compared as text. Between any two ranks there is room for
further ones, so a move writes one row. Ranks get longer where many issues are moved to one place; before one becomes
too long, a limited number of issues behind it get new ranks.
"""

from typing import Any

from sqlalchemy import select

from models.work.missions import Mission, MissionType
from resolvers.kernel import Context, constant, invalid

LONGEST = 200  # digits
MOST_SPREAD = 64  # issues that get new ranks at once
STEP = 12  # digits after which the first and the last place begin: a millionth of a millionth


def spread(low: str | None, high: str | None, count: int) -> list[str]:
    """Returns the shortest ranks for `count` places between two ranks, in order. None: before the first rank, or behind
    the last one, but not beyond ranks of issues that are created a second later.
    """
    size = max(len(low or ""), len(high or ""), STEP + 1) + len(str(count)) + 1
    step = 10 ** (size - STEP)
    end = None if high is None else int(high.ljust(size, "0"))
    start = max((end or step) - step, 0) if low is None else int(low.ljust(size, "0"))
    end = start + step if end is None else end
    if end <= start:
        raise ValueError(f"{low} is not before {high}")
    for digits in range(1, size + 1):
        unit = 10 ** (size - digits)
        first, last = start // unit + 1, (end - 1) // unit
        room = last - first + 1
        if room >= count:
            places = [first + room * (2 * number + 1) // (2 * count) for number in range(count)]
            return [str(place).rjust(digits, "0").rstrip("0") for place in places]
    raise ValueError(f"there is no room between {low} and {high}")


async def rank_behind(ctx: Context, issue: Mission, after: str | None) -> str:
    """The rank of an issue that is moved right behind another one, or to the first place. Moves in the workspace wait
    for each other, until the end of the transaction.
    """
    await ctx.lock(f"ranks of {ctx.workspace_id}")
    issues = ctx.table(Mission)
    ranked = select(issues.c.id, issues.c.rank).where(issues.c.mission_type == constant(MissionType.issue))
    low = None
    if after is not None:
        found = await ctx.report(ranked.where(issues.c.id == after))
        if not found:
            raise invalid("after", "there is no such issue in this workspace")
        low = found[0][1]
    behind = ranked if low is None else ranked.where(issues.c.rank > low)
    behind = behind.order_by(issues.c.rank, issues.c.id)
    following = await ctx.report(behind.limit(2))
    if following and following[0][0] == issue.id:
        return str(following[0][1])  # it is there already
    high = next((rank for id, rank in following if id != issue.id), None)
    (rank,) = spread(low, high, 1)
    return rank if len(rank) <= LONGEST else await _make_room(ctx, issue, low, behind)


async def _make_room(ctx: Context, issue: Mission, low: str | None, behind: Any) -> str:
    """Gives the next issues ranks anew, with room between them."""
    rows = [row for row in await ctx.report(behind.limit(MOST_SPREAD + 2)) if row[0] != issue.id]
    moved, beyond = rows[:MOST_SPREAD], rows[MOST_SPREAD : MOST_SPREAD + 1]
    own, *ranks = spread(low, beyond[0][1] if beyond else None, len(moved) + 1)
    await ctx.update_each(Mission, {id: {"rank": rank} for (id, _), rank in zip(moved, ranks, strict=True)})
    return own
