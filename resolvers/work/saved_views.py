"""Saved views: filters and an order under a name, one's own or shared with the workspace."""

from typing import Annotated

from pydantic import Field
from sqlalchemy import or_
from sqlmodel import col

from models import bounds
from models.people.auth import User
from models.people.workspaces import Workspace
from models.work.saved_views import SavedView, ViewType
from resolvers.kernel import (
    Action,
    Bool,
    ById,
    Context,
    Deleted,
    Domain,
    Input,
    NoInput,
    Patch,
    Prompt,
    QueryScope,
    Rows,
    Subject,
    command,
    extend,
    graph,
    many,
    one,
    query,
    viewer_can,
)
from resolvers.kernel.admission.row_rules import Allowed, ByUser
from resolvers.kernel.declarations.row_events import heard, of_action, of_user

DOMAIN = Domain("saved_views", scopes="issues")

ViewName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
Filters = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.PROMPT)]
DEFAULT_FIRST = (col(SavedView.is_default).desc(), col(SavedView.name), col(SavedView.id))
VIEW = Subject(SavedView, hidden=True, called="View")

graph(
    SavedView,
    gate=Action.READ,
    scope="issues:read",
    visible=lambda view, scope: or_(view.shared, view.user_id == scope.user_id),
    owner=one(User, "user_id"),
    viewer_can=viewer_can(SavedView),
)
heard(
    SavedView,
    lambda view, changed: of_action(Action.READ) if view.shared or "shared" in changed else of_user(view.user_id),
)
extend(Workspace, saved_views=many(SavedView, "workspace_id", order_by=DEFAULT_FIRST))


class CreateSavedView(Input):
    """`filters_json` and `sort_json` are texts, stored as sent."""

    name: ViewName
    filters_json: Filters
    sort_json: Prompt | None = None
    view_type: ViewType = ViewType.list
    shared: Bool = False


class UpdateSavedView(Patch, ById):
    """Null clears the order."""

    name: ViewName
    filters_json: Filters
    sort_json: Prompt | None
    view_type: ViewType
    is_default: Bool
    shared: Bool


owner_only = Allowed(ByUser(SavedView.user_id), "Only the owner of a view can change it")
"""Not even an owner of the workspace; others get this refusal for private views too (contract: saved_views.update)."""


@query("saved_views.list", Action.READ)
def list_saved_views(scope: QueryScope, data: NoInput) -> Rows[SavedView]:
    """List saved views.

    Lists the caller's views and those shared in the workspace; defaults first, then sorted by name.
    """
    return scope.select(SavedView).order_by(*DEFAULT_FIRST)


@command("saved_views.create", Action.CREATE, audit="saved_view.created")
async def create_saved_view(ctx: Context, data: CreateSavedView) -> SavedView:
    """Create a saved view.

    The view belongs to the caller and is not a default.
    """
    return await ctx.insert(SavedView(user_id=ctx.user_id, **data.model_dump()))


@command(
    "saved_views.update", Action.CREATE, audit="saved_view.updated", subject=VIEW, allow=owner_only, versioned=SavedView
)
async def update_saved_view(ctx: Context, view: SavedView, data: UpdateSavedView) -> SavedView:
    """Update a saved view.

    Allowed for its owner only. Several views can be defaults.
    """
    return await ctx.edit(view, **data.something())


@command(
    "saved_views.delete",
    Action.PARTICIPATE,
    audit="saved_view.deleted",
    subject=VIEW,
    allow=owner_only,
    versioned=SavedView,
)
async def delete_saved_view(ctx: Context, view: SavedView, data: ById) -> Deleted:
    """Delete a saved view.

    Only the owner of the view can delete it, regardless of role.
    """
    await ctx.delete(SavedView, view.id)
    return Deleted(id=view.id)
