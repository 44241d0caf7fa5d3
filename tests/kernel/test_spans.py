"""The text of a value in a JSON body."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rest_compat.http.spans import text_at

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
BLANKS = st.sampled_from(["", " ", "\n\t"])


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), VALUES, BLANKS, st.booleans())
def test_the_text_of_a_value_is_the_one_that_was_sent(
    others: dict[str, Any], value: Any, blank: str, ascii_only: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=len(blank) or None)
    before = "".join(f"{json.dumps(key)}:{json.dumps(each)}," for key, each in others.items())
    body = f'{blank}{{{blank}{before}"definition"{blank}:{blank}{text}{blank}}}{blank}'
    assert text_at(body, ("definition",)) == text
    assert text_at(f'{{"a": {body}, "b": 1}}', ("a", "definition")) == text


def test_the_last_of_repeated_keys_counts() -> None:
    assert text_at('{"a": 1, "a" : [ 2 ] }', ("a",)) == "[ 2 ]"
    assert text_at('{"a": {"b": 1}, "a": {"c": 2}}', ("a", "b")) is None


def test_what_is_not_there_has_no_text() -> None:
    assert text_at("{}", ("a",)) is None
    assert text_at('{"b": {"a": 1}}', ("a",)) is None
    deep = "[" * 5_000 + "]" * 5_000
    assert text_at(f'{{"a": {deep}}}', ("a",)) is None
