"""The schema: Query and Mutation merged from the domains, and Subscription."""

import strawberry

from schema.agents import AgentMutation, AgentQuery
from schema.auth import AuthMutation, AuthQuery
from schema.chats import ChatMutation, ChatQuery
from schema.crews import CrewMutation, CrewQuery
from schema.labels import LabelMutation, LabelQuery
from schema.live import Subscription
from schema.runs import RunQuery
from schema.selection import BACKREF
from schema.system import SystemQuery
from schema.workspaces import WorkspaceMutation, WorkspaceQuery


@strawberry.type(description="Reads. Every field is one operation; `workspaceId` takes an id or a slug, and may come as the header X-Workspace-ID.")
class Query(AuthQuery, WorkspaceQuery, CrewQuery, AgentQuery, ChatQuery, RunQuery, LabelQuery, SystemQuery):
    pass


@strawberry.type(description="Writes. Every field is one operation in a transaction of its own.")
class Mutation(AuthMutation, WorkspaceMutation, CrewMutation, AgentMutation, ChatMutation, LabelMutation):
    pass


schema = strawberry.Schema(Query, Mutation, Subscription)


def fields() -> dict[str, list[str]]:
    """Operation -> its fields, such as `Query.crews`."""
    made: dict[str, list[str]] = {}
    for type_ in (schema._schema.query_type, schema._schema.mutation_type):
        for name, field in type_.fields.items() if type_ else ():
            bound = field.extensions.get(BACKREF)
            if bound is not None and "operation" in bound.metadata:
                made.setdefault(bound.metadata["operation"].name, []).append(f"{type_}.{name}")
    return made


def sdl() -> str:
    return schema.as_str() + "\n"
