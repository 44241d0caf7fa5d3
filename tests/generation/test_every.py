"""A test of many cases fails of each that fails, and looks at every one."""

import asyncio
from typing import Any

import pytest

from resolvers.kernel.declarations.operation import OPERATIONS, Operation
from tests.every import VARIABLE, domain_of, each_of, for_every, wanted


def test_every_case_is_looked_at_and_every_fault_is_told() -> None:
    seen = []

    @each_of(("number", "word"), [(1, "one"), (2, "two"), pytest.param(3, "three", id="last")])
    def odd(number: int, word: str) -> None:
        seen.append(word)
        assert number % 2 == 0, f"{word} is odd"

    with pytest.raises(BaseExceptionGroup, match="2 of 3 cases failed: 1-'one', last") as failed:
        odd()
    assert seen == ["one", "two", "three"]
    assert [str(fault).split("\n")[0] for fault in failed.value.exceptions] == ["one is odd", "three is odd"]
    assert [fault.__notes__ for fault in failed.value.exceptions] == [["in the case 1-'one'"], ["in the case last"]]


def test_an_error_and_a_failure_are_faults_and_the_end_of_all_tests_is_none() -> None:
    @for_every([ValueError, pytest.fail.Exception, KeyboardInterrupt, TypeError])
    def raising(kind: Any) -> None:
        raise kind("no")

    with pytest.raises(KeyboardInterrupt):
        raising()


def test_cases_multiply_and_fixtures_stay() -> None:
    seen = []

    @each_of("one", "ab")
    @each_of("other", [1, 2], ids=["first", "second"])
    async def both(fixture: str, one: str, other: int) -> None:
        seen.append((fixture, one, other))
        assert (one, other) != ("b", 2)

    with pytest.raises(BaseExceptionGroup, match="1 of 2 cases failed: 'b'"):
        asyncio.run(both(fixture="f"))
    assert seen == [("f", "a", 1), ("f", "a", 2), ("f", "b", 1), ("f", "b", 2)]


def test_what_is_skipped_throughout_is_skipped() -> None:
    @for_every([1, 2, 3])
    def some(number: int) -> None:
        if number > 1:
            pytest.skip(f"not {number}")

    @for_every([2, 3])
    def none(number: int) -> None:
        pytest.skip(f"not {number}")

    some()
    with pytest.raises(pytest.skip.Exception, match="not 2"):
        none()


def test_what_calls_operations_is_one_item_a_domain_and_marks_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    async def test(op: Operation[Any], slowly: bool) -> None:
        """Not called."""

    slow = pytest.param(OPERATIONS["labels.list"], True, marks=pytest.mark.slow)
    cases = [(OPERATIONS["labels.list"], False), (OPERATIONS["labels.create"], False), slow]
    made = each_of(("op", "slowly"), [*cases, (OPERATIONS["projects.list"], False)])(test)
    (mark,) = made.pytestmark
    items = {(param.id, tuple(m.name for m in param.marks)): param.values[0] for param in mark.args[1]}
    assert {key: [case.name for case in held] for key, held in items.items()} == {
        ("labels", ()): ["labels.list-False", "labels.create-False"],
        ("labels", ("slow",)): ["labels.list-True"],
        ("projects", ()): ["projects.list-False"],
    }


def test_one_may_ask_for_domains_and_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert all(wanted(op) for op in OPERATIONS.values())
    monkeypatch.setenv(VARIABLE, "labels, crews.members")
    found = {op.name for op in OPERATIONS.values() if wanted(op)}
    assert {"labels.list", "labels.create", "crews.members.list"} <= found
    assert {domain_of(OPERATIONS[name]) for name in found} == {"labels", "crews"}
    assert "crews.list" not in found


def test_a_test_of_nothing_is_none() -> None:
    with pytest.raises(AssertionError, match="there is nothing to test"):
        each_of("one", [])
    with pytest.raises(AssertionError, match="does not take"):
        each_of("other", [1])(lambda one: None)
