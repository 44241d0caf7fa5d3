"""The tests' server finds the heads of every other connection known: what the suite asks is answered in both ways."""

import itertools
from typing import Any

import httptools

from crewship.perimeter.accepted import fault
from crewship.perimeter.heads import Fields, Header, Target, heads
from crewship.perimeter.protocol import Protocol

_numbers = itertools.count()


class _Read:
    """What one read holds, as the parser tells it."""

    def __init__(self) -> None:
        self.url, self.body, self.ended = b"", b"", 0
        self.headers: list[Header] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1


class Foreseen(Protocol):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._foresees = next(_numbers) % 2 == 1

    def data_received(self, data: bytes) -> None:
        if self._foresees and self._between:
            foresee(self.peer, data)
        super().data_received(data)


def foresee(peer: Any, data: bytes) -> None:
    """Keeps the head of `data`, if it is one whole request, as the protocol does once it was answered."""
    read = _Read()
    parser = httptools.HttpRequestParser(read)
    try:
        parser.feed_data(data)
        if read.ended != 1 or parser.get_http_version() != "1.1":
            return
        url = httptools.parse_url(read.url)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return
    if b"%" not in url.path and fault("1.1", read.headers) is None:
        target = Target(parser.get_method().decode(), url.path.decode("ascii"), url.path, url.query or b"")
        heads.keep(peer, data, target, read.url, Fields(read.headers, len(read.body)))
