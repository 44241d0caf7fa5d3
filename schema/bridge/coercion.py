"""The fields of a variable that its type refuses, beside graphql-core's texts, in the words of inputs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    VariableDefinitionNode,
    is_required_input_field,
)

from resolvers.kernel.ground.faults import FAULTS, LONGEST_KEY, MOST, NOT_ALLOWED

DEEPEST: Final = 20  # levels that are looked at
UNKNOWN: Final = "is not a field of this input"
_SCALARS: Final = {
    "String": FAULTS["string_type"],
    "ID": FAULTS["string_type"],
    "Int": FAULTS["int_type"],
    "Float": FAULTS["float_type"],
    "Boolean": FAULTS["bool_type"],
}


class Fault(NamedTuple):
    """`path` of the field; `allowed`: the values that it takes, if they are a closed set."""

    path: str
    text: str
    allowed: list[str] | None = None


def name_fields(errors: list[GraphQLError], types: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[GraphQLError]:
    """Adds the fields to the first error of each variable. `types` of the variables, by name."""
    named = set[str]()
    for error in errors:
        node = error.nodes[0] if error.nodes else None
        name = node.variable.name.value if isinstance(node, VariableDefinitionNode) else ""
        if name in named or name not in types:
            continue
        named.add(name)
        found = list(_first(_faults(types[name], inputs.get(name), "", 0)))
        fields = {fault.path or name: fault.text for fault in found}
        allowed = {fault.path or name: fault.allowed for fault in found if fault.allowed is not None}
        error.extensions = {"fields": fields} | ({"allowed": allowed} if allowed else {})
    return errors


def _first(faults: Iterator[Fault]) -> Iterator[Fault]:
    for _, fault in zip(range(MOST), faults, strict=False):
        yield fault


def _faults(type_: Any, value: Any, path: str, depth: int) -> Iterator[Fault]:
    if isinstance(type_, GraphQLNonNull):
        if value is None:
            yield Fault(path, FAULTS["missing"])
            return
        type_ = type_.of_type
    if value is None or depth > DEEPEST:
        return
    if isinstance(type_, GraphQLList):
        items: Sequence[Any] = value if isinstance(value, list) else [value]
        for number, item in enumerate(items):
            yield from _faults(type_.of_type, item, f"{path}[{number}]" if items is value else path, depth + 1)
    elif isinstance(type_, GraphQLInputObjectType):
        yield from _faults_of_object(type_, value, path, depth)
    elif not _fits(type_, value):
        allowed = list(type_.values) if isinstance(type_, GraphQLEnumType) else None
        yield Fault(path, _SCALARS.get(type_.name, NOT_ALLOWED), allowed)


def _faults_of_object(type_: GraphQLInputObjectType, value: Any, path: str, depth: int) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(path, FAULTS["dict_type"])
        return
    inside = f"{path}." if path else ""
    for name, field in type_.fields.items():
        if name in value:
            yield from _faults(field.type, value[name], inside + name, depth + 1)
        elif is_required_input_field(field):
            yield Fault(inside + name, FAULTS["missing"])
    for name in value:
        if name not in type_.fields:
            yield Fault(inside + str(name)[:LONGEST_KEY], UNKNOWN)


def _fits(type_: Any, value: Any) -> bool:
    try:
        type_.coerce_input_value(value)
    except (GraphQLError, ValueError, TypeError, ArithmeticError):
        return False
    return True
