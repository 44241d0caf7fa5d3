"""The inputs of a run."""

from typing import Any

import pytest

from models.work.routines.inputs import RefusedInputs, merge_inputs
from models.work.routines.reading import read_value
from tests.every import each_of
from tests.work.routines.documents import routine

DECLARED = [
    {"name": "text", "type": "string", "required": True, "min": 2, "max": 4},
    {"name": "whole", "type": "integer", "default": 3, "max": 9},
    {"name": "part", "type": "number", "min": 0.5},
    {"name": "flag", "type": "boolean"},
    {"name": "many", "type": "array", "max": 2},
    {"name": "thing", "type": "object"},
    {"name": "topic", "default": None},
]
ROUTINE = read_value(routine(inputs=DECLARED)).routine


def test_given_values_win_and_unknown_ones_pass() -> None:
    assert merge_inputs(ROUTINE, {"text": "ab", "more": 1}) == {"text": "ab", "more": 1, "whole": 3}
    assert merge_inputs(ROUTINE, {"text": "ab", "whole": None})["whole"] == 3
    good = {"text": "ab", "whole": 9, "part": 1, "flag": False, "many": [1, 2], "thing": {}}
    assert merge_inputs(ROUTINE, good) == good


@each_of(
    ("given", "fault"),
    [
        ({}, "/text: is required"),
        ({"text": None}, "/text: is required"),
        ({"text": "a"}, "/text: must have at least 2"),
        ({"text": "abcde"}, "/text: must have at most 4 characters"),
        ({"text": 5}, "/text: must be of the type string"),
        ({"text": "ab", "whole": 10}, "/whole: must be at most 9"),
        ({"text": "ab", "whole": True}, "/whole: must be of"),
        ({"text": "ab", "whole": 1.5}, "/whole: must be of the type integer"),
        ({"text": "ab", "part": 0}, "/part: must be"),
        ({"text": "ab", "part": float("nan")}, "/part: must be at least"),
        ({"text": "ab", "flag": 0}, "/flag: must be of"),
        ({"text": "ab", "many": [1, 2, 3]}, "/many: must have at most 2 elements"),
        ({"text": "ab", "thing": []}, "/thing: must be of the type object"),
    ],
)
def test_refused(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(RefusedInputs) as caught:
        merge_inputs(ROUTINE, given)
    assert [str(each).startswith(fault) for each in caught.value.faults] == [True]


def test_all_faults_at_once_and_none_in_a_dry_run() -> None:
    with pytest.raises(RefusedInputs) as caught:
        merge_inputs(ROUTINE, {"flag": 1, "many": 1})
    assert [each.pointer for each in caught.value.faults] == ["/text", "/flag", "/many"]
    assert merge_inputs(ROUTINE, {"flag": 1}, checked=False) == {"flag": 1, "whole": 3}
