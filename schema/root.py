"""The schema: Query and Mutation merged from the domains."""

import strawberry

from schema.labels import LabelMutation, LabelQuery
from schema.system import SystemQuery


@strawberry.type(description="Reads. Every field is one operation; `workspaceId` takes an id or a slug, and may come as the header X-Workspace-ID.")
class Query(LabelQuery, SystemQuery):
    pass


@strawberry.type(description="Writes. Every field is one operation in a transaction of its own.")
class Mutation(LabelMutation):
    pass


schema = strawberry.Schema(Query, Mutation)


def sdl() -> str:
    return schema.as_str() + "\n"
