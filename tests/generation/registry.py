"""Every operation, and where each surface shows it. Importing this loads both surfaces."""

from functools import cache
from typing import Any

from graphql import GraphQLField, GraphQLSchema

from resolvers.kernel.declarations.operation import OPERATIONS, Operation
from rest_compat.http.routes import ROUTES
from rest_compat.http.table import Route
from schema.bridge.root import schema
from schema.bridge.selection import BACKREF

SCHEMA: GraphQLSchema = schema._schema


def operations() -> list[Operation[Any]]:
    return [op for _, op in sorted(OPERATIONS.items()) if not op.name.startswith("test.")]


def routes_of(op: Operation[Any]) -> list[Route]:
    return [route for route in ROUTES if route.operation is op]


@cache
def graphql_fields() -> dict[str, list[tuple[str, str, GraphQLField]]]:
    """Operation -> (query or mutation, name, field)."""
    found: dict[str, list[tuple[str, str, GraphQLField]]] = {}
    for kind, root in (("query", SCHEMA.query_type), ("mutation", SCHEMA.mutation_type)):
        for name, definition in (root.fields if root else {}).items():
            bound = definition.extensions.get(BACKREF)
            op = bound.metadata.get("operation") if bound else None
            if op is not None:
                found.setdefault(op.name, []).append((kind, name, definition))
    return found


def surfaces_of(op: Operation[Any]) -> list[str]:
    return (["rest"] if routes_of(op) else []) + (["graphql"] if graphql_fields().get(op.name) else [])
