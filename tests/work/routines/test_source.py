"""The text of a document: YAML by its core schema, JSON, and what is too large."""

import time
from typing import Any

import pytest

from models.work.routines.faults import RefusedRoutine
from models.work.routines.reading import read_routine, read_value
from models.work.routines.source import MOST_BYTES, load
from tests.every import each_of
from tests.work.routines.documents import HOOK, routine, step


@each_of(
    ("text", "value"),
    [
        ("a: off", "off"), ("a: yes", "yes"), ("a: 2026-01-02", "2026-01-02"), ("a: true", True), ("a: ~", None),
        ("a: 0o17", 15), ("a: 0x1F", 31), ("a: 017", 17), ("a: 1e3", 1000.0), ("a: '5'", "5"), ("a: 1.50", 1.5),
        ("a: 1:30", "1:30"), ('{"a": "\\ud83d\\ude00\\/"}', "\U0001f600/"), ('{"a":\t1}', 1), ("{a: b,}", "b"),
        ("a: |\n  x\n  y\n", "x\ny\n"), ("x: &x {b: 1}\na: *x", {"b": 1}), ("\ufeffa: 1", 1),
        ('{"a":"\x7f\x85\u2028\ufffe"}', "\x7f\x85\u2028\ufffe"),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    read = load(text)
    assert read.value["a"] == value
    assert type(read.value["a"]) is type(value)
    assert not read.faults


LAUGHS = "\n".join([f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10) if n else 'ha'}]" for n in range(9)])


@each_of(
    ("text", "reason", "line"),
    [
        (LAUGHS, "aliases included", 1),
        ("a: &a [*a]", "nested more than", 1),
        ("[" * 100000, "maximum nesting depth", 1),
        ("{" * 200, "nested more than", 1),
        ("a: [" + "1," * 60000 + "]", "values", 1),
        ("x" * (MOST_BYTES + 1), "bytes", 1),
        ("\u20ac" * (MOST_BYTES // 2), "bytes", 1),
        ("a: &a " + "x" * 500_000 + "\nb: [" + "*a," * 10 + "]", "characters, aliases included", 1),
        ("a: 1\nb: [1", "no valid YAML", 2),
        ("a: 1\n--- \nb: 1", "second document", 2),
        ("a: 1\nb: !!python/object:os.system 1", "tags of types", 2),
        ("a: {b: 1}\nc:\n  <<: {d: 1}", "merged keys", 3),
        ("a: 1\n[b]: 1", "key must be a text", 2),
        (b"\xff", "UTF-8", 1),
        ("\ud800", "UTF-8", 1),
        ("", "mapping", 1),
        ("- a", "mapping", 1),
    ],
)
def test_refused_texts(text: str | bytes, reason: str, line: int) -> None:
    began = time.process_time()
    with pytest.raises(RefusedRoutine, match=reason) as caught:
        read_routine(text)
    assert caught.value.faults[0].line >= line
    assert time.process_time() - began < 5


@each_of(
    ("text", "reason"),
    [
        ("name: x\nname: y", "the key is repeated"),
        ('{"name": "x",\n"name": "y"}', "the key is repeated"),
        ('{"a": "",\n"b": "\\u0000"}', "NUL"),
        ('{"a": "",\n"b": "\\ud800"}', "surrogate"),
        ("a: 1\nb: 99999999999999999999", "64 bits"),
        ("a: 1\nb: .inf", "no finite number"),
        ('{"a": 1,\n"b": 1e999}', "no finite number"),
    ],
)
def test_refused_values(text: str, reason: str) -> None:
    with pytest.raises(RefusedRoutine) as caught:
        read_routine(text)
    assert [fault.line for fault in caught.value.faults if reason in fault.text] == [2]


@each_of("value", [{"name": object()}, {"name": float("nan")}, None, [], "name: x", {1: 2}])
def test_refused_parts_of_other_documents(value: Any) -> None:
    with pytest.raises(RefusedRoutine):
        read_value(value)


def test_a_part_that_contains_itself() -> None:
    value: dict[str, Any] = {"name": "x"}
    value["steps"] = [value]
    with pytest.raises(RefusedRoutine, match="no JSON"):
        read_value(value)


def test_many_expressions_are_not_compiled() -> None:
    long = " || ".join(f"inputs.a == {n}" for n in range(200))
    steps = [{**HOOK, "id": f"s{n}", "if": long} for n in range(60)]
    with pytest.raises(RefusedRoutine, match="all expressions have"):
        read_value(routine(*steps))


def test_the_largest_routine_is_read_in_time() -> None:
    steps = [step("transform", f"s{n}", needs=[f"s{k}" for k in range(max(0, n - 60), n)]) for n in range(500)]
    began = time.process_time()
    assert len(read_value(routine(*steps)).routine.steps) == 500
    assert time.process_time() - began < 5
