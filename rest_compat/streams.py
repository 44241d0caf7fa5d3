"""Bodies of any size: uploads that are read behind the gate, and downloads with ranges (RFC 9110, 13 and 14)."""

import asyncio
import re
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from resolvers.errors import Code, Refusal
from resolvers.instance.store import Arriving, Opened

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

CHUNK = 256 * 1024  # bytes that are read at once
ABORT = "crewship.abort"  # an ASGI message that crewship.protocol knows: the connection ends at once
ENDED_EARLY = "The request ended before its body did"
_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Upload:
    """The body of a route is a file of at most `most` bytes; what the operation takes beside it is in path and query.

    It is read by the operation, behind the gate: a `late` command that receives `ctx.request.upload`.
    """

    most: int

    def documented(self) -> dict[str, Any]:
        """The content of the request, for OpenAPI."""
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "maxLength": self.most}}}


@dataclass(frozen=True, slots=True)
class Download:
    """The answer of a route is the file that its operation opens, as an attachment."""

    def documented(self, good: dict[str, Any]) -> dict[str, Any]:
        """The responses, for OpenAPI."""
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        etag = {"ETag": {"description": "Entity tag of these bytes.", "schema": {"type": "string"}}}
        return {
            "200": good | {"content": content, "headers": etag},
            "206": {"description": "Partial Content", "content": content, "headers": etag},
            "304": {"description": "Not Modified", "headers": etag},
            "416": {"description": "Range Not Satisfiable", "headers": etag},
        }


@dataclass(frozen=True, slots=True)
class Part:
    """What is sent of a file."""

    source: Opened
    start: int
    size: int

    async def send(self, receive: Receive, send: Send) -> None:
        """Until all is sent, or nobody listens any more.

        A file that was cut meanwhile ends the connection: its length was told.
        """
        gone = asyncio.create_task(_gone(receive))
        at, end = self.start, self.start + self.size
        try:
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


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def arriving(upload: Upload, headers: Mapping[bytes, bytes], receive: Receive) -> Arriving:
    media_type = headers.get(b"content-type", b"application/octet-stream").decode("latin-1")
    return Arriving(_content(receive), upload.most, media_type)


async def _content(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(Code.BAD_REQUEST, ENDED_EARLY)
        yield message.get("body", b"")
        more = message.get("more_body", False)


def answer(method: str, headers: Mapping[bytes, bytes], opened: Opened) -> tuple[int, Headers, Part | None]:
    """Status, headers and what is sent of a file. Preconditions come first, and a range counts for GET alone."""
    tag = f'"{opened.tag}"'.encode()
    given = headers.get(b"if-match")
    if given is not None and not _names(given, tag, weakly=False):
        raise Refusal(Code.PRECONDITION_FAILED, "The file is another one by now")
    about: Headers = [(b"etag", tag), (b"accept-ranges", b"bytes"), (b"cache-control", b"private, no-cache")]
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
        (b"content-disposition", disposition(opened.name)),
        (b"content-length", b"%d" % size),
    ]
    return status, about, Part(opened, start, size)


def _names(given: bytes, tag: bytes, *, weakly: bool) -> bool:
    """Whether a list of tags names this one."""
    tags = [part.strip() for part in given.split(b",")]
    return given.strip() == b"*" or tag in ([part.removeprefix(b"W/") for part in tags] if weakly else tags)


def _range(asked: bytes, size: int) -> tuple[int, int] | None:
    """Where one range of bytes starts, and its size; a size of 0 where it is not in the file.

    None for what is no single range of bytes: it is as if nothing had been asked (RFC 9110, 14.2).
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

    What is no letter of a name is `_`: quotes, controls, and what turns text around.
    """
    meaningless = [c in '"\\/' or unicodedata.category(c).startswith("C") for c in name]
    safe = "".join("_" if bad else c for c, bad in zip(name, meaningless, strict=True)).strip() or "download"
    if safe.isascii():
        return f'attachment; filename="{safe}"'.encode()
    plain = "".join(c if c.isascii() else "_" for c in safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}".encode()
