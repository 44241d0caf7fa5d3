"""The stream of the journal: what is there, and then each new entry, in the order in which entries become visible.

A stream that may have news asks for them by the list's own statement, and so for its right; it does so every ten
seconds in any case.
"""

import asyncio
from base64 import b64encode
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from resolvers.kernel import REST_ONLY, Action, Code, Context, Refusal, procedure
from resolvers.kernel.background.following import Followed
from resolvers.kernel.ground.streamed import Streamed
from resolvers.kernel.writing.walking import answer_of
from resolvers.oversight.journal.filters import FilterJournal, StreamJournal
from resolvers.oversight.journal.listing import follow_journal, get_journal_entry, list_journal_as_seen

SEED, CAUGHT_UP, PAGE, MOST_AT_ONCE = 50, 500, 500, 10_000
QUIET = 10.0
HEARTBEAT = b": heartbeat\n\n"
JOURNAL = Followed(list_journal_as_seen, news="journal_news")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def cursor_behind(id: str) -> str:
    """The cursor of the list behind an entry, whose id begins with its time."""
    at = EPOCH + timedelta(microseconds=int(id[1:15], 16))
    return b64encode(orjson.dumps([at.isoformat(), id])).decode()


class Stream:
    """The entries for one reader: each matching entry once."""

    def __init__(self, ctx: Context, filters: dict[str, Any]) -> None:
        self.ctx, self.filters = ctx, filters
        self.shown: OrderedDict[str, None] = OrderedDict()
        self.xid = 0

    async def entries(self, last: str | None) -> AsyncIterator[list[Any]]:
        """Batches of entries, oldest first; an empty one where nothing is new for some time."""
        news = JOURNAL.told()
        with news.of(self.ctx.workspace_id or "") as told:
            self.xid = await news.now()
            known = last is not None and await self._is_known(last)
            first = await self._page(CAUGHT_UP if known else SEED, entry=last if known else None)
            yield self._new(first)
            while True:
                try:
                    async with asyncio.timeout(QUIET):
                        await told.wait()
                except TimeoutError:
                    await self._page(1)  # whether the right is still there
                    yield []
                    continue
                told.clear()
                horizon = news.horizon
                yield self._new(await self._since())
                self.xid = max(self.xid, horizon)

    async def _since(self) -> list[Any]:
        """The entries that became visible since, page by page, because pages go back in time."""
        found: list[Any] = []
        while True:
            behind = {"after": cursor_behind(found[-1]["id"])} if found else {}
            page = await self._page(PAGE, xid=str(self.xid), **behind)
            found += page
            if len(page) < PAGE or len(found) >= MOST_AT_ONCE:
                return found

    def _new(self, found: list[Any]) -> list[Any]:
        new = [entry for entry in reversed(found) if entry["id"] not in self.shown]
        self.shown.update(dict.fromkeys([entry["id"] for entry in new]))
        while len(self.shown) > 2 * MOST_AT_ONCE:
            self.shown.popitem(last=False)
        return new

    async def _page(self, most: int, **more: Any) -> list[Any]:
        asked = {**self.filters, "first": most, **{name: value for name, value in more.items() if value is not None}}
        found: list[Any] = await answer_of(self.ctx, follow_journal, asked)
        return found

    async def _is_known(self, id: str) -> bool:
        try:
            await answer_of(self.ctx, get_journal_entry, {"id": id})
        except Refusal as refusal:
            if refusal.code in (Code.NOT_FOUND, Code.BAD_REQUEST):
                return False
            raise
        return True


@procedure("journal.stream", Action.READ, surfaces=REST_ONLY, late=True)
async def stream_journal(ctx: Context, data: StreamJournal) -> Streamed:
    """Stream journal entries.

    Streams server-sent events: the newest 50 matching entries, or those after the entry in `Last-Event-ID`, then
    each new entry. The stream ends when access ends.
    """
    filters = data.model_dump(include=set(FilterJournal.model_fields), exclude_none=True)

    async def frames() -> AsyncGenerator[bytes, None]:
        yield HEARTBEAT
        async for entries in Stream(ctx, filters).entries(data.last_event_id):
            yield b"".join(map(_frame, entries)) or HEARTBEAT

    return Streamed(frames(), "text/event-stream", endless=True)


def _frame(entry: Any) -> bytes:
    return b"id: %b\nevent: entry\ndata: %b\n\n" % (entry["id"].encode(), orjson.dumps(entry))
