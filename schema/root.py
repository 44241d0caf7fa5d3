"""The schema: Query and Mutation merged from the domains."""

import strawberry

from schema.labels import LabelMutation, LabelQuery
from schema.system import SystemQuery
from schema.workspaces import WorkspaceMutation, WorkspaceQuery


@strawberry.type(description="Reads. Every field is one operation; `workspaceId` takes an id or a slug, and may come as the header X-Workspace-ID.")
class Query(WorkspaceQuery, LabelQuery, SystemQuery):
    pass


@strawberry.type(description="Writes. Every field is one operation in a transaction of its own.")
class Mutation(WorkspaceMutation, LabelMutation):
    pass


schema = strawberry.Schema(Query, Mutation)


def sdl() -> str:
    return schema.as_str() + "\n"
