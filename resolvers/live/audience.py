"""The listeners of one channel. Listeners that keep up and see the same bytes are served together, at one write
each.
"""

from collections.abc import Callable, Hashable, Iterator
from typing import Protocol

from resolvers.attention.channels import Channel
from resolvers.live.delivered import Delivered, Position
from resolvers.live.gathering import Gathering


class Outlet(Protocol):
    """The sink of a connection's frames. Writing never waits; writers check `congested` first."""

    @property
    def congested(self) -> bool:
        """True if so much waits to be sent that more has to wait elsewhere."""

    def write(self, frame: bytes, /) -> None:
        """Sends in order. Frames to a closed connection are dropped."""

    async def drained(self) -> None:
        """Until there is room again. Raises ConnectionError when the connection is gone, or not read for too long."""


class ChannelListener(Protocol):
    channel: Channel
    outlet: Outlet
    same: Hashable
    """Listeners of a channel with equal values get the same bytes; None: the listener is served alone."""
    unison: "Unison | None"
    """The group in which it is served; its position is the group's."""

    @property
    def position(self) -> Position: ...

    @property
    def live(self) -> bool:
        """False while the listener reads what it missed."""

    gathered: Hashable
    """Under which key it is gathered; None where it is not."""

    def gathers(self) -> Hashable:
        """The key from now on."""

    def encode(self, event: Delivered) -> bytes | None:
        """The frame of an event for this listener; None if it is not shown."""

    def hears(self, event: Delivered) -> bool:
        """True if the listener is in the part of the channel that an event is for."""

    def deliver(self, event: Delivered) -> bool:
        """Delivers to a listener that is served alone. Called in order from the event loop; it must neither wait nor
        fail. Returns True if the listener kept up.
        """

    def part(self, position: Position) -> None:
        """From now on the listener is served alone, from this position."""

    def reset(self, reason: str) -> None:
        """Events may have been lost."""


class Unison:
    """Listeners at the same position that get the same bytes."""

    __slots__ = ("members", "position")

    def __init__(self, position: Position) -> None:
        self.position = position
        self.members: dict[ChannelListener, Outlet] = {}

    def deliver(self, event: Delivered) -> list[ChannelListener]:
        """Returns the listeners without room for the event; they have not received it."""
        after = event.after(self.position)
        if after is None:
            return []
        before, self.position = self.position, after
        members = list(self.members.items())
        if event.part:
            members = [(member, outlet) for member, outlet in members if member.hears(event)]
        frame = members[0][0].encode(event) if members else None
        if frame is None:
            return []
        late = []
        for member, outlet in members:
            if outlet.congested:
                late.append(member)
            else:
                outlet.write(frame)
        for member in late:
            del self.members[member]
            member.part(before)
        return late


class Audience:
    """The listeners of one channel. Those who show rows of its events are gathered (see `gathering`)."""

    def __init__(self, place: str | None = None) -> None:
        self._place = place
        self._gathered: dict[Hashable, Gathering] = {}
        self._alone: dict[ChannelListener, None] = {}
        self._together: dict[Hashable, Unison] = {}

    def __iter__(self) -> Iterator[ChannelListener]:
        yield from self._alone
        for gathering in self._gathered.values():
            yield from gathering.inner
        for unison in self._together.values():
            yield from unison.members

    def __len__(self) -> int:
        gathered = sum(len(gathering.inner) for gathering in self._gathered.values())
        return gathered + len(self._alone) + sum(len(unison.members) for unison in self._together.values())

    def add(self, listener: ChannelListener) -> None:
        """It is served alone until it is seen to keep up."""
        key = None if self._place is None else listener.gathers()
        if key is None:
            self._alone[listener] = None
            return
        if key not in self._gathered:
            self._gathered[key] = Gathering(Audience(), self._place or "")
        self._gathered[key].inner.add(listener)

    def remove(self, listener: ChannelListener) -> bool:
        """False if the listener is not in this audience."""
        key = None if self._place is None else listener.gathered
        if key is not None:
            return self._removed(key, listener)
        unison = listener.unison
        if unison is None:
            return self._alone.pop(listener, self) is None
        del unison.members[listener]
        listener.part(unison.position)
        self._end_if_empty(listener.same, unison)
        return True

    def _removed(self, key: Hashable, listener: ChannelListener) -> bool:
        gathering = self._gathered.get(key)
        found = gathering is not None and gathering.inner.remove(listener)
        if gathering is not None and not gathering.inner:
            gathering.close()
            del self._gathered[key]
        return found

    def part(self, listener: ChannelListener) -> None:
        """Serves it alone again."""
        self.remove(listener)
        self.add(listener)

    def deliver(self, event: Delivered) -> None:
        for gathering in list(self._gathered.values()):
            gathering.deliver(event)
        for same, unison in list(self._together.items()):
            self._alone.update(dict.fromkeys(unison.deliver(event)))
            self._end_if_empty(same, unison)
        for listener in list(self._alone):
            if listener.deliver(event) and listener.same is not None:
                self._join(listener)

    def reset(self, reason: str, keeps: Callable[[ChannelListener], bool] = lambda listener: False) -> None:
        """All listeners but some."""
        lost = [listener for listener in self if not keeps(listener)]
        for gathering in list(self._gathered.values()) if len(lost) == len(self) else ():
            gathering.close()
        for listener in lost:
            self.part(listener)
            listener.reset(reason)

    def _join(self, listener: ChannelListener) -> None:
        unison = self._together.setdefault(listener.same, Unison(listener.position))
        if unison.position == listener.position:
            del self._alone[listener]
            unison.members[listener] = listener.outlet
            listener.unison = unison

    def _end_if_empty(self, same: Hashable, unison: Unison) -> None:
        if not unison.members and self._together.get(same) is unison:
            del self._together[same]
