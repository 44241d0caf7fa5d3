"""One test with many cases: faster than a test per case if a case costs less than the start of a test.

`each_of` replaces `pytest.mark.parametrize`. A test that calls operations has one item per domain, any other test one
item; an item continues after a failed case, and its failure contains all failures.

TESTED selects cases: domains, or beginnings of the names of operations. Cases of other operations are left out; cases
without an operation stay. See CONTRIBUTING.md.
"""

import contextlib
import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from resolvers.domains import DOMAINS
from resolvers.kernel.declarations.operation import Operation

Parameters = type(pytest.param())
VARIABLE = "TESTED"
Ids = Callable[[Any], Any] | Iterable[Any] | None


@dataclass(frozen=True)
class Case:
    """`marks`: of its `pytest.param`. `operation`: None for a case without one."""

    name: str
    values: Mapping[str, Any]
    marks: tuple[Any, ...] = ()
    operation: Operation[Any] | None = None

    @property
    def domain(self) -> str | None:
        return domain_of(self.operation) if self.operation is not None else None


def tested() -> list[str]:
    """The names in TESTED; none selects all cases."""
    return re.split(r"[\s,]+", named) if (named := os.environ.get(VARIABLE, "").strip()) else []


def wanted(op: Operation[Any]) -> bool:
    names = tested()
    return not names or domain_of(op) in names or any(op.name == n or op.name.startswith(f"{n}.") for n in names)


def domain_of(op: Operation[Any]) -> str:
    """The domain whose module declares it."""
    function = getattr(op, "run", None) or op.describe  # type: ignore[attr-defined]
    parts = function.__module__.split(".")
    return next((part for part in parts if part in DOMAINS), parts[-1])


def one_quickly(*cases: Any) -> list[Any]:
    """The first case is of the quick tests; the others, which go the same way again, are slow."""
    values = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [cases[0], *[pytest.param(*value, marks=pytest.mark.slow) for value in values[1:]]]


def each_of(names: str | Sequence[str], cases: Iterable[Any], ids: Ids = None) -> Callable[[Callable[..., Any]], Any]:
    """Calls the test with each case, even after failures. Its fixtures are shared by all its cases."""
    called = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    held = list(_held(called, cases, ids))
    assert held, "there is nothing to test"
    chosen = [case for case in held if case.operation is None or wanted(case.operation)]

    def made(test: Callable[..., Any]) -> Callable[..., Any]:
        calls = inspect.iscoroutinefunction(test) and any(case.operation for case in held)
        brought = f"cases_of_{'_'.join(called)}" if calls or any(case.marks for case in held) else None
        of_all = _of_all(test, called, chosen, brought)
        if brought is None:
            return of_all
        groups = dict[tuple[str, str], list[Case]]()
        for case in chosen:
            groups.setdefault((case.domain or "all", str(case.marks)), []).append(case)
        items = [pytest.param(group, id=name, marks=group[0].marks) for (name, _), group in groups.items()]
        return pytest.mark.parametrize(brought, items)(of_all)

    return made


def for_every(cases: Iterable[Any], ids: Callable[[Any], Any] | None = None) -> Callable[[Callable[..., None]], Any]:
    """`each_of` for a test that takes nothing but its case."""
    held = list(cases)

    def made(test: Callable[..., None]) -> Any:
        return each_of(list(inspect.signature(test).parameters), held, ids)(test)

    return made


# ---- the item --------------------------------------------------------------------------------------------------------


def _of_all(
    test: Callable[..., Any], called: Sequence[str], cases: Sequence[Case], brought: str | None
) -> Callable[..., Any]:
    """The test of many cases. `brought`: the parameter in which an item brings its own."""
    seen = inspect.signature(test)
    left = [parameter for name, parameter in seen.parameters.items() if name not in called]
    assert len(left) + len(called) == len(seen.parameters), f"{test.__name__} does not take {called}"

    async def of_all_async(**given: Any) -> None:
        faults = Faults()
        for case in given.pop(brought, cases):
            with faults.of(case.name):
                await test(**case.values, **given)
        faults.tell()

    def of_all(**given: Any) -> None:
        faults = Faults()
        for case in given.pop(brought, cases):
            with faults.of(case.name):
                test(**case.values, **given)
        faults.tell()

    made: Any = of_all_async if inspect.iscoroutinefunction(test) else of_all
    functools.update_wrapper(made, test)
    del made.__wrapped__  # the parameters of the test would be taken for fixtures
    own = [] if brought is None else [inspect.Parameter(brought, inspect.Parameter.KEYWORD_ONLY)]
    kept = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in left]
    made.__signature__ = seen.replace(parameters=[*kept, *own])
    return made  # type: ignore[no-any-return]


class Faults:
    """The failed cases of one test: `with faults.of(name)` around each, and `tell` at the end."""

    def __init__(self) -> None:
        self._faults = dict[str, BaseException]()
        self._skipped = list[str]()
        self._looked_at = 0

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        self._looked_at += 1
        try:
            yield
        except pytest.skip.Exception as reason:
            self._skipped.append(str(reason))
        except (Exception, pytest.fail.Exception) as fault:
            fault.add_note(f"in the case {name}")
            self._faults[name] = fault

    def tell(self) -> None:
        if self._faults:
            failed = f"{len(self._faults)} of {self._looked_at} cases failed: {', '.join(self._faults)}"
            raise BaseExceptionGroup(failed, list(self._faults.values()))
        if self._skipped and len(self._skipped) == self._looked_at:
            pytest.skip(self._skipped[0])


# ---- cases -----------------------------------------------------------------------------------------------------------


def _held(called: Sequence[str], cases: Iterable[Any], ids: Ids) -> Iterator[Case]:
    given = None if ids is None or callable(ids) else list(ids)
    seen = set[str]()
    for place, case in enumerate(cases):
        marks, name = (tuple(case.marks), case.id) if isinstance(case, Parameters) else ((), None)
        values = case.values if isinstance(case, Parameters) else (case,) if len(called) == 1 else tuple(case)
        assert len(values) == len(called), f"{values} are not the values of {called}"
        if name is None and given is not None:
            name = given[place]
        if name is None:
            shown = ids if callable(ids) else lambda value: None
            name = "-".join(str(_first(shown(v), _text(v), f"{n}{place}")) for n, v in zip(called, values, strict=True))
        name = str(name) if str(name) not in seen else f"{name}-{place}"
        seen.add(name)
        yield Case(name, dict(zip(called, values, strict=True)), marks, _operation_of(values))


def _first(*texts: Any) -> Any:
    return next(text for text in texts if text is not None)


def _text(value: Any) -> str | None:
    if isinstance(value, (str, bytes)):
        return ascii(value)[:80]
    if value is None or isinstance(value, (bool, int, float)):
        return str(value)
    return value.name if isinstance(value, Operation) else getattr(value, "__name__", None)


def _operation_of(values: Iterable[Any]) -> Operation[Any] | None:
    """The one that a case is of: itself, or that of a route or a path."""
    for value in values:
        found = value if isinstance(value, Operation) else getattr(value, "operation", None)
        if isinstance(found, Operation):
            return found
    return None
