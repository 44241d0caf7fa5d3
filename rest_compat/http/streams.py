"""Bodies of any size: uploads that are read behind the gate, downloads with ranges (RFC 9110, 13 and 14), and answers
that go on.
"""

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from resolvers.errors import Code, Refusal
from resolvers.instance.store import Arriving, Opened
from resolvers.instance.telemetry import log
from resolvers.kernel.ground.streamed import Streamed

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

CHUNK = 256 * 1024  # bytes that are read at once
ABORT = "crewship.abort"  # an ASGI message that crewship.perimeter.protocol knows: the connection ends at once
ENDED_EARLY = "The request ended before its body did"
_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Upload:
    """The body of a route is a file of at most `most` bytes; what the operation takes beside it is in path and query.

    It is read by the operation, behind the gate: a `late` command that receives `ctx.request.upload`. `instead_of`: the
    field of the input that is the content on surfaces without uploads; here it is not taken. `form`: the body is a
    form, and the file its part of that name, which the operation takes out of it (`file_in`).
    """

    most: int
    instead_of: str | None = None
    form: str | None = None

    def documented(self) -> dict[str, Any]:
        """The content of the request, for OpenAPI."""
        if self.form is not None:
            file = {"type": "string", "format": "binary", "maxLength": self.most}
            form = {"type": "object", "properties": {self.form: file}, "required": [self.form]}
            return {"multipart/form-data": {"schema": form}}
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "maxLength": self.most}}}


@dataclass(frozen=True, slots=True)
class Download:
    """The answer of a route is the file that its operation opens, as an attachment."""

    def documented(self, good: dict[str, Any]) -> dict[str, Any]:
        """The responses, for OpenAPI."""
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        etag = {"ETag": {"description": "Entity tag of the content.", "schema": {"type": "string"}}}
        return {
            "200": good | {"content": content, "headers": etag},
            "206": {"description": "Partial Content", "content": content, "headers": etag},
            "304": {"description": "Not Modified", "headers": etag},
            "416": {"description": "Range Not Satisfiable", "headers": etag},
        }


class Streaming:
    """The route streams: its operation gives the pieces, as one of these media types."""

    def __init__(self, *media: str) -> None:
        self.media = media

    def documented(self, good: dict[str, Any]) -> dict[str, Any]:
        """The responses, for OpenAPI."""
        return {"200": good | {"content": {media: {"schema": {"type": "string"}} for media in self.media}}}


class Part(Protocol):
    """Sent instead of a body, and released in any case."""

    async def send(self, receive: Receive, send: Send) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PartOfFile:
    """A part of a file."""

    source: Opened
    start: int
    size: int

    async def send(self, receive: Receive, send: Send) -> None:
        """Sends until the end, or until the client disconnects.

        A file that was truncated meanwhile cuts the connection, because its length was announced.
        """
        gone = asyncio.create_task(_gone(receive))
        at, end = self.start, self.start + self.size
        try:
            if at == end:
                await send({"type": "http.response.body"})
            while at < end and not gone.done():
                content = await self.source.read(at, min(CHUNK, end - at))
                if not content:
                    await send({"type": ABORT})
                    await gone
                    return
                at += len(content)
                await send({"type": "http.response.body", "body": content, "more_body": at < end})
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def close(self) -> None:
        self.source.close()


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of a streamed answer."""

    source: Streamed

    async def send(self, receive: Receive, send: Send) -> None:
        """Sends until the end, until the client disconnects, or until the server stops: then the connection is cut, as
        it is if a piece fails. An endless answer is complete wherever it ends.
        """
        while (await receive()).get("more_body"):
            pass
        gone, feeding = asyncio.ensure_future(receive()), asyncio.create_task(self._feed(send))
        try:
            await asyncio.wait((gone, feeding), return_when=asyncio.FIRST_COMPLETED)
            ended = feeding.done() and self._made(feeding)
            if not ended and (gone.done() and gone.result()["type"] == "http.disconnect"):
                return
            await send({"type": "http.response.body"} if ended or self.source.endless else {"type": ABORT})
        finally:
            for task in (gone, feeding):
                task.cancel()
            await asyncio.gather(gone, feeding, return_exceptions=True)

    async def _feed(self, send: Send) -> None:
        async for piece in self.source.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    @staticmethod
    def _made(feeding: "asyncio.Task[None]") -> bool:
        """Returns true if all pieces were made. The end of a permission is not an error, and neither is a client that
        disconnects.
        """
        error = feeding.exception()
        if error is not None and not isinstance(error, (Refusal, OSError)):
            log.error("a streamed answer was interrupted", exc_info=error)
        return error is None

    async def close(self) -> None:
        await self.source.close()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def arriving(upload: Upload, headers: Mapping[bytes, bytes], receive: Receive) -> Arriving:
    media_type = headers.get(b"content-type", b"application/octet-stream").decode("latin-1")
    length = headers.get(b"content-length")
    return Arriving(_content(receive), upload.most, media_type, None if length is None else int(length))


async def _content(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(Code.BAD_REQUEST, ENDED_EARLY)
        yield message.get("body", b"")
        more = message.get("more_body", False)


def answer(method: str, headers: Mapping[bytes, bytes], opened: Opened) -> tuple[int, Headers, PartOfFile | None]:
    """Status, headers and the part of a file to send. Preconditions come first, and a range counts only for GET."""
    tag = f'"{opened.tag}"'.encode()
    given = headers.get(b"if-match")
    if given is not None and not _names(given, tag, weakly=False):
        raise Refusal(Code.PRECONDITION_FAILED, "The file has changed")
    kept = b"private, no-cache" if opened.cached else b"no-store"
    if opened.lasts is not None:
        kept = b"private, max-age=%d" % opened.lasts
    about: Headers = [(b"etag", tag), (b"accept-ranges", b"bytes"), (b"cache-control", kept)]
    given = headers.get(b"if-none-match")
    if given is not None and _names(given, tag, weakly=True):
        return 304, about, None
    status, start, size = 200, 0, opened.size
    if method == "GET" and (asked := headers.get(b"range")) is not None and headers.get(b"if-range", tag) == tag:
        found = _range(asked, opened.size)
        if found is not None:
            status, (start, size) = 206, found
            if not size:
                return 416, [*about, (b"content-range", b"bytes */%d" % opened.size)], None
            about.append((b"content-range", b"bytes %d-%d/%d" % (start, start + size - 1, opened.size)))
    about += [
        (b"content-type", opened.media_type.encode("latin-1")),
        (b"content-length", b"%d" % size),
        *([(b"content-disposition", disposition(opened.name))] if opened.lasts is None else []),
    ]
    return status, about, PartOfFile(opened, start, size)


def going_on(streamed: Streamed) -> tuple[Headers, Pieces]:
    """The headers and pieces of a streamed answer. An endless one is not cached, and is sent without buffering."""
    about: Headers = [(b"content-type", streamed.media_type.encode("latin-1"))]
    if streamed.endless:
        about += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
    else:
        about.append((b"cache-control", b"private, no-store"))
    if streamed.name is not None:
        about.append((b"content-disposition", disposition(streamed.name)))
    return about, Pieces(streamed)


def _names(given: bytes, tag: bytes, *, weakly: bool) -> bool:
    """Returns true if a list of tags contains this one."""
    tags = [part.strip() for part in given.split(b",")]
    return given.strip() == b"*" or tag in ([part.removeprefix(b"W/") for part in tags] if weakly else tags)


def _range(asked: bytes, size: int) -> tuple[int, int] | None:
    """The start and the size of one range of bytes; a size of 0 if it is not in the file.

    None for anything but a single range of bytes, which is then ignored (RFC 9110, 14.2).
    """
    match = _RANGE.fullmatch(asked.strip())
    if match is None or match.groups() == (b"", b""):
        return None
    first, last = match.groups()
    if not first:
        wanted = min(int(last), size)
        return size - wanted, wanted
    start, end = int(first), int(last) if last else size - 1
    if last and end < start:
        return None
    return start, max(0, min(end, size - 1) - start + 1)


def disposition(name: str) -> bytes:
    """An attachment of this name (RFC 6266).

    Quotes, control characters, and characters that reverse text become `_`.
    """
    meaningless = [c in '"\\/' or unicodedata.category(c).startswith("C") for c in name]
    safe = "".join("_" if bad else c for c, bad in zip(name, meaningless, strict=True)).strip() or "download"
    if safe.isascii():
        return f'attachment; filename="{safe}"'.encode()
    plain = "".join(c if c.isascii() else "_" for c in safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}".encode()
