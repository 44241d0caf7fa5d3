"""One test of many things: quicker than a test of each where looking at one costs less than starting a test."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import pytest

Parameters = type(pytest.param())


def for_every(cases: Iterable[Any], ids: Callable[[Any], str] = str) -> Callable[[Callable[[Any], None]], Any]:
    """The test is made of each case, or of the values of each `pytest.param`, and fails with all that it fails of."""
    held = [(case.values, case.id) if isinstance(case, Parameters) else ((case,), ids(case)) for case in cases]
    assert held, "there is nothing to test"

    def made(test: Callable[..., None]) -> Callable[[], None]:
        def of_all() -> None:
            failed = []
            for values, name in held:
                try:
                    test(*values)
                except (AssertionError, pytest.fail.Exception) as fault:
                    failed.append(f"{name}: {fault}")
            assert not failed, "\n".join(failed)

        functools.update_wrapper(of_all, test)
        del of_all.__wrapped__  # its parameters would be taken for fixtures
        return of_all

    return made
