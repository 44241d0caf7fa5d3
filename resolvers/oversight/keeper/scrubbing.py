"""What a command has said, without the secret that it was given: in any of its forms, in any letter case."""

import re
from collections.abc import Iterator
from itertools import compress
from typing import Final

from resolvers.rules.known_values import KnownValues
from resolvers.rules.redaction import Redactor, mark
from resolvers.rules.secret_forms import SHORTEST, forms_of

MARK: Final = mark("keeper-secret")
BLANK: Final = re.compile(r"\s")
BETWEEN: Final = re.compile(r"[\s:\\x,]")
"""What stands between two bytes of a dump."""


def scrubbed(text: str, secret: str) -> str:
    """Takes its time where both are long: it is called beside the loop."""
    at, shown = 0, list[str]()
    for start, end in sorted(_found(_lower(text), _lower(secret), secret)):
        if start >= at:
            shown += (text[at:start], MARK)
        at = max(at, end)
    return Redactor((secret,)).redact("".join((*shown, text[at:])))


def longest_form(secret: str) -> int:
    return max(map(len, forms_of(secret)), default=len(secret))


def _found(text: str, lowered: str, secret: str) -> Iterator[tuple[int, int]]:
    """In a text and by a secret of small letters; `secret`: as it is, which other alphabets are made of."""
    if len(secret) < SHORTEST:
        yield from _places(text, lowered)
        return
    known = KnownValues.of_forms(map(_lower, forms_of(secret)))
    yield from known.tabulated(text)
    for shard in range(known.shards):
        yield from known.short(shard, text, 0)
    apart = BLANK.sub("", lowered)
    if len(apart) >= SHORTEST:
        yield from _apart(text, BLANK, (apart, apart[::-1]))
    yield from _apart(text, BETWEEN, (secret.encode(errors="surrogatepass").hex(),))


def _apart(text: str, between: re.Pattern[str], values: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Values with something between their letters."""
    left_out = bytearray(b"\1") * len(text)
    for match in between.finditer(text):
        left_out[match.start()] = 0
    kept = list(compress(range(len(text)), left_out))
    joined = "".join(compress(text, left_out))
    for value in values:
        for start, end in _places(joined, value):
            yield kept[start], kept[end - 1] + 1


def _places(text: str, value: str) -> Iterator[tuple[int, int]]:
    at = text.find(value) if value else -1
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + len(value))


def _lower(text: str) -> str:
    """Of the same length."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)
