"""The end of work with its permission. A command that removes a permission calls this once, and each domain ends the
holder's work in the same transaction: runs, waiting work, consents, archives. See ADR 120.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from resolvers.kernel.writing.context import Context


class Holder(StrEnum):
    """The kinds of holders of a permission to work."""

    person = "person"  # or a service account
    agent = "agent"
    crew = "crew"
    workspace = "workspace"


@dataclass(frozen=True, slots=True)
class Ended:
    """A holder that has lost the permission, in the workspace of the call. `forgotten`: the person's words may not be
    written again.
    """

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
