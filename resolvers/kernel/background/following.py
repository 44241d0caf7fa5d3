"""Followed lists: subscribers receive rows as they become visible, each read with the subscriber's own permissions.

A subscriber has a position in the order in which transactions end, and asks the list for rows behind it. `News`
announces that there are rows: one task per process asks for all subscribers, and rests if there are none.
"""

import asyncio
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import orjson

from resolvers.identity.caller import Caller
from resolvers.instance.reminders import Reminder
from resolvers.instance.telemetry import log
from resolvers.kernel.admission.request import Raw
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.reader import Column, Item, Nested, Page, Shape, intern
from resolvers.kernel.store.across import ALL_ROWS, rows_in

EVERY, PAUSE = 0.5, 5.0
PLACE, ROWS = "@place", "rows"
DIGITS = 19  # of a transaction in a place
NOW = "SELECT events_horizon()::text::bigint"


class News:
    """Notifies the subscribers of a process that their workspace, or the row that they follow, has new rows. It calls a
    function of the database, which takes a transaction and a list of ids, and returns the oldest running transaction
    and the ids that have rows of transactions from the given one on.
    """

    def __init__(self, function: str) -> None:
        if not function.isidentifier():
            raise TypeError(f"{function}: the name of a function of the database")
        self.horizon = 0
        self._statement = f"SELECT horizon, places FROM {function}($1, $2)"
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._interrupted = Reminder()

    @contextmanager
    def of(self, place: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be something new."""
        told = asyncio.Event()
        self._waiting[place].add(told)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            yield told
        finally:
            self._waiting[place].discard(told)
            if not self._waiting[place]:
                del self._waiting[place]

    async def now(self) -> int:
        """The oldest running transaction: rows that are not visible yet belong to it or to a later one."""
        [(now,)] = await rows_in(ALL_ROWS, NOW)
        return int(now)

    async def _look(self) -> None:
        self.horizon = 0
        while self._waiting:
            try:
                if not self.horizon:
                    self.horizon = await self.now()
                    self._tell(list(self._waiting))
                [(horizon, places)] = await rows_in(ALL_ROWS, self._statement, self.horizon, list(self._waiting))
                self.horizon = horizon
                self._tell(places or ())
                await asyncio.sleep(EVERY)
            except Exception as error:
                if self._interrupted.is_due(error):
                    log.warning("news of a list interrupted", error=type(error).__name__)
                self.horizon = 0
                await asyncio.sleep(PAUSE)

    def _tell(self, places: Any) -> None:
        for place in places:
            for told in self._waiting.get(place, ()):
                told.set()


@dataclass(frozen=True, eq=False)
class Followed:
    """A list that clients can subscribe to.

    `rows` is the list in the order in which transactions end, below the oldest running one, so that no row appears
    before one that was sent: a Page by one key, a text that begins with the transaction (see `place_at`). `news` is the
    function of `News`. `by`: the input whose value the function is asked for, in place of the workspace.
    """

    rows: Query[Any, Any]
    news: str
    by: str | None = None
    _of_loop: WeakKeyDictionary[Any, News] = field(default_factory=WeakKeyDictionary, repr=False)

    def __post_init__(self) -> None:
        if self.rows.form is not Page:
            raise TypeError(f"{self.rows.name} is followed from a place, so it is a Page")
        self.rows.followed = True

    def told(self) -> News:
        """The News of this event loop."""
        return self._of_loop.setdefault(asyncio.get_running_loop(), News(self.news))


def place_at(transaction: int) -> str:
    """The place before every row of a transaction."""
    return f"{transaction:0{DIGITS}d}"


def transaction_of(place: str) -> int:
    return int(place[:DIGITS])


def is_place(text: str) -> bool:
    return text[:DIGITS].isascii() and text[:DIGITS].isdigit() and DIGITS <= len(text) <= 200 and text.isprintable()


def behind(place: str) -> str:
    """The place as the list's own cursor."""
    return b64encode(orjson.dumps([place])).decode()


def rows_of(fields: tuple[Item, ...]) -> Shape:
    """The shape in which a list is followed: `fields` of its rows as edges, and the place of each."""
    return intern(Shape((Nested(ROWS, None, Shape((Column(PLACE, "cursor"), *fields), "edges")),), "connection"))


@dataclass(frozen=True, slots=True, eq=False)
class ListenerQuestion:
    """A subscriber's question to the list: these filters, in this workspace, in this shape."""

    followed: Followed
    raw: Raw
    place: str
    shape: Shape
    slots: tuple[Input, ...] = ()

    @property
    def topic(self) -> str:
        """The id of which the subscriber waits for news."""
        return self.place if self.followed.by is None else str(self.raw[self.followed.by])

    async def rows(self, caller: Caller, after: str, most: int) -> list[tuple[str, dict[str, Any]]]:
        """Returns the rows behind a position, each with its own position. Raises the Refusal if the caller may not read
        them.
        """
        asked = {**self.raw, "first": most, "after": behind(after)}
        answer = await self.followed.rows(caller, asked, self.shape, self.slots, self.place)
        found = orjson.loads(answer.body or b"{}").get(ROWS, ())
        return [(orjson.loads(b64decode(row.pop(PLACE)))[0], row) for row in found]
