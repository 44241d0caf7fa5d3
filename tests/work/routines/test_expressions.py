"""CEL: checked when a document is read, evaluated in a process that a hostile expression cannot leave."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.work.routines.expressions import CODE, CONDITION, RETRY, Kind, fault_in
from runtime.work.evaluation import SECONDS, Evaluator, ExpressionError
from tests.every import each_of

VARIABLES = {"inputs": {"n": 5, "a": [1, {"b": "x"}], "s": "x" * 100_000}}
DOUBLINGS = '["aaaaaaaaaa"]' + ".map(x, x + x)" * 28 + "[0]"


@each_of(
    ("expression", "kind"),
    [
        ("steps.left != '0' && inputs.a.b.exists(x, x > 1)", CONDITION),
        ("run.is_replay || run.metadata.k == 'v'", CONDITION),
        ("transient || status >= 500 || error.contains('x')", RETRY),
        ("inputs.n", CODE),
    ],
)
def test_valid(expression: str, kind: Kind) -> None:
    assert fault_in(expression, kind) is None


@each_of(
    ("expression", "kind", "reason"),
    [
        ("", CONDITION, "does not compile"), ("1 +", CONDITION, "line 1, column 4"),
        ("attempt > 1", RETRY, "undeclared reference to 'attempt'"), ("status", RETRY, "must be a boolean"),
        ("steps.a + 1 == 2", CONDITION, "no matching overload"), ("a" * 5000, CONDITION, "at most 4096 bytes"),
        ("(" * 2000, CONDITION, "does not compile"), ("[" * 500 + "]" * 500, CONDITION, "recursion"),
        ("\x00", CONDITION, "does not compile"), ("\ud800", CONDITION, "does not compile"),
    ],
)  # fmt: skip
def test_invalid(expression: str, kind: Kind, reason: str) -> None:
    fault = fault_in(expression, kind)
    assert fault is not None
    assert reason in fault
    assert "\n" not in fault


@pytest.fixture
async def evaluator() -> AsyncIterator[Evaluator]:
    made = Evaluator()
    yield made
    await made.close()


pytestmark = pytest.mark.anyio

CASES: list[tuple[str, Any]] = [
    ("inputs.n == 5 && inputs.n < 6", True), ("inputs.n", 5.0), ("inputs.a[1].b + 'y'", "xy"),
    ("[1, 2].map(x, x * 2)", [2, 4]), ("{'a': inputs.n}", {"a": 5.0}), ("null", None), ("has(inputs.z)", False),
]  # fmt: skip


async def test_values(evaluator: Evaluator) -> None:
    assert [await evaluator.evaluate(each, CODE, VARIABLES) for each, _ in CASES] == [value for _, value in CASES]


async def test_expressions_without_a_value(evaluator: Evaluator) -> None:
    loop = f"[{','.join(['1'] * 100)}]"
    for expression, reason in (
        ("inputs.none", "not found"), ("1 / 0", "divide by zero"), ("b'x'", "no value"), ("1 +", "Syntax error"),
        (f"{loop}.all(a, {loop}.all(b, {loop}.all(c, true)))", "Iteration budget"), ("x" * 5000, "4096"),
        ("inputs.s" + " + inputs.s" * 20, "more than 1048576 bytes"),
    ):  # fmt: skip
        with pytest.raises(ExpressionError, match=f"(?i){reason}"):
            await evaluator.evaluate(expression, CODE, VARIABLES)
    assert await evaluator.evaluate("inputs.n", CODE, VARIABLES) == 5


async def test_a_bomb_ends_with_its_process(evaluator: Evaluator) -> None:
    began = time.perf_counter()
    with pytest.raises(ExpressionError, match=r"too long|too much memory|no value"):
        await evaluator.evaluate(DOUBLINGS, CODE, VARIABLES)
    assert time.perf_counter() - began < SECONDS + 20
    assert await evaluator.evaluate("inputs.n", CODE, VARIABLES) == 5


async def test_side_by_side_and_cancelled(evaluator: Evaluator) -> None:
    made = await asyncio.gather(*(evaluator.evaluate(f"{n} + 1", CODE, VARIABLES) for n in range(30)))
    assert made == list(range(1, 31))
    task = asyncio.create_task(evaluator.evaluate(DOUBLINGS, CODE, VARIABLES))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await evaluator.evaluate("2", CODE, VARIABLES) == 2


async def test_variables_that_are_no_json(evaluator: Evaluator) -> None:
    for inputs in ({"a": object()}, {"a": float("nan")}, {"a": "x" * (9 << 20)}):
        with pytest.raises(ExpressionError, match="variables"):
            await evaluator.evaluate("1", CODE, {"inputs": inputs})
