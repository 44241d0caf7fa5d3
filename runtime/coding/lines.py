"""JSON lines from an untrusted program."""

import json
from typing import Any, Final

LONGEST: Final = 8 << 20
"""Bytes of a line: a tool's whole answer is in one."""
MOST: Final = 64 << 20
"""Bytes of a whole stream: all of it is read, and most of it is kept."""
SHOWN: Final = 200


class NoJson(Exception):
    """The fault of the stream, for readers of the run."""


class Lines:
    """The objects of a stream that arrives in pieces of any size."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._read_so_far = 0

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """Raises NoJson for a line that is not a JSON object, and for one that is too long; then the stream has
        ended.
        """
        self._read_so_far += len(piece)
        if self._read_so_far > MOST:
            raise NoJson(f"more than {MOST >> 20} MiB")
        *lines, rest = piece.split(b"\n")
        made = []
        for line in lines:
            self._hold(line)
            made += self._read()
        self._hold(rest)
        return made

    def end(self) -> list[dict[str, Any]]:
        """The objects of the last line, which may lack an end."""
        return self._read()

    def _hold(self, part: bytes) -> None:
        if len(self._held) + len(part) > LONGEST:
            raise NoJson(f"a line of more than {LONGEST >> 20} MiB")
        self._held += part

    def _read(self) -> list[dict[str, Any]]:
        line = bytes(self._held).strip()
        self._held.clear()
        if not line:
            return []
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            text = "".join(letter if letter.isprintable() else "?" for letter in line[:SHOWN].decode(errors="replace"))
            raise NoJson(f"a line that is not a JSON object: {text}")
        return [told]
