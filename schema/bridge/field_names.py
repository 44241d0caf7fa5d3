"""Faulty fields of a request by the names that the graph has for them.

Operations name faulty fields as REST does. Here the names become the names of the GraphQL input; a conflict names the
fields of the unique key that is taken, by its declaration; and a field with a closed set of values lists them.
"""

import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel
from sqlalchemy import Index, UniqueConstraint
from sqlmodel import SQLModel
from strawberry.utils.str_converters import to_camel_case

from models.base import table_of
from resolvers.errors import Code, Refusal
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.ground.inputs import bare
from resolvers.kernel.ground.stricter import rule_of

LONGEST_NAME = 63  # bytes of a name that PostgreSQL keeps
_PART = re.compile(r"([^\[\]]*)((?:\[\d+\])*)")
_WORD = re.compile(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b")


def in_graph(refusal: Refusal, input: type[BaseModel], subject: Subject | None = None, model: Any = None) -> Refusal:
    """The refusal of an operation as clients of the graph read it: of one with this input, and rows of this model in
    its answer. Its text is the same as in REST.
    """
    about = {name: refusal.detail for name in refusal.about if name in input.model_fields}
    fields = refusal.fields or about or _clashing(refusal, input, subject, model) or _missing(refusal, subject)
    fields = fields or _named(refusal, input)
    if not fields:
        return refusal
    told, allowed = dict[str, str](), dict[str, list[str]]()
    for path, text in fields.items():
        name, values = placed(input, path)
        told[name] = in_words(input, text)
        now = refusal.extra.get("allowed")  # of a state: fewer values than the set has
        if (values := now if isinstance(now, list) else values) is not None:
            allowed[name] = values
    return refusal.with_fields(told, {"allowed": allowed} if allowed else {})


def placed(model: type[BaseModel], path: str) -> tuple[str, list[str] | None]:
    """A path through an input, such as `crew_id` or `tasks[0].agent_id`, as the graph has it; and the values that the
    field takes, if they are a closed set. What lies within JSON keeps its names.
    """
    made, kind, allowed = list[str](), cast(Any, model), None
    for part in path.split("."):
        found = _PART.fullmatch(part)
        name, places = found.groups() if found else (part, "")
        if isinstance(kind, type) and issubclass(kind, BaseModel) and name in kind.model_fields:
            field = kind.model_fields[name]
            name, kind, rule = to_camel_case(name), bare(field.annotation), rule_of(field)
            allowed = None if rule is None or rule.allowed is None else list(rule.allowed)
        else:
            kind, allowed = Any, None
        for _ in range(places.count("[")):
            kind = bare(get_args(kind)[0]) if get_origin(kind) is list else Any
        made.append(name + places)
    return ".".join(made), allowed or values_of(kind)


def values_of(kind: Any) -> list[str] | None:
    """The values of a closed set, as a request writes them."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [entry.name for entry in kind]
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return None


def in_words(model: type[BaseModel], text: str) -> str:
    """A text that names fields of the input, with the names of the graph."""
    names = _renamed(model)
    return _WORD.sub(lambda word: names.get(word[0], word[0]), text) if "_" in text else text


@cache
def _renamed(model: type[BaseModel]) -> dict[str, str]:
    return {name: to_camel_case(name) for name in _names(model, set()) if "_" in name}


def _names(model: type[BaseModel], seen: set[type[BaseModel]]) -> Iterator[str]:
    seen.add(model)
    for name, field in model.model_fields.items():
        yield name
        kind = bare(field.annotation)
        if get_origin(kind) is list:
            kind = bare(get_args(kind)[0])
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
            yield from _names(kind, seen)


def _clashing(refusal: Refusal, input: type[BaseModel], subject: Subject | None, model: Any) -> dict[str, str]:
    """The fields of the input whose values are taken: as the operation says, or the columns of the key, if it is one of
    the rows that the operation returns. A field that names the parent of a row is not at fault.
    """
    if refusal.code is not Code.CONFLICT:
        return {}
    table, key = unique_keys().get(refusal.constraint or "", ("", ()))
    own = isinstance(model, type) and hasattr(model, "__table__") and table_of(model).name == table
    columns = refusal.taken or (key if own else ())
    parents = subject.fields if subject is not None else ()
    faulty = [name for name in columns if name in input.model_fields and name not in parents]
    return dict.fromkeys(faulty, refusal.detail)


def _missing(refusal: Refusal, subject: Subject | None) -> dict[str, str]:
    """The field of the input that names the row, if it is not there or hidden."""
    if refusal.code is not Code.NOT_FOUND or subject is None or refusal.detail != subject.missing:
        return {}
    return {subject.field: refusal.detail}


def _named(refusal: Refusal, input: type[BaseModel]) -> dict[str, str]:
    """The fields of the input that the text names as REST does, such as `crew_id`."""
    if "_" not in refusal.detail:
        return {}
    named = _WORD.findall(refusal.detail)
    return {name: refusal.detail for name in input.model_fields if name in named}


@cache
def unique_keys() -> dict[str, tuple[str, tuple[str, ...]]]:
    """The table and the columns of each unique key, by its name."""
    made = dict[str, tuple[str, tuple[str, ...]]]()
    for table in SQLModel.metadata.tables.values():
        keys: list[Any] = [key for key in table.constraints if isinstance(key, UniqueConstraint)]
        keys += [index for index in table.indexes if isinstance(index, Index) and index.unique]
        for key in keys:
            made[str(key.name)[:LONGEST_NAME]] = table.name, tuple([column.name for column in key.columns])
        made[f"{table.name}_pkey"] = table.name, tuple([column.name for column in table.primary_key.columns])
    return made
