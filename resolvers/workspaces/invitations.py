"""Invitations to a workspace. No mail is sent: the token is handed over by hand."""

import secrets
from datetime import timedelta

from sqlalchemy import case, func, select
from sqlmodel import col

from models.auth import User
from models.workspaces import Invitation, Membership
from resolvers.kernel import (
    EVERYONE,
    GATES,
    Action,
    Code,
    Context,
    Email,
    Input,
    NoInput,
    QueryScope,
    Refusal,
    Rows,
    command,
    derived,
    graph,
    one,
    query,
)
from resolvers.workspaces.members import AssignableRole, assigned, room_for_a_member

LIFETIME = timedelta(days=7)

graph(
    Invitation,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    inviter=one(User, "invited_by"),
    shown_token=derived(
        str,
        lambda invitation, scope: case(
            (scope.role_in(invitation.workspace_id).in_(sorted(GATES[Action.MANAGE])), invitation.token), else_=""
        ),
    ),
)


class CreateInvitation(Input):
    email: Email
    role: AssignableRole = AssignableRole.MEMBER


@query("invitations.list", Action.READ)
def list_invitations(scope: QueryScope, data: NoInput) -> Rows[Invitation]:
    """List open invitations.

    Newest first, including expired ones. The token is visible to members who can invite, and empty for everybody else.
    """
    return (
        scope.select(Invitation)
        .where(col(Invitation.accepted_at).is_(None))
        .order_by(col(Invitation.created_at).desc())
    )


@command(
    "invitations.create",
    Action.MANAGE,
    errors=(Code.PAYMENT_REQUIRED, Code.CONFLICT),
    allow=room_for_a_member,
    secret=True,
)
async def create_invitation(ctx: Context, data: CreateInvitation) -> Invitation:
    """Create an invitation.

    Offers a membership to the owner of an email address, for seven days. Only an owner can invite an ADMIN.
    """
    role = assigned(ctx, data.role)
    await ctx.lock(f"invitation of {data.email} to {ctx.workspace_id}")  # "unexpired" is nothing a unique key can say
    users = select(col(User.id)).where(col(User.email) == data.email)
    if await ctx.select(Membership, col(Membership.user_id).in_(users)).exists():
        raise Refusal(Code.CONFLICT, "This email belongs to a member")
    waiting = ctx.select(
        Invitation,
        col(Invitation.email) == data.email,
        col(Invitation.accepted_at).is_(None),
        col(Invitation.expires_at) > func.now(),
    )
    if await waiting.exists():
        raise Refusal(Code.CONFLICT, "An invitation for this email is open")
    until = await ctx.now() + LIFETIME
    return await ctx.insert(
        Invitation(email=data.email, role=role, invited_by=ctx.user_id, token=secrets.token_hex(32), expires_at=until)
    )
