"""Workspaces. The founder owns a workspace."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import case, collate, func, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlmodel import col

from models.base import alias_of, table_of
from models.kernel import InstanceFact
from models.people.workspaces import Capability, Invitation, Membership, Role, Workspace
from models.retention import RetentionKind, RetentionRule
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.labels import Label
from resolvers.instance.running import BOOTSTRAPPED
from resolvers.kernel import (
    EVERYONE,
    NOW,
    Action,
    Bool,
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
    constant,
    count,
    derived,
    graph,
    instance,
    many,
    people_only,
    query,
)
from resolvers.kernel.background.retention import LONGEST
from resolvers.kernel.ground.policy import DEFAULTS
from resolvers.rules.built_in_templates import add_built_in_templates
from resolvers.rules.capabilities import listed as listed_capabilities
from resolvers.rules.languages import canonical_language

TAKEN = "A workspace with this slug already exists"
KEPT_DAYS: Final = {
    "run_retention_days": RetentionKind.runs,
    "credential_audit_retention_days": RetentionKind.credential_events,
    "audit_log_retention_days": RetentionKind.audit,
}
"""The retention of a workspace that is one of its fields (contract: workspaces.update)."""


def workspaces_of(user_id: Any) -> Any:
    """Ids of the workspaces a user belongs to, deleted ones too, as a subquery."""
    member = table_of(Membership).alias("own")
    return select(member.c.workspace_id).where(member.c.user_id == user_id)


def owned_by(user_id: Any) -> Any:
    """Ids of the workspaces that a user owns, deleted ones too, as a subquery."""
    member = table_of(Membership).alias("owner")
    return select(member.c.workspace_id).where(member.c.user_id == user_id, member.c.role == Role.OWNER)


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


def _capabilities(workspace: Any, scope: Any) -> Any:
    """The names of the caller's capabilities."""
    own = alias_of(Membership)
    every = func.jsonb_array_elements_text(_names(frozenset(Capability))).table_valued("value", name="known")
    name = every.c.value
    kept = or_(name == constant(Capability.chat), own.c.capabilities.has_key(name))
    listed = aggregate_order_by(name, collate(name, "C"))
    named = select(func.coalesce(func.jsonb_agg(listed), _names(frozenset()))).select_from(every).where(kept)
    by_role = case(*[(own.c.role == constant(role), _names(given)) for role, given in DEFAULTS.items()])
    held = case((own.c.capabilities.is_(None), by_role), else_=named.correlate(own).scalar_subquery())
    mine = (own.c.workspace_id == workspace.id, own.c.user_id == scope.user_id)
    return scope.scalar(select(type_coerce(held, JSONB)).where(*mine))


def _names(capabilities: frozenset[Capability]) -> Any:
    return constant(listed_capabilities(capabilities), JSONB(), as_="jsonb")


def _kept_days(kind: RetentionKind) -> Any:
    def days(workspace: Any, scope: Any) -> Any:
        rule = alias_of(RetentionRule)
        same = (rule.c.workspace_id == workspace.id, rule.c.kind == constant(kind))
        return scope.scalar(select(rule.c.days).where(*same))

    return derived(int | None, days)


graph(
    Workspace,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    last_seen_at=derived(datetime | None, _seen_at),
    current_user_capabilities=derived(list[str] | None, _capabilities),
    **{name: _kept_days(kind) for name, kind in KEPT_DAYS.items()},
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
    """Absent fields stay unchanged. The preferred language is a name or a code; an empty string clears it.

    `run_retention_days`, `credential_audit_retention_days` and `audit_log_retention_days` are the days that ended runs,
    timelines of credentials and the audit log are kept; null restores the default of the instance, and 0 keeps rows
    forever. The audit log is kept for 90 days at least. `allow_privileged_credentials`: whether crews may ask for
    privileged containers.
    """

    name: Name = ""
    slug: Slug = ""
    preferred_language: Text = ""
    allow_privileged_credentials: Bool = False
    run_retention_days: Annotated[int, Field(strict=True, ge=1, le=LONGEST)] | None = None
    credential_audit_retention_days: Annotated[int, Field(strict=True, ge=0, le=LONGEST)] | None = None
    audit_log_retention_days: Annotated[int, Field(strict=True, ge=0, le=LONGEST)] | None = None


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
    kept = {name: changes.pop(name) for name in KEPT_DAYS if name in changes}
    for name, days in kept.items():
        await _keep(ctx, KEPT_DAYS[name], days)
    if kept:
        ctx.audit("WORKSPACE", id, **kept)
    if not changes:
        return await ctx.unchanged(Workspace, id)
    if "preferred_language" in changes:
        changes["preferred_language"] = canonical_language(data.preferred_language)
    if "slug" in changes and changes["slug"] != (await ctx.get(Workspace, id)).slug:
        await may_be_called(ctx, data.slug)
    return await ctx.update(Workspace, id, conflict=TAKEN, **changes)


async def _keep(ctx: Context, kind: RetentionKind, days: int | None) -> None:
    """Without days the default of the instance holds."""
    await ctx.lock(f"retention of {ctx.workspace_id}")
    if days is None:
        await ctx.delete_where(RetentionRule, col(RetentionRule.kind) == kind)
    else:
        await ctx.upsert(RetentionRule(kind=kind, days=days, removed_until=None), "workspace_id", "kind")
