"""Accepting an invitation: by a signed-in user, or by a new user, who gets an account."""

from pydantic import Field
from sqlmodel import col

from models.people.auth import User
from models.people.workspaces import Invitation, Membership, Role, Workspace
from resolvers.kernel import (
    NOW,
    Action,
    Auth,
    Code,
    Context,
    Input,
    Name,
    NoInput,
    Output,
    Refusal,
    Tenancy,
    Text,
    command,
    forbidden,
    instance,
    outranks,
    people_only,
)
from resolvers.people.auth.sessions import open_session
from resolvers.people.recovery import Password, find_account, is_vouched_for
from resolvers.people.workspaces.invitations import MISSING
from resolvers.people.workspaces.members import MEMBER_TYPE, room_for_a_member

OTHER_EMAIL = "This invitation is for a different email address than your account's"
MEMBER = "You are already a member of this workspace"
NOT_VERIFIED = (
    "The email of your account is not verified: set a new password by a mailed link first, then accept the invitation"
)
ACCEPTED = "This invitation was accepted before"
EXPIRED = "This invitation has expired; ask for another one"
REGISTERED = "An account with the invited email exists: sign in to accept the invitation"


class AcceptInvitation(Input):
    """`token`: from the link of the invitation."""

    token: Text = Field(min_length=1, repr=False)


class SignUpInvited(AcceptInvitation):
    """The email address is taken from the invitation. A password has at least 8 characters and at most 72 bytes."""

    full_name: Name
    password: Password


class JoinedWorkspace(Output):
    """The workspace that the caller now belongs to."""

    workspace_id: str
    workspace_slug: str
    workspace_name: str
    role: Role


class InvitedAccount(Output):
    """A new user, and the workspace that the user now belongs to."""

    id: str
    email: str
    workspace_id: str
    workspace_slug: str
    workspace_name: str
    role: Role


@command(
    "invitations.accept",
    Action.SELF,
    audit="workspace_member.joined",
    tenancy=Tenancy.NONE,
    errors=(Code.PAYMENT_REQUIRED, Code.FORBIDDEN, Code.NOT_FOUND, Code.CONFLICT, Code.GONE),
    allow=people_only,
    scopes=None,
)
async def accept_invitation(ctx: Context, data: AcceptInvitation) -> JoinedWorkspace:
    """Accept an invitation.

    The token identifies the invitation. The caller's email must be the invited one, ignoring case, and verified
    if this server sends mail. If the caller was already added without an invitation, this accepts that membership.
    """
    user, place = await ctx.get(User, ctx.user_id), await ctx.place_by_secret(Invitation.token, data.token)
    workspace, invitation = await _shown(ctx, place, data.token)
    if invitation.email.lower() != user.email.lower():
        raise forbidden(OTHER_EMAIL)
    if instance.mails_links and not await is_vouched_for(ctx, user):
        raise forbidden(NOT_VERIFIED)
    known = await ctx.select(Membership, col(Membership.user_id) == user.id).locked().first()
    if known is not None and known.accepted_at is not None:
        raise Refusal(Code.CONFLICT, MEMBER)
    await _check(ctx, invitation, room=known is None)
    await _use(ctx, invitation, user)
    if known is None:
        await ctx.insert(Membership(user_id=user.id, role=invitation.role, accepted_at=NOW), conflict=MEMBER)
    else:
        role = invitation.role if outranks(invitation.role, known.role) else known.role
        await ctx.update(Membership, known.id, role=role, accepted_at=NOW)
    return JoinedWorkspace(**_joined(workspace, invitation))


@command(
    "invitations.signup",
    Action.NONE,
    audit="workspace_member.joined",
    auth=Auth.NONE,
    errors=(Code.PAYMENT_REQUIRED, Code.NOT_FOUND, Code.CONFLICT, Code.GONE),
    late=True,
    scopes=None,
)
async def sign_up_invited(ctx: Context, data: SignUpInvited) -> InvitedAccount:
    """Create an account by an invitation.

    Accepts it, and signs the user in. Works regardless of CREWSHIP_ALLOW_SIGNUP. A user with an account signs in and
    accepts the invitation instead.
    """
    place = await ctx.place_by_secret(Invitation.token, data.token)
    if place is None:
        raise Refusal(Code.NOT_FOUND, MISSING)
    password_hash = await ctx.outside.passwords.hash(data.password, ctx.caller.client)
    await ctx.begin()
    workspace, invitation = await _shown(ctx, place, data.token)
    await _check(ctx, invitation)
    if await find_account(ctx, invitation.email) is not None:
        raise Refusal(Code.CONFLICT, REGISTERED)
    made = User(email=invitation.email, full_name=data.full_name, password_hash=password_hash, founded_in=place)
    user = await ctx.insert(made, conflict=REGISTERED)
    ctx.user_id = user.id
    await _use(ctx, invitation, user)
    ctx.audit("USER", user.id, action="user.created", personal=True)
    member = await ctx.insert(Membership(user_id=user.id, role=invitation.role, accepted_at=NOW))
    ctx.audit(MEMBER_TYPE, member.id, role=invitation.role)
    await open_session(ctx, user)
    return InvitedAccount(id=user.id, email=user.email, **_joined(workspace, invitation))


@command("members.accept", Action.SELF, audit="workspace_member.accepted", allow=people_only, errors=(Code.NOT_FOUND,))
async def accept_membership(ctx: Context, data: NoInput) -> Membership:
    """Accept the membership in a workspace.

    Accepts the caller's own membership, after another member has added them by id. Until then, other members see only
    the caller's name, and the workspace is last in the caller's lists. The first command that the caller carries out in
    the workspace accepts it, too. Idempotent.
    """
    own = await ctx.select(Membership, col(Membership.user_id) == ctx.user_id).locked().one("Member not found")
    if own.accepted_at is not None:
        return own
    return await ctx.update(Membership, own.id, accepted_at=NOW)


async def _shown(ctx: Context, place: str | None, token: str) -> tuple[Workspace, Invitation]:
    """The invitation, locked: of two who use it at once, one sees the other. From here on the call works there."""
    if place is None:
        raise Refusal(Code.NOT_FOUND, MISSING)
    await ctx.enter(place)
    workspace = await ctx.get(Workspace, place, missing=MISSING)
    return workspace, await ctx.select(Invitation, col(Invitation.token) == token).locked().one(MISSING)


async def _check(ctx: Context, invitation: Invitation, *, room: bool = True) -> None:
    """An invitation is good once, while it is open, and while there is room."""
    if invitation.accepted_at is not None:
        raise Refusal(Code.GONE, ACCEPTED)
    if invitation.expires_at <= await ctx.now():
        raise Refusal(Code.GONE, EXPIRED)
    if room:
        await room_for_a_member(ctx)


async def _use(ctx: Context, invitation: Invitation, user: User) -> None:
    await ctx.update(Invitation, invitation.id, accepted_at=NOW, accepted_by=user.id)


def _joined(workspace: Workspace, invitation: Invitation) -> dict[str, str]:
    return {
        "workspace_id": workspace.id,
        "workspace_slug": workspace.slug,
        "workspace_name": workspace.name,
        "role": invitation.role,
    }
