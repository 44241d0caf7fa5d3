"""JSON and sizes of configuration texts."""

import orjson
import pytest
from hypothesis import given
from pydantic import BaseModel, TypeAdapter

from resolvers.errors import Refusal
from resolvers.rules.config_text import MAX_DEPTH, check_size, parse_json, parse_object, shaped, shown, size
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, json_values, value_or_refusal


@given(anything)
def test_json_is_total(text: str) -> None:
    value_or_refusal(lambda t: parse_json(t, "field"), text)


@given(json_values)
def test_what_was_written_is_read(value: object) -> None:
    assert parse_json(orjson.dumps(value).decode(), "field") == value


def test_of_duplicate_keys_the_last_wins() -> None:
    assert parse_json('{"a": 1, "a": 2}', "field") == {"a": 2}


@each_of(
    "text",
    [
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        "{} {}",
        "",
        "{'a': 1}",
        '{"a": 1,}',
        "// c\n{}",
        '"\\ud800"',
        "\ud800",
        "\ufeff{}",
    ],
)
def test_not_json(text: str) -> None:
    with refused("field", "not valid JSON"):
        parse_json(text, "field")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth(opening: str, closing: str) -> None:
    def nested(depth: int) -> str:
        return opening * depth + "1" + closing * depth

    assert parse_json(nested(MAX_DEPTH), "field")
    for depth in (MAX_DEPTH + 1, 500, 1_000_000):
        with refused("field"):
            parse_json(nested(depth), "field")


@pytest.mark.parametrize("text", ["[]", "null", "1", '"{}"'])
def test_an_object_is_demanded(text: str) -> None:
    with refused("field", "must be a JSON object"):
        parse_object(text, "field")


@given(anything)
def test_sizes_are_bytes(text: str) -> None:
    bytes_ = size(text)
    assert len(text) <= bytes_ <= 4 * len(text)
    check_size(text, "field", bytes_)
    with refused("field", f"at most {bytes_ - 1} bytes"):
        check_size(text, "field", bytes_ - 1)


def test_a_character_may_take_several_bytes() -> None:
    assert [size(c) for c in ("a", "é", "€", "😀", "\ud800")] == [1, 2, 3, 4, 3]


@given(anything)
def test_quoted_text_can_be_sent(text: str) -> None:
    quoted = shown(text)
    assert quoted.encode().isascii() or quoted.isprintable()
    assert len(quoted) < 900


def test_a_violation_names_its_place_and_never_the_value() -> None:
    class Inner(BaseModel, strict=True):
        count: int

    class Outer(BaseModel, strict=True):
        inner: list[Inner]

    with pytest.raises(Refusal) as caught:
        shaped(TypeAdapter(Outer), {"inner": [{"count": 1}, {"count": "hunter2"}]}, "field")
    assert caught.value.detail.startswith("field: inner[1].count: ")
    assert "hunter2" not in caught.value.detail
