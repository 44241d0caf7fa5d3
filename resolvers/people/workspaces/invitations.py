"""Invitations to a workspace: the token is mailed where mail is configured, and may be handed over by hand."""

import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from sqlalchemy import case, func, select
from sqlmodel import col

from models.people.auth import User
from models.people.workspaces import Invitation, Membership, Workspace
from resolvers.instance.ports import Mail, in_a_line
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Context,
    Email,
    Id,
    Input,
    NoInput,
    QueryScope,
    Refusal,
    Rows,
    Success,
    command,
    derived,
    graph,
    instance,
    job,
    log,
    one,
    query,
)
from resolvers.kernel.ground.policy import GATES
from resolvers.people.workspaces.members import AssignableRole, assigned, room_for_a_member

MISSING = "Invitation not found"
LIFETIME = timedelta(days=7)
MOST_A_DAY = 100
"""Mails of one workspace: it is strangers who get them, in the name of this server."""
QUOTES = dict.fromkeys(map(ord, '"\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02'), "'")
LONGEST_NAME = 60  # characters of a workspace's name in a mail
SUBJECT = 'Invitation to the workspace "{name}" on {host}'
TEXT = """\
{inviter} invites you to the workspace "{name}" on {place}.

Open this link within seven days to accept.

{link}

If you do not know them, there is nothing to do.
"""

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


class OfInvitation(Input):
    """An invitation of the workspace."""

    invitation_id: Id


MAIL_INVITATION = job("invitations.mail", OfInvitation, attempts=10)


class CreateInvitation(Input):
    """The invited address, and the role."""

    email: Email
    role: AssignableRole = AssignableRole.MEMBER


@query("invitations.list", Action.READ)
def list_invitations(scope: QueryScope, data: NoInput) -> Rows[Invitation]:
    """List open invitations.

    Newest first, including expired ones. Members who can invite see the token; for others it is empty.
    """
    return (
        scope.select(Invitation)
        .where(col(Invitation.accepted_at).is_(None))
        .order_by(col(Invitation.created_at).desc())
    )


find_invitations = list_invitations.paged("invitations.find")


@command(
    "invitations.create",
    Action.MANAGE,
    audit="invitation.created",
    errors=(Code.PAYMENT_REQUIRED, Code.CONFLICT),
    allow=room_for_a_member,
    secret=True,
)
async def create_invitation(ctx: Context, data: CreateInvitation) -> Invitation:
    """Create an invitation.

    Offers a membership to the owner of an email address, for seven days. Only an owner can invite an ADMIN. The
    link is mailed if this server can send mail; the token works in any case.
    """
    role = assigned(ctx, data.role)
    email = data.email.lower()
    await ctx.lock(f"invitation of {email} to {ctx.workspace_id}")  # "unexpired" is nothing a unique key can say
    users = select(col(User.id)).where(func.lower(col(User.email)) == email)
    joined = (col(Membership.user_id).in_(users), col(Membership.accepted_at).is_not(None))
    if await ctx.select(Membership, *joined).exists():
        raise Refusal(Code.CONFLICT, "This email belongs to a member", taken=("email",))
    waiting = ctx.select(
        Invitation,
        func.lower(col(Invitation.email)) == email,
        col(Invitation.accepted_at).is_(None),
        col(Invitation.expires_at) > func.now(),
    )
    if await waiting.exists():
        raise Refusal(Code.CONFLICT, "An invitation for this email is open", taken=("email",))
    until = await ctx.now() + LIFETIME
    invitation = Invitation(
        email=data.email, role=role, invited_by=ctx.user_id, token=secrets.token_hex(32), expires_at=until
    )
    if instance.mails_links:
        ctx.enqueue(MAIL_INVITATION, invitation_id=invitation.id)
    return await ctx.insert(invitation)


@command("invitations.delete", Action.MANAGE, audit="invitation.deleted", errors=(Code.NOT_FOUND,))
async def delete_invitation(ctx: Context, data: OfInvitation) -> Success:
    """Delete an open invitation.

    The link stops working.
    """
    open_ = (col(Invitation.id) == data.invitation_id, col(Invitation.accepted_at).is_(None))
    if not await ctx.delete_where(Invitation, *open_):
        raise Refusal(Code.NOT_FOUND, MISSING)
    return Success()


async def write_invitation(ctx: Context, invitation_id: str) -> Mail | None:
    """The mail of an open invitation; None if there is nothing to send."""
    invitation = await ctx.select(Invitation, col(Invitation.id) == invitation_id).first()
    if invitation is None or invitation.accepted_at is not None or invitation.expires_at <= await ctx.now():
        return None
    today = ctx.select(Invitation, col(Invitation.created_at) > func.now() - timedelta(days=1))
    if len(await today.limit(MOST_A_DAY + 1).all()) > MOST_A_DAY:
        log.warning("an invitation is not mailed: the workspace has sent too many today")
        return None
    inviter = await ctx.get(User, invitation.invited_by)
    workspace = await ctx.get(Workspace, invitation.workspace_id)
    place, name = instance.settings.public_url, _named(workspace.name)
    host = urlsplit(place or "").netloc
    link = f"{place}/invitation?token={invitation.token}"
    text = TEXT.format(inviter=inviter.email, name=name, place=place, link=link)
    return Mail(invitation.email, SUBJECT.format(name=name, host=host), text)


def _named(name: str) -> str:
    """Shortens a name for a mail and puts it in quotes, so that the sender cannot write a message to strangers
    there.
    """
    return in_a_line(name.translate(QUOTES), LONGEST_NAME)
