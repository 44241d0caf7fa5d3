"""GraphQL: saved views."""

from datetime import datetime

import strawberry

from models.work.saved_views import SavedView, ViewType
from resolvers.work import saved_views as saved_view_ops
from schema.bridge.fields import Edge, mutation, node, query
from schema.bridge.results import DeletedType


@node(SavedView)
class SavedViewType:
    """Filters and an order of issues under a name, of one user or shared with the workspace."""

    id: strawberry.ID
    name: str
    filters_json: str = strawberry.field(description="A text of the client, as it was sent.")
    sort_json: str | None = strawberry.field(description="A text of the client, as it was sent.")
    view_type: ViewType
    is_default: bool
    shared: bool
    owner: Edge
    created_at: datetime
    updated_at: datetime
    version: int


@strawberry.type
class SavedViewQuery:
    saved_views = query(saved_view_ops.list_saved_views, SavedViewType)


@strawberry.type
class SavedViewMutation:
    create_saved_view = mutation(saved_view_ops.create_saved_view, SavedViewType)
    update_saved_view = mutation(saved_view_ops.update_saved_view, SavedViewType)
    delete_saved_view = mutation(saved_view_ops.delete_saved_view, DeletedType)
