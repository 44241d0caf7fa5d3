"""Finds known values in a text, in any of their forms, in time that does not depend on their number.

Forms of BLOCK characters and more are known by their blocks of BLOCK characters, at any place and in any letter case;
shorter ones, the pieces, as a whole and in their letter case. Every fourth place of a text is looked up among the first
places of all blocks and pieces, and candidates are compared as a whole. An automaton finds forms that are too short for
this or share their first places with many others: from the left, the longest match, then the next.

Another thread can run while a table is built, but not while an automaton is; so an automaton has at most SHARD
characters.
"""

import itertools
import operator
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from resolvers.rules.secret_forms import SHORTEST, forms_of

BLOCK: Final = 64
STRIDE: Final = 4
WINDOW: Final = 8
SHORTEST_PIECE: Final = 16
CROWD: Final = 8
"""Pieces that may have a first place in common."""
LARGE: Final = 1 << 14
"""Entries of a table that does not fit into the memory of a processor."""
PART: Final = 4 << 10
"""Characters that are looked up at once."""
SHARD: Final = 48 << 10
MOST: Final = 1 << 20
"""Characters of all values together."""
HEADS: Final = (1, 2, 3, 4, 8)
"""The number of characters that are compared at the end of a text, which may be the beginning of a form."""
FOLD: Final = bytes(b + 32 if 65 <= b <= 90 else {45: 43, 95: 47}.get(b, b) for b in range(256))
"""Letter case, and the two alphabets of base64, are one in a block."""

Span = tuple[int, int]
_keys = struct.Struct("=Q").unpack_from
_ANY_OFFSET: Final = (1 << STRIDE) - 1
_ONLY: Final = {1 << offset: offset for offset in range(STRIDE)}
_PLACE: Final = 32
_WHAT: Final = (1 << _PLACE) - 1
_CORE: Final = BLOCK - STRIDE + 1
"""The part that all blocks at one place have in common."""


class TooManyValues(Exception):
    """The values together are too long for a search."""

    def __init__(self) -> None:
        most = f"{MOST >> 20} MiB"
        super().__init__(f"The values of the credentials have more than {most} in total, the limit for redaction")


class KnownValues:
    """Immutable, and for all runs with the same values."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        distinct = {value for value in values if len(value) >= SHORTEST}
        if sum(map(len, distinct)) > MOST:
            raise TooManyValues
        self._make(form for value in distinct for form in forms_of(value))

    @classmethod
    def of_forms(cls, forms: Iterable[str]) -> "KnownValues":
        """The known values with exactly these forms."""
        known = cls()
        known._make(forms)
        return known

    def _make(self, forms: Iterable[str]) -> None:
        self._short = set[str]()
        self._blocks, self._pieces = set[bytes](), set[bytes]()
        self._heads = tuple(set[str]() for _ in HEADS)
        self._folded_heads = tuple(set[bytes]() for _ in HEADS)
        for form in forms:
            self._add(form)
        self._longest = max(map(len, itertools.chain(self._short, self._pieces)), default=0)
        self._leave_crowds()
        self._table = dict[int, int]()
        """Maps a first place to a bit for each offset of a block, and above them the pieces that begin there."""
        self._lengths: list[tuple[Span, ...]] = [()]
        self._tabulate_blocks()
        self._tabulate_pieces()
        self._sieve = _sieve(self._table)
        self._automata = [_automaton(shard) for shard in _shards(self._short)]
        del self._short

    def __bool__(self) -> bool:
        return bool(self._automata or self._table)

    def _add(self, form: str) -> None:
        form = encodable(form)
        if len(form) < BLOCK:
            return self._exactly(form)
        for start in (*range(0, len(form) - BLOCK + 1, BLOCK), len(form) - BLOCK):
            piece = form[start : start + BLOCK]
            if not piece.isascii():
                self._exactly(piece)
            elif len(piece.strip()) >= WINDOW:  # else it is a blank part
                self._add_block(piece.encode().translate(FOLD))

    def _exactly(self, form: str) -> None:
        if not form.strip():
            return
        if SHORTEST_PIECE <= len(form) < BLOCK and form.isascii():
            self._pieces.add(form.encode())
        else:
            self._short.add(form)
        for length, heads in zip(HEADS, self._heads, strict=True):
            if len(form) >= length:
                heads.add(form[:length])

    def _add_block(self, block: bytes) -> None:
        if block in self._blocks:
            return
        self._blocks.add(block)
        for length, heads in zip(HEADS, self._folded_heads, strict=True):
            heads.add(block[:length])

    # ---- the table -----------------------------------------------------------------------------------------------

    def _leave_crowds(self) -> None:
        """To the automaton, where it makes no difference how many begin alike, or go on as they began."""
        shared = Counter(itertools.chain.from_iterable(map(_first_places, self._pieces)))
        for piece in list(self._pieces):
            places = _first_places(piece)
            if len({*places}) < STRIDE or max(map(shared.__getitem__, places)) > CROWD:
                self._pieces.remove(piece)
                self._short.add(piece.decode())

    def _tabulate_blocks(self) -> None:
        table, several = self._table, set[int]()
        for block in self._blocks:
            for offset in range(STRIDE):
                place = _keys(block, offset)[0]
                mask = table.get(place, 0) | 1 << offset
                table[place] = mask
                if mask & (mask - 1):
                    several.add(place)
        self._cores = {
            block[offset : offset + _CORE]
            for block in (self._blocks if several else ())
            for offset in range(STRIDE)
            if _keys(block, offset)[0] in several
        }

    def _tabulate_pieces(self) -> None:
        begins = dict[int, set[Span]]()
        for piece in self._pieces:
            for offset, place in enumerate(_first_places(piece)):
                begins.setdefault(place, set()).add((offset, len(piece)))
        known = dict[tuple[Span, ...], int]()
        for place, spans in begins.items():
            lengths = tuple(sorted(spans))
            if lengths not in known:
                known[lengths] = len(self._lengths)
                self._lengths.append(lengths)
            self._table[place] = self._table.get(place, 0) | known[lengths] << STRIDE

    # ---- what is found -------------------------------------------------------------------------------------------

    @property
    def shards(self) -> int:
        return len(self._automata)

    def short(self, shard: int, text: str, start: int) -> Iterator[Span]:
        """The matches of a shard's automaton at or after `start`: from the left, the longest, none within another."""
        for _, at, end in self._automata[shard].find_matches_as_indexes(encodable(text[start:] if start else text)):
            yield at + start, end + start

    def tabulated(self, text: str) -> list[Span]:
        """The places of blocks and pieces. Text covered by consecutive blocks is not looked up."""
        spans, at, covered = list[Span](), 0, 0
        if not self._table or len(text) < SHORTEST_PIECE:
            return spans
        plain = text.encode("ascii", "replace")  # a byte for each character
        folded, blocks = plain.translate(FOLD), self._blocks
        while at < len(folded):
            until = at + PART
            for found in sorted(self._looked_up(folded, at, until) + self._looked_up(folded, at + STRIDE, until)):
                place, what = found >> _PLACE, found & _WHAT
                if (mask := what & _ANY_OFFSET) and place + BLOCK > covered:
                    for start in self._blocks_at(folded, place, mask) if mask & (mask - 1) else (place - _ONLY[mask],):
                        if folded[start : start + BLOCK] in blocks and start >= 0:
                            covered = max(covered, start + BLOCK)
                            while folded[covered : covered + BLOCK] in blocks:
                                covered += BLOCK
                            spans.append((start, covered))
                if what > _ANY_OFFSET:
                    for offset, length in self._lengths[what >> STRIDE]:
                        start = place - offset
                        if start >= 0 and plain[start : start + length] in self._pieces:
                            spans.append((start, start + length))
            at = max(until, (covered - BLOCK) // STRIDE * STRIDE)
        return spans

    def _looked_up(self, folded: bytes, first: int, until: int) -> list[int]:
        """The table's entries for every eighth place, with the place above it. A large table is slow to reach, and the
        sieve before it is not.
        """
        many = (min(until, len(folded) - WINDOW + 1) - first + WINDOW - 1) // WINDOW
        if many <= 0:
            return []
        view = memoryview(folded)[first : first + many * WINDOW].cast("Q")
        get, sieve, at = self._table.get, self._sieve, first << _PLACE
        if not sieve:
            found = list(map(get, view))
            return [at + (n * WINDOW << _PLACE) + (found[n] or 0) for n in itertools.compress(range(many), found)]
        passed = map(sieve.__getitem__, map(operator.mod, view, itertools.repeat(len(sieve))))
        likely = itertools.compress(range(many), passed)
        return [at + (n * WINDOW << _PLACE) + what for n in likely if (what := get(view[n]))]

    def _blocks_at(self, folded: bytes, place: int, mask: int) -> list[int]:
        """The possible beginnings of blocks, if several have one of their first places here."""
        if folded[place : place + _CORE] not in self._cores:
            return []
        return [place - offset for offset in range(STRIDE - 1, -1, -1) if mask >> offset & 1]

    # ---- what may go on ------------------------------------------------------------------------------------------

    def open_short(self, text: str, start: int) -> int:
        """The place, at or after `start`, of the first suffix that more text could turn into a piece or a
        shorter form.
        """
        return _opened(text, max(start, len(text) - self._longest + 1), self._heads)

    def open_block(self, text: str, start: int) -> int:
        first = max(start, len(text) - BLOCK + 1)
        if not self._blocks or first >= len(text):
            return len(text)
        return first + _opened(fold(text[first:]), 0, self._folded_heads)


def _sieve(table: dict[int, int]) -> bytes:
    """One byte for each possible remainder of a key; empty if the table is small."""
    if len(table) < LARGE:
        return b""
    sieve = bytearray(4 * len(table) | 1)
    for key in table:
        sieve[key % len(sieve)] = 1
    return bytes(sieve)


def _first_places(piece: bytes) -> list[int]:
    folded = piece[: STRIDE + WINDOW].translate(FOLD)
    return [_keys(folded, offset)[0] for offset in range(STRIDE)]


def _opened(text: Any, first: int, heads: tuple[set[Any], ...]) -> int:
    """The place, at or after `first`, of a possible beginning of a form, by the number of characters that are
    compared.
    """
    whole, most = len(text), HEADS[-1]
    for at in range(first, whole - most + 1):
        if text[at : at + most] in heads[-1]:
            return at
    for at in range(max(first, whole - most + 1), whole):
        number = min(whole - at, len(HEADS) - 1) - 1
        if text[at : at + HEADS[number]] in heads[number]:
            return at
    return whole


def _shards(forms: set[str]) -> Iterator[list[str]]:
    shard, size = list[str](), 0
    for form in forms:
        shard.append(form)
        size += len(form)
        if size >= SHARD:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard


def _automaton(forms: list[str]) -> Any:
    import ahocorasick_rs as library

    return library.AhoCorasick(
        forms, matchkind=library.MatchKind.LeftmostLongest, implementation=library.Implementation.ContiguousNFA
    )


def encodable(text: str) -> str:
    """A text of the same length with the halves of surrogate pairs replaced, because they cannot be encoded."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text


def fold(text: str) -> bytes:
    """A byte for each character."""
    return text.encode("ascii", "replace").translate(FOLD)
