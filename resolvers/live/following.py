"""One listener of a followed list on one connection: it reads the list behind its place whenever there is news."""

import asyncio
import base64
import binascii
from collections import deque
from collections.abc import Callable
from typing import Any

from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.telemetry import log
from resolvers.kernel.background.following import ListenerQuestion, is_place, place_at, transaction_of
from resolvers.kernel.declarations.operation import translate
from resolvers.live.audience import Outlet
from resolvers.live.hub import Lost, hub
from resolvers.live.subscription import ENDED, FROM_NOW, Owner

BATCH = 100
LONGEST_CURSOR = 400
SHOWN = 200  # rows that are remembered
Row = dict[str, Any]
EncodeRow = Callable[[Row, "RowsFollowing"], bytes]


class RowsFollowing:
    """Receives every row once, in the order in which transactions end, from its start.

    Nothing is queued for a slow connection: missed rows are read from the list when there is room. Each batch is a call
    of the list by the same caller, so no row is shown after the permission has ended.
    """

    def __init__(
        self, question: ListenerQuestion, caller: Caller, outlet: Outlet, encode: EncodeRow, owner: Owner
    ) -> None:
        self.question, self.caller, self.outlet = question, caller, outlet
        self._encode, self._owner = encode, owner
        self._news = question.followed.told()
        self._place = ""
        self._shown: deque[str] = deque(maxlen=SHOWN)  # places of rows
        self._whole_from = ""  # the place from which these are all
        self._turns = 0
        self._again: set[str] = set()  # shown in the history before, and not found in this one so far
        self._most = BATCH
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    async def open(self, after: str | None = None) -> None:
        """`after`: a cursor; an invalid one is reported to the owner, and new rows follow. Raises Refusal."""
        await hub.attend(self)
        self._place = now = place_at(await self._news.now())
        if after is not None and after != FROM_NOW:
            try:
                self._place = min(await _read_cursor(after), now)
            except Lost as lost:
                self._owner.lost(self, str(lost))
        self._whole_from = self._place
        hub.tail.history.touch()
        await self.question.rows(self.caller, self._place, 1)  # whether it may
        if not self.closed:
            self._task = asyncio.create_task(self._follow())

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            hub.desert(self)
            if self._task is not None:
                self._task.cancel()

    @property
    def cursor(self) -> str:
        """The cursor to continue after the last written row."""
        return base64.urlsafe_b64encode(f"{hub.tail.epoch}.{self._place}".encode()).decode().rstrip("=")

    def doubt(self) -> None:
        """The caller's rights have changed: the next call of the list checks them."""
        self._told.set()

    def turn(self, bound: int) -> None:
        """The database has a new history. Rows since its beginning are read again: those that were shown have to be
        there, and are not shown twice.
        """
        self._news.horizon, self._turns = 0, self._turns + 1
        start = place_at(bound)
        if start < self._place:
            if not bound or start < self._whole_from:
                self._lose()
            else:
                self._again = {place for place in self._shown if place >= start}
                self._place = start
        self._told.set()

    def _lose(self) -> None:
        """New rows follow."""
        self._place, self._again = "", set()
        self._owner.lost(self, "restored")

    async def _follow(self) -> None:
        with self._news.of(self.question.topic) as self._told:
            wait = 0.1
            while not self.closed:
                try:
                    await self.outlet.drained()
                    if await self._advance():
                        await self._told.wait()
                        self._told.clear()
                    wait = 0.1
                except ConnectionError:
                    return self.close()
                except Exception as error:
                    if not self._goes_on(error):
                        return
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, 5.0)

    async def _advance(self) -> bool:
        """Shows what is behind the place, as far as there is room. Whether that was all."""
        horizon, start, turns = self._news.horizon, self._place, self._turns
        if not start:
            start = self._place = self._whole_from = place_at(await self._news.now())
            self._shown.clear()
        async with hub.reading:
            rows = await self.question.rows(self.caller, start, self._most)
        if self._place != start or self._turns != turns:
            return False  # the history is another one
        for place, row in rows:
            if self.closed or self.outlet.congested:
                return False
            self._show(place, row)
        if len(rows) == self._most:
            return False
        if self._again:  # what was shown is not there
            self._lose()
            return False
        self._place, self._most = max(self._place, place_at(horizon)), BATCH
        return True

    def _show(self, place: str, row: Row) -> None:
        self._place = place
        if place in self._again:
            self._again.discard(place)
            return
        if len(self._shown) == SHOWN:
            self._whole_from = max(self._whole_from, self._shown[0] + "\0")
        self._shown.append(place)
        self.outlet.write(self._encode(row, self))

    def _goes_on(self, error: Exception) -> bool:
        refusal = error if isinstance(error, Refusal) else translate(error)
        if refusal.code is Code.TOO_LARGE and self._most > 1:
            self._most = self._most // 4 or 1
        elif refusal.code in ENDED or refusal.code is Code.TOO_LARGE:
            self._end(refusal)
            return False
        elif refusal.code is Code.UNAVAILABLE:
            log.info("following interrupted", error=type(error).__name__)
        else:
            log.error("following failed", exc_info=error)
        return True

    def _end(self, refusal: Refusal) -> None:
        if refusal.code is Code.UNAUTHENTICATED:
            self.close()
            self._owner.revoked()
        else:
            self._owner.refused(self, refusal)


async def _read_cursor(text: str) -> str:
    """The place that a cursor names. Raises Lost for one of another database, of a history that is gone, or of none."""
    try:
        epoch, _, place = base64.urlsafe_b64decode(text[:LONGEST_CURSOR] + "==").decode("ascii").partition(".")
    except (ValueError, binascii.Error):
        epoch, place = "", ""
    if not is_place(place) or not await hub.tail.history.good(epoch, transaction_of(place)):
        raise Lost("unknown_cursor")
    return place
