"""The pending writes of a command: values to add, and its last insert, which is part of the tail and may change another
row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import WrapValidator
from sqlalchemy import BindParameter, ClauseElement, bindparam
from sqlalchemy.sql.visitors import replacement_traverse
from sqlmodel import SQLModel

from models.base import table_of
from resolvers.kernel.reader.clauses import clause

T = TypeVar("T")


class Clash(str):
    """The text for a taken unique key, and the fields of the input that are at fault: if the key's columns have other
    names there, or the key belongs to a further row.
    """

    fields: tuple[str, ...]

    def __new__(cls, text: str, *fields: str) -> "Clash":
        made = super().__new__(cls, text)
        made.fields = fields
        return made


Conflict = str | Mapping[str, str]
"""The text for a taken unique key; or texts by the name of the constraint, where a table has several."""


@dataclass(frozen=True, slots=True)
class plus:
    """`ctx.update(Crew, id, issue_counter=plus(1))`: the database adds, so that two callers cannot lose one."""

    amount: int


class Now:
    """`ctx.update(Run, id, finished_at=NOW)`, or in a new row: PostgreSQL's time, the clock all processes share."""

    __slots__ = ()


NOW: Any = Now()


@dataclass(frozen=True, eq=False, slots=True)
class Need:
    """A condition on the row that changes with an insert, and the refusal if it does not hold: a constant of its
    module, in columns of that row.
    """

    condition: Any
    refusal: str


class Change:
    """A live row of the workspace that changes with an insert, in the same statement: `Change(Crew, id,
    issue_counter=plus(1))`.

    Columns of that table, and expressions over them, are placeholders for values after the change. Without such a live
    row nothing is written, and the refusal is NOT_FOUND; if the row does not fulfil `needs`, BAD_REQUEST.
    """

    __slots__ = ("kinds", "model", "needs", "values")

    def __init__(self, model: type[SQLModel], id: str, /, *, needs: Need | None = None, **changes: Any) -> None:
        self.model, self.needs = model, needs
        self.kinds = kinds_of(changes)
        self.values = bound(changes) | {"id_": id}


Kinds = tuple[tuple[str, type | None], ...]
"""Columns of an update, and the change of each: `plus`, `Now`, or None for a value."""
MARKS = (plus, Now)


def kinds_of(changes: Mapping[str, Any]) -> Kinds:
    return tuple([(name, value.__class__ if value.__class__ in MARKS else None) for name, value in changes.items()])


def bound(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an update's parameters."""
    return {
        f"{name}_": value.amount if value.__class__ is plus else value
        for name, value in changes.items()
        if value is not NOW
    }


COLUMNS = ClauseElement
"""A value that only the database knows: a column, or an expression over columns."""


def _checked(value: Any, check: Callable[[Any], Any]) -> Any:
    return value if isinstance(value, Taken) else check(value)


DRAWING = WrapValidator(_checked)
Drawn = Annotated[T, DRAWING]
"""A field of an event that may be a value of the row the command inserts last, known or not: `number=issue.number`."""

NamedColumns = tuple[tuple[str, str], ...]
"""Keys of an audit row's or an event's JSON, and the columns of the new row they show."""


@cache
def _names(model: type[SQLModel]) -> tuple[str, ...]:
    return tuple(table_of(model).c.keys())


def given(row: SQLModel) -> tuple[str, ...]:
    """The columns of a row that have a value."""
    values = row.__dict__
    return tuple([name for name in _names(type(row)) if name in values])


@dataclass(frozen=True, slots=True)
class Taken:
    """A column of the new row that is taken from the changed row: `value`, as the operation gave it. It is a
    placeholder in the row until the database has drawn the value.

    Equal expressions have one `kind`, regardless of their values, which are parameters in the order of the kind.
    """

    name: str
    value: Any
    kind: Any
    held: tuple[BindParameter[Any], ...]

    @classmethod
    def of(cls, name: str, value: Any) -> "Taken":
        return cls(name, value, *_kind_of(value))

    @property
    def parameters(self) -> dict[str, Any]:
        return {f"{self.name}_{n}_": held.effective_value for n, held in enumerate(self.held)}

    @property
    def expression(self) -> Any:
        """With the names of its parameters in the places of the values."""
        named: dict[Any, Any] = {
            held: bindparam(f"{self.name}_{n}_", type_=held.type, expanding=held.expanding)
            for n, held in enumerate(self.held)
        }
        return replacement_traverse(clause(self.value), {}, lambda element, **_: named.get(element))


_KINDS: dict[Any, tuple[Any, tuple[BindParameter[Any], ...]]] = {}
MOST_KINDS = 256


def _kind_of(value: Any) -> tuple[Any, tuple[BindParameter[Any], ...]]:
    """SQLAlchemy's key of an expression, and its parameters; cached for constants of a module, because computing it
    takes 20 µs.
    """
    known = _KINDS.get(value)
    if known is None:
        key = clause(value)._generate_cache_key()
        if key is None:
            raise TypeError(
                f"{value}: SQLAlchemy has no key for this expression, which would be compiled anew with each call"
            )
        if len(_KINDS) >= MOST_KINDS:
            _KINDS.clear()
        known = _KINDS[value] = key.key, tuple(key.bindparams)
    return known


@dataclass(slots=True)
class HeldInsert:
    """A pending insert. `columns` have known values; `timed` ones are NOW; `drawn` ones come from the change.

    `parameters` belong to the change and the drawn values. `limited`: the caller may not see every row that could
    change.
    """

    row: Any
    columns: tuple[str, ...]
    conflict: Conflict
    change: Change | None = None
    drawn: tuple[Taken, ...] = ()
    timed: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    limited: bool = False

    @classmethod
    def of(cls, row: SQLModel, conflict: Conflict, change: Change | None, limited: bool = False) -> "HeldInsert":
        values, columns = row.__dict__, given(row)
        timed = tuple([name for name in columns if values[name] is NOW])
        if timed:
            columns = tuple([name for name in columns if name not in timed])
        if change is None:
            return cls(row, columns, conflict, timed=timed)
        drawn = tuple([Taken.of(name, values[name]) for name in columns if isinstance(values[name], COLUMNS)])
        values.update({taken.name: taken for taken in drawn})
        names, parameters = [taken.name for taken in drawn], change.values
        for taken in drawn:
            parameters = parameters | taken.parameters
        return cls(
            row,
            tuple([name for name in columns if name not in names]),
            conflict,
            change,
            drawn,
            timed,
            parameters,
            limited,
        )

    @property
    def kind(self) -> tuple[Any, ...]:
        """The key that determines its SQL."""
        kind = (type(self.row), self.columns, self.timed)
        if self.change is None:
            return kind
        return (
            *kind,
            self.change.model,
            self.change.kinds,
            self.change.needs,
            self.limited,
            tuple([(taken.name, taken.kind) for taken in self.drawn]),
        )

    @property
    def missing(self) -> str | None:
        """The refusal if the row to change does not exist; None if no row is required."""
        return None if self.change is None else f"{self.change.model.__name__} not found"

    def values(self, scope: dict[str, Any]) -> dict[str, Any]:
        known: dict[str, Any] = self.row.__dict__
        return known if self.change is None else known | self.parameters | scope


@dataclass(slots=True)
class Edit:
    """An update that is not sent yet, of a row that the operation has in hand: `row` is the one it will be. `guarded`:
    its version is compared.
    """

    row: Any
    kinds: Kinds
    conflict: Conflict
    missing: str
    parameters: dict[str, Any]
    guarded: bool = False
    limited: bool = False
    columns: tuple[str, ...] = ()
    drawn: tuple[Taken, ...] = ()

    @property
    def kind(self) -> tuple[Any, ...]:
        return ("edit", type(self.row), self.kinds, self.guarded, self.limited)

    def values(self, scope: dict[str, Any]) -> dict[str, Any]:
        return self.parameters | scope


Waiting = HeldInsert | Edit
"""The last write of a command: it is sent with the next statement, or with the answer."""


def split(data: Mapping[str, Any]) -> tuple[dict[str, Any], NamedColumns]:
    """Splits JSON into known values and the keys that are columns of the new row."""
    known = {key: value for key, value in data.items() if value.__class__ is not Taken}
    if len(known) == len(data):
        return known, ()
    return known, tuple([(key, value.name) for key, value in data.items() if value.__class__ is Taken])
