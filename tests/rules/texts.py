"""Texts that break parsers, and the promise every rule makes about them."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from resolvers.errors import Code, Refusal

NASTY = (
    "",
    " ",
    "\x00",
    "\ud800",
    "\udfff\ud800",
    "\ufeff{}",
    "null",
    "true",
    "0",
    "[]",
    "{}",
    "NaN",
    "Infinity",
    "1e999",
    '{"a": NaN}',
    '{"image": 1e999}',
    '"\\ud800"',
    '{"\\u0000": "\\u0000"}',
    "[" * 900 + "]" * 900,
    "[" * 100_000,
    '{"a":' * 100_000,
    "9" * 10_000,
    "{" * 50,
    "a" * 200_000,
    "\n" * 5_000,
    '"' * 5_000,
    "a." * 5_000,
    "\\" * 5_000,
    "-" * 5_000,
)

anything = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=())))
"""Any str at all: lone surrogates, NUL and control characters included."""

_sendable = st.characters(exclude_categories=("Cs",))

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(_sendable, max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(_sendable, max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _sent(refusal: Refusal) -> bool:
    return refusal.code is Code.BAD_REQUEST and bool(refusal.fields) and 0 < len(refusal.detail.encode()) < 1000


def value_or_refusal(rule: Callable[[str], Any], text: str) -> Any:
    """What the rule says; None for a Refusal. Anything else raised fails the test, as does one that cannot be sent."""
    try:
        return rule(text)
    except Refusal as refused:
        if not _sent(refused):
            raise
        return None
