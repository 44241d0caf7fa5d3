"""Payloads made from declarations: one value a field, or one for each value of a closed set."""

from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from itertools import chain, combinations
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime

from resolvers.kernel.declarations.events import Event
from resolvers.kernel.ground.inputs import accepts_none, bare

ID = "c" + "a" * 24
SCALARS: dict[Any, Any] = {
    str: ID,
    int: 7,
    float: 0.5,
    bool: True,
    AwareDatetime: datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
    Any: {"free": ["form"]},
}


def values(annotation: Any) -> list[Any]:
    """What a field may hold; of an open set one value."""
    if accepts_none(annotation):
        return [*values(bare(annotation)), None]
    kind = bare(annotation)
    origin = get_origin(kind)
    if origin is Literal:
        return list(get_args(kind))
    if origin in (Union, UnionType):
        return [value for part in get_args(kind) for value in values(part)]
    if origin is list:
        return [values(get_args(kind)[0])]
    if origin is dict:
        return [SCALARS[Any]]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)
    return [SCALARS[kind]]


def optional(event: type[Event]) -> list[str]:
    return [name for name, field in event.model_fields.items() if not field.is_required()]


def events_with(event: type[Event], *given: str) -> Iterator[Event]:
    """Events with these of the optional fields: one, and one more for each further value of a closed set."""
    names = [name for name, field in event.model_fields.items() if field.is_required() or name in given]
    choices = {
        name: [
            v
            for v in values(event.model_fields[name].annotation)
            if v is not None or event.model_fields[name].is_required()
        ]
        for name in names
    }
    first = {name: found[0] for name, found in choices.items()}
    yield event(**first)
    for name, found in choices.items():
        for value in found[1:]:
            yield event(**(first | {name: value}))


def every_event(event: type[Event]) -> Iterator[Event]:
    """With every choice of optional fields, and every value of closed sets."""
    names = optional(event)
    for given in chain.from_iterable(combinations(names, size) for size in range(len(names) + 1)):
        yield from events_with(event, *given)
