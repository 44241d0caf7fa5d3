"""Secrets are taken out of everything an agent shows (contract: chats.behaviour 15).

Two passes: values that are known, exactly; then what has the shape of a secret. Either is replaced by
`[REDACTED:<kind>]`. Text that streams gives, however it is cut, the same as it would give as a whole: only what the
next characters may turn into a secret is held back, which in prose is the last word, and never more than two REACH or
the longest known value.
"""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any, Final, Protocol
from urllib.parse import quote

from resolvers.rules.secret_shapes import CONTEXT, REACH, SHAPES, TOKEN, goes_on, judge, kind_by_name, undecided

KNOWN: Final = "credential"
SHORTEST_KNOWN = 4  # shorter ones would be found in every other word
SHORTEST_LINE = 16
DEEPEST = 64  # levels of nested metadata


def mark(kind: str) -> str:
    return f"[REDACTED:{kind}]"


class Redactor:
    """Takes secrets out of the texts of one run. `hits` counts what was taken out, of streams too.

    `known`: values of credentials. Their lines, and their JSON, percent, base64, hex and reversed forms, are taken for
    known as well.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        values = {form for value in known for form in forms_of(value) if len(form) >= SHORTEST_KNOWN}
        self.known = tuple(sorted(values, key=lambda value: (-len(value), value)))
        self.known_pattern = re.compile("|".join(map(re.escape, self.known))) if self.known else None
        self.hits = 0

    def redact(self, text: str) -> str:
        return self.stream().whole(text)

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


def forms_of(value: str) -> set[str]:
    forms = {value, value.strip()}
    forms |= {
        line.strip()
        for line in value.splitlines()
        if len(line.strip()) >= SHORTEST_LINE and not line.startswith("-----")
    }
    forms |= {json.dumps(form)[1:-1] for form in forms} | {quote(form, safe="") for form in forms}
    long = [form for form in forms if len(form) >= SHORTEST_KNOWN]
    coded = [form.encode(errors="surrogatepass") for form in long]
    forms |= {form[::-1] for form in long} | {each.hex() for each in coded} | {each.hex().upper() for each in coded}
    encoded = {base64.b64encode(each).decode().rstrip("=") for each in coded}
    return forms | encoded | {text.replace("+", "-").replace("/", "_") for text in encoded}


class _Pass(Protocol):
    def feed(self, text: str, last: bool) -> str: ...


class StreamRedactor:
    """One stream of text, in order. What `feed` gives back may be shown; `flush` gives the rest and ends the stream."""

    def __init__(self, redactor: Redactor) -> None:
        self._passes: list[_Pass] = [_Shapes(redactor)]
        if redactor.known_pattern is not None:
            self._passes.insert(0, _Known(redactor, redactor.known_pattern))

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
    def __init__(self, redactor: Redactor, pattern: re.Pattern[str]) -> None:
        self._redactor, self._pattern, self._held = redactor, pattern, ""

    def feed(self, text: str, last: bool) -> str:
        text, shown, at = self._held + text, list[str](), 0
        hold = len(text) if last else self._undecided(text, 0)
        while (match := self._pattern.search(text, at)) and match.start() < hold:
            shown += (text[at : match.start()], mark(KNOWN))
            at = match.end()
            self._redactor.hits += 1
            if hold < at:
                hold = self._undecided(text, at)
        self._held = text[hold:]
        return "".join((*shown, text[at:hold]))

    def _undecided(self, text: str, start: int) -> int:
        """Where the first suffix begins that more text could make a known value."""
        first = len(text)
        for value in self._redactor.known:
            at = text.find(value[0], max(start, len(text) - len(value) + 1))
            while 0 <= at < first:
                if value.startswith(text[at:]):
                    first = at
                at = text.find(value[0], at + 1)
        return first


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
        while (match := SHAPES.search(text, at)) and match.start() < hold:
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
