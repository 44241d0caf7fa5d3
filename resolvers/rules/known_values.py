"""Where known values stand in a text, in any of their forms, in time that does not depend on how many there are.

Forms of fewer than BLOCK characters are found by an automaton, exactly and in their letter case: from the left, the
longest, and behind it the next. Longer ones are known by their blocks of BLOCK characters, at any place and in any
letter case: of a text every fourth place is looked up among the first places of all blocks, and what is found there is
compared as a whole. A table of blocks is made while others work; an automaton is not, and so has SHARD characters at
most.
"""

import bisect
import itertools
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

from resolvers.rules.secret_forms import SHORTEST, forms_of

BLOCK: Final = 64
STRIDE: Final = 4
WINDOW: Final = 8
SHARD: Final = 48 << 10
MOST: Final = 1 << 20
"""Characters of all values together."""
HEADS: Final = (1, 2, 3, 4, 8)
"""How many characters of a beginning are compared, where the rest of a text may be the beginning of a form."""
FOLD: Final = bytes(b + 32 if 65 <= b <= 90 else {45: 43, 95: 47}.get(b, b) for b in range(256))
"""Letter case, and the two alphabets of base64, are one in a block."""

Span = tuple[int, int]
_keys = struct.Struct("=Q").unpack_from


class TooManyValues(Exception):
    """The values together are longer than what can be looked for."""

    def __init__(self) -> None:
        most = f"{MOST >> 20} MiB"
        super().__init__(
            f"The values of the credentials have more than {most} together, more than output is searched for"
        )


class KnownValues:
    """Immutable, and for all runs with the same values."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        distinct = {value for value in values if len(value) >= SHORTEST}
        if sum(map(len, distinct)) > MOST:
            raise TooManyValues
        self._make(form for value in distinct for form in forms_of(value))

    @classmethod
    def of_forms(cls, forms: Iterable[str]) -> "KnownValues":
        """Of these alone, as they are."""
        known = cls()
        known._make(forms)
        return known

    def _make(self, forms: Iterable[str]) -> None:
        self._short = set[str]()
        self._blocks, self._places = set[bytes](), set[int]()
        self._heads = tuple(set[str]() for _ in HEADS)
        self._folded_heads = tuple(set[bytes]() for _ in HEADS)
        for form in forms:
            self._add(form)
        self._longest = max(map(len, self._short), default=0)
        self._automata = [_automaton(shard) for shard in _shards(self._short)]
        del self._short

    def __bool__(self) -> bool:
        return bool(self._automata or self._blocks)

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
        if form in self._short or not form.strip():
            return
        self._short.add(form)
        for length, heads in zip(HEADS, self._heads, strict=True):
            if len(form) >= length:
                heads.add(form[:length])

    def _add_block(self, block: bytes) -> None:
        if block in self._blocks:
            return
        self._blocks.add(block)
        for offset in range(STRIDE):
            self._places.add(_keys(block, offset)[0])
        for length, heads in zip(HEADS, self._folded_heads, strict=True):
            heads.add(block[:length])

    # ---- what is found -------------------------------------------------------------------------------------------

    @property
    def shards(self) -> int:
        return len(self._automata)

    def short(self, shard: int, text: str, start: int) -> Iterator[Span]:
        """Forms of one shard at or after `start`: from the left, the longest, none within another."""
        for _, at, end in self._automata[shard].find_matches_as_indexes(encodable(text[start:] if start else text)):
            yield at + start, end + start

    def blocks(self, text: str) -> list[Span]:
        """Where blocks of longer forms stand, as far as they touch or overlap in one; in order."""
        if not self._blocks or len(text) < BLOCK:
            return []
        folded = fold(text)
        places = sorted(itertools.chain(self._hits(folded, 0), self._hits(folded, STRIDE)))
        spans, at = list[Span](), 0
        while at < len(places):
            span = self._block_at(folded, places[at])
            at += 1
            if span is None:
                continue
            start, end = span
            while span is not None:  # of the blocks that begin within it, the last one covers those between
                span, ahead = None, bisect.bisect_right(places, end, lo=at)
                for place in reversed(places[at:ahead]):
                    span = self._block_at(folded, place)
                    if span is not None:
                        end = max(end, span[1])
                        break
                at = ahead
            spans.append((start, end))
        return spans

    def _hits(self, folded: bytes, first: int) -> Iterator[int]:
        many = (len(folded) - first) // WINDOW
        if many <= 0:
            return iter(())
        view = memoryview(folded)[first : first + many * WINDOW].cast("Q")
        return itertools.compress(itertools.count(first, WINDOW), map(self._places.__contains__, view))

    def _block_at(self, folded: bytes, place: int) -> Span | None:
        """From the first to the last of the blocks that have one of their first places here."""
        blocks = self._blocks
        starts = [at for at in range(place, max(place - STRIDE, -1), -1) if folded[at : at + BLOCK] in blocks]
        return (starts[-1], starts[0] + BLOCK) if starts else None

    # ---- what may go on ------------------------------------------------------------------------------------------

    def open_short(self, text: str, start: int) -> int:
        """Where, at or after `start`, the first suffix begins that more text could make a form."""
        for at in range(max(start, len(text) - self._longest + 1), len(text)):
            if _begins(text, at, self._heads):
                return at
        return len(text)

    def open_block(self, text: str, start: int) -> int:
        first = max(start, len(text) - BLOCK + 1)
        if not self._blocks or first >= len(text):
            return len(text)
        tail = fold(text[first:])
        for at in range(len(tail)):
            if _begins(tail, at, self._folded_heads):
                return first + at
        return len(text)


def _begins(text: Any, at: int, heads: tuple[set[Any], ...]) -> bool:
    """Whether what stands at `at` may be the beginning of a form, by as many characters as are compared."""
    left = len(text) - at
    for length, known in zip(HEADS, heads, strict=True):
        if length > left:
            break
        if text[at : at + length] not in known:
            return False
    return True


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
    """Of the same length: halves of surrogate pairs are no text that can be looked through."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text


def fold(text: str) -> bytes:
    """A byte for each character."""
    return text.encode("ascii", "replace").translate(FOLD)
