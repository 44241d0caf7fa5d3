"""The two ways to send GraphQL answers as a stream over HTTP: server-sent events, and multipart as Apollo has it."""

from typing import Any, Protocol

import orjson

BOUNDARY = b"graphql"
# a reader knows a part to be whole when it sees the next boundary
_PART = b"\r\ncontent-type: application/json\r\n\r\n%b\r\n--" + BOUNDARY


def errors(found: list[dict[str, Any]]) -> bytes:
    """The answer to a document that was not, or is no longer, executed."""
    return orjson.dumps({"errors": found})


class Framing(Protocol):
    """`placed`: frames contain the cursor. `sign` is sent if there is nothing else to send."""

    media: bytes
    placed: bool
    sign: bytes

    def opening(self, cursor: str | None) -> bytes:
        """The first bytes; `cursor` is the position where a subscription begins."""

    def frame(self, answer: bytes, cursor: str) -> bytes:
        """An answer. It has no line breaks."""

    def completed(self) -> bytes:
        """There is nothing to come: the operation has ended."""

    def interrupted(self, found: list[dict[str, Any]]) -> bytes:
        """The server ends the stream, and the client may come again."""


class EventStream:
    """graphql-sse, in distinct connections mode. An event's id is its cursor: Last-Event-ID continues after it."""

    media = b"text/event-stream"
    placed = True
    sign = b":\n\n"

    def opening(self, cursor: str | None) -> bytes:
        """A comment flushes the head; browsers store an id without data and dispatch no event (WHATWG HTML, 9.2.6)."""
        return self.sign if cursor is None else b"id: %b\n\n" % cursor.encode()

    def frame(self, answer: bytes, cursor: str) -> bytes:
        id = b"id: %b\n" % cursor.encode() if cursor else b""
        return b"event: next\n%bdata: %b\n\n" % (id, answer)

    def completed(self) -> bytes:
        return b"event: complete\ndata:\n\n"  # without data no event is dispatched

    def interrupted(self, found: list[dict[str, Any]]) -> bytes:
        return b""  # a stream that just ends is opened again


class Multipart:
    """Apollo's protocol of multipart subscriptions, version 1.0."""

    media = b'multipart/mixed;boundary="%b";subscriptionSpec=1.0' % BOUNDARY
    placed = False
    sign = _PART % b"{}"

    def opening(self, cursor: str | None) -> bytes:
        return b"--" + BOUNDARY

    def frame(self, answer: bytes, cursor: str) -> bytes:
        return _PART % (b'{"payload":%b}' % answer)

    def completed(self) -> bytes:
        return b"--\r\n"

    def interrupted(self, found: list[dict[str, Any]]) -> bytes:
        return _PART % orjson.dumps({"payload": None, "errors": found}) + self.completed()


EVENT_STREAM, MULTIPART = EventStream(), Multipart()
