"""Reads the usage of a model call from the answer on its way to the coding agent.

Reports of the coding agents are not used: some cover a whole session, some come only at the end, and the content that
an agent works on can manipulate all of them.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from runtime.adapters.conversation import TokenUsage

LARGEST: Final = 16 << 20
"""The most bytes of a line, and of an answer that is not a stream: a longer one is passed on without being read."""


def usage_of(read: int, wrote: int, cached: int = 0, written: int = 0) -> TokenUsage:
    """`read`: tokens that were neither read from nor written to a cache."""
    numbers = (read, wrote, cached, written)
    read, wrote, cached, written = (max(0, number) for number in numbers)
    return TokenUsage(
        input_tokens=read, output_tokens=wrote, cache_read_input_tokens=cached, cache_creation_input_tokens=written
    )


def tokens_of(usage: TokenUsage) -> int:
    cached = usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    return usage["input_tokens"] + usage["output_tokens"] + cached


def _count(told: Mapping[str, Any], *names: str) -> int:
    """The first of the numbers that is there."""
    for name in names:
        value = told.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return 0


def _inner(told: Any, *names: str) -> Mapping[str, Any]:
    for name in names:
        told = told.get(name) if isinstance(told, Mapping) else None
    return told if isinstance(told, Mapping) else {}


def _messages(told: Mapping[str, Any], before: TokenUsage | None) -> TokenUsage | None:
    """Anthropic's usage: reported at the start, and updated at the end; unrepeated fields keep their value."""
    found = _inner(told, "message", "usage") or _inner(told, "usage")
    if not found:
        return before
    last = before or usage_of(0, 0)

    def now(name: str) -> int:
        return _count(found, name) if isinstance(found.get(name), int) else int(last[name])  # type: ignore[literal-required]

    return usage_of(
        now("input_tokens"),
        now("output_tokens"),
        now("cache_read_input_tokens"),
        now("cache_creation_input_tokens"),
    )


def _responses(told: Mapping[str, Any], before: TokenUsage | None) -> TokenUsage | None:
    found = _inner(told, "response", "usage") or _inner(told, "usage")
    if not found:
        return before
    cached = _count(_inner(found, "input_tokens_details"), "cached_tokens")
    return usage_of(_count(found, "input_tokens") - cached, _count(found, "output_tokens"), cached)


def _completions(told: Mapping[str, Any], before: TokenUsage | None) -> TokenUsage | None:
    found = _inner(told, "usage")
    if not found:
        return before
    cached = _count(_inner(found, "prompt_tokens_details"), "cached_tokens")
    return usage_of(_count(found, "prompt_tokens") - cached, _count(found, "completion_tokens"), cached)


def _generated(told: Mapping[str, Any], before: TokenUsage | None) -> TokenUsage | None:
    found = _inner(told, "usageMetadata")
    if not found:
        return before
    cached = _count(found, "cachedContentTokenCount")
    wrote = _count(found, "candidatesTokenCount") + _count(found, "thoughtsTokenCount")
    return usage_of(_count(found, "promptTokenCount") - cached, wrote, cached)


Reading = Callable[[Mapping[str, Any], TokenUsage | None], TokenUsage | None]
WIRES: Final[Mapping[str, Reading]] = {
    "messages": _messages,
    "responses": _responses,
    "chat/completions": _completions,
    "generateContent": _generated,
    "streamGenerateContent": _generated,
}
"""The readers by the last part of the path, after a version or a model: messages of a thread belong to another API."""
_VERSION: Final = r"/(?:v1(?:alpha|beta)?/)?"
_MODEL: Final = r"(?:tuned)?[mM]odels/[A-Za-z0-9._-]+"
_CALL: Final = re.compile(
    rf"{_VERSION}(?:(messages|responses|chat/completions)|{_MODEL}:((?:streamG|g)enerateContent))"
)
_COUNT: Final = re.compile(rf"{_VERSION}(?:messages/count_tokens|{_MODEL}:countTokens)")
_MODELS: Final = re.compile(rf"{_VERSION}models(?:/[A-Za-z0-9._:-]+)?")


def reading_of(path: str) -> Reading | None:
    called = _CALL.fullmatch(path)
    return None if called is None else WIRES[called[1] or called[2]]


def is_free(method: bytes, path: str) -> bool:
    """Returns true for requests without cost and effect: the length of a text, and the list of models. Anything else
    that the key permits (batches, files, images, other models) would bypass every budget.
    """
    if method == b"POST":
        return _COUNT.fullmatch(path) is not None
    return method in (b"GET", b"HEAD") and _MODELS.fullmatch(path) is not None


class Meter:
    """The meter of one answer. `usage` is None until the answer reports any."""

    def __init__(self, reading: Reading, *, streamed: bool) -> None:
        self._reading, self._streamed = reading, streamed
        self._held = bytearray()
        self._skipping = False
        self.usage: TokenUsage | None = None
        self.length = 0

    def feed(self, piece: bytes) -> None:
        self.length += len(piece)
        if not self._streamed:
            if len(self._held) <= LARGEST:
                self._held += piece
            return
        *lines, rest = piece.split(b"\n")
        for line in lines:
            self._held += line
            self._line()
        self._held += rest
        if len(self._held) > LARGEST:
            self._held.clear()
            self._skipping = True

    def end(self) -> None:
        if self._streamed:
            self._line()
        elif len(self._held) <= LARGEST:
            self._take(bytes(self._held))

    def _line(self) -> None:
        line, skipped = bytes(self._held), self._skipping
        self._held.clear()
        self._skipping = False
        if line.startswith(b"data:") and not skipped:
            self._take(line[5:])

    def _take(self, text: bytes) -> None:
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            return
        for each in told if isinstance(told, list) else (told,):
            if isinstance(each, Mapping):
                self.usage = self._reading(each, self.usage)
