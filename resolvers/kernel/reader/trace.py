"""Tracing: a query runs once per *kind* of call, on parameters instead of values.

`def list_crews(scope, data)` is called with a `data` whose fields are `Param`s, and builds a statement that serves
every later call of that kind. Comparing or printing a Param raises, so a function that depends on a value fails at its
first call, not silently. Closed sets (bool, enum, Literal) keep their value and absent optional fields stay None: both
are part of the plan's key (`variant`); of the filters only the leading one is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, NoReturn, get_args, get_origin

from sqlalchemy import ARRAY, Boolean, DateTime, Float, Integer, Text, bindparam
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.types import TypeEngine

from resolvers.kernel.ground.inputs import Input, accepts_none, bare, is_choice
from resolvers.kernel.reader.filters import filters_of, leaders, unsent

Getter = Callable[["Call"], Any]
SQL_TYPES: dict[Any, TypeEngine[Any]] = {
    str: Text(),
    int: Integer(),
    float: Float(),
    bool: Boolean(),
    datetime: DateTime(timezone=True),
}


@dataclass(slots=True)
class Call:
    """The values of one call for the parameters of a plan."""

    credential: str = ""
    workspace: str | None = None
    data: Any = None
    slots: tuple[Input, ...] = ()
    entity: str | None = None
    user_id: str = ""
    role: str | None = None
    generation: int = 0
    named: Mapping[str, Any] | None = None
    parts: tuple["Call", ...] = ()  # of a statement with several answers: the input of each


class Param:
    """A value not known yet. SQLAlchemy takes it as a bound parameter; Python may not look inside.

    `optional`: of a filter that need not have been sent: NULL then.
    """

    __slots__ = ("clause", "name", "optional")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, clause: Any, name: str, optional: bool = False) -> None:
        self.clause, self.name, self.optional = clause, name, optional

    def __clause_element__(self) -> Any:
        return self.clause

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError(
            f"'{self.name}' is a parameter here: a query describes rows and is built once, so it cannot branch"
            " on a value. Use an enum, bool or Literal field for a choice, or make the operation a @procedure."
        )

    __bool__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __iter__ = __len__ = __str__ = __format__ = (
        __int__
    ) = __getitem__ = _refuse


def sql_type(annotation: Any) -> TypeEngine[Any]:
    kind = bare(annotation)
    if get_origin(kind) is list:
        return ARRAY(sql_type(get_args(kind)[0]))
    return SQL_TYPES.get(kind) or Text()


@dataclass(frozen=True, slots=True)
class Kinds:
    """The facts about an input model that the key of a plan contains."""

    optional: tuple[str, ...]
    choices: tuple[str, ...]
    filters: frozenset[str]


_KINDS: dict[type[Input], Kinds] = {}


def kinds(model: type[Input]) -> Kinds:
    known = _KINDS.get(model)
    if known is None:
        fields = model.model_fields.items()
        filters = frozenset([name for name, filter in filters_of(model).items() if not filter.bounds])
        choices = tuple(n for n, f in fields if is_choice(f.annotation) and n not in filters)
        optional = tuple(n for n, f in fields if accepts_none(f.annotation) and n not in choices and n not in filters)
        known = _KINDS[model] = Kinds(optional, choices, filters)
    return known


def variant(data: Input) -> tuple[Any, ...]:
    """The kind of call: which optional fields are there, the value of every closed choice, the filter that leads."""
    known = _KINDS.get(type(data)) or kinds(type(data))
    if known.filters:
        return (
            leaders(data),
            *[getattr(data, n) is not None for n in known.optional],
            *[getattr(data, n) for n in known.choices],
        )
    if not known.optional and not known.choices:
        return ()
    return (*[getattr(data, n) is not None for n in known.optional], *[getattr(data, n) for n in known.choices])


@dataclass
class Trace:
    """One compilation: the parameters met so far, where their values come from, and the aliases given."""

    getters: dict[str, Getter] = field(default_factory=dict)
    aliases: int = 0

    def bind(self, name: str, getter: Getter, type_: TypeEngine[Any] | None = None) -> BindParameter[Any]:
        self.getters[name] = getter
        return bindparam(name, type_=type_ if type_ is not None else Text())

    def name(self, prefix: str) -> str:
        self.aliases += 1
        return f"{prefix}{self.aliases}"

    def part(self, number: int) -> "Trace":
        """For one of several answers of a statement."""
        return Part(whole=self, number=number)

    def symbolic(self, model: type[Input], values: Input, slot: int | None = None) -> Input:
        """An instance of the input model with Params in place of values."""
        known, built, leads = kinds(model), dict[str, Any](), leaders(values)
        absent = unsent(values)
        for name, info in model.model_fields.items():
            if name in known.choices or (
                getattr(values, name) is None and (name in absent or name not in known.filters)
            ):
                built[name] = getattr(values, name)
            else:
                parameter = self.bind(
                    f"{name}_{'' if slot is None else f'in_{slot}'}", _getter(name, slot), sql_type(info.annotation)
                )
                built[name] = Param(
                    parameter, name, name in known.filters and name not in leads and accepts_none(info.annotation)
                )
        return model.model_construct(values.model_fields_set, **built)


@dataclass
class Part(Trace):
    """A trace whose parameters have names of their own and take their values from `call.parts`."""

    whole: Trace = field(kw_only=True)
    number: int = field(kw_only=True)

    def bind(self, name: str, getter: Getter, type_: TypeEngine[Any] | None = None) -> BindParameter[Any]:
        number, own = self.number, f"{name}_of_{self.number}"
        self.getters[own] = getter
        return self.whole.bind(own, lambda call: getter(call.parts[number]), type_)

    def name(self, prefix: str) -> str:
        return self.whole.name(prefix)


def _getter(name: str, slot: int | None) -> Getter:
    if slot is None:
        return attrgetter(f"data.{name}")
    return lambda call: getattr(call.slots[slot], name)


def constant(value: Any) -> Getter:
    return lambda call: value
