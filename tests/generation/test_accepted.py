"""One valid call of every operation on each of its surfaces, and all that is known of what comes of it.

Each part of the tests that can judge any answer says how, where it knows it: the contract, the document, the log, the
caches. The call is made once for all of them.
"""

from typing import Any

import pytest

from resolvers.kernel.declarations.operation import Operation
from tests.contract.test_answers import is_as_the_contract_says
from tests.contract.test_document import is_as_documented
from tests.events.test_row_events import is_announced
from tests.every import Faults, each_of
from tests.generation.domains import recipe_of
from tests.generation.estate import Estate
from tests.generation.inputs import references, valid
from tests.generation.registry import operations, surfaces_of
from tests.generation.surfaces import Outcome
from tests.generation.test_caches import is_for_whoever_has_asked
from tests.oversight.audit.test_every_command import is_told_with_its_row_and_its_actor

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]


@each_of("op", operations())
async def test_a_valid_input_is_accepted(op: Operation[Any], estate: Estate) -> None:
    """A missing entity or recipe fails here, by name."""
    references(op)
    raw, expected = valid(op, estate), recipe_of(op.name).refused
    op.input.model_validate(raw)
    faults = Faults()
    for surface in surfaces_of(op):
        outcome = await estate.call(surface, op, raw, estate.caller(op))
        with faults.of(f"{surface} as expected"):
            assert outcome.code == (expected.value if expected else None), str(outcome)
        judge(faults, surface, op, outcome, estate)
    faults.tell()


def judge(faults: Faults, surface: str, op: Operation[Any], outcome: Outcome, estate: Estate) -> None:
    with faults.of(f"{surface} for caches"):
        is_for_whoever_has_asked(op, outcome)
    if op.kind == "command":
        with faults.of(f"{surface} in the log"):
            is_told_with_its_row_and_its_actor(op, outcome)
        with faults.of(f"{surface} as an event"):
            is_announced(op, outcome)
    if surface == "rest":
        with faults.of("by the contract"):
            is_as_the_contract_says(op, outcome, estate)
        with faults.of("by the document"):
            is_as_documented(op, outcome)
