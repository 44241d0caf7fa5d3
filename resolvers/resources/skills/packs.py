"""Packs from a git server: reads their objects without git and within limits.

A pack of a few kilobytes can stand for terabytes: streams that inflate, deltas that copy, trees that contain each
other. So everything is counted before it is created, and too much is a fault.

See docs/work.md.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

COMMIT, TREE, BLOB, TAG, OFFSET_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7
NAMES: Final = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
MOST_OBJECTS: Final = 200_000
MOST_MADE: Final = 128 << 20  # bytes of all objects together
MOST_ENTRIES: Final = 100_000  # of trees that are looked at
DEEPEST: Final = 32
PIECE: Final = 1 << 16
DIRECTORY: Final = b"40000"
FILES: Final = (b"100644", b"100755", b"100664")


class PackFault(ValueError):
    """A fault of a pack."""


@dataclass(slots=True)
class Pack:
    """The objects of a pack by their names. Contents longer than `most` are left out, but for trees."""

    data: bytes
    most: int
    made: int = 0
    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    _at: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    _waiting: list[tuple[int, int | str, bytes]] = field(default_factory=list)

    @classmethod
    def read(cls, data: bytes, most: int) -> "Pack":
        if len(data) < 32 or data[:4] != b"PACK" or struct.unpack(">I", data[4:8])[0] not in (2, 3):
            raise PackFault("The answer holds no pack")
        (count,) = struct.unpack(">I", data[8:12])
        if count > MOST_OBJECTS:
            raise PackFault(f"The repository has more than {MOST_OBJECTS} objects")
        pack, position = cls(data, most), 12
        try:
            for _ in range(count):
                position = pack._object(position)
            pack._resolve()
        except (IndexError, zlib.error):
            raise PackFault("The pack is broken") from None
        return pack

    def _object(self, start: int) -> int:
        byte, position = self.data[start], start + 1
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 128:
            byte, position = self.data[position], position + 1
            size, shift = size | (byte & 127) << shift, shift + 7
            if shift > 63:
                raise PackFault("The pack is broken")
        base: int | str | None = None
        if kind == OFFSET_DELTA:
            back, position = self._offset(position)
            base = start - back
        elif kind == REF_DELTA:
            base, position = self.data[position : position + 20].hex(), position + 20
        elif kind not in NAMES:
            raise PackFault("The pack is broken")
        kept = base is not None or kind != BLOB or size <= self.most
        content, position = self._inflated(position, size, kept)
        if base is not None:
            self._waiting.append((start, base, content))
        elif kept:
            self._keep(start, kind, content)
        return position

    def _offset(self, position: int) -> tuple[int, int]:
        byte, position = self.data[position], position + 1
        value = byte & 127
        while byte & 128:
            byte, position = self.data[position], position + 1
            value = (value + 1 << 7) | byte & 127
            if value > len(self.data):
                raise PackFault("The pack is broken")
        return value, position

    def _inflated(self, position: int, size: int, kept: bool) -> tuple[bytes, int]:
        """A stream of exactly `size` bytes, and its end; empty unless `kept`."""
        self._count(size)
        stream, parts, got = zlib.decompressobj(), list[bytes](), 0
        while not stream.eof:
            given = stream.unconsumed_tail
            if not given:
                given = self.data[position : position + PIECE]
                position += len(given)
                if not given:
                    raise PackFault("The pack is broken")
            part = stream.decompress(given, PIECE)
            got += len(part)
            if got > size:
                raise PackFault("The pack is broken")
            if kept:
                parts.append(part)
        if got != size:
            raise PackFault("The pack is broken")
        return b"".join(parts), position - len(stream.unused_data)

    def _count(self, size: int) -> None:
        self.made += size
        if self.made > MOST_MADE:
            raise PackFault(f"The repository has more than {MOST_MADE >> 20} MiB")

    def _keep(self, at: int, kind: int, content: bytes) -> None:
        named = hashlib.sha1(NAMES[kind] + b" %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        self._at[at] = self.objects[named] = (kind, content)

    def _resolve(self) -> None:
        """Resolves deltas whose base is known until none is left; the base of any remaining one was too long."""
        while self._waiting:
            left = list[tuple[int, int | str, bytes]]()
            for at, base, delta in self._waiting:
                known = self._at.get(base) if isinstance(base, int) else self.objects.get(base)
                if known is None:
                    left.append((at, base, delta))
                    continue
                content = self._patched(known[1], delta)
                if known[0] != BLOB or len(content) <= self.most:
                    self._keep(at, known[0], content)
            if len(left) == len(self._waiting):
                return
            self._waiting = left

    def _patched(self, base: bytes, delta: bytes) -> bytes:
        before, position = _number(delta, 0)
        after, position = _number(delta, position)
        if before != len(base):
            raise PackFault("The pack is broken")
        self._count(after)
        parts, got = list[bytes](), 0
        while position < len(delta):
            op, position = delta[position], position + 1
            if op & 128:
                values = [0] * 7
                for place in range(7):
                    if op & 1 << place:
                        values[place], position = delta[position], position + 1
                start = int.from_bytes(bytes(values[:4]), "little")
                size = int.from_bytes(bytes(values[4:]), "little") or 0x10000
                part = base[start : start + size]
            elif op:
                part, position, size = delta[position : position + op], position + op, op
            else:
                raise PackFault("The pack is broken")
            got += size
            if len(part) != size or got > after:
                raise PackFault("The pack is broken")
            parts.append(part)
        if got != after:
            raise PackFault("The pack is broken")
        return b"".join(parts)

    def tree_of(self, named: str) -> str:
        """The tree of a commit, or of the commit that a tag is of."""
        for _ in range(DEEPEST):
            kind, content = self.objects.get(named, (0, b""))
            word = {TAG: b"object ", COMMIT: b"tree "}.get(kind)
            if word is None or not content.startswith(word):
                break
            named = content[len(word) : len(word) + 40].decode("ascii", "replace")
            if kind == COMMIT:
                return named
        raise PackFault("The answer has no commit")

    def files(self, tree: str, name: str, without: frozenset[str]) -> Iterator[tuple[str, bytes | None]]:
        """Files of this name with their paths, in the order of the paths; None for a file that is too long.

        Links and submodules are skipped, and not followed.
        """
        seen, open_ = 0, [("", tree, 0)]
        while open_:
            path, named, depth = open_.pop()
            folders = list[tuple[str, str, int]]()
            for mode, entry, id in _entries(self.objects.get(named, (0, b""))[1]):
                seen += 1
                if seen > MOST_ENTRIES:
                    raise PackFault(f"The repository has more than {MOST_ENTRIES} files")
                if mode == DIRECTORY and entry not in without and depth < DEEPEST:
                    folders.append((f"{path}{entry}/", id, depth + 1))
                elif mode in FILES and entry == name:
                    kind, content = self.objects.get(id, (0, b""))
                    yield f"{path}{entry}", content if kind == BLOB else None
            open_ += reversed(folders)


def _number(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, position = data[position], position + 1
        value, shift = value | (byte & 127) << shift, shift + 7
        if not byte & 128:
            return value, position
        if shift > 63:
            raise PackFault("The pack is broken")


def _entries(content: bytes) -> Iterator[tuple[bytes, str, str]]:
    position = 0
    while position < len(content):
        space = content.find(b" ", position)
        end = content.find(b"\0", space)
        if space < 0 or end < 0 or end + 21 > len(content):
            raise PackFault("The pack is broken")
        name = content[space + 1 : end].decode("utf-8", "replace")
        yield content[position:space], name, content[end + 1 : end + 21].hex()
        position = end + 21
