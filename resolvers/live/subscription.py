"""One listener of one channel on one connection: live while that keeps up, reading behind while it does not."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from resolvers.attention.channels import Channel, ChannelKind, open_channel
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.telemetry import log
from resolvers.kernel.declarations.operation import translate
from resolvers.kernel.declarations.row_events import hears, parts_of
from resolvers.live.audience import Outlet, Unison
from resolvers.live.delivered import Delivered, Position
from resolvers.live.gathering import RowsShown
from resolvers.live.hub import Lost, hub
from resolvers.live.presence import Seat, presence

BATCH = 200
HELD, HELD_BYTES = 100, 2**20  # events that wait for a right to be asked for, and their payloads together
FROM_NOW = "-"
"""In place of a cursor: begin now, and send the client the position."""
ENDED = frozenset({Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND})
"""Results of a permission check that end the subscription."""
Encode = Callable[[Delivered, "Subscription"], bytes | None]


class Listening(Protocol):
    """A subscription of a connection: to events of a channel, or to rows of a list."""

    closed: bool

    @property
    def cursor(self) -> str:
        """The cursor to continue after the last written event."""

    def close(self) -> None: ...

    def doubt(self) -> None:
        """The caller's rights have changed: nothing more is shown before they are checked."""


class Owner(Protocol):
    """The connection a subscription belongs to; called from the event loop, and must not fail."""

    def lost(self, subscription: Any, reason: str) -> None:
        """Events may be missing up to here; live events follow. Like `refused`, of a Listening."""

    def refused(self, subscription: Any, refusal: Refusal) -> None:
        """The caller may no longer listen here; the subscription is closed."""

    def revoked(self) -> None:
        """The login session or token is no longer valid."""


class Subscription:
    """Receives every event of a channel once and in order, from its start.

    Nothing is queued for a slow connection: beyond a limit it stops being live, reads the missed events from the tables
    once there is room, and is live again once it has caught up. A cursor to start from is the same case: the
    subscription begins behind.
    """

    def __init__(
        self,
        channel: Channel,
        caller: Caller,
        outlet: Outlet,
        encode: Encode,
        owner: Owner,
        same: Hashable = None,
        *,
        parts: bool = False,
        rows: RowsShown | None = None,
    ) -> None:
        self.channel, self.caller, self.outlet = channel, caller, outlet
        # in a chat each listener may go back by itself
        self.same = None if channel.kind is ChannelKind.session else same
        self.unison: Unison | None = None
        self._parts = parts and channel.kind is ChannelKind.workspace
        self.rows = rows
        self.gathered: Hashable = None
        self._encode, self._owner = encode, owner
        self._position = Position(0, 0)
        self._newest = Position(0, 0)  # of what came while behind
        self._behind: asyncio.Task[None] | None = None
        self._skipped = False  # while behind, something came that cannot be read again
        self._held: list[Delivered] | None = None  # what came of that kind while nothing but a right is asked for
        self._joined = self._doubted = False
        self.closed = False

    async def open(self, after: str | None = None, frame: int | None = None) -> None:
        """Joins the channel. `after`: a cursor; an invalid one is reported to the owner, and live events follow.
        `frame`: as for `rewind`, which has nothing to do if there are no other listeners.
        """
        start, lost = await self._begins(after)
        self.position = self._newest = await hub.join(self.channel, self, frame)
        self._joined = True
        if self.closed:
            hub.leave(self.channel, self)
            return
        if self.channel.kind is ChannelKind.session:
            presence.enter(self._seat, self)
        if lost:
            self._owner.lost(self, lost)
        elif start is not None:
            self.position = start
            if not start.past(self._newest):
                self._fall_behind()

    async def _begins(self, after: str | None) -> tuple[Position | None, str]:
        """Where a cursor leads, or why that is lost."""
        if after is None or after == FROM_NOW:
            return None, ""
        try:
            start = await hub.position(after, self.channel)
        except Lost as lost:
            return None, str(lost)
        return (None, "not_kept") if self.channel.kind is ChannelKind.agent else (start, "")

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            hub.leave(self.channel, self)
            if self.channel.kind is ChannelKind.session:
                presence.leave(self._seat, self)
            if self._behind is not None:
                self._behind.cancel()

    @property
    def _seat(self) -> Seat:
        return self.channel.workspace_id or "", self.channel.id, self.caller.user_id

    @property
    def position(self) -> Position:
        """The position after the last written event."""
        return self._position if self.unison is None else self.unison.position

    @position.setter
    def position(self, position: Position) -> None:
        assert self.unison is None
        self._position = position

    @property
    def cursor(self) -> str:
        """The cursor to continue after the last written event."""
        return hub.cursor(self.position)

    def rewind(self, frame: int) -> None:
        """In a chat: sends everything after this frame again, in order, before new frames. Never skips forward."""
        if self.closed or self.position.frame <= frame:
            return
        self._newest = self._newest.furthest(self.position)
        self.position = self.position._replace(frame=frame)
        if self._behind is None:
            self._fall_behind()

    def reset(self, reason: str) -> None:
        self.position = self._newest = hub.standing(self.channel)
        self._owner.lost(self, reason)

    def doubt(self) -> None:
        """The caller's rights have changed: nothing more is shown before they are checked."""
        self._doubted = True
        if self._joined and not self.closed and self._behind is None:
            hub.part(self.channel, self)
            self._newest, self._held = self.position, []
            self._fall_behind()

    def encode(self, event: Delivered) -> bytes | None:
        return self._encode(event, self)

    @property
    def live(self) -> bool:
        return self._behind is None

    def gathers(self) -> Hashable:
        self.gathered = None if self.rows is None else self.rows.key(self.caller, self.channel.role)
        return self.gathered

    def hears(self, event: Delivered) -> bool:
        return not event.part or (self._parts and hears(event.part, self.channel.role, self.caller.user_id))

    def deliver(self, event: Delivered) -> bool:
        if self._behind is None:
            if not self.outlet.congested:
                return self._write(event) and event.xid > 0
            self._newest = self.position
            self._fall_behind()
        self._newest = event.after(self._newest) or self._newest
        if not event.placed:
            self._hold(event)
        return False

    def _hold(self, event: Delivered) -> None:
        """Holds an event that cannot be read again. Nothing is held after a skipped one, so the sequence has no gap."""
        held = self._held
        if (
            held is None
            or self._skipped
            or len(held) == HELD
            or sum(len(each.payload) for each in (*held, event)) > HELD_BYTES
        ):
            self._skipped = True
        else:
            held.append(event)

    def part(self, position: Position) -> None:
        self.unison, self._position = None, position

    def _write(self, event: Delivered) -> bool:
        """False for an event that was seen before."""
        position = event.after(self.position)
        if position is None:
            return False
        self.position = position
        frame = self._encode(event, self) if self.hears(event) else None
        if frame is not None:
            self.outlet.write(frame)
        return True

    def _fall_behind(self) -> None:
        self._behind = asyncio.get_running_loop().create_task(self._catch_up())

    async def _catch_up(self) -> None:
        wait = 0.1
        while not self.closed:
            try:
                await self.outlet.drained()
                self._doubted, newest, start, channel = False, self._newest, self.position, self.channel
                missed, lost = await self._read(start)
            except ConnectionError:
                return self.close()
            except Exception as error:
                refusal = error if isinstance(error, Refusal) else translate(error)
                if refusal.code in ENDED:
                    return self._end(refusal)
                if refusal.code is Code.UNAVAILABLE:
                    log.info("catching up interrupted", error=type(error).__name__)
                else:
                    log.error("catching up failed", exc_info=error)
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5.0)
                continue
            if self.position != start or self.channel != channel:
                continue  # went back meanwhile, or is a member anew
            if lost:
                self.position = newest = self._newest.furthest(self.position)
                self._owner.lost(self, lost)
            if self._write_all(missed) and len(missed) < BATCH:
                self.position = self.position.furthest(newest)  # all of it was in the tables when they were read
                # and nothing came since: without an await in between the next event finds this live
                if newest == self._newest and not self._doubted:
                    return self._caught_up()

    def _caught_up(self) -> None:
        self._behind, held, self._held = None, self._held or [], None
        for event in held:
            self._write(event)
        if self._skipped:
            self._skipped = False
            self._owner.lost(self, "too_slow")

    async def _read(self, start: Position) -> tuple[list[Delivered], str]:
        """The missed events, or why they are unknown. The right is checked after the read, so it covers everything that
        was read.
        """
        missed, reason = list[Delivered](), ""
        async with hub.reading:
            try:
                parts = parts_of(self.channel.role, self.caller.user_id) if self._parts else ()
                missed = await hub.missed(self.channel, start, BATCH, parts)
            except Lost as lost:
                reason = str(lost)
            was, filled = self.channel, True
            if missed and self.rows is not None:
                filled = await self.rows.fill(self.caller, was.workspace_id or "", was.role, missed)
            self.channel = await open_channel(self.caller, was.name, was.workspace_id)
        if self.rows is not None and was.role is not self.channel.role and not self.closed:
            hub.part(self.channel, self)  # it is gathered with others from now on
            self._newest = self._newest.furthest(hub.standing(self.channel))
        elif not filled:
            raise Refusal(Code.UNAVAILABLE, "The role has changed meanwhile")
        return missed, reason

    def _end(self, refusal: Refusal) -> None:
        if refusal.code is Code.UNAUTHENTICATED:
            self.close()
            self._owner.revoked()
        else:
            self._owner.refused(self, refusal)

    def _write_all(self, events: list[Delivered]) -> bool:
        """False if the connection is full again."""
        for event in events:
            if self.outlet.congested:
                return False
            self._write(event)
        return True
