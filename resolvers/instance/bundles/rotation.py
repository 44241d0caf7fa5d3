"""Which bundles of a folder are deleted, and what the name of a file says about a bundle that cannot be read."""

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

_NAME: Final = re.compile(
    r"crewship-(?P<scope>instance|workspace|crew)(?:-(?P<slug>.+))?-(?P<at>[0-9]{8}T[0-9]{6}Z)(?:-[0-9]+)?\.tar\.zst"
)


@dataclass(frozen=True, slots=True)
class Named:
    """`at`: the time in the name, or when the file was changed."""

    scope: str | None
    slug: str | None
    at: datetime


def named(name: str, changed: float) -> Named:
    at = datetime.fromtimestamp(changed, UTC)
    if (found := _NAME.fullmatch(name)) is None:
        return Named(None, None, at)
    with contextlib.suppress(ValueError):
        at = datetime.strptime(found["at"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return Named(found["scope"], found["slug"], at)


class Aged(Protocol):
    @property
    def at(self) -> datetime: ...

    @property
    def damaged(self) -> bool:
        """It cannot be read, or has no end."""


A = TypeVar("A", bound=Aged)


def outdated(
    found: Sequence[A], last: int, days: int, is_whole: Callable[[A], bool], now: datetime | None = None
) -> list[A]:
    """Bundles beyond the `last` newest or older than `days`; 0 is no limit. `found` is of one scope, the newest first.

    A damaged one takes no place among the newest. Bundles of which none is whole do not replace an older one: then the
    newest that is whole stays. `is_whole` reads all of it, until the first one that is.
    """
    oldest = (now or datetime.now(UTC)) - timedelta(days=days)
    gone, kept, readable = list[A](), list[A](), 0
    for each in found:
        (gone if (last and readable >= last) or (days and each.at < oldest) else kept).append(each)
        readable += not each.damaged
    replaced = bool(kept) or any(each.damaged for each in gone)
    if not any(not each.damaged for each in gone) or not replaced:
        return gone
    if any(not each.damaged and is_whole(each) for each in kept):
        return gone
    spared = next((each for each in gone if not each.damaged and is_whole(each)), None)
    return [each for each in gone if each is not spared]
