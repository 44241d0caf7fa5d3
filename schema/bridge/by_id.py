"""Rows by type and id: `node` and `nodes` ask the field of Query that reads one row of the type by its id.

So they need what that field needs, and answer what it answers. Types without such a field are no Nodes.
"""

import asyncio
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson
import strawberry
from graphql import FieldNode, GraphQLError, GraphQLField, GraphQLObjectType, Source

from resolvers.errors import Code, Refusal
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.reader import Row
from schema.bridge.arguments import Arguments
from schema.bridge.fields import enum, nullable, root_field
from schema.bridge.roots import AT_ONCE, Faulty, ask, errors_of
from schema.bridge.selection import BACKREF, Asking, Call, Root, Selection

MOST = 20  # rows of `nodes`: as many as a document may have roots
BY_ID = "by_id"
EMPTY = inspect.Parameter.empty


@strawberry.interface(name="Node", description="A row that `node` and `nodes` find by its type and id.")
class NodeInterface:
    id: strawberry.ID


Read = tuple[Query[Any, Any], tuple[str, ...]]
"""A read, and the arguments that may name the workspace."""


def _reads_in(parts: Iterable[type]) -> dict[str, Read]:
    """The first read of one row by nothing but its id, by the name of its type, which becomes a Node."""
    made = dict[str, Read]()
    for part in parts:
        for field in part.__strawberry_definition__.fields:  # type: ignore[attr-defined]
            op, places, kind = [field.metadata[key] for key in ("operation", "places", "kind")]
            required = {name for name, info in op.input.model_fields.items() if info.is_required()}
            if not isinstance(op, Query) or op.form is not Row or not (required or {*places} & {"id"}) >= {"id"}:
                continue
            definition = kind.__strawberry_definition__
            if required <= {"id"} and made.setdefault(definition.name, (op, places)) == (op, places):
                definition.interfaces.append(NodeInterface.__strawberry_definition__)  # type: ignore[attr-defined]
    return made


def fields_by_id(parts: Iterable[type]) -> type:
    """The class with the fields `node` and `nodes`, of the reads in other parts of Query. For when all nodes are
    types.
    """
    reads = _reads_in(parts)
    names = {name: name for name in sorted(reads)}
    kinds: Any = Enum("NodeType", names)  # type: ignore[misc]
    kinds.__doc__ = "A type of rows that have an id and a field of Query that reads one of them by it."
    named = enum(kinds)

    keys = type("NodeKey", (), {"__annotations__": {"type": named, "id": strawberry.ID}})
    key: Any = strawberry.input(keys, description="The type and the id of a row.")
    node: Any = NodeInterface
    place = _argument("workspace_id", nullable(strawberry.ID), strawberry.UNSET)
    asks = "Asks the field of Query that reads one row of the type: same answer, same requirements, same errors."
    own: Any = type("NodeQuery", (), {})
    own.node = root_field(
        nullable(node),
        [_argument("type", named), _argument("id", strawberry.ID), place],
        f"Get a row by its type and id.\n\n{asks}",
        __name__,
        by_id=reads,
    )
    own.nodes = root_field(
        nullable(list[nullable(node)]),  # type: ignore[misc]
        [_argument("keys", list[key]), place],
        f"Get rows by their types and ids.\n\n{asks} At most {MOST}, in the order of `keys`; a row that cannot be "
        "read is null, with an error at its place.",
        __name__,
        by_id=reads,
    )
    made: type = strawberry.type(own)
    return made


def _argument(name: str, kind: Any, default: Any = EMPTY) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)


@dataclass(slots=True)
class RootsByType:
    """A root field that asks one of several reads, or several of them: what its arguments name."""

    key: str
    arguments: Arguments
    source: Source
    positions: tuple[int, ...]
    roots: Mapping[str, Root]

    def call(self, variables: Any) -> "Call | SeveralCalls":
        """Raises GraphQLError or Refusal when an argument cannot be."""
        args = self.arguments.read(variables)
        keys = args.get("keys")
        if keys is None:
            return self._root(args).called(args, variables)
        if len(keys) > MOST:
            text = f"at most {MOST} are allowed"
            raise Refusal(Code.BAD_REQUEST, f"keys: {text}", fields={"keys": text})
        place = {name: value for name, value in args.items() if name != "keys"}
        return SeveralCalls(self, [self._root(key).called({**key, **place}, variables) for key in keys])

    def _root(self, args: Mapping[str, Any]) -> Root:
        kind = args["type"]
        return self.roots[kind.value if isinstance(kind, Enum) else kind]


@dataclass(slots=True)
class SeveralCalls:
    """The reads of one field, whose answer is the list of theirs."""

    root: RootsByType
    calls: list[Call]

    @property
    def cost(self) -> int:
        return 1 + sum([call.cost for call in self.calls])

    async def run(self, asking: Asking) -> tuple[bytes, list[GraphQLError]]:
        """The list, and the errors of its places."""
        bodies, errors = list[bytes](), list[GraphQLError]()
        async for body, wrong in self._answers(asking):
            errors += [_at(len(bodies), error) for error in wrong]
            bodies.append(body or b"null")
        return b"[%b]" % b",".join(bodies), errors

    async def values(self, asking: Asking) -> tuple[list[Any], list[GraphQLError]]:
        """As the executor walks them: a refused read is its exception."""
        body, errors = await self.run(asking)
        found: list[Any] = orjson.loads(body)
        withheld = list[GraphQLError]()
        for error in errors:
            path = error.path or []
            if len(path) == 2:
                found[int(path[1])] = error.original_error
            else:
                withheld.append(error)
        return found, withheld

    async def _answers(self, asking: Asking) -> Any:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(call: Call) -> Any:
            async with room:
                return await ask(asking, call)

        for call, answer in zip(self.calls, await asyncio.gather(*map(one, self.calls)), strict=True):
            if isinstance(answer, Faulty):
                yield None, [refused_at(answer)]
            else:
                yield answer.body, errors_of(call.root, answer)


def refused_at(fault: Faulty) -> GraphQLError:
    """The error of a root that has no answer."""
    root = fault.root
    return GraphQLError(
        str(fault.cause), source=root.source, positions=root.positions, path=[root.key], original_error=fault.cause
    )


def _at(place: int, error: GraphQLError) -> GraphQLError:
    """The error of one of several reads, at its place in the list."""
    key, *below = error.path or [""]
    return GraphQLError(
        error.message, source=error.source, positions=error.positions, path=[key, place, *below],
        original_error=error.original_error,
    )  # fmt: skip


def root_of(selection: Selection, parent: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> "Root | RootsByType":
    """The root field of a document. Raises Unbound."""
    definition = parent.fields.get(nodes[0].name.value)
    bound = definition.extensions.get(BACKREF) if definition is not None else None
    if definition is None or bound is None or BY_ID not in bound.metadata:
        return selection.root(parent, key, nodes)
    arguments = Arguments(definition, nodes[0])
    roots = dict(_roots(selection, key, definition, bound.metadata[BY_ID], arguments, nodes))
    first = next(iter(roots.values()))
    return RootsByType(key, arguments, first.source, first.positions, roots)


def _roots(
    selection: Selection, key: str, definition: GraphQLField, reads: Any, arguments: Arguments, nodes: list[FieldNode]
) -> Iterator[tuple[str, Root]]:
    """A root for each type that the field may be asked for: if the document says the type, for this one alone."""
    said = arguments.literal("type")
    for name in reads if said is None else [getattr(said, "value", said)]:
        operation, places = reads[name]
        shown = selection.schema.type_map[name]
        yield name, selection.bound(key, shown, operation, places, arguments, nodes, abstract=True)
