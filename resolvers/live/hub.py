"""The listeners of each channel in this process, and what a listener has missed."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import REGISTRY, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from resolvers.attention.channels import Channel, ChannelKind
from resolvers.kernel.declarations.row_events import PART
from resolvers.kernel.ground.removed import swept_names
from resolvers.kernel.store.across import rows_in
from resolvers.live import statements
from resolvers.live.audience import Audience, ChannelListener
from resolvers.live.delivered import Delivered, Position, read_cursor, write_cursor
from resolvers.live.tail import ChatKey, ChatTail

READERS = 4  # who is behind reads at the same time; connections of the pool are left to everybody else
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Lost(Exception):
    """The requested events were removed or never existed here: the listener has to read the state again."""


class Follower(Protocol):
    """A listener that reads for itself, and only needs to hear of changes of access and of another database."""

    closed: bool

    def turn(self, bound: int) -> None:
        """The database has a new history: of the one before, everything below a transaction is good."""


class Hub:
    """Delivers the events that the tail reads. The tail reads the tables of channels and of followers to know whether
    there are listeners.
    """

    def __init__(self) -> None:
        self.channels: dict[str, Audience] = {}
        self.followers: dict[Follower, None] = {}
        self.tail = ChatTail(self.channels, self.followers, self._dispatch, self._new_epoch, self._access_changed)
        self.on_access: Callable[[str], None] = lambda user_id: None
        """Receives the id of a user whose rights have changed, before later events are delivered; ANYTHING for unknown
        users.
        """
        self.reading = asyncio.Semaphore(READERS)

    def start(self) -> None:
        self.reading = asyncio.Semaphore(READERS)  # another loop has others who wait
        self.tail.start()

    async def stop(self) -> None:
        await self.tail.stop()

    async def join(self, channel: Channel, listener: ChannelListener, frame: int | None = None) -> Position:
        """From now on `listener` gets every event of the channel after the returned position; in a chat without other
        listeners, after this `frame`.
        """
        position = await self.tail.attend(*_followed(channel), frame)
        self.channels.setdefault(channel.address, Audience(channel.workspace_id)).add(listener)
        return position

    def leave(self, channel: Channel, listener: ChannelListener) -> None:
        audience = self.channels.get(channel.address)
        if audience is None or not audience.remove(listener):
            return
        if not audience:
            del self.channels[channel.address]
        self.tail.leave(*_followed(channel))

    async def attend(self, follower: Follower) -> None:
        """From now on it hears of access that changes; the epoch is known."""
        await self.tail.attend()
        if not follower.closed:
            self.followers[follower] = None

    def desert(self, follower: Follower) -> None:
        if follower in self.followers:
            del self.followers[follower]
            self.tail.leave()

    def part(self, channel: Channel, listener: ChannelListener) -> None:
        """From now on it is served alone."""
        self.channels[channel.address].part(listener)

    def standing(self, channel: Channel) -> Position:
        """The position of the channel, as far as this process has read."""
        chat, _ = _followed(channel)
        watch = None if chat is None else self.tail.watched.get(chat)
        return self.tail.position if watch is None else self.tail.position._replace(frame=watch.frame)

    async def missed(
        self, channel: Channel, position: Position, limit: int, parts: Iterable[str] = ()
    ) -> list[Delivered]:
        """The events after a position, at most `limit` of a kind, and none from before the caller was a member.
        `parts`: the parts of the channel that are read, too. Raises Lost.
        """
        scope, since = channel.workspace_id or f"@{channel.id}", channel.since or BEGINNING
        addresses = [channel.address, *[f"{channel.address}{PART}{part}" for part in parts]]
        place = addresses, str(position.xid), position.seq
        rows = await rows_in(scope, statements.MISSED_EVENTS, *place, since, limit)
        # asked behind the reading: a sweep may come in between
        [(swept,)] = await rows_in(scope, statements.SWEPT, swept_names(channel.workspace_id))
        if position.xid < swept:
            raise Lost("too_old")
        found = [
            Delivered(
                channel.address,
                type_,
                payload,
                xid,
                seq,
                part=address.partition(PART)[2] if parts else "",
                at=at,
                cause=cause,
            )
            for xid, seq, address, type_, payload, at, cause in rows
        ]
        if channel.kind is not ChannelKind.session:
            return found
        chat = channel.workspace_id, channel.id, position.frame
        frames = await rows_in(scope, statements.MISSED_FRAMES, *chat, since, limit)
        if frames and frames[0][0] != position.frame + 1:
            raise Lost("too_old")
        return [
            *found,
            *(
                Delivered(channel.address, type_, payload, frame=number, run_id=run_id, at=at)
                for number, type_, payload, run_id, at in frames
            ),
        ]

    def cursor(self, position: Position) -> str:
        return write_cursor(self.tail.epoch, position)

    async def position(self, cursor: str, channel: Channel) -> Position:
        """Raises Lost for a cursor of another database, of a history that is gone, or of none."""
        await self.tail.attend()
        epoch, found = read_cursor(cursor)
        history, chat = self.tail.history, _followed(channel)[0]
        if found is None or not await history.good(epoch, found.xid):
            raise Lost("unknown_cursor")
        if chat is not None and not await history.good_frame(epoch, *chat, found.frame):
            raise Lost("unknown_cursor")
        return found

    def listeners(self) -> int:
        return sum(map(len, self.channels.values())) + len(self.followers)

    def _dispatch(self, event: Delivered) -> None:
        audience = self.channels.get(event.channel)
        if audience is not None:
            audience.deliver(event)

    def _access_changed(self, user_id: str) -> None:
        self.on_access(user_id)

    def _new_epoch(self, lost: Collection[ChatKey] | None, before: str) -> None:
        """`lost`: the chats with other frames than they had; None: what was delivered may be gone."""
        bound = self.tail.history.bounds.get(before, 0)
        for audience in list(self.channels.values()):
            audience.reset("restored", lambda listener: lost is not None and self._keeps(listener, lost))
        for follower in list(self.followers):
            follower.turn(bound)

    def _keeps(self, listener: ChannelListener, lost: Collection[ChatKey]) -> bool:
        """True if the reader has verified all that was shown; a listener may have read ahead of it."""
        chat = _followed(listener.channel)[0]
        watch = None if chat is None else self.tail.watched.get(chat)
        ahead = watch is not None and listener.position.frame > watch.frame
        return listener.position[:2] <= self.tail.position[:2] and chat not in lost and not ahead


def _followed(channel: Channel) -> tuple[ChatKey | None, str | None]:
    """(chat, agent) whose frames the channel shows."""
    by_kind: Mapping[ChannelKind, tuple[ChatKey | None, str | None]] = {
        ChannelKind.session: ((channel.workspace_id or "", channel.id), None),
        ChannelKind.agent: (None, channel.id),
    }
    return by_kind.get(channel.kind, (None, None))


hub = Hub()


class _HubCollector(Collector):
    def collect(self) -> list[Metric]:
        lag = GaugeMetricFamily(
            "crewship_outbox_lag_seconds", "Age of the last event when it was dispatched", value=hub.tail.lag
        )
        listeners = GaugeMetricFamily("crewship_live_listeners", "Subscriptions in this process", value=hub.listeners())
        return [lag, listeners]


REGISTRY.register(_HubCollector())
