"""The frames of a socket. A frame is made once for all clients that get the same bytes (contract:
websocket.ServerMessage).
"""

from typing import Any, Protocol, cast

import orjson

from resolvers.attention.channels import ChannelKind
from resolvers.errors import Code, Refusal
from resolvers.live import Delivered, Outlet, Subscription

PING = b'{"type":"ping","payload":null}'
PONG = b'{"type":"pong","payload":null}'
REVOKED = "session_revoked"


class SocketWire(Outlet, Protocol):
    """The way out of a socket."""

    def frame(self, body: bytes) -> bytes:
        """A ready frame with this text."""


def spoken(type: str, payload: Any, channel: str | None = None) -> bytes:
    """The text of a frame that the socket itself sends."""
    return orjson.dumps(
        {"type": type, "payload": payload}
        if channel is None
        else {"type": type, "channel": channel, "payload": payload}
    )


def subscribed(channel: str, cursor: str) -> bytes:
    """For clients that request the start of a subscription."""
    return orjson.dumps({"type": "subscribed", "channel": channel, "payload": {}, "cursor": cursor})


def error(text: str, channel: str | None = None, **more: str) -> bytes:
    return spoken("error", {"error": text, "message": text, **more}, channel)


def refused(refusal: Refusal, channel: str | None = None) -> bytes:
    """It has a code where the same can succeed later."""
    more = {"code": refusal.code.value} if refusal.code is Code.UNAVAILABLE else {}
    return error(refusal.detail, channel, **more)


def revoked() -> bytes:
    return spoken(REVOKED, {"reason": REVOKED, "message": REVOKED})


def event_frame(event: Delivered, subscription: Subscription) -> bytes:
    """An event with the cursor behind it: what listeners with the same position get is the same."""
    return event.encoded((event_frame, subscription.position), _with_cursor, subscription)


def agent_frame(event: Delivered, subscription: Subscription) -> bytes | None:
    """The output of an agent in any chat, without numbers and beginnings of runs, which belong to chats; it cannot be
    read again.
    """
    if event.placed:
        return event_frame(event, subscription)
    return event.encoded(agent_frame, _framed, subscription) if event.type == "chat_event" else None


def chat_frame(event: Delivered, subscription: Subscription) -> bytes:
    """Frames of a chat are numbered; other events of its channel are not."""
    if not event.frame:
        return event_frame(event, subscription)
    return event.encoded((chat_frame, subscription.position), _numbered, subscription)


def _with_cursor(event: Delivered, subscription: Subscription) -> bytes:
    return _framed(event, subscription, b',"cursor":"%b"' % subscription.cursor.encode())


def _numbered(event: Delivered, subscription: Subscription) -> bytes:
    return _framed(event, subscription, b',"seq":%d,"cursor":"%b"' % (event.frame, subscription.cursor.encode()))


def _framed(event: Delivered, subscription: Subscription, more: bytes = b"") -> bytes:
    head = b'{"type":%b,"channel":%b,"payload":%b' % (orjson.dumps(event.type), orjson.dumps(event.name), event.payload)
    return cast(SocketWire, subscription.outlet).frame(b"%b%b}" % (head, more))


def is_done(event: Delivered) -> bool:
    """Returns true if a frame of a chat ends a run."""
    return event.type == "chat_event" and event.values.get("type") == "done"


def is_about(event: Delivered, run_id: str) -> bool:
    """Returns true if an event without a number reports the end of a run."""
    return event.type == "chat_event" and (event.values.get("metadata") or {}).get("run_id") == run_id


def channel_of(chat_id: str) -> str:
    return f"{ChannelKind.session}:{chat_id}"
