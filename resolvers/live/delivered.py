"""An event on its way to those who listen, and the position it has in the order of delivery."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from resolvers.attention.channels import ChannelKind

LONGEST_CURSOR = 120


class Position(NamedTuple):
    """A position in a channel: the last event of the outbox (xid, seq) that was read and, in a chat, the last frame."""

    xid: int
    seq: int
    frame: int = 0

    def past(self, other: "Position") -> bool:
        """True if nothing up to `other` is missing here."""
        return self[:2] >= other[:2] and self.frame >= other.frame

    def furthest(self, other: "Position") -> "Position":
        """The position of a reader who has seen everything up to both."""
        return Position(*max(self[:2], other[:2]), max(self.frame, other.frame))


@dataclass(slots=True)
class Delivered:
    """One event or frame. `payload` is JSON as PostgreSQL wrote it; `frame` is its number in a chat, otherwise 0.

    A frame on the channel of its agent has no position in an order, because an agent may work in several chats: it is
    delivered live or never. One object per process serves all listeners, and stores their encodings.
    """

    channel: str  # the address (see channels.Channel)
    type: str
    payload: bytes
    xid: int = 0
    seq: int = 0
    frame: int = 0
    mirrored: str | None = None  # on the channel of an agent: the id of the chat whose frame it is
    run_id: str | None = None  # of a frame
    at: datetime | None = None  # the time at which it was stored
    cause: str | None = None  # JSON: the type and id of the actor, and the client's mutation; of no frame
    part: str = ""  # of the channel's listeners, who alone hear of it (see row_events)
    rows: Mapping[Any, Any] = field(default_factory=dict, repr=False)
    """The rows that it names, read for the listeners of this object alone, by question and id."""
    _encoded: dict[Any, bytes] = field(default_factory=dict, repr=False)
    _values: Any = field(default=None, repr=False)
    _causes: Any = field(default=None, repr=False)

    def encoded(self, key: Any, encode: Callable[..., bytes], *arguments: Any) -> bytes:
        """`encode(self, *arguments)`, once for all who ask with the same key."""
        known = self._encoded.get(key)
        if known is None:
            known = self._encoded[key] = encode(self, *arguments)
        return known

    @property
    def placed(self) -> bool:
        """True if the event can be read again later, from an earlier position."""
        return self.xid > 0 or self.frame > 0

    @property
    def chat_id(self) -> str | None:
        """In which chat it happens."""
        kind, _, id = self.channel.partition(":")
        return id.rpartition("/")[2] if kind == ChannelKind.session else self.mirrored

    @property
    def name(self) -> str:
        """The channel's name for clients."""
        return f"{ChannelKind.session}:{self.chat_id}" if self.channel.startswith(ChannelKind.session) else self.channel

    @property
    def values(self) -> dict[str, Any]:
        """The payload as an object."""
        if self._values is None:
            self._values = orjson.loads(self.payload)
        return self._values  # type: ignore[no-any-return]

    @property
    def causes(self) -> tuple[str | None, str | None, str | None]:
        """The type and the id of the actor, and the id of the client's mutation."""
        if self._causes is None:
            self._causes = tuple(orjson.loads(self.cause)) if self.cause else (None, None, None)
        return self._causes  # type: ignore[no-any-return]

    def after(self, position: Position) -> Position | None:
        """The position after this event; None if it was seen before."""
        if self.frame:
            return position._replace(frame=self.frame) if self.frame > position.frame else None
        if not self.xid:
            return position
        return Position(self.xid, self.seq, position.frame) if (self.xid, self.seq) > position[:2] else None


def write_cursor(epoch: str, position: Position) -> str:
    """Opaque to clients; good in every process, and after a failover as far as the history of the database reaches."""
    return base64.urlsafe_b64encode(b"%b.%d.%d.%d" % (epoch.encode(), *position)).decode().rstrip("=")


def read_cursor(text: str) -> tuple[str, Position | None]:
    """The history and the position that a cursor names; None when it is none of ours."""
    try:
        parts = base64.urlsafe_b64decode(text[:LONGEST_CURSOR] + "==").split(b".")
        if len(parts) != 4:
            return "", None
        epoch, (xid, seq, frame) = parts[0].decode(), (int(part) for part in parts[1:])
    except (ValueError, binascii.Error):
        return "", None
    known = 0 <= xid < 2**63 and 0 <= seq < 2**63 and 0 <= frame < 2**31
    return epoch, Position(xid, seq, frame) if known else None
