"""An account and its membership in one step, with a link by which its person sets a password."""

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.people.auth import User
from models.people.recovery import PasswordReset
from models.people.workspaces import Membership, Role
from resolvers.instance.crypto import digest
from resolvers.kernel import Action, Code, Context, Input, Output, Refusal, command, instance
from resolvers.kernel.ground.inputs import TRIMMED
from resolvers.people.recovery import end_links, find_account, is_unclaimed
from resolvers.people.workspaces.members import MEMBER_TYPE, AssignableRole, room_for_a_member

LIFETIME: Final = timedelta(days=7)
MEMBER: Final = "This user is already a member"
NO_ADDRESS: Final = "The server does not know its own address: set CREWSHIP_PUBLIC_URL"
NOTHING: Final = ("", "")


def _address(given: str) -> str:
    if "@" not in given or not given.isprintable() or not given.isascii() or " " in given:
        raise PydanticCustomError("email", "must be an email address")
    return given.lower()


def _role(given: Any) -> Any:
    return given.strip().upper() or AssignableRole.MEMBER if isinstance(given, str) else given


class ProvisionMember(Input):
    """`role` in any case, MEMBER by default; OWNER is refused. `full_name` is for a new account."""

    email: Annotated[str, Field(strict=True, max_length=bounds.EMAIL), AfterValidator(_address), TRIMMED]
    role: Annotated[AssignableRole, BeforeValidator(_role)] = AssignableRole.MEMBER
    full_name: Annotated[str | None, Field(strict=True, max_length=bounds.NAME), TRIMMED] = None


class Provisioned(Output):
    """The new member. `setup_url` is shown only here; it and `expires_at` are empty if there is no link."""

    user_id: str
    email: str
    role: Role
    created_user: bool
    setup_url: str = Field(repr=False)
    expires_at: str


@command(
    "members.provision",
    Action.MANAGE,
    audit="workspace_member.added",
    errors=(Code.PAYMENT_REQUIRED, Code.CONFLICT, Code.UNAVAILABLE),
    allow=room_for_a_member,
    secret=True,
)
async def provision_member(ctx: Context, data: ProvisionMember) -> Provisioned:
    """Create an account and its membership.

    An account with the email is taken as it is. A new one has no password: its person sets one by the link of the
    answer, which works once, for seven days.

    The link gives the account to the person who opens it. So there is one only for an account that this call creates,
    or that has no password, passkey or linked identity, an unverified email, and no other workspace. Setting a password
    by it verifies no email, because the link was not mailed to it.
    """
    place = instance.settings.public_url
    if place is None:
        raise Refusal(Code.UNAVAILABLE, NO_ADDRESS)
    await ctx.lock(f"account of {data.email}")  # of two calls at once, one sees the account of the other
    user = await find_account(ctx, data.email)
    created = user is None
    if user is None:
        name = data.full_name or None
        user = await ctx.insert(User(email=data.email, full_name=name, founded_in=ctx.workspace_id), conflict=MEMBER)
        ctx.audit("USER", user.id, action="user.created", personal=True)
    elif await ctx.select(Membership, col(Membership.user_id) == user.id, including_hidden=True).exists():
        raise Refusal(Code.CONFLICT, MEMBER, taken=("email",))
    url, until = (
        await _set_up(ctx, user, place) if created or await is_unclaimed(ctx, user, ctx.workspace_id or "") else NOTHING
    )
    member = await ctx.insert(Membership(user_id=user.id, role=Role(data.role.value)), conflict=MEMBER)
    ctx.audit(MEMBER_TYPE, member.id, user_id=user.id, role=data.role, account_created=created)
    return Provisioned(
        user_id=user.id, email=user.email, role=member.role, created_user=created, setup_url=url, expires_at=until
    )


async def _set_up(ctx: Context, user: User, place: str) -> tuple[str, str]:
    """A link that sets the first password, and its end. It replaces earlier ones."""
    await end_links(ctx, user.id)
    until = await ctx.now() + LIFETIME
    reset = PasswordReset(email=user.email, user_id=user.id, expires_at=until, set_up_in=ctx.workspace_id)
    token = instance.signer.reset_token(reset.id)
    reset.token_hash = digest(token)
    await ctx.insert(reset)
    return f"{place}/reset-password?token={token}", f"{until:%Y-%m-%dT%H:%M:%SZ}"
