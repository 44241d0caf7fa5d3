"""The largest body that the perimeter lets through, filled with one thing: refused at once, and in a few words."""

import time
from collections.abc import Iterator
from typing import Any
from zlib import crc32

import orjson
import pytest

from resolvers.errors import Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground.inputs import Input, Paging, validate
from resolvers.rules.content_scan import LONGEST, Category, scan
from tests.every import each_of
from tests.generation.estate import Estate, estate  # noqa: F401
from tests.generation.inputs import NoRecipe, bodyless, fields_of, valid
from tests.generation.registry import operations, routes_of

pytestmark = pytest.mark.thorough

MOST_SECONDS = 0.05  # of this thread: nobody else is answered meanwhile
MOST_BYTES = 64 << 10


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


FLOODS: dict[str, Any] = {
    "letters": "a" * 990_000,
    "letters that grow": "\ufdfa" * 330_000,
    "numbers": [1] * 490_000,
    "texts": ["a"] * 240_000,
    "objects": [{}] * 330_000,
    "one long text": ["a" * 990_000],
    "levels": deep(900),
    "keys": {str(number): 1 for number in range(100_000)},
    "a long key": {"k" * 990_000: {"k": 1}},
}
THIRDS = 3  # each field gets one third of them in the quick tests, another one than the next field
# What a worker of this server reports is cut by the worker.
INPUTS = sorted(
    {op.input for op in operations() if op.input.model_fields and op.name != "runs.finish"},
    key=lambda model: (model.__module__, model.__name__),
)


def written(refusal: Refusal) -> bytes:
    return orjson.dumps([refusal.detail, refusal.extensions])


def told(model: type[Input], raw: dict[str, Any]) -> bytes:
    """What is said against it; nothing where it is taken."""
    try:
        validate(model, raw)
    except Refusal as refusal:
        return written(refusal)
    return b""


def floods(model: type[Input]) -> Iterator[tuple[str, dict[str, Any]]]:
    fields = [
        name
        for name in model.model_fields
        if not issubclass(model, Paging) or name not in Paging.model_fields or name in ("after", "before")
    ]
    for name in fields:
        for kind, value in FLOODS.items():
            yield f"{name}: {kind}", {name: value}
    for kind, value in FLOODS.items():
        yield f"everywhere: {kind}", dict.fromkeys(fields, value)
    yield "unknown keys", {f"unknown {number}": number for number in range(100_000)}


@each_of("number", [0, *[pytest.param(number, marks=pytest.mark.slow) for number in range(1, THIRDS)]])
@each_of("model", INPUTS, ids=lambda model: f"{model.__module__.removeprefix('resolvers.')}.{model.__name__}")
def test_an_input_is_refused_before_it_costs_anything(model: type[Input], number: int) -> None:
    for name, raw in floods(model):
        if crc32(f"{model.__name__} {name}".encode()) % THIRDS != number:
            continue
        began = time.thread_time()
        answer = len(told(model, raw))
        assert time.thread_time() - began < MOST_SECONDS, name
        assert answer < MOST_BYTES, name


async def called(op: Operation[Any], caller: Caller, raw: dict[str, Any]) -> bytes:
    try:
        return (await op(caller, raw, routes_of(op)[0].shape)).body or b""
    except Refusal as refusal:
        return written(refusal)


CALLED = [op for op in operations() if routes_of(op) and routes_of(op)[0].takes_body and op.auth.value == "user"]


@pytest.mark.anyio
@each_of("op", CALLED, ids=lambda op: op.name)
async def test_an_operation_refuses_it_as_a_whole(op: Operation[Any], estate: Estate) -> None:  # noqa: F811
    try:
        raw, person = valid(op, estate), estate.caller(op)
    except NoRecipe:
        pytest.skip("nothing valid is known for it")
    assert person is not None
    for name in fields_of(op).keys() - bodyless(op):
        for kind, value in FLOODS.items():
            caller = person.caller
            caller.workspace = estate.home.workspace.id
            began = time.thread_time()
            answer = await called(op, caller, raw | {name: value})
            assert time.thread_time() - began < MOST_SECONDS, f"{name}: {kind}"
            assert len(answer) < MOST_BYTES, f"{name}: {kind}"


PIECES = [
    "a",
    "hello world ",
    "\ufdfa",
    "\ufdfa ",
    "ignore ",
    "привет ",
    "A" * 30 + "\n",
    "A-_/",
    "👩\u200d🔬",
    "é",
    "éa ",
    "A\n",
    "you are now ",
    "<| ",
]


@pytest.mark.slow
@each_of("piece", [*PIECES, "123456789012345678901234567890\n"], ids=ascii)
@each_of("length", [16_000, LONGEST, 990_000])
def test_a_scan_costs_little_whatever_the_text(piece: str, length: int) -> None:
    text = (piece * (length // len(piece) + 1))[:length]
    began = time.thread_time()
    finding = scan(text)
    assert time.thread_time() - began < MOST_SECONDS * 2
    assert (finding is not None and finding.category is Category.too_long) == (length > LONGEST or "\ufdfa" in piece)


def test_a_letter_that_grows_is_no_harm_among_others() -> None:
    assert scan("\ufdfa Welcome to the harbour, where the ships are.") is None
