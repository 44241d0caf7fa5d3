"""The schema for editors agrees with the model about the shape of documents."""

import copy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from models.work.routines.faults import RefusedRoutine
from models.work.routines.json_schema import json_schema
from models.work.routines.reading import read_value
from tests.every import each_of
from tests.work.routines.documents import STEPS, VALID, routine, step

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(SCHEMA["$defs"]) >= {"HttpStep", "Retry", "RoutineInput"}
    assert {"if", "needs", "http"} <= SCHEMA["$defs"]["HttpStep"]["properties"].keys()


@each_of("name", list(VALID))
def test_valid_documents(name: str) -> None:
    assert [each.message for each in VALIDATOR.iter_errors(VALID[name])] == []


def _without(step_: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: entry for key, entry in step_.items() if key != left} for left in step_]


@each_of("type_", list(STEPS))
def test_a_key_that_a_step_needs(type_: str) -> None:
    """Reading refuses what the schema refuses: without each key in turn, and with each key of a wrong type."""
    whole = step(type_)
    wrong = [{**whole, key: [{"wrong": [1]}]} for key in whole]
    refused = 0
    for changed in [*_without(whole), *wrong]:
        document = copy.deepcopy(routine(changed))
        if not VALIDATOR.is_valid(document):
            refused += 1
            with pytest.raises(RefusedRoutine):
                read_value(document)
    assert refused >= 5
