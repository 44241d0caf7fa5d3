"""MCP's older transport behind a gateway: its stream names the address for messages, which is another one in here."""

import re
from typing import Final
from urllib.parse import urljoin, urlsplit

STREAM: Final = "sse"
"""The last part of the stream's address, by convention of this transport."""
LARGEST: Final = 64 << 10
"""Bytes until the stream has named the address; it is the first thing that it says."""
MOST: Final = 64
"""Addresses that are known at once: each stream names its own."""
_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_DATA: Final = re.compile(rb"(?<![^\r\n])(data: ?)([^\r\n]*)")
_EVENT: Final = re.compile(rb"(?<![^\r\n])event: ?endpoint(?![^\r\n])")
"""A line ends with either character, or both."""


class Announced:
    """The message addresses of one server, which the gateway serves at `/<name>`: each is `to/<number>` there."""

    def __init__(self, name: str, stream: str) -> None:
        self._name, self._stream = name, stream
        self._known = dict[str, str]()
        self._count = 0

    def leads_to(self, rest: str) -> str | None:
        """The address for the coding agent's request; None if the server has announced none."""
        return self._stream if rest == STREAM else self._known.get(rest)

    def named(self, address: str) -> str:
        """The replacement of a message address; an address of another server is unchanged, and cannot be reached from
        the sandbox.
        """
        whole = urljoin(self._stream, address)
        if urlsplit(whole)[:2] != urlsplit(self._stream)[:2]:
            return address
        self._count += 1
        rest = f"to/{self._count}"
        self._known[rest] = whole
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]
        return f"/{self._name}/{rest}"


class Rewriting:
    """One stream, in pieces of any size."""

    def __init__(self, announced: Announced) -> None:
        self._announced, self._held, self._done = announced, b"", False

    def feed(self, piece: bytes) -> bytes:
        if self._done:
            return piece
        self._held += piece
        made = b""
        while not self._done and (end := _END.search(self._held)) is not None:
            made += self._event(self._held[: end.end()])
            self._held = self._held[end.end() :]
        if self._done or len(self._held) > LARGEST:
            self._done = True
            made += self.end()
        return made

    def end(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def _event(self, event: bytes) -> bytes:
        if _EVENT.search(event) is None:
            return event
        self._done = True
        return _DATA.sub(lambda data: data[1] + self._announced.named(data[2].decode()).encode(), event, count=1)
