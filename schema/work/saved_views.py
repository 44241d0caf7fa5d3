"""GraphQL: saved views."""

import strawberry

from models.work.saved_views import SavedView
from resolvers.work import saved_views as saved_view_ops
from schema.bridge.fields import Edge, acts, mutation, node, query


@node(SavedView)
class SavedViewType:
    """Filters and an order of issues under a name, of one user or shared with the workspace."""

    fields = "id name filters_json sort_json view_type is_default shared owner created_at updated_at version viewer_can"
    viewer_can = acts()
    filters_json = strawberry.field(description="A text of the client, as sent.")
    sort_json = strawberry.field(description="A text of the client, as sent.")
    owner: Edge


@strawberry.type
class SavedViewQuery:
    saved_views = query(saved_view_ops.list_saved_views, SavedViewType)


@strawberry.type
class SavedViewMutation:
    create_saved_view = mutation(saved_view_ops.create_saved_view, SavedViewType)
    update_saved_view = mutation(saved_view_ops.update_saved_view, SavedViewType)
    delete_saved_view = mutation(saved_view_ops.delete_saved_view)
