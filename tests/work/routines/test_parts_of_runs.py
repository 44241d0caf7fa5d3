"""The parts of the interpreter that are functions alone: transformations, comparisons, delays, failures, order."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.work.routines.parts import Backoff
from models.work.routines.reading import read_value
from runtime.work.routines.comparing import compare, variables_of
from runtime.work.routines.failures import StepError, fingerprint, is_transient, status_in
from runtime.work.routines.retrying import delay_ms, is_affordable
from runtime.work.routines.scheduling import plan_of
from runtime.work.routines.transforming import transform
from tests.every import each_of
from tests.work.routines.test_properties import STORABLE

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
TRANSFORMED = [
    ("Ahoy", ".", "Ahoy"), ('{"a":{"b":1.50}}', ".a.b", "1.50"), ('{"a":[{"b":"x"}]}', ".a[0].b", "x"),
    ("[1,2]", ".[1]", "2"), ("[1,2,3]", "length", "3"), ("Ahoi ö", "length", "7"),
    ('{"b":1,"a":2}', "keys", '["a","b"]'),
    ('{"b":1,"a":null}', "tostring", '{"a":null,"b":1}'), ("plain", "tostring", "plain"),
    ('say "x"', "@json", '"say \\"x\\""'),
    ("12345678901234567890.10", "tojson", "12345678901234567890.10"), ("null", "tostring", "null"),
    ('{"a":null}', ".a", ""),
    ('Here: ```json\n{"a": 1}\n``` done', ".a", "1"), ('The list is [1, 2], I think', ".[0]", "1"),
    ('{"a":true}', ".a", "true"),
    ('{"ä":1}', "tojson", '{"ä":1}'),
]  # fmt: skip
REFUSED = [
    ("x", ".a"), ("{}", ".a"), ("[]", ".[0]"), ("[1]", ".[x]"), ("[1]", ".[-1]"), ("1", ".a"), ('{"a":1}', ".a | .b"),
    ("[1]", ".[]"), ("[1]", "keys"), ("true", "length"), ("[1]", "a"), ("NaN", ".a"), ("[" * 5000, ".[0]"),
]  # fmt: skip


@each_of("case", TRANSFORMED)
def test_transformations(case: tuple[str, str, str]) -> None:
    assert transform(case[0], case[1]) == case[2]


@each_of("case", REFUSED)
def test_refused_transformations(case: tuple[str, str]) -> None:
    with pytest.raises(StepError):
        transform(*case)


@QUICK
@given(STORABLE)
def test_json_stays_itself(value: Any) -> None:
    text = json.dumps(value)
    assert json.loads(transform(text, "tojson")) == json.loads(text)


@QUICK
@given(st.text(max_size=40), st.text(max_size=20))
def test_no_text_raises_anything_else(text: str, expression: str) -> None:
    with contextlib.suppress(StepError):
        transform(text, expression)
    with contextlib.suppress(StepError):
        compare(text + expression, {})


COMPARED = [
    ("3 > 2", "true"), ("3 >= 10", "false"), ("a == a", "true"), ("'a' == a", "true"), ("a != b", "true"),
    ("1.0 == 1", "true"),
    ("CREWSHIP_INPUT_N <= 5", "true"), ("LIMIT > 5", "true"), ("1e3 == 1000", "true"),
]  # fmt: skip


@each_of("case", COMPARED)
def test_comparisons(case: tuple[str, str]) -> None:
    assert compare(case[0], variables_of({"n": "5"}, {"LIMIT": "6"})) == case[1]


@each_of("code", ["a > b", "3", "", "a >= 1"])
def test_refused_comparisons(code: str) -> None:
    with pytest.raises(StepError):
        compare(code, {})


@QUICK
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(1, 1e308), st.integers(1, 10), st.floats(0, 1))
def test_delays_grow_up_to_the_most(least: int, more: int, factor: float, attempt: int, part: float) -> None:
    backoff = Backoff(min_ms=least, max_ms=least + more, factor=factor, jitter=False)
    delay = delay_ms(backoff, attempt, part)
    assert least <= delay <= least + more
    assert delay <= delay_ms(backoff, attempt + 1, part)
    jittered = Backoff(min_ms=least, max_ms=least + more, factor=factor)
    assert 0 <= delay_ms(jittered, attempt, part) <= delay


def test_affordable() -> None:
    assert is_affordable(99, [99], 0)
    assert is_affordable(1, [0.5], 2)
    assert not is_affordable(2, [0.5], 2)
    assert is_affordable(2, [0.0], 2)


def test_failures() -> None:
    assert [status_in(text) for text in ("got HTTP 503 here", "HTTP 5", "503")] == [503, 0, 0]
    passing = (
        "got HTTP 429",
        "Rate limit",
        "connection refused",
        "unexpected EOF",
        "timed out",
        "The server cannot be reached",
    )
    assert all(map(is_transient, passing))
    assert not is_transient("got HTTP 404, a missing field")
    first = fingerprint("a", "Run run_c12ab failed at 2026-01-02T03:04:05Z after 15 s")
    assert first == fingerprint("a", "run run_c99  failed at 2027-11-12T13:14:15.5Z after 7 s")
    assert first != fingerprint("b", "Run run_c12ab failed at 2026-01-02T03:04:05Z after 15 s")
    assert len(first) == 16


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    size = draw(st.integers(1, 12))
    order = draw(st.permutations(range(size)))
    said = []
    for n in range(size):
        before = [f"s{k}" for k in range(size) if order[k] < order[n]]
        needs = draw(st.lists(st.sampled_from(before), unique=True, max_size=3)) if before else []
        condition = {"if": "steps.s0 == 'x'"} if draw(st.booleans()) else {}
        step = {"id": f"s{n}", "type": "transform", "transform": {"input": "x", "expression": "."}}
        said.append(step | condition | ({"needs": needs} if needs else {}))
    return {"name": "g", "steps": said, "parallelism": draw(st.sampled_from(["auto", "explicit", "off"]))}


@QUICK
@given(graphs())
def test_every_step_has_one_wave_behind_its_needs(said: dict[str, Any]) -> None:
    plan = plan_of(read_value(said).routine)
    assert sorted(step.id for step in plan.steps) == sorted(step["id"] for step in said["steps"])
    if plan.graph:
        place = {step.id: n for n, wave in enumerate(plan.waves) for step in wave}
        for step in plan.steps:
            assert all(place[need] < place[step.id] for need in step.needs)
    linear = plan_of(read_value(said).routine, linear=True)
    assert [step.id for step in linear.steps] == [step["id"] for step in said["steps"]]
