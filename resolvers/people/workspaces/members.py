"""Members of a workspace and their roles; an owner is never removed."""

from enum import StrEnum
from typing import Any

from pydantic import Field
from sqlalchemy import Boolean, case, func, null, or_, select
from sqlmodel import col

from models.base import table_of
from models.people.auth import User, is_person, is_service_account
from models.people.workspaces import Invitation, Membership, Role, Workspace
from resolvers.instance.license import Limit
from resolvers.kernel import (
    EVERYONE,
    Action,
    ById,
    Code,
    Context,
    Holder,
    Id,
    Input,
    NoInput,
    QueryScope,
    Refusal,
    Rows,
    Subject,
    Success,
    Topic,
    command,
    constant,
    derived,
    end_work,
    forbidden,
    graph,
    instance,
    one,
    outranks,
    query,
    shown_as,
    viewer_can,
)
from resolvers.kernel.admission.row_rules import Allowed, ByRole, Is
from resolvers.kernel.declarations.row_events import RowEvent, heard, hearers, of_action
from resolvers.kernel.ground.scopes import OPEN
from resolvers.kernel.store.differences import ENTITY_TYPES

MEMBER_TYPE = ENTITY_TYPES["workspace_member"]
NOTHING: Any = constant("")
USERS = table_of(User)


def knows(row: Any, scope: Any) -> Any:
    """True if the workspace of a row may see more of the row's user than the name: the user has accepted the
    membership, or has accepted an invitation there before.
    """
    member, invited = table_of(Membership).alias(), table_of(Invitation).alias()
    own = (member.c.user_id == row.user_id, member.c.workspace_id == row.workspace_id)
    once = (invited.c.accepted_by == row.user_id, invited.c.workspace_id == row.workspace_id)
    past = select(invited.c.id).where(*once).limit(1)
    return or_(scope.scalar(select(member.c.accepted_at).where(*own)).is_not(None), scope.scalar(past).is_not(None))


def _seen(user: Any, scope: Any) -> Any:
    """Visible to the person, and to users who share a workspace with them in which the person has accepted the
    membership. The answer is the same on every path: row-level security, which shows the workspace of the call alone,
    does not limit the function.
    """
    member = table_of(Membership).alias("known")
    here = (member.c.user_id == user.id, member.c.workspace_id == scope.workspace_id, member.c.accepted_at.is_not(None))
    is_member = scope.scalar(select(member.c.id).where(*here).limit(1)).is_not(None)
    return or_(user.id == scope.user_id, is_member, func.shares_workspace(user.id, scope.user_id, type_=Boolean()))


def _email_of(member: Any, scope: Any) -> Any:
    email = scope.scalar(select(USERS.c.email).where(USERS.c.id == member.user_id))
    return case((member.accepted_at.is_not(None), email), else_=NOTHING)


graph(User, gate=Action.READ, scope=OPEN, visible=EVERYONE)
shown_as(
    User,
    email=lambda user, scope: case((_seen(user, scope), user.email), else_=NOTHING),
    avatar_url=lambda user, scope: case((_seen(user, scope), user.avatar_url), else_=null()),
)
MEMBER = Subject(Membership, "id", called="Member")
NO_OWNER = ~Is(Membership.role, Role.OWNER)
removable = Allowed(NO_OWNER, "An owner cannot be removed")
may_change_role = Allowed(
    ByRole(frozenset({Role.OWNER}))
    | (ByRole(frozenset({Role.ADMIN})) & NO_OWNER)
    | (ByRole(frozenset({Role.MANAGER})) & NO_OWNER & ~Is(Membership.role, Role.ADMIN)),
    "The member ranks above you",
)

graph(
    Membership,
    gate=Action.READ,
    scope="workspace:read",
    visible=lambda member, _: is_person(member.user_id),  # a service account has no seat
    user=one(User, "user_id"),
    workspace=one(Workspace, "workspace_id"),
    viewer_can=viewer_can(Membership, {"members.remove": removable}),
    email=derived(str, _email_of),
    full_name=derived(
        str, lambda member, scope: scope.scalar(select(USERS.c.full_name).where(USERS.c.id == member.user_id))
    ),
)
heard(Membership, lambda member, changed: of_action(Action.READ))  # the one of a service account is not edited here


class WorkspaceMemberRoleChangedEvent(
    RowEvent, type="workspace_member.role_changed", channel="workspace:{workspace_id}#{part}"
):
    """Workspace member role changed; `id` is the id of the row."""

    of_ = Membership


class AssignableRole(StrEnum):
    """Roles that can be assigned: every role except OWNER."""

    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    MEMBER = "MEMBER"
    VIEWER = "VIEWER"


class AddMember(Input):
    """An existing account, and its role in the workspace."""

    user_id: Id = Field(min_length=1)
    role: AssignableRole = AssignableRole.MEMBER


class UpdateMemberRole(ById):
    """`id` is the id of the membership."""

    role: Role


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
        raise forbidden("Only an owner can assign the role ADMIN", role=Role.OWNER)
    return Role(role.value)


async def is_last_owner(ctx: Context, user_id: str) -> bool:
    """Returns true if the other members of the workspace would have no owner without this user."""
    owners = await ctx.select(Membership, col(Membership.role) == Role.OWNER, including_hidden=True).limit(2).all()
    others = ctx.select(Membership, col(Membership.user_id) != user_id, including_hidden=True)
    return [owner.user_id for owner in owners] == [user_id] and await others.exists()


@query("members.list", Action.READ)
def list_members(scope: QueryScope, data: NoInput) -> Rows[Membership]:
    """List members of a workspace.

    Sorted by time of joining, earliest first.
    """
    return scope.select(Membership).order_by(col(Membership.created_at))


find_members = list_members.paged("members.find")


@command(
    "members.add",
    Action.MANAGE,
    audit="workspace_member.added",
    errors=(Code.PAYMENT_REQUIRED, Code.NOT_FOUND, Code.CONFLICT),
    allow=room_for_a_member,
)
async def add_member(ctx: Context, data: AddMember) -> Membership:
    """Add a member to a workspace.

    Only an owner can add an ADMIN. The user is not asked. Until the user accepts the membership, the workspace
    sees only the name and has no rights over the account.
    """
    role = assigned(ctx, data.role)
    if is_service_account(data.user_id) or not await ctx.select(User, col(User.id) == data.user_id).exists():
        raise Refusal(Code.NOT_FOUND, "User not found")
    return await ctx.insert(Membership(user_id=data.user_id, role=role), conflict="This user is already a member")


@command(
    "members.update_role",
    Action.CREATE,
    audit="member.role_change",
    emits=WorkspaceMemberRoleChangedEvent,
    subject=MEMBER,
    locked=True,
    allow=may_change_role,
    errors=(Code.FORBIDDEN, Code.CONFLICT),
)
async def update_member_role(ctx: Context, member: Membership, data: UpdateMemberRole) -> Membership:
    """Set the role of a member.

    A caller cannot change the role of a member who ranks above the caller, or grant a role at or above the caller's
    own: an owner grants up to ADMIN. The last owner stays owner. The role applies from the member's next request, and
    at once to subscriptions.
    """
    await ctx.lock(f"roles of {ctx.workspace_id}")  # two owners must not be the last but one both
    if data.role is Role.OWNER:
        raise forbidden("The role OWNER cannot be granted")
    if ctx.role is None or not outranks(ctx.role, data.role):
        above = Role.OWNER if data.role is Role.ADMIN else Role.ADMIN
        raise forbidden("A role is granted by those who rank above it", role=above)
    if member.role is Role.OWNER and await _is_only_owner(ctx):
        raise Refusal(Code.CONFLICT, "The last owner of a workspace stays owner")
    ctx.ring(Topic.access, member.user_id)
    told: dict[str, Any] = {"from": member.role, "to": data.role, "member_id": member.id}
    ctx.audit(MEMBER_TYPE, member.user_id, **told)
    ctx.emit(WorkspaceMemberRoleChangedEvent(id=member.id, part=hearers(Membership, member, ("role",))))
    return await ctx.edit(member, role=data.role)


async def _is_only_owner(ctx: Context) -> bool:
    return await ctx.select(Membership, col(Membership.role) == Role.OWNER).count() == 1


@command("members.remove", Action.MANAGE, audit="workspace_member.removed", errors=(Code.NOT_FOUND,))
async def remove_member(ctx: Context, data: ById) -> Success:
    """Remove a member from a workspace.

    Accepts the id of the membership or of the user. An owner cannot be removed.

    The account, its sessions and its tokens are kept. Access ends with the next request; subscriptions and runs
    that the member started end immediately.
    """
    named = or_(col(Membership.id) == data.id, col(Membership.user_id) == data.id)
    member = await ctx.select(Membership, named).locked().one("Member not found")
    await removable(ctx, member)
    await ctx.delete(Membership, member.id, missing="Member not found")
    await end_work(ctx, Holder.person, member.user_id)
    ctx.ring(Topic.access, member.user_id)
    return Success()
