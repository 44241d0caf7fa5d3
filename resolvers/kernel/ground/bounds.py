"""An unbounded input cannot be declared: every text, list and object that an input takes has a maximum size."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from inspect import get_annotations
from types import UnionType
from typing import Annotated, Any, Literal, LiteralString, Union, get_args, get_origin

import orjson
from annotated_types import MaxLen
from pydantic import AfterValidator, BaseModel, FailFast
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from models.sealed import Sealed
from resolvers.errors import TOO_LONG, Code, Refusal
from resolvers.instance.vault import Revealed

NUMBERS = (int, float, bool, type(None))


class Ends:
    """In a field's metadata: a validator beside it bounds what the type leaves open."""


ENDS = Ends()


def encoded(value: Any, most: int) -> bytes:
    """JSON for a column that no check holds to its size (`free`)."""
    made = orjson.dumps(value)
    if len(made) > most:
        raise Refusal(Code.BAD_REQUEST, TOO_LONG)
    return made


def declared(model: type[BaseModel], kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a class, and of its bases that are not of this `kind`; the fields of the other bases were checked
    with these bases.
    """
    own = get_annotations(model)
    checked = {name for base in model.__bases__ if issubclass(base, kind) for name in base.model_fields}
    return {name: field for name, field in model.model_fields.items() if name in own or name not in checked}


def unbounded(model: type[BaseModel], fields: Mapping[str, FieldInfo] | None = None) -> list[str]:
    """Fields without a bound, as paths; all fields, unless some are given."""
    return [
        fault
        for name, field in (model.model_fields if fields is None else fields).items()
        for fault in _faults(field.annotation, field.metadata, name)
    ]


def _faults(kind: Any, notes: Sequence[Any], path: str) -> Iterator[str]:
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        notes = [*notes, *more]
    notes = list(_flat(notes))
    origin, inner = get_origin(kind), get_args(kind)
    if any(isinstance(note, Ends) for note in notes) or origin is Literal or kind in NUMBERS:
        return
    if origin in (Union, UnionType):
        for member in inner:
            yield from _faults(member, notes, path)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        return
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from (f"{path}.{fault}" for fault in unbounded(kind))
    elif kind is str:
        if not any(isinstance(note, MaxLen) for note in notes):
            yield f"{path}: a text without a longest length"
    elif origin in (list, dict):
        if not any(isinstance(note, MaxLen) for note in notes):
            yield f"{path}: {'a list' if origin is list else 'an object'} without a largest size"
        if origin is list and not any(isinstance(note, FailFast) for note in notes):
            yield f"{path}: a list that does not stop at its first fault"
        for member in inner:
            yield from _faults(member, (), f"{path}[]")
    else:
        yield f"{path}: {kind} may hold anything"


def _flat(notes: Sequence[Any]) -> Iterator[Any]:
    for note in notes:
        yield from _flat(note.metadata) if isinstance(note, FieldInfo) else (note,)


@cache
def notes_of(model: type[BaseModel], name: str) -> tuple[Any, ...]:
    """The annotations of a field's type, from all its parts."""
    field = model.model_fields[name]
    return tuple(_notes(field.annotation, field.metadata))


def _notes(kind: Any, notes: Sequence[Any]) -> Iterator[Any]:
    yield from _flat(notes)
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        yield from _notes(inner, more)
    elif get_origin(kind) in (Union, UnionType, list):
        for member in get_args(kind):
            yield from _notes(member, ())


def without_secrets(model: type[BaseModel], fields: Mapping[str, FieldInfo]) -> None:
    """Raises TypeError if a field has a sealed or revealed type: no input and no answer contains secrets."""
    for name, field in fields.items():
        if secret := [kind for kind in _kinds(field.annotation) if kind in (Sealed, Revealed)]:
            raise TypeError(f"{model.__name__}.{name} is {secret[0].__name__}")


def _kinds(kind: Any) -> Iterator[Any]:
    yield kind
    for member in get_args(kind):
        yield from _kinds(member)


def inputs_in(kind: Any) -> Iterator[type[BaseModel]]:
    """The models that the values of a type are."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for member in get_args(kind):
        yield from inputs_in(member)


@cache
def longest(model: type[BaseModel], name: str) -> int | None:
    """The maximum length of a text field in characters; None if it is not a text."""
    field = model.model_fields[name]
    return _longest(field.annotation, field.metadata)


def _longest(kind: Any, notes: Sequence[Any]) -> int | None:
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        notes = [*notes, *more]
    if kind is str:
        return next((note.max_length for note in _flat(notes) if isinstance(note, MaxLen)), None)
    if get_origin(kind) in (Union, UnionType):
        return max((most for member in get_args(kind) if (most := _longest(member, notes)) is not None), default=None)
    return None


def within(most: int) -> AfterValidator:
    """For a JSON value of any shape, beside `ENDS`: at most this many bytes."""

    def check(value: Any) -> Any:
        try:
            size = 0 if value is None else len(orjson.dumps(value))
        except orjson.JSONEncodeError:
            raise PydanticCustomError(
                "json_unwritable", "contains a number or character that JSON cannot represent"
            ) from None
        if size > most:
            raise PydanticCustomError("json_too_large", "must have at most {most} bytes of JSON", {"most": most})
        return value

    return AfterValidator(check)


def unstorable(value: Any, nesting: int, most: int) -> LiteralString | None:
    """Why a value cannot be stored: PostgreSQL takes no NUL in text or JSON, and nothing goes down or on endlessly."""
    level, parts = [value], 1
    for _ in range(nesting):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if "\0" in item:
                    return "a NUL character cannot be stored"
            elif isinstance(item, (list, dict)):
                parts += len(item)
                if parts > most:
                    return "has too many values"
                below += item
                if isinstance(item, dict):
                    below += item.values()
        if not below:
            return None
        level = below
    return "is nested too deeply"
