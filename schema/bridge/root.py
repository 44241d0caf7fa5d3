"""The schema: Query, Mutation and Subscription, merged from the domains."""

from typing import Any

import strawberry
from strawberry.schema import schema as strawberry_schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from models.people.auth import User
from models.staff.agents import Agent
from resolvers.domains import modules_in
from resolvers.kernel.declarations.operation import OPERATIONS
from schema.bridge.by_id import fields_by_id
from schema.bridge.changed import bind_changes
from schema.bridge.event_types import EVENT_TYPES
from schema.bridge.fields import bind_nodes, bind_outputs, union
from schema.bridge.selection import BACKREF
from schema.live import Channels

union("Actor", User, Agent, description="A user or an agent, as the actor or assignee.")
DOMAINS = modules_in("schema")
bind_nodes()
EVENT_TYPES.bind()
bind_changes()
bind_outputs()


def _parts(name: str) -> list[type]:
    """Each domain's class `<Domain><name>`."""
    return [
        part
        for domain in DOMAINS
        for part in vars(domain).values()
        if isinstance(part, type) and part.__module__ == domain.__name__ and part.__name__.endswith(name)
    ]


def _merged(name: str, description: str, *own: type) -> Any:
    """A root type with the fields of the domains, after fields of no domain."""
    return strawberry.type(type(name, (*_parts(name), *own), {}), description=description)


Query = _merged(
    "Query",
    "Reads. Every field is one operation; `node` and `nodes` ask others. The header X-Workspace-ID can replace"
    " `workspaceId`, an id or slug.",
    fields_by_id(_parts("Query")),
)
Mutation = _merged("Mutation", "Writes. Every field is one operation, in its own transaction.")
Subscription = _merged(
    "Subscription",
    "Live events over WebSocket, multipart HTTP or server-sent events. Every field is one channel, or one list.",
    Channels,
)


class _WithoutResolvers(GraphQLCoreConverter):
    """Strawberry creates a function for each field and ten for a field with arguments, 3 MB together.
    `schema.bridge.executor` replaces them all.
    """

    def from_resolver(self, field: StrawberryField) -> Any:
        return None


def _made() -> strawberry.Schema:
    library: Any = strawberry_schema
    with_resolvers = library.GraphQLCoreConverter
    library.GraphQLCoreConverter = _WithoutResolvers
    try:
        return strawberry.Schema(Query, Mutation, Subscription)
    finally:
        library.GraphQLCoreConverter = with_resolvers


schema = _made()


def fields() -> dict[str, list[str]]:
    """Operation -> its fields, such as `Query.crews`."""
    made: dict[str, list[str]] = {}
    for type_ in (schema._schema.query_type, schema._schema.mutation_type):
        for name, field in type_.fields.items() if type_ else ():
            bound = field.extensions.get(BACKREF)
            if bound is not None and "operation" in bound.metadata:
                made.setdefault(bound.metadata["operation"].name, []).append(f"{type_}.{name}")
    return made


for operation, names in fields().items():
    OPERATIONS[operation].called = tuple([name.partition(".")[2] for name in names])


def sdl() -> str:
    return schema.as_str() + "\n"
