"""Finds where SHAPES match in a text (secret_shapes.py beside this), by RE2, in time that grows with the text alone.

Trying all shapes everywhere is slow, and where every word begins one, each trial takes hundreds of letters. So each
shape's minimum is searched for, in one pass for each of five kinds: shapes with a beginning of their own, two kinds of
names with a value, and web tokens and addresses, which are recognised by their middle.
"""

import functools
import re
import sys
from collections.abc import Callable
from typing import Any, Final

from resolvers.rules.secret_shapes import (
    BACK,
    BARE,
    BEARER,
    BEGIN,
    DOUBLE,
    EQUALS,
    ESCAPED,
    HEADER,
    KINDS,
    LONGEST_VALUE,
    PASSWORD,
    PEM,
    QUOTE,
    SCHEME,
    SECRET,
    SHAPES,
    SINGLE,
    SPACE,
    URL,
)

NONE: Final = sys.maxsize
MEMORY: Final = 32 << 20
"""The most bytes of a search's state."""

_BEFORE = r"(?:^|[^A-Za-z0-9]|\\[nrt]|[\[;]\d{1,2}m|%[0-9A-Fa-f]{2})"
"""The context before a BEGIN."""
_LONGEST_BEFORE = 4
_NAME = rf"[A-Za-z0-9_]{{0,16}}{QUOTE}{SPACE}{EQUALS}{SPACE}"
_TOKENS = "|".join(shape for kind, shapes in KINDS.items() if kind != "jwt" for shape in shapes)

WHOLE: Final = (
    rf"{_BEFORE}(?:{_TOKENS}|(?i:bearer)[ \t]{{1,4}}{BEARER}{{16}})|{PEM}"
    rf"|{HEADER}{SCHEME}[ \t]{{1,4}}{BARE}{{6}}"
)
PASSWORDS: Final = (
    rf"(?i:{PASSWORD}){_NAME}"
    rf"(?:\\{{1,3}}[\"'`]{ESCAPED}{{4}}|\"{DOUBLE}{{4}}|'{SINGLE}{{4}}|`{BACK}{{4}}|{BARE}{{4}})"
)
SECRETS: Final = rf"(?i:{SECRET}){_NAME}(?:\\{{0,3}}[\"'`])?[\w.~+/=:-]*?[A-Za-z0-9]{{12}}"
"""Every random value contains such a run of letters and digits."""
_FAR: Final = LONGEST_VALUE + 64
"""From the beginning of a name to the end of that run."""
WEB_TOKEN: Final = r"e[yw][\w-]{15,}\.e[yw][\w-]{8}"
ADDRESS: Final = rf"{_BEFORE}{URL}[^\s/:@\"'`]{{0,100}}:[^\s/@\"'`]{{1,{LONGEST_VALUE}}}@"

ANY: Final = "|".join((WHOLE, PASSWORDS, SECRETS, WEB_TOKEN, ADDRESS))
SMALL: Final = 2 << 10
"""Characters of a text that is asked for everything at once: most of what streams has nothing of it."""

_WEB_TOKENS = re.compile(rf"{BEGIN}e[yw]", re.ASCII)
_ADDRESSES = re.compile(BEGIN + URL, re.ASCII)
_SCHEME_LENGTH = 21

Find = Callable[[str, bytes, int], int]


class Starts:
    """The matches of SHAPES in one text that may be secrets, asked for from the left."""

    def __init__(self, text: str) -> None:
        self._text, self._plain = text, text.encode("ascii", "replace")  # a byte for each character
        nothing = len(text) < SMALL and _search(ANY)(self._plain) is None
        self._next = [NONE if nothing else -1] * len(_FINDERS)

    def first(self, least: int) -> re.Match[str] | None:
        """The first at or after `least`, which does not become smaller."""
        found = self._next
        while True:
            for number, find in enumerate(_FINDERS):
                if found[number] < least:
                    found[number] = find(self._text, self._plain, least)
            start = min(found)
            if start == NONE:
                return None
            if match := SHAPES.match(self._text, start):
                return match
            least = start + 1


@functools.cache
def _search(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.max_mem, options.never_capture, options.encoding = MEMORY, True, re2.Options.Encoding.LATIN1
    # What Python calls a space has the vertical tab, too.
    return re2.compile(pattern.replace(r"\s", r"\t-\r ").encode(), options).search


def _whole(text: str, plain: bytes, least: int) -> int:
    at = max(0, least - _LONGEST_BEFORE)
    while (found := _search(WHOLE)(plain, at)) is not None:
        at = found.start()
        for start in range(max(least, at), at + _LONGEST_BEFORE + 1):
            if SHAPES.match(text, start):
                return start
        at += 1
    return NONE


def _password(text: str, plain: bytes, least: int) -> int:
    found = _search(PASSWORDS)(plain, least)
    return NONE if found is None else int(found.start())


def _secret(text: str, plain: bytes, least: int) -> int:
    """A run that is too far away is none of this name, nor of any name before the last _FAR characters."""
    while (found := _search(SECRETS)(plain, least)) is not None:
        start, end = found.span()
        if end - start <= _FAR:
            return int(start)
        least = end - _FAR
    return NONE


def _web_token(text: str, plain: bytes, least: int) -> int:
    """From the second part back to the first place in the same word where the first part may begin."""
    at = least
    while (found := _search(WEB_TOKEN)(plain, at)) is not None:
        dot = found.end() - len(".ey") - 8
        if begin := _WEB_TOKENS.search(text, max(at, found.start(), dot - 2 - 400), dot - 15):
            return begin.start()
        at = dot + 1
    return NONE


def _address(text: str, plain: bytes, least: int) -> int:
    at = max(0, least - _LONGEST_BEFORE)
    while (found := _search(ADDRESS)(plain, at)) is not None:
        mark = text.index("://", found.start())
        if begin := _ADDRESSES.search(text, max(least, mark - _SCHEME_LENGTH), mark + 3):
            return begin.start()
        at = mark + 1
    return NONE


_FINDERS: Final[tuple[Find, ...]] = (_whole, _password, _secret, _web_token, _address)
