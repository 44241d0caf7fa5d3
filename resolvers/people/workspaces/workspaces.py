"""Workspaces. The founder owns a workspace; the API deletes none."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlmodel import col

from models.base import alias_of, table_of
from models.kernel import InstanceFact
from models.people.workspaces import Invitation, Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.labels import Label
from resolvers.instance.running import BOOTSTRAPPED
from resolvers.kernel import (
    EVERYONE,
    NOW,
    Action,
    Code,
    Context,
    Input,
    Name,
    NoInput,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Slug,
    Tenancy,
    Text,
    command,
    count,
    derived,
    graph,
    instance,
    many,
    people_only,
    query,
)
from resolvers.rules.built_in_templates import add_built_in_templates
from resolvers.rules.languages import canonical_language

TAKEN = "A workspace with this slug already exists"


def workspaces_of(user_id: Any) -> Any:
    """Ids of the workspaces a user belongs to, deleted ones too, as a subquery."""
    member = table_of(Membership).alias("own")
    return select(member.c.workspace_id).where(member.c.user_id == user_id)


def accepted_by(user_id: Any) -> Any:
    """Ids of the workspaces of which a user has accepted the membership, as a subquery."""
    member = table_of(Membership).alias("accepted")
    return select(member.c.workspace_id).where(member.c.user_id == user_id, member.c.accepted_at.is_not(None))


async def joined_last(ctx: Context) -> Workspace | None:
    """The live workspace that the caller has belonged to for the shortest time, of those that they have accepted."""
    return await _joined(ctx, first=False)


async def _joined(ctx: Context, *, first: bool) -> Workspace | None:
    member, workspaces = table_of(Membership).alias("own"), table_of(Workspace).alias("live")
    here = (member.c.user_id == ctx.user_id, member.c.accepted_at.is_not(None), workspaces.c.deleted_at.is_(None))
    order = (member.c.created_at, member.c.id)
    found = (
        select(member.c.workspace_id)
        .join(workspaces, workspaces.c.id == member.c.workspace_id)
        .where(*here)
        .order_by(*order if first else [key.desc() for key in order])
        .limit(1)
    )
    return await ctx.select(Workspace, col(Workspace.id).in_(found)).first()


async def enter_oldest(ctx: Context) -> Workspace | None:
    """Enters the live workspace that the caller joined first, among accepted memberships, with the caller's role there.
    None if there is none.
    """
    workspace = await _joined(ctx, first=True)
    if workspace is None:
        return None
    await ctx.enter(workspace.id)
    own = await ctx.select(Membership, col(Membership.user_id) == ctx.user_id).first()
    ctx.role = None if own is None else own.role  # gone in between: nothing is allowed
    return workspace


def _seen_at(workspace: Any, scope: Any) -> Any:
    own = alias_of(Membership)
    mine = (own.c.workspace_id == workspace.id, own.c.user_id == scope.user_id)
    return scope.scalar(select(own.c.seen_at).where(*mine))


graph(
    Workspace,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    last_seen_at=derived(datetime | None, _seen_at),
    current_user_role=derived(Role | None, lambda workspace, scope: scope.role_in(workspace.id)),
    crew_count=count(Crew, "workspace_id"),
    agent_count=count(Agent, "workspace_id"),
    member_count=count(Membership, "workspace_id"),
    members=many(Membership, "workspace_id", order_by=col(Membership.created_at)),
    invitations=many(
        Invitation,
        "workspace_id",
        where=(col(Invitation.accepted_at).is_(None),),
        order_by=col(Invitation.created_at).desc(),
    ),
    labels=many(Label, "workspace_id", order_by=col(Label.name)),
)


class CreateWorkspace(Input):
    """The preferred language is a name or a code; an empty string counts as absent."""

    name: Name
    slug: Slug
    preferred_language: Text = ""


class UpdateWorkspace(Input):
    """Absent fields stay unchanged. The preferred language is a name or a code; an empty string clears it."""

    name: Name = ""
    slug: Slug = ""
    preferred_language: Text = ""


@query("workspaces.list", Action.NONE, tenancy=Tenancy.NONE, tickets=True)
def list_workspaces(scope: QueryScope, data: NoInput) -> Rows[Workspace]:
    """List workspaces.

    Lists the caller's workspaces, newest first; memberships that the caller has not accepted come last.
    """
    own = scope.scalar(workspaces_of(scope.user_id))
    accepted = col(Workspace.id).in_(scope.scalar(accepted_by(scope.user_id)))
    newest = (accepted.desc(), col(Workspace.created_at).desc())
    return scope.select(Workspace).where(col(Workspace.id).in_(own)).order_by(*newest)


@query("workspaces.get", Action.READ, errors=(Code.NOT_FOUND,))
def get_workspace(scope: QueryScope, data: NoInput) -> Row[Workspace]:
    """Get a workspace.

    Accepts an id or a slug.
    """
    return scope.select(Workspace).where(col(Workspace.id) == scope.workspace_id).one("Workspace not found")


async def may_be_called(ctx: Context, slug: str) -> None:
    """A slug that the settings of a sign-in provider name is the operator's to give: the first user may take it. It is
    refused like one that is taken.
    """
    if all(provider.workspace != slug for provider in instance.settings.providers):
        return
    first = await ctx.select(InstanceFact, col(InstanceFact.name) == BOOTSTRAPPED).first()
    if first is None or first.value != ctx.user_id:
        raise Refusal(Code.CONFLICT, TAKEN, taken=("slug",))


@command(
    "workspaces.create",
    Action.NONE,
    audit="workspace.created",
    tenancy=Tenancy.NONE,
    errors=(Code.CONFLICT,),
    allow=people_only,
)
async def create_workspace(ctx: Context, data: CreateWorkspace) -> Workspace:
    """Create a workspace.

    The caller becomes its owner. The slug is unique on the instance, including deleted workspaces.
    """
    language = canonical_language(data.preferred_language)
    await may_be_called(ctx, data.slug)
    workspace = await ctx.insert(Workspace(name=data.name, slug=data.slug, preferred_language=language), conflict=TAKEN)
    await ctx.enter(workspace.id)
    await ctx.insert(Membership(user_id=ctx.user_id, role=Role.OWNER, accepted_at=NOW))
    add_built_in_templates(ctx)
    return workspace


@command(
    "workspaces.update",
    Action.MANAGE,
    audit="workspace.updated",
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    versioned=Workspace,
)
async def update_workspace(ctx: Context, data: UpdateWorkspace) -> Workspace:
    """Update a workspace.

    Absent and null fields stay unchanged; a request that changes nothing is not an error.
    """
    changes, id = data.changes(), ctx.workspace_id or ""
    if not changes:
        return await ctx.unchanged(Workspace, id)
    if "preferred_language" in changes:
        changes["preferred_language"] = canonical_language(data.preferred_language)
    if "slug" in changes and changes["slug"] != (await ctx.get(Workspace, id)).slug:
        await may_be_called(ctx, data.slug)
    return await ctx.update(Workspace, id, conflict=TAKEN, **changes)
