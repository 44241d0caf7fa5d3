"""The caller's own passkeys: register, list, rename, delete, and require one beside the password."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import func
from sqlmodel import col

from models import bounds
from models.people.auth import Session, User
from models.people.passkeys import Passkey, PasskeyPurpose
from resolvers.kernel import (
    ENDS,
    Action,
    Bool,
    ById,
    Code,
    Context,
    CredentialKind,
    Deleted,
    Input,
    NoInput,
    Output,
    QueryScope,
    Refusal,
    Rows,
    Tenancy,
    command,
    forbidden,
    graph,
    procedure,
    query,
    within,
)
from resolvers.kernel.admission.guards import about_caller
from resolvers.people.auth.ways_to_sign_in import keep_a_way_to_sign_in
from resolvers.people.passkeys.ceremonies import (
    NewKey,
    NotAccepted,
    is_available,
    registration_options,
    relying_party,
    verify_registration,
)
from resolvers.people.passkeys.challenges import browser_of_session, find_challenge, put_challenge, refused, use_up

MOST_PASSKEYS = 25  # of one user
FRESH = timedelta(hours=1)
LONGEST_CREDENTIAL = 64 << 10  # bytes of JSON
TAKEN = "This passkey is already registered"
UNKNOWN = "Passkey not found"
PasskeyName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)]
Credential = Annotated[dict[str, Any], within(LONGEST_CREDENTIAL), ENDS]
"""A PublicKeyCredential as `toJSON()` of the browser gives it."""

graph(Passkey, gate=Action.SELF, scope=None, visible=lambda passkey, scope: passkey.user_id == scope.user_id)


class PasskeyOptions(Output):
    """Options for `navigator.credentials`, as JSON: parse them with `parseCreationOptionsFromJSON` of
    PublicKeyCredential, or with `parseRequestOptionsFromJSON` for a sign-in.
    """

    options: dict[str, Any]


class RegisterPasskey(Input):
    """`credential` is the result of `navigator.credentials.create()`, as its `toJSON()` gives it."""

    name: PasskeyName
    credential: Credential


class RenamePasskey(ById):
    """`name`: the owner's name for the passkey."""

    name: PasskeyName


class RequirePasskey(Input):
    """True if signing in by password also requires a passkey."""

    required: Bool


class PasskeyStatus(Output):
    """The caller's ways to sign in. `available`: this server has a public URL for passkeys."""

    available: bool
    required: bool
    passkeys: int


@about_caller
async def freshly_signed_in(ctx: Context) -> None:
    """A session that was opened long ago, or a token, may have changed hands: it changes no way to sign in."""
    fresh = col(Session.id) == ctx.credential_id, col(Session.created_at) > func.now() - FRESH
    if ctx.caller.kind is not CredentialKind.SESSION or not await ctx.select(Session, *fresh).exists():
        raise forbidden("Sign in again in a browser: passkeys can be changed within an hour of signing in")


def own(ctx: Context) -> Any:
    return ctx.select(Passkey, col(Passkey.user_id) == ctx.user_id)


@query("auth.passkeys_list", Action.SELF, tenancy=Tenancy.NONE)
def list_passkeys(scope: QueryScope, data: NoInput) -> Rows[Passkey]:
    """List passkeys.

    Lists the caller's passkeys, newest first; at most 25.
    """
    return scope.select(Passkey).order_by(col(Passkey.created_at).desc())


@procedure("auth.passkey_status", Action.SELF, tenancy=Tenancy.NONE)
async def get_passkey_status(ctx: Context, data: NoInput) -> PasskeyStatus:
    """Get whether passkeys are available and required.

    Applies to the caller.
    """
    user = await ctx.get(User, ctx.user_id)
    return PasskeyStatus(available=is_available(), required=user.passkey_required, passkeys=await own(ctx).count())


@command(
    "auth.passkey_options",
    Action.SELF,
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.CONFLICT, Code.UNAVAILABLE),
    allow=freshly_signed_in,
    late=True,
)
async def start_registration(ctx: Context, data: NoInput) -> PasskeyOptions:
    """Start the registration of a passkey.

    Returns the options for `navigator.credentials.create()`. Their challenge is bound to this session and works
    once, for five minutes.
    """
    party = relying_party()
    user, known = await ctx.get(User, ctx.user_id), await own(ctx).all()
    if len(known) >= MOST_PASSKEYS:
        raise Refusal(Code.CONFLICT, f"You already have {MOST_PASSKEYS} passkeys: delete one first")
    options = await registration_options(party, user.id, user.email, user.full_name or "", known)
    await ctx.begin()
    browser = browser_of_session(ctx)
    await put_challenge(ctx, browser, PasskeyPurpose.register, user.id, options["challenge"])
    return PasskeyOptions(options=options)


@command(
    "auth.passkey_register",
    Action.SELF,
    audit="passkey.registered",
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.CONFLICT, Code.UNAVAILABLE),
    allow=freshly_signed_in,
    late=True,
    writes_on_refusal=True,
)
async def register_passkey(ctx: Context, data: RegisterPasskey) -> Passkey:
    """Add a passkey.

    The authenticator must have verified its user.
    """
    party = relying_party()
    challenge = await find_challenge(ctx, browser_of_session(ctx), PasskeyPurpose.register)
    if challenge is None or challenge.challenge is None or challenge.user_id != ctx.user_id:
        raise forbidden("The registration was not started in this session, or has expired")
    try:
        key: NewKey | None = await verify_registration(party, challenge.challenge, data.credential)
    except NotAccepted:
        key = None
    await ctx.begin()
    if not await use_up(ctx, challenge) or key is None:
        raise refused()
    await ctx.get(User, ctx.user_id, lock=True)  # two at once must not be one too many
    if await own(ctx).count() >= MOST_PASSKEYS:
        raise Refusal(Code.CONFLICT, f"You already have {MOST_PASSKEYS} passkeys: delete one first")
    passkey = Passkey(
        user_id=ctx.user_id,
        name=data.name,
        credential_id=key.credential_id,
        public_key=key.public_key,
        sign_count=key.sign_count,
        transports=key.transports,
        backed_up=key.backed_up,
    )
    return await ctx.insert(passkey, conflict=TAKEN)


@command("auth.passkey_rename", Action.SELF, audit="passkey.renamed", tenancy=Tenancy.NONE, errors=(Code.NOT_FOUND,))
async def rename_passkey(ctx: Context, data: RenamePasskey) -> Passkey:
    """Rename a passkey.

    Only the caller's own.
    """
    return await ctx.update(Passkey, data.id, name=data.name, missing=UNKNOWN)


@command(
    "auth.passkey_delete",
    Action.SELF,
    audit="passkey.deleted",
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.NOT_FOUND, Code.CONFLICT),
    allow=freshly_signed_in,
)
async def delete_passkey(ctx: Context, data: ById) -> Deleted:
    """Delete a passkey.

    Only the caller's own. The last passkey cannot be deleted while it is required or the only way to sign in.
    """
    user = await ctx.get(User, ctx.user_id, lock=True)
    await ctx.delete(Passkey, data.id, missing=UNKNOWN)
    if user.passkey_required and not await own(ctx).exists():
        raise Refusal(Code.CONFLICT, "A passkey is required to sign in: turn the requirement off first")
    await keep_a_way_to_sign_in(ctx, user)
    return Deleted(id=data.id)


@command(
    "auth.passkey_require",
    Action.SELF,
    audit="user.updated",
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.CONFLICT),
    allow=freshly_signed_in,
)
async def require_passkey(ctx: Context, data: RequirePasskey) -> PasskeyStatus:
    """Set whether signing in also requires a passkey.

    If required, the password alone is not enough to sign in. At least one passkey must be registered.
    """
    await ctx.get(User, ctx.user_id, lock=True)
    count = await own(ctx).count()
    if data.required and not count:
        raise Refusal(Code.CONFLICT, "No passkey is registered: register one first")
    await ctx.update(User, ctx.user_id, passkey_required=data.required)
    return PasskeyStatus(available=is_available(), required=data.required, passkeys=count)
