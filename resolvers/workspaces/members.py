"""Members of a workspace. A role is given when a member is added and never changes; an owner is never removed."""

from enum import StrEnum

from pydantic import Field
from sqlalchemy import or_, select
from sqlmodel import col

from models.auth import User, is_person, is_service_account
from models.base import table_of
from models.workspaces import Membership, Role, Workspace
from resolvers.kernel import (
    EVERYONE,
    OPEN,
    Action,
    ById,
    Code,
    Context,
    Holder,
    Id,
    Input,
    Limit,
    NoInput,
    QueryScope,
    Refusal,
    Rows,
    Success,
    Topic,
    command,
    derived,
    end_work,
    forbidden,
    graph,
    instance,
    one,
    query,
)

USERS = table_of(User)

graph(User, gate=Action.READ, scope=OPEN, visible=EVERYONE)
graph(
    Membership,
    gate=Action.READ,
    scope="workspace:read",
    visible=lambda member, _: is_person(member.user_id),  # a service account has no seat
    user=one(User, "user_id"),
    workspace=one(Workspace, "workspace_id"),
    email=derived(str, lambda member, scope: scope.scalar(select(USERS.c.email).where(USERS.c.id == member.user_id))),
    full_name=derived(
        str, lambda member, scope: scope.scalar(select(USERS.c.full_name).where(USERS.c.id == member.user_id))
    ),
)


class AssignableRole(StrEnum):
    """Roles that can be assigned: every role except OWNER."""

    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    MEMBER = "MEMBER"
    VIEWER = "VIEWER"


class AddMember(Input):
    """An account that exists, and its role in the workspace."""

    user_id: Id = Field(min_length=1)
    role: AssignableRole = AssignableRole.MEMBER


async def room_for_a_member(ctx: Context) -> None:
    """Holds the workspace to the member limit of the license, where one is enforced; invitations are not counted."""
    license = instance.license
    if Limit.members in license.enforced:
        people = is_person(col(Membership.user_id))
        await ctx.lock(f"members of {ctx.workspace_id}")  # two callers must not take the last place
        license.check(Limit.members, await ctx.select(Membership, people, including_hidden=True).count())


def assigned(ctx: Context, role: AssignableRole) -> Role:
    """The role, if the caller may give it."""
    if role is AssignableRole.ADMIN and ctx.role != Role.OWNER:
        raise forbidden("Only an owner can assign the role ADMIN")
    return Role(role.value)


async def is_last_owner(ctx: Context, user_id: str) -> bool:
    """Whether without this user the other members of the workspace would have no owner."""
    owners = await ctx.select(Membership, col(Membership.role) == Role.OWNER, including_hidden=True).limit(2).all()
    others = ctx.select(Membership, col(Membership.user_id) != user_id, including_hidden=True)
    return [owner.user_id for owner in owners] == [user_id] and await others.exists()


@query("members.list", Action.READ)
def list_members(scope: QueryScope, data: NoInput) -> Rows[Membership]:
    """List members of a workspace.

    In the order they joined.
    """
    return scope.select(Membership).order_by(col(Membership.created_at))


@command(
    "members.add",
    Action.MANAGE,
    audit="workspace_member.added",
    errors=(Code.PAYMENT_REQUIRED, Code.NOT_FOUND, Code.CONFLICT),
    allow=room_for_a_member,
)
async def add_member(ctx: Context, data: AddMember) -> Membership:
    """Add a member to a workspace.

    Only an owner can add an ADMIN.
    """
    role = assigned(ctx, data.role)
    if is_service_account(data.user_id) or not await ctx.select(User, col(User.id) == data.user_id).exists():
        raise Refusal(Code.NOT_FOUND, "User not found")
    return await ctx.insert(Membership(user_id=data.user_id, role=role), conflict="This user is already a member")


@command("members.remove", Action.MANAGE, audit="workspace_member.removed", errors=(Code.NOT_FOUND,))
async def remove_member(ctx: Context, data: ById) -> Success:
    """Remove a member from a workspace.

    By the id of the membership or of the user; an owner cannot be removed.

    The account, its sessions and its tokens are kept. Access ends with the next request, and subscriptions end
    immediately, as do the runs that the member has started.
    """
    named = or_(col(Membership.id) == data.id, col(Membership.user_id) == data.id)
    member = await ctx.select(Membership, named).locked().one("Member not found")
    if member.role == Role.OWNER:
        raise forbidden("An owner cannot be removed")
    await ctx.delete(Membership, member.id, missing="Member not found")
    await end_work(ctx, Holder.person, member.user_id)
    ctx.ring(Topic.access, member.user_id)
    return Success()
