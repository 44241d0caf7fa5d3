"""What single members may do beyond their role."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator
from sqlmodel import col

from models.workspaces import Membership, Role
from resolvers.kernel import (
    Action,
    CapabilityPreset,
    Code,
    Context,
    Id,
    Input,
    NoInput,
    Output,
    Raw,
    Refusal,
    Selection,
    Text,
    at_most,
    command,
    effective,
    forbidden,
    procedure,
)
from resolvers.rules.capabilities import changed, listed

MISSING = "Member not found"
MOST_LISTED = 5000  # each is put together by this process, and not by PostgreSQL
Names = Annotated[list[Text], at_most(100)]


class MemberCapabilities(Output):
    """`capabilities` is what holds, the default of the role included; sorted by name."""

    user_id: str
    role: Role
    capabilities: list[str]


class GetMemberCapabilities(Input):
    """The member is named by the id of the user."""

    member_id: Id


class UpdateMemberCapabilities(Input):
    """One change: exactly one of set, grant, revoke and preset, and not empty. The member is named by the id of the user."""

    member_id: Id
    set: Names | None = None
    grant: Names | None = None
    revoke: Names | None = None
    preset: Annotated[CapabilityPreset | None, BeforeValidator(lambda preset: None if preset == "" else preset)] = None


def _of_user(ctx: Context, data: Mapping[str, Any]) -> Selection[Membership]:
    return ctx.select(Membership, col(Membership.user_id) == data["member_id"])


def _shown(member: Membership) -> MemberCapabilities:
    return MemberCapabilities(user_id=member.user_id, role=member.role, capabilities=listed(effective(member.role, member.capabilities)))


async def somebody_else(ctx: Context, raw: Raw) -> None:
    if raw["member_id"] == ctx.user_id:
        raise forbidden("You cannot change your own capabilities")


async def no_owner(ctx: Context, raw: Raw) -> None:
    """Takes the row's lock too: two changes of one set follow each other."""
    member = await _of_user(ctx, raw).locked().one(MISSING)
    if member.role == Role.OWNER:
        raise forbidden("An owner's capabilities cannot be changed")


@procedure("members.capabilities_list", Action.MANAGE, errors=(Code.TOO_LARGE,))
async def list_member_capabilities(ctx: Context, data: NoInput) -> list[MemberCapabilities]:
    """What every member may do beyond the role, by the time they joined. TOO_LARGE beyond 5,000 members: ask for one at a time."""
    members = await ctx.select(Membership).order_by(col(Membership.created_at), col(Membership.id)).limit(MOST_LISTED + 1).all()
    if len(members) > MOST_LISTED:
        raise Refusal(Code.TOO_LARGE, "The workspace has too many members for one list")
    return [_shown(member) for member in members]


@procedure("members.capabilities_get", Action.MANAGE, errors=(Code.NOT_FOUND,))
async def get_member_capabilities(ctx: Context, data: GetMemberCapabilities) -> MemberCapabilities:
    """What a member, named by the id of the user, may do beyond the role."""
    return _shown(await _of_user(ctx, {"member_id": data.member_id}).one(MISSING))


@command("members.capabilities_update", Action.MANAGE, errors=(Code.NOT_FOUND, Code.TOO_LARGE), allow=(somebody_else, no_owner))
async def update_member_capabilities(ctx: Context, data: UpdateMemberCapabilities) -> MemberCapabilities:
    """Change what a member, named by the id of the user, may do beyond the role; never one's own, never an owner's.

    The first change stores the whole set, and the default of the role holds no longer. `chat` always stays.
    """
    member = await _of_user(ctx, {"member_id": data.member_id}).one(MISSING)
    now = effective(member.role, member.capabilities)
    after = listed(changed(now, replace=data.set, grant=data.grant, revoke=data.revoke, preset=data.preset))
    if after != member.capabilities:
        member = await ctx.update(Membership, member.id, missing=MISSING, capabilities=after)
    return _shown(member)
