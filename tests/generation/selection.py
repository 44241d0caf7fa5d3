"""GraphQL documents made from the schema: a root field, its arguments as variables, and a selection."""

import re
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, get_args, get_origin

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
)
from pydantic import BaseModel
from strawberry.utils.str_converters import to_camel_case

from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground.inputs import bare
from schema.bridge.limits import MAX_FIELDS
from schema.bridge.selection import BACKREF

DEPTH = 3
WORD = re.compile(r"\w+")


def leaves(type_: Any, seen: tuple[str, ...] = ()) -> str:
    """All scalar leaves of a type, through its objects that need no argument and are no rows' list; '' for a scalar. Of
    a row of the same type, only its own leaves.
    """
    return _leaves(get_named_type(type_), seen)


@cache
def _leaves(named: Any, seen: tuple[str, ...]) -> str:
    if is_leaf_type(named):
        return ""
    if isinstance(named, GraphQLInterfaceType):
        return "{ __typename }"
    if isinstance(named, GraphQLUnionType):
        return (
            "{ __typename " + " ".join(f"... on {each.name} {_of_member(named, each)}" for each in named.types) + " }"
        )
    if named.name.endswith("Connection"):
        return "{ totalCount nodes " + leaves(named.fields["nodes"].type, seen) + " }"
    parts = [
        name
        for name, field in named.fields.items()
        if not required_arguments(field) and is_leaf_type(get_named_type(field.type))
    ]
    if len(seen) < DEPTH:
        for name, field in named.fields.items():
            inner: Any = get_named_type(field.type)
            if (
                isinstance(inner, (GraphQLObjectType, GraphQLUnionType))
                and inner.name not in seen
                and not required_arguments(field)
                and (not is_list(field.type) or not parts)
            ):
                further = ("",) * DEPTH if inner is named else (*seen, named.name)
                parts.append(f"{name} {leaves(inner, further)}")
    return "{ " + " ".join(parts or ["__typename"]) + " }"


def _of_member(union: GraphQLUnionType, member: GraphQLObjectType) -> str:
    """The leaves of one of the types of a union. A field that is of another type in another member has an alias."""

    def written(name: str) -> str:
        types = Counter([str(other.fields[name].type) for other in union.types if name in other.fields])
        usual = types.most_common(1)[0][0]
        return name if str(member.fields[name].type) == usual else f"{name}Of{member.name}: {name}"

    return "{ " + " ".join(map(written, leaves(member, ("",) * DEPTH)[2:-2].split())) + " }"


def is_list(type_: Any) -> bool:
    return str(type_).startswith("[") or get_named_type(type_).name.endswith("Connection")


def required_arguments(field: GraphQLField) -> bool:
    return any(isinstance(argument.type, GraphQLNonNull) for argument in field.args.values())


def _largest(type_: Any, depth: int) -> str:
    """All leaves, through as many objects as a document may have fields."""
    texts = [leaves(type_, ("",) * (DEPTH - less)) for less in range(depth, -1, -1)]
    return next((text for text in texts if len(WORD.findall(text)) <= MAX_FIELDS), texts[-1])


def document(
    kind: str,
    name: str,
    field: GraphQLField,
    arguments: Mapping[str, Any],
    selection: str | None = None,
    depth: int = DEPTH,
) -> str:
    """`arguments`: those to be declared; their values travel as variables of the same names. `depth`: of the objects
    within objects that are asked for, where no selection is given."""
    declared = ", ".join(f"${argument}: {field.args[argument].type}" for argument in arguments)
    passed = ", ".join(f"{argument}: ${argument}" for argument in arguments)
    head = f"{kind}({declared})" if declared else kind
    asked = _largest(field.type, depth) if selection is None else selection
    return f"{head} {{ {name}{f'({passed})' if passed else ''} {asked} }}"


def arguments(
    op: Operation[Any], field: GraphQLField, raw: Mapping[str, Any], workspace: str | None, version: int | None = None
) -> dict[str, Any]:
    """An operation's raw input as its field's arguments: camelCase, enums by name, the workspace where it is taken."""
    camel = as_graphql(raw, op.input)
    made: dict[str, Any] = (
        {"input": camel} if "input" in field.args else {key: value for key, value in camel.items() if key in field.args}
    )
    place = next((p for p in field.extensions[BACKREF].metadata["places"] if p in field.args), None)
    if place is not None and workspace is not None:
        made[place] = workspace
    if version is not None:
        made["ifVersion"] = version
    return made


def as_graphql(raw: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    return {
        to_camel_case(n): _value(v, model.model_fields[n].annotation) if n in model.model_fields else v
        for n, v in raw.items()
    }


def _value(value: Any, annotation: Any) -> Any:
    kind = bare(annotation)
    if isinstance(value, list) and get_origin(kind) is list:
        return [_value(v, get_args(kind)[0]) for v in value]
    if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, dict):
        return as_graphql(value, kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next((member.name for member in kind if member.value == value), value)
    return value
