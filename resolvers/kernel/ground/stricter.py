"""Values that REST has to take, because the contract does, and that GraphQL refuses: `Annotated[Text, InGraph(...)]`.

See docs/kernel.md.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from resolvers.errors import Code, Refusal
from resolvers.kernel.ground.faults import NOT_ALLOWED
from resolvers.kernel.ground.inputs import bare, validate

WHOLE = "input"  # what a rule over several fields names; here they have been named
Raw = Mapping[str, Any]
Check = Callable[[Any, Raw], str | None]
"""`(value, input)` as they were sent, before validation: the fault, or None."""


@dataclass(frozen=True, slots=True)
class InGraph:
    """Metadata of a field. A fault is BAD_REQUEST in GraphQL alone. `allowed`: the values, if they are a closed set."""

    check: Check
    allowed: tuple[str, ...] | None = None


def one_of(*values: str) -> InGraph:
    """A text of a closed set; an empty one is left to the field."""

    def check(value: Any, _: Raw) -> str | None:
        return None if value in ("", *values) or not isinstance(value, str) else NOT_ALLOWED

    return InGraph(check, values)


def strictly(model: type[BaseModel], raw: Raw) -> Refusal | None:
    """The refusal of an input in GraphQL that REST would take, or would refuse for less."""
    fields = {}
    for path, rule in rules_of(model):
        inside: Any = raw
        for name in path[:-1]:
            inside = inside.get(name) if isinstance(inside, Mapping) else None
        value = inside.get(path[-1]) if isinstance(inside, Mapping) else None
        if value is not None and (fault := rule.check(value, inside)) is not None:
            fields[".".join(path)] = fault
    if not fields:
        return None
    try:
        validate(model, raw)
    except Refusal as refusal:
        fields |= {name: text for name, text in refusal.fields.items() if name != WHOLE}
    name, fault = next(iter(fields.items()))
    return Refusal(Code.BAD_REQUEST, f"{name}: {fault}", fields=fields)


@cache
def rules_of(model: type[BaseModel]) -> tuple[tuple[tuple[str, ...], InGraph], ...]:
    """The rules of an input and the objects in it, with the way to each field."""
    return tuple(_rules(model, ()))


def _rules(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], InGraph]]:
    for name, field in model.model_fields.items():
        rule = rule_of(field)
        if rule is not None:
            yield (*path, name), rule
        inner = bare(field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel) and len(path) < DEEPEST:
            yield from _rules(inner, (*path, name))


DEEPEST = 3  # objects in each other


def rule_of(field: Any) -> InGraph | None:
    """The rule of a field, or of what it takes beside null."""
    return next((part for part in (*field.metadata, *_metadata(field.annotation)) if isinstance(part, InGraph)), None)


def _metadata(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for part in get_args(annotation):
        if not isinstance(part, InGraph):
            yield from _metadata(part)
