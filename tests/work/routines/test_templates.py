"""Placeholders: what each names, how a value is written, and that a small text stays small."""

import time
from typing import Any

import pytest

from models.work.routines.templates import RenderedTooLargeError, Values, holds, render, render_value
from tests.every import each_of

VALUES = Values(
    inputs={"a": "x", "n": 5.0, "o": {"b.c": 1.5, "d": None}, "l": [1, "a"], "t": True, "evil": "{{ inputs.a }}"},
    outputs={"s": '{"a": {"b": [1, {"z": 1, "y": 2}]}}', "text": "plain"},
    env={"run_id": "r1", "is_replay": False},
    metadata={"k": "v"},
    state={"last.one": "7"},
    secrets={"stripe": "sk"},
)


@each_of(
    ("text", "rendered"),
    [
        ("{{ inputs.a }}-{{inputs.a}}", "x-x"), ("{{ inputs.n }}", "5"), ("{{ inputs.o.b.c }}", "1.5"),
        ("{{ inputs.o }}", '{"b.c":1.5,"d":null}'), ("{{ inputs.l }}", '[1,"a"]'), ("{{ inputs.t }}", "true"),
        ("{{ inputs.none }}|{{ inputs.o.d }}|{{ inputs.a.b }}", "||"), ("{{ inputs.evil }}", "{{ inputs.a }}"),
        ("{{ steps.s.output.a.b }}", '[1,{"y":2,"z":1}]'), ("{{ steps.s.output.a.b.0 }}", ""),
        ("{{ steps.text.output }}", "plain"), ("{{ steps.text.output.a }}", ""), ("{{ steps.no.output }}", ""),
        ("{{ env.run_id }} {{ run.run_id }} {{ run.metadata.k }} {{ env.is_replay }}", "r1 r1 v false"),
        ("{{ routine.state.last.one }}", "7"), ("{{ secrets.stripe }}", ""), ("{{ }}{ {{{", "{ {{{"),
    ],
)  # fmt: skip
def test_rendered(text: str, rendered: str) -> None:
    assert render(text, VALUES) == rendered


def test_secrets_only_where_they_may_stand() -> None:
    assert render("{{ secrets.Stripe }}", VALUES, secrets=True) == "sk"
    assert render("{{ secrets.Stripe }}", VALUES) == ""


@each_of(
    ("value", "rendered"),
    [
        ({"value": "{{ inputs.n }}", "more": ["n={{ inputs.n }}", 3]}, {"value": 5.0, "more": ["n=5", 3]}),
        ("{{ inputs.l }}", [1, "a"]),
        ("{{ inputs.none }}", None),
    ],
)
def test_one_placeholder_alone_keeps_its_type(value: Any, rendered: Any) -> None:
    assert render_value(value, VALUES) == rendered


@each_of("word", ["", " ", "false", "0", "NULL", "nil", "No", "off"])
def test_false_words(word: str) -> None:
    assert not holds(word)


@each_of("word", ["true", "1", "yes", "<skipped>", "0.0"])
def test_true_words(word: str) -> None:
    assert holds(word)


def test_a_text_does_not_explode() -> None:
    with pytest.raises(RenderedTooLargeError):
        render("{{ inputs.a }}" * 10_000, Values(inputs={"a": "x" * 1_000_000}))


@each_of("text", ["{{" * 300_000, "{{" + " " * 600_000, "{{ a" * 200_000, "{{ x }" * 100_000])
def test_hostile_braces_take_no_time(text: str) -> None:
    began = time.process_time()
    assert render(text, VALUES) == text
    assert time.process_time() - began < 2
