"""Redacts secrets in everything that an agent shows (contract: chats.behaviour 15).

Two passes: known values, exactly; then text with the shape of a secret. Either is replaced by `[REDACTED:<kind>]`. A
stream gives the same result as the whole text, however it is cut: only text that the next characters may turn into a
secret is held back, which in prose is the last word, and never more than two REACH and a BLOCK of a known value.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, Protocol

from resolvers.rules.known_values import BLOCK, KnownValues
from resolvers.rules.secret_shapes import (
    CONTEXT,
    REACH,
    TOKEN,
    goes_on,
    judge,
    kind_by_name,
    undecided,
)
from resolvers.rules.shape_starts import Starts

KNOWN: Final = "credential"
DEEPEST = 64  # levels of nested metadata


def mark(kind: str) -> str:
    return f"[REDACTED:{kind}]"


class Redactor:
    """Redacts the texts of one run. `hits` counts redactions, including those in streams.

    `known`: values of credentials, in all their forms (secret_forms.py beside this).
    """

    def __init__(self, known: Iterable[str] | KnownValues = ()) -> None:
        self._known = known if isinstance(known, KnownValues) else KnownValues(known)
        self.hits = 0

    def is_like(self, other: "Redactor") -> bool:
        """Returns true if both redact the same values."""
        return self._known is other._known

    @property
    def known(self) -> KnownValues | None:
        return self._known or None

    def knows(self, text: str) -> bool:
        """Returns true if the text contains a known value."""
        stream = _Known(Redactor(self._known), self._known)
        return stream.feed(text, last=True) != text

    def redact(self, text: str) -> str:
        return self.stream().whole(text)

    def beside(self, text: str) -> str:
        """Redacts text that is not output of the run: it counts for no hit."""
        return Redactor(self._known).redact(text)

    def redact_json(self, value: Any) -> Any:
        """The same in every text of nested metadata, names included; a value under a telling name is judged by it."""
        return self._json(value, DEEPEST)

    def stream(self) -> "StreamRedactor":
        return StreamRedactor(self)

    def _json(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.redact(value)
        if not depth:
            return value if value is None or isinstance(value, (bool, int, float)) else mark("nesting")
        if isinstance(value, (list, tuple)):
            return [self._json(item, depth - 1) for item in value]
        return (
            {self.redact(str(k)): self._named(str(k), v, depth - 1) for k, v in value.items()}
            if isinstance(value, dict)
            else value
        )

    def _named(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, str) and (kind := kind_by_name(name, value)):
            self.hits += 1
            return mark(kind)
        return self._json(value, depth)


class _Pass(Protocol):
    def feed(self, text: str, last: bool) -> str: ...


class StreamRedactor:
    """One stream of text, in order. The result of `feed` may be shown; `flush` returns the rest and ends the stream."""

    def __init__(self, redactor: Redactor) -> None:
        self._passes: list[_Pass] = [_Shapes(redactor)]
        if redactor.known is not None:
            self._passes.insert(0, _Known(redactor, redactor.known))

    def feed(self, text: str) -> str:
        return self._feed(text, last=False)

    def flush(self) -> str:
        return self._feed("", last=True)

    def whole(self, text: str) -> str:
        """A text that is not cut: `feed` and `flush` at once."""
        return self._feed(text, last=True)

    def _feed(self, text: str, last: bool) -> str:
        for one in self._passes:
            text = one.feed(text, last)
        return text


class _Known:
    """Adjacent or overlapping known values, or parts of a long one, become one mark."""

    def __init__(self, redactor: Redactor, known: KnownValues) -> None:
        self._redactor, self._known = redactor, known
        self._text = ""  # what is not given yet, behind as much before it as a block may have there
        self._done = 0  # of the text: this much was given, or is covered by a mark that was
        self._marked = False  # whether it ends in a mark
        self._cursors = [0] * known.shards
        self._ahead = list[tuple[int, int]]()  # what the automata have found behind what may be given

    def feed(self, text: str, last: bool) -> str:
        self._text += text
        if not self._text:
            return ""
        found, hold = self._decided(last)
        found += self._ahead
        shown = list[str]()
        for start, end in sorted(found + self._known.tabulated(self._text)):
            if start >= hold:
                break
            if end <= self._done:
                continue
            if start > self._done:
                shown.append(self._text[self._done : start])
            if start > self._done or not self._marked:
                shown.append(mark(KNOWN))
                self._redactor.hits += 1
            self._done, self._marked = end, True
        if self._done < hold:
            shown.append(self._text[self._done : hold])
            self._done, self._marked = hold, False
        self._ahead = [span for span in found if span[0] >= hold]
        self._forget(hold)
        return "".join(shown)

    def _decided(self, last: bool) -> tuple[list[tuple[int, int]], int]:
        """The matches of the automata that further text cannot change, and the place from which it may."""
        spans, whole, known = list[tuple[int, int]](), len(self._text), self._known
        hold = whole if last else min(known.open_block(self._text, 0), known.open_short(self._text, 0))
        for shard, cursor in enumerate(self._cursors):
            until = whole if last else self._known.open_short(self._text, cursor)
            for start, end in self._known.short(shard, self._text, cursor):
                if start >= until:
                    break
                spans.append((start, end))
                cursor = end
                if until < end:
                    until = self._known.open_short(self._text, end)
            self._cursors[shard] = max(cursor, until)
            hold = min(hold, until)
        return spans, hold

    def _forget(self, hold: int) -> None:
        gone = max(0, min(self._done, hold, *self._cursors) - BLOCK)
        self._text, self._done = self._text[gone:], self._done - gone
        self._cursors = [cursor - gone for cursor in self._cursors]
        self._ahead = [(start - gone, end - gone) for start, end in self._ahead]


class _Shapes:
    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._before, self._held = "", ""  # before: what was let go last, for what may stand in front of a secret
        self._one_run = True  # nothing but TOKEN characters is held
        self._swallow: re.Pattern[str] | None = None  # inside a secret whose mark was given

    def feed(self, text: str, last: bool) -> str:
        if self._waits(text, last):
            return ""
        text = self._before + self._held + text
        start, again = len(self._before), None
        if self._swallow is not None:
            end, again = goes_on(self._swallow, text, start)
            start = end if again is None or last else again
        shown = list[str]()
        at, hold = start, self._hold(text, start, again, last)
        shapes = Starts(text)
        while (match := shapes.first(at)) and match.start() < hold:
            found = judge(match)
            if found is None:
                at = match.start() + 1
                continue
            if found.again is not None and not last and match.start() >= len(text) - REACH:
                hold = match.start()
                break
            shown += (text[start : found.start], mark(found.kind))
            self._redactor.hits += 1
            again, self._swallow = found.again, found.rest
            at = start = found.end if again is None or last else again
            if again is not None or hold < start:
                hold = self._hold(text, start, again, last)
        if again is None or last:
            self._swallow = None
        shown.append(text[start:hold])
        self._before, self._held = text[max(0, hold - CONTEXT) : hold], text[hold:]
        self._one_run = not self._held.strip(TOKEN)
        return "".join(shown)

    def _waits(self, text: str, last: bool) -> bool:
        """A long run of one word is looked at again when it ends or has grown by REACH, not with every piece of it."""
        if (
            last
            or self._swallow is not None
            or not self._one_run
            or len(self._held) + len(text) > 2 * REACH
            or text.strip(TOKEN)
        ):
            return False
        self._held += text
        return True

    @staticmethod
    def _hold(text: str, start: int, again: int | None, last: bool) -> int:
        """From where on nothing may be shown yet."""
        return len(text) if last else start if again is not None else undecided(text, start)
