"""Deletion of a workspace, which an owner can undo for seven days: rows and files stay, and no caller reaches them."""

from typing import Final

from sqlalchemy import func
from sqlmodel import col

from models.people.workspaces import Workspace
from models.staff.crews import Crew
from resolvers.kernel import (
    GRAPHQL_ONLY,
    NOW,
    Action,
    ById,
    Code,
    Context,
    Event,
    Holder,
    Input,
    Refusal,
    Success,
    Tenancy,
    Text,
    command,
    end_work,
    instance,
    people_only,
)
from resolvers.kernel.writing.persons import belongs_elsewhere
from resolvers.people.workspaces.files import GRACE
from resolvers.people.workspaces.workspaces import owned_by
from resolvers.staff.crews.containers import STOP
from resolvers.staff.crews.crews import CrewDeleted

ENTITY: Final = "WORKSPACE"
OTHER_SLUG: Final = "confirm_slug must be the slug of the workspace"
ONLY: Final = "This is your only workspace: create another one first"


class DeleteWorkspace(Input):
    """`confirm_slug` repeats the slug of the workspace."""

    confirm_slug: Text


class WorkspaceDeleted(Event, type="workspace.deleted", channel="workspace:{workspace_id}"):
    """The workspace was deleted."""

    id: str
    slug: str


@command(
    "workspaces.delete",
    Action.OWNER,
    audit="workspace.deleted",
    emits=(CrewDeleted, WorkspaceDeleted),
    errors=(Code.CONFLICT,),
    scopes=("workspace:admin",),
)
async def delete_workspace(ctx: Context, data: DeleteWorkspace) -> Success:
    """Delete a workspace.

    Ends its runs before it answers. Its members lose access, and its slug stays taken. An owner can restore it within
    seven days (`restoreWorkspace`); then its files are removed. CONFLICT for the caller's only workspace.
    """
    id = ctx.workspace_id or ""
    await ctx.lock(f"workspaces of {ctx.user_id}")  # of two deletions at once, one leaves the last workspace
    workspace = await ctx.get(Workspace, id, lock=True)
    if data.confirm_slug != workspace.slug:
        raise Refusal(Code.BAD_REQUEST, OTHER_SLUG, fields={"confirm_slug": "must be the slug of the workspace"})
    if not await belongs_elsewhere(ctx, ctx.user_id):
        raise Refusal(Code.CONFLICT, ONLY)
    crews = await ctx.select(Crew, including_hidden=True).order_by(col(Crew.id)).all()
    await ctx.update(Workspace, id, deleted_at=NOW)
    await end_work(ctx, Holder.workspace, id)
    for crew in crews:
        ctx.emit(CrewDeleted(id=crew.id))
        if instance.containers is not None:
            ctx.enqueue(STOP, crew_id=crew.id)
    ctx.emit(WorkspaceDeleted(id=id, slug=workspace.slug))
    ctx.audit(ENTITY, id, name=workspace.name, slug=workspace.slug)
    return Success()


@command(
    "workspaces.restore",
    Action.NONE,
    audit="workspace.restored",
    tenancy=Tenancy.NONE,
    errors=(Code.NOT_FOUND,),
    allow=people_only,
    surfaces=GRAPHQL_ONLY,
    scopes=("workspace:admin",),
)
async def restore_workspace(ctx: Context, data: ById) -> Workspace:
    """Restore a deleted workspace.

    An owner can do so within seven days after the deletion. Members, crews, agents and files are as before; runs that
    the deletion ended do not continue. NOT_FOUND for others, and later.
    """
    deleted = (col(Workspace.id) == data.id, col(Workspace.deleted_at) > func.now() - GRACE)
    found = ctx.select(Workspace, *deleted, col(Workspace.id).in_(owned_by(ctx.user_id)), including_deleted=True)
    workspace = await found.locked().one("Workspace not found")
    await ctx.enter(workspace.id)
    await ctx.update_where(Workspace, col(Workspace.id) == workspace.id, including_deleted=True, deleted_at=None)
    ctx.audit(ENTITY, workspace.id, slug=workspace.slug)
    return await ctx.get(Workspace, workspace.id)
