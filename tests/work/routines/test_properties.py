"""Properties of reading: a canonical text reads as the same, and no change of a document raises anything else."""

import contextlib
import copy
import json
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.work.routines.canonical import canonical_text
from models.work.routines.faults import Fault, RefusedRoutine
from models.work.routines.inputs import RefusedInputs, merge_inputs
from models.work.routines.reading import ReadRoutine, read_routine
from tests.work.routines.documents import HOOK, STEPS, VALID, routine, step

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
WORDS = st.sampled_from(
    ["{{ inputs.topic }}", "{{ steps.s0.output }}", "{{{{", "1 +", "topic", "s0", "http", "-1", "off"]
)
JSON = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | WORDS, inner, max_size=3),
    max_leaves=8,
)
STORABLE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8), inner),
    max_leaves=10,
)  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    types = draw(st.lists(st.sampled_from(sorted(set(STEPS) - {"foreach"})), min_size=1, max_size=6))
    steps = [step(type_, f"s{n}") for n, type_ in enumerate(types)]
    for n, each in enumerate(steps[1:], 1):
        if draw(st.booleans()):
            each["needs"] = draw(st.lists(st.sampled_from([f"s{k}" for k in range(n)]), unique=True))
        if draw(st.booleans()):
            each["hooks"] = {"after": HOOK}
    return routine(*steps, max_cost_usd=draw(st.floats(0, 1e6)), extra=draw(STORABLE))


@QUICK
@given(documents())
def test_a_canonical_text_reads_as_the_same(document: dict[str, Any]) -> None:
    first = read_routine(json.dumps(document))
    second = read_routine(canonical_text(first.value))
    assert second.routine == first.routine
    assert second.hash == first.hash
    assert canonical_text(second.value) == canonical_text(first.value)
    third = read_routine(yaml.safe_dump(document, allow_unicode=False, width=10_000))
    assert third.routine == first.routine


def outcome(text: str) -> tuple[ReadRoutine | None, tuple[Fault, ...]]:
    try:
        return read_routine(text), ()
    except RefusedRoutine as error:
        return None, error.faults


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, entry in entries for place in places(entry, (*path, key)))]


@QUICK
@given(st.sampled_from(sorted(VALID)), st.data())
def test_a_changed_value_is_valid_or_refused(name: str, data: st.DataObject) -> None:
    document: Any = copy.deepcopy(VALID[name])
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from(places(document)[1:] or [("name",)]))
        inside = document
        for key in above:
            inside = inside[key]
        if data.draw(st.booleans()):
            inside[last] = data.draw(JSON)
        else:
            del inside[last]
    for text in (json.dumps(document), json.dumps(document, indent=1)):
        read, faults = outcome(text)
        assert read is not None or faults
        assert all(fault.line >= 1 and fault.text and "\n" not in fault.text for fault in faults)
        if read is not None:
            with contextlib.suppress(RefusedInputs):
                merge_inputs(read.routine, {})


TEXTS = [yaml.safe_dump(VALID["whole"]), json.dumps(VALID["whole"], indent=1), yaml.safe_dump(VALID["needs"])]


@QUICK
@given(st.sampled_from(TEXTS), st.data())
def test_a_changed_text_is_valid_or_refused(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text(max_size=4)) + text[at + data.draw(st.integers(0, 5)) :]
    lines = sum(text.count(each) for each in "\n\r\x85\u2028\u2029")
    assert all(1 <= fault.line <= lines + 2 for fault in outcome(text)[1])
