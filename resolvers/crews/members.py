"""Users in a crew, and the role each may have there beyond the one in the workspace."""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models.auth import User
from models.crews import Crew, CrewMember
from models.workspaces import Membership, Role
from resolvers.crews.crews import NOT_FOUND
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Context,
    Id,
    Input,
    Output,
    QueryScope,
    Raw,
    Refusal,
    Rows,
    Success,
    Text,
    command,
    forbidden,
    graph,
    one,
    outranks,
    query,
)
from resolvers.rules.config_text import invalid

MEMBER_NOT_FOUND = "Crew member not found"
ALREADY_MEMBER = "The user is already a member of this crew"
CrewRole = Role | Text | None
"""Any text gets in: an unknown role is told last. Empty or null inherits the workspace role. GraphQL shows the enum."""


class ByCrew(Input):
    """One crew of the workspace."""

    crew_id: Id


class AddCrewMember(Input):
    """`role` raises the user's workspace role inside this crew; without one it is inherited."""

    crew_id: Id
    user_id: Annotated[Id, Field(min_length=1)]
    role: CrewRole = None


class UpdateCrewMember(Input):
    """`member_id` is the id of the membership. Without a role the workspace role holds again."""

    crew_id: Id
    member_id: Id
    role: CrewRole = None


class RemoveCrewMember(Input):
    """`member_id` is the id of the membership, not of the user."""

    crew_id: Id
    member_id: Id


class MemberRoleUpdated(Output):
    """`role` is empty when the workspace role holds again."""

    status: str = "updated"
    role: str


graph(CrewMember, gate=Action.READ, scope="crews:read", visible=EVERYONE, user=one(User, "user_id"), crew=one(Crew, "crew_id"))


@query("crews.members.list", Action.READ, errors=(Code.NOT_FOUND,))
def list_members(scope: QueryScope, data: ByCrew) -> Rows[CrewMember]:
    """Users in a crew, in the order they came."""
    members = scope.select(CrewMember).where(col(CrewMember.crew_id) == data.crew_id).order_by(col(CrewMember.created_at))
    return members.under(scope.select(Crew).where(col(Crew.id) == data.crew_id).one(NOT_FOUND))


def _granted(ctx: Context, role: str | None) -> Role | None:
    """The role to store; nobody grants more than they have in the workspace."""
    if not role:
        return None
    try:
        granted = Role(role)
    except ValueError:
        raise invalid("role", f"must be one of {', '.join(Role)}") from None
    if ctx.role is None or outranks(granted, ctx.role):
        raise forbidden("You cannot grant a role above your own")
    return granted


async def _crew_stands(ctx: Context, raw: Raw) -> None:
    """An unknown crew is told before the body; the lock keeps it from being deleted meanwhile."""
    await ctx.get(Crew, raw["crew_id"], lock=True)


async def _membership(ctx: Context, data: UpdateCrewMember | RemoveCrewMember) -> CrewMember:
    await ctx.get(Crew, data.crew_id)
    return await ctx.select(CrewMember, col(CrewMember.id) == data.member_id, col(CrewMember.crew_id) == data.crew_id).locked().one(MEMBER_NOT_FOUND)


@command("crews.members.add", Action.CREATE, errors=(Code.NOT_FOUND, Code.CONFLICT), allow=_crew_stands)
async def add_member(ctx: Context, data: AddCrewMember) -> CrewMember:
    """Add a member of the workspace to a crew."""
    if not await ctx.select(Membership, col(Membership.user_id) == data.user_id).exists():
        raise invalid("user_id", "is not a member of this workspace")
    if await ctx.select(CrewMember, col(CrewMember.crew_id) == data.crew_id, col(CrewMember.user_id) == data.user_id).exists():
        raise Refusal(Code.CONFLICT, ALREADY_MEMBER)
    role = _granted(ctx, data.role)
    return await ctx.insert(CrewMember(crew_id=data.crew_id, user_id=data.user_id, role=role), conflict=ALREADY_MEMBER)


@command("crews.members.update", Action.MANAGE, errors=(Code.NOT_FOUND,))
async def update_member(ctx: Context, data: UpdateCrewMember) -> MemberRoleUpdated:
    """Set or clear the role that a user has in this crew. It raises the workspace role and never lowers it."""
    member = await _membership(ctx, data)
    role = _granted(ctx, data.role)
    await ctx.update(CrewMember, member.id, role=role)
    return MemberRoleUpdated(role=role or "")


@command("crews.members.remove", Action.MANAGE, errors=(Code.NOT_FOUND,))
async def remove_member(ctx: Context, data: RemoveCrewMember) -> Success:
    """Take a user out of a crew."""
    member = await _membership(ctx, data)
    await ctx.delete(CrewMember, member.id)
    return Success()
