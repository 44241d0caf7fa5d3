"""The effect of a sign-in on memberships: invitations of a new user, and the role from groups."""

from typing import NamedTuple

from sqlalchemy import func, or_
from sqlmodel import col

from models.kernel import InstanceFact
from models.people.auth import User
from models.people.workspaces import Invitation, Membership, Role, Workspace
from resolvers.instance.sign_in_providers import SignInProvider
from resolvers.kernel import (
    NOW,
    AcrossWorkspaces,
    Context,
    Holder,
    Refusal,
    Topic,
    across_workspaces,
    end_work,
    log,
    outranks,
)
from resolvers.kernel.store.across import in_live_workspaces
from resolvers.kernel.store.differences import ENTITY_TYPES
from resolvers.people.workspaces.members import room_for_a_member

MOST_INVITATIONS = 100
MEMBER = ENTITY_TYPES["workspace_member"]


class Invited(NamedTuple):
    """An open invitation, as it was seen before the transaction."""

    id: str
    workspace_id: str


async def invitations_of(email: str) -> list[Invited]:
    """Invitations in all workspaces: the user has no workspace yet."""

    async def find(rows: AcrossWorkspaces) -> list[Invited]:
        found = await rows.everywhere.select(
            Invitation,
            func.lower(Invitation.email) == func.lower(email),
            col(Invitation.accepted_at).is_(None),
            col(Invitation.expires_at) > func.now(),
            in_live_workspaces(Invitation),
            order_by=(col(Invitation.created_at), col(Invitation.id)),
            limit=MOST_INVITATIONS,
        )
        return [Invited(row["id"], row["workspace_id"]) for row in found]

    return await across_workspaces(find)


async def accept(ctx: Context, user: User, invitations: list[Invited]) -> None:
    """A newcomer becomes a member wherever the address was invited to: that it is theirs says more than a token."""
    for invited in invitations:
        await ctx.enter(invited.workspace_id)
        found = (
            await ctx.select(Invitation, col(Invitation.id) == invited.id, col(Invitation.accepted_at).is_(None))
            .locked()
            .first()
        )
        if found is None or await _is_member(ctx, user) or not await _has_room(ctx):
            continue
        await ctx.update(Invitation, found.id, accepted_at=NOW, accepted_by=user.id)
        await _joined(ctx, user, found.role)


async def apply_groups(ctx: Context, provider: SignInProvider, user: User, groups: frozenset[str]) -> None:
    """Sets the user's role in the provider's workspace from the groups, at each sign-in.

    A user without a group that gives a role, and without a default role, is removed. The last owner stays owner; if no
    group grants OWNER, sign-ins revoke it from no one.
    """
    if not provider.gives_roles:
        return
    workspace = await _workspace_of(ctx, provider)
    if workspace is None:
        log.warning("the workspace of a sign-in provider does not exist", provider=provider.id)
        return
    role = role_of(provider, groups)
    await ctx.enter(workspace.id)
    await ctx.lock(f"roles of {workspace.id}")  # two owners must not be the last but one both
    member = await ctx.select(Membership, col(Membership.user_id) == user.id).locked().first()
    if member is None:
        if role is not None and await _has_room(ctx):
            await _joined(ctx, user, role)
        return
    if member.accepted_at is None and role is not None:
        await ctx.update(Membership, member.id, accepted_at=NOW)
    if member.role == role or (member.role == Role.OWNER and await _stays_owner(ctx, provider)):
        return
    if role is None:
        await ctx.delete(Membership, member.id)
        await end_work(ctx, Holder.person, user.id)
        await ctx.audit_here(MEMBER, member.id, action="workspace_member.removed")
    else:
        await ctx.update(Membership, member.id, role=role)
        await ctx.audit_here(MEMBER, member.id, action="workspace_member.updated")
    ctx.ring(Topic.access, user.id)


async def _joined(ctx: Context, user: User, role: Role) -> None:
    member = await ctx.insert(Membership(user_id=user.id, role=role, accepted_at=NOW))
    await ctx.audit_here(MEMBER, member.id, action="workspace_member.joined", role=role)


def role_of(provider: SignInProvider, groups: frozenset[str]) -> Role | None:
    """The highest that one of the groups gives."""
    best: Role | None = None
    for group in groups:
        role = provider.roles.get(group)
        if role is not None and (best is None or outranks(role, best)):
            best = role
    return best or provider.default_role


async def _workspace_of(ctx: Context, provider: SignInProvider) -> Workspace | None:
    """The workspace that the settings meant when they were first followed: a slug is handed on, an id is not. Other
    settings are looked up anew.
    """
    await ctx.lock(provider.workspace_fact)
    known = await ctx.select(InstanceFact, col(InstanceFact.name) == provider.workspace_fact).first()
    if known is not None:
        return await ctx.select(Workspace, col(Workspace.id) == known.value).first()
    by_id = col(Workspace.id) == provider.workspace
    named = or_(by_id, col(Workspace.slug) == provider.workspace)
    found = await ctx.select(Workspace, named).order_by(by_id.desc()).first()
    if found is not None:
        await ctx.insert(InstanceFact(name=provider.workspace_fact, value=found.id))
        log.info("the workspace of a sign-in provider was resolved", provider=provider.id, workspace_id=found.id)
    return found


async def _stays_owner(ctx: Context, provider: SignInProvider) -> bool:
    owners = ctx.select(Membership, col(Membership.role) == Role.OWNER, including_hidden=True)
    return not provider.gives_owners or await owners.count() < 2


async def _is_member(ctx: Context, user: User) -> bool:
    return await ctx.select(Membership, col(Membership.user_id) == user.id).exists()


async def _has_room(ctx: Context) -> bool:
    """Checks the license: a full workspace does not prevent the account itself."""
    try:
        await room_for_a_member(ctx)
    except Refusal:
        log.warning("a workspace has no free seat for a user who signed in", workspace_id=ctx.workspace_id)
        return False
    return True
