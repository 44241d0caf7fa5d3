"""Work ends with the right to it. A command that takes a right away says so here, once, and each domain ends what it
carries out for whoever had the right, in the same transaction: runs, work that waits, consents, archives. See ADR 120.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from resolvers.kernel.writing.context import Context


class Holder(StrEnum):
    """Who may have a right to work."""

    person = "person"  # or a service account
    agent = "agent"
    crew = "crew"
    workspace = "workspace"


@dataclass(frozen=True, slots=True)
class Ended:
    """Whose right has ended, in the workspace of the call. `forgotten`: no words of the person may be written again."""

    holder: Holder
    id: str
    forgotten: bool = False


Ending = Callable[[Context, Ended], Awaitable[None]]
_ENDINGS: dict[int, list[Ending]] = {}


def ends(place: int) -> Callable[[Ending], Ending]:
    """Declares what a domain ends. `place`: lower ones come first, so that locks are taken in one order."""

    def bind(ending: Ending) -> Ending:
        _ENDINGS.setdefault(place, []).append(ending)
        return ending

    return bind


async def end_work(ctx: Context, holder: Holder, id: str, *, forgotten: bool = False) -> None:
    """For a command that takes a right away, behind the statement that does. The call answers when workers have let go
    of what has ended: nothing of it begins afterwards.
    """
    ended = Ended(holder, id, forgotten)
    for place in sorted(_ENDINGS):
        for ending in _ENDINGS[place]:
            await ending(ctx, ended)
