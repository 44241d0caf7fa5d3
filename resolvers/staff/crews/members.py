"""Users in a crew, and the role each may have there beyond the one in the workspace."""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models.people.auth import User
from models.people.workspaces import Membership, Role
from models.staff.crews import Crew, CrewMember
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Context,
    Id,
    Input,
    Output,
    QueryScope,
    Ref,
    Refusal,
    Row,
    Rows,
    Subject,
    Success,
    Text,
    command,
    forbidden,
    graph,
    invalid,
    one,
    outranks,
    query,
)

CREW = Subject(Crew, "crew_id")
MEMBER = Subject(CrewMember, "member_id", of=CREW, called="Crew member")
ALREADY_MEMBER = "The user is already a member of this crew"
CrewRole = Role | Text | None
"""Any text is accepted first: an unknown role is reported last. Empty or null inherits the workspace role. GraphQL
shows the enum.
"""


class ByCrew(Input):
    """A crew of the workspace."""

    crew_id: Id


class AddCrewMember(Input):
    """`role` raises the user's workspace role in this crew; without it the workspace role applies."""

    crew_id: Id
    user_id: Annotated[Id, Field(min_length=1), Ref(Membership, by="user_id", called="member")]
    role: CrewRole = None


class UpdateCrewMember(Input):
    """`member_id` is the id of the membership. Without a role the workspace role applies again."""

    crew_id: Id
    member_id: Id
    role: CrewRole = None


class RemoveCrewMember(Input):
    """`member_id` is the id of the membership, not of the user."""

    crew_id: Id
    member_id: Id


class MemberRoleUpdated(Output):
    """`role` is empty if the workspace role applies again."""

    status: str = "updated"
    role: str


graph(
    CrewMember,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    user=one(User, "user_id"),
    crew=one(Crew, "crew_id"),
)


@query("crews.members.list", Action.READ, subject=CREW)
def list_members(scope: QueryScope, crew: Row[Crew], data: ByCrew) -> Rows[CrewMember]:
    """List members of a crew.

    Sorted by time of addition, oldest first.
    """
    return scope.children(crew, CrewMember, "crew_id").order_by(col(CrewMember.created_at))


def _granted(ctx: Context, role: str | None) -> Role | None:
    """The role to store; callers cannot grant a role above their own in the workspace."""
    if not role:
        return None
    try:
        granted = Role(role)
    except ValueError:
        raise invalid("role", f"must be one of {', '.join(Role)}") from None
    if ctx.role is None or outranks(granted, ctx.role):
        raise forbidden("You cannot grant a role above your own", role=granted)
    return granted


@command(
    "crews.members.add", Action.CREATE, audit="crew_member.added", subject=CREW, locked=True, errors=(Code.CONFLICT,)
)
async def add_member(ctx: Context, crew: Crew, data: AddCrewMember) -> CrewMember:
    """Add a member to a crew.

    The user must be a member of the workspace.
    """
    if await ctx.select(
        CrewMember, col(CrewMember.crew_id) == crew.id, col(CrewMember.user_id) == data.user_id
    ).exists():
        raise Refusal(Code.CONFLICT, ALREADY_MEMBER, taken=("user_id",))
    role = _granted(ctx, data.role)
    return await ctx.insert(CrewMember(crew_id=crew.id, user_id=data.user_id, role=role), conflict=ALREADY_MEMBER)


@command("crews.members.update", Action.MANAGE, audit="crew_member.updated", subject=MEMBER, locked=True)
async def update_member(ctx: Context, member: CrewMember, data: UpdateCrewMember) -> MemberRoleUpdated:
    """Set the crew role of a member.

    Sets or clears the role. It raises the workspace role and never lowers it.
    """
    role = _granted(ctx, data.role)
    await ctx.update(CrewMember, member.id, role=role)
    return MemberRoleUpdated(role=role or "")


@command("crews.members.remove", Action.MANAGE, audit="crew_member.removed", subject=MEMBER, locked=True)
async def remove_member(ctx: Context, member: CrewMember, data: RemoveCrewMember) -> Success:
    """Remove a member from a crew."""
    await ctx.delete(CrewMember, member.id)
    return Success()
