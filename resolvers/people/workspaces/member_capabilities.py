"""Capabilities: permissions of single members beyond their role."""

from typing import Annotated

from pydantic import BeforeValidator
from sqlmodel import col

from models.people.workspaces import Membership, Role
from resolvers.kernel import (
    Action,
    Code,
    Context,
    Id,
    Input,
    NoInput,
    Output,
    Refusal,
    Subject,
    Text,
    at_most,
    command,
    procedure,
)
from resolvers.kernel.admission.row_rules import Allowed, ByUser
from resolvers.kernel.ground.policy import CapabilityPreset, effective
from resolvers.people.workspaces.members import NO_OWNER
from resolvers.rules.capabilities import changed, listed

MEMBER = Subject(Membership, "member_id", by="user_id", called="Member")
MOST_LISTED = 5000  # each is put together by this process, and not by PostgreSQL
Names = Annotated[list[Text], at_most(100)]


class MemberCapabilities(Output):
    """Effective capabilities of a member by name, such as `issue.create`, including the default of the role; sorted by
    name.
    """

    user_id: str
    role: Role
    capabilities: list[str]


class GetMemberCapabilities(Input):
    """The member is identified by user id."""

    member_id: Id


class UpdateMemberCapabilities(Input):
    """Exactly one of `set`, `grant`, `revoke` and `preset`, and not empty. The member is identified by user id."""

    member_id: Id
    set: Names | None = None
    grant: Names | None = None
    revoke: Names | None = None
    preset: Annotated[CapabilityPreset | None, BeforeValidator(lambda preset: None if preset == "" else preset)] = None


def _shown(member: Membership) -> MemberCapabilities:
    return MemberCapabilities(
        user_id=member.user_id, role=member.role, capabilities=listed(effective(member.role, member.capabilities))
    )


somebody_else = Allowed(~ByUser(Membership.user_id), "You cannot change your own capabilities")
no_owner = Allowed(NO_OWNER, "An owner's capabilities cannot be changed")


@procedure("members.capabilities_list", Action.MANAGE, errors=(Code.TOO_LARGE,))
async def list_member_capabilities(ctx: Context, data: NoInput) -> list[MemberCapabilities]:
    """List capabilities of members.

    Lists capabilities beyond the role, in the order the members joined. TOO_LARGE beyond 5,000 members: request
    one member at a time.
    """
    members = (
        await ctx.select(Membership)
        .order_by(col(Membership.created_at), col(Membership.id))
        .limit(MOST_LISTED + 1)
        .all()
    )
    if len(members) > MOST_LISTED:
        raise Refusal(Code.TOO_LARGE, "The workspace has too many members for one list")
    return [_shown(member) for member in members]


@procedure("members.capabilities_get", Action.MANAGE, subject=MEMBER)
async def get_member_capabilities(ctx: Context, member: Membership, data: GetMemberCapabilities) -> MemberCapabilities:
    """Get the capabilities of a member.

    Returns capabilities beyond the role. The member is identified by user id.
    """
    return _shown(member)


@command(
    "members.capabilities_update",
    Action.MANAGE,
    audit="workspace_member.updated",
    subject=MEMBER,
    locked=True,
    errors=(Code.TOO_LARGE,),
    allow=(somebody_else, no_owner),
)
async def update_member_capabilities(
    ctx: Context, member: Membership, data: UpdateMemberCapabilities
) -> MemberCapabilities:
    """Update the capabilities of a member.

    The member is identified by user id. The capabilities of an owner cannot be changed, nor can the caller's own.

    The first change stores the full set, and the default of the role no longer applies. `chat` is always kept.
    """
    now = effective(member.role, member.capabilities)
    after = listed(changed(now, replace=data.set, grant=data.grant, revoke=data.revoke, preset=data.preset))
    if after != member.capabilities:
        member = await ctx.update(Membership, member.id, capabilities=after)
    return _shown(member)
