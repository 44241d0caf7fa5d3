"""The executor's resolvers: the same operations, the same reader, walked by graphql-core instead of passed through."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import GraphQLError, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema, GraphQLUnionType

from resolvers.kernel.declarations.operation import Answer
from schema.bridge.by_id import BY_ID, SeveralCalls, root_of
from schema.bridge.roots import errors_of
from schema.bridge.selection import BACKREF, KIND, Asking, Selection


@dataclass(slots=True)
class ExecutionContext:
    asking: Asking
    variables: Any = None
    answers: list[Answer] = field(default_factory=list)  # of the roots, as they come
    withheld: list[GraphQLError] = field(default_factory=list)


def attach(schema: GraphQLSchema) -> None:
    """Gives bound root fields the resolver that runs their operation, and all else the one that reads its answer."""
    for type_ in schema.type_map.values():
        if isinstance(type_, (GraphQLUnionType, GraphQLInterfaceType)):  # the executor never meets events
            type_.resolve_type = _resolve_kind
        if not isinstance(type_, GraphQLObjectType) or type_.name.startswith("__"):
            continue
        type_.is_type_of = None  # the answer says it
        is_root = type_ in (schema.query_type, schema.mutation_type)
        for definition in type_.fields.values():
            field = definition.extensions.get(BACKREF)
            if is_root and field is not None and field.metadata.keys() & {"operation", BY_ID}:
                definition.resolve = _resolve_root
            elif not is_root:
                definition.resolve = _resolve_child
    for name in ("DateTime", "Date"):
        printed: Any = schema.type_map.get(name)
        if printed is not None:  # by PostgreSQL
            printed.serialize = printed.coerce_output_value = lambda value: value


async def _resolve_root(_: Any, info: Any, **__: Any) -> Any:
    selection = Selection(info.schema, info.fragments, info.context.variables.coerced, kinds=True)
    root = root_of(selection, info.parent_type, info.path.key, info.field_nodes)
    call = root.call(info.context.variables)
    if isinstance(call, SeveralCalls):
        found, withheld = await call.values(info.context.asking)
        info.context.withheld += withheld
        return found
    answer = await call.run(info.context.asking)
    info.context.answers.append(answer)
    info.context.withheld += errors_of(call.root, answer)
    return None if answer.body is None else orjson.loads(answer.body)


def _resolve_kind(source: Any, *_: Any) -> str:
    return str(source[KIND])


def _resolve_child(source: Any, info: Any, **_: Any) -> Any:
    return source[info.path.key]
