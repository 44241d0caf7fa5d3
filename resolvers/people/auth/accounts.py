"""Accounts: the first user of an instance, and sign-up if it is enabled. Both create a workspace."""

import re
import time
from typing import Annotated, NamedTuple

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.base import new_id
from models.kernel import InstanceFact
from models.people.auth import CliToken, TokenTier, User
from models.people.workspaces import Membership, Role, Workspace
from resolvers.identity.locality import is_alone_on_loopback, is_at_the_machine
from resolvers.instance.crypto import secret_equals
from resolvers.instance.running import BOOTSTRAPPED
from resolvers.kernel import (
    NOW,
    Action,
    Auth,
    Caller,
    Code,
    Context,
    Email,
    Input,
    Name,
    Output,
    Refusal,
    Text,
    command,
    forbidden,
    instance,
    log,
)
from resolvers.kernel.store.changes import Clash
from resolvers.people.auth.cli_tokens import new_token
from resolvers.people.auth.sessions import open_session
from resolvers.rules.built_in_templates import add_built_in_templates

# clients look for these words and go on with the login they have
CLOSED = "Bootstrap closed: this instance is already initialized"
REGISTERED = "An account with this email already exists"
NEEDS_LINK = (
    "The first user is created with the one-time link that the server printed when it started;"
    " a restart prints it again"
)
WITHOUT_LINK = 3600  # seconds after the start in which a caller at the machine needs no link
SIGNUP_OFF = "Sign-up is off; the operator of this server opens it with CREWSHIP_ALLOW_SIGNUP=true"

_LONGEST_SLUG_NAME = 41  # a slug has at most 50 characters, of which a dash and 8 of the id are the rest


class SignUp(Input):
    """A password has at least 8 characters and at most 72 bytes."""

    full_name: Name
    email: Email
    password: Annotated[str, Field(strict=True, max_length=bounds.URL)]


class SetupToken(Input):
    setup_token: Text | None = None


class Bootstrap(SetupToken, SignUp):
    """`setup_token` is the secret of the one-time link that the server prints.

    It is not required over the unix socket, nor from 127.0.0.1 within the first hour of a server that listens on
    loopback only and has neither CREWSHIP_PUBLIC_URL nor CREWSHIP_TRUSTED_PROXY_CIDRS set.
    """


class Bootstrapped(Output):
    """The first user, their workspace, and a CLI token, whose value is returned only here."""

    user_id: str
    email: str
    workspace_id: str
    cli_token: str = Field(repr=False)


class Account(Output):
    """A new user."""

    id: str
    email: str


class Founded(NamedTuple):
    user: User
    workspace: Workspace


async def is_bootstrapped(ctx: Context) -> bool:
    """Returns true if the first user exists or has ever existed."""
    return (
        await ctx.select(InstanceFact, col(InstanceFact.name) == BOOTSTRAPPED).exists()
        or await ctx.select(User).exists()
    )


async def _while_open(ctx: Context) -> None:
    closes = instance.bootstrap_closes
    if (closes is not None and time.monotonic() >= closes) or await is_bootstrapped(ctx):
        raise Refusal(Code.GONE, CLOSED)


async def _by_the_operator(ctx: Context, shown: SetupToken | None) -> None:
    """Admits everyone within a configured window; otherwise only callers who have the printed link or sit at the
    machine.
    """
    token, expected = None if shown is None else shown.setup_token, instance.bootstrap_token
    if expected is not None and token is not None and secret_equals(token, expected):
        return
    if instance.bootstrap_closes is None and not _needs_no_link(ctx.caller):
        raise forbidden(NEEDS_LINK)
    log.warning(
        "the first user is created without the printed link",
        client=ctx.caller.client,
        local_socket=ctx.caller.local_socket,
    )


def _needs_no_link(caller: Caller) -> bool:
    if not is_at_the_machine(caller, instance.settings):
        return False
    return caller.local_socket or (is_alone_on_loopback(instance.settings) and instance.uptime() < WITHOUT_LINK)


@command(
    "auth.bootstrap",
    Action.NONE,
    audit="user.created",
    auth=Auth.NONE,
    errors=(Code.FORBIDDEN, Code.GONE),
    allow=(_while_open, _by_the_operator),
    late=True,
)
async def bootstrap(ctx: Context, data: Bootstrap) -> Bootstrapped:
    """Create the first user of this instance.

    Creates the user's workspace and a CLI token as well, and signs the user in. Works once, regardless of
    CREWSHIP_ALLOW_SIGNUP.
    """
    password_hash = await ctx.outside.passwords.hash(data.password, ctx.caller.client)
    await ctx.begin()
    await ctx.lock("bootstrap")
    if await is_bootstrapped(ctx):
        raise Refusal(Code.GONE, CLOSED)
    user, workspace = await _found(ctx, data, password_hash)
    await ctx.insert(InstanceFact(name=BOOTSTRAPPED, value=user.id))
    token, token_hash = new_token(TokenTier.STANDARD)
    await ctx.insert(CliToken(user_id=user.id, name="bootstrap", tier=TokenTier.STANDARD, token_hash=token_hash))
    await open_session(ctx, user)
    return Bootstrapped(user_id=user.id, email=user.email, workspace_id=workspace.id, cli_token=token)


async def _where_signup_is_on(ctx: Context) -> None:
    if not instance.settings.allow_signup:
        raise forbidden(SIGNUP_OFF)


@command(
    "auth.signup",
    Action.NONE,
    audit="user.created",
    auth=Auth.NONE,
    errors=(Code.FORBIDDEN, Code.CONFLICT),
    allow=_where_signup_is_on,
    late=True,
)
async def sign_up(ctx: Context, data: SignUp) -> Account:
    """Create an account.

    Creates a workspace for the account as well, and signs the user in. Available only if sign-up is allowed by
    the setting allow_signup or, without it, by CREWSHIP_ALLOW_SIGNUP.
    """
    password_hash = await ctx.outside.passwords.hash(data.password, ctx.caller.client)
    await ctx.begin()
    user, _ = await _found(ctx, data, password_hash)
    await open_session(ctx, user)
    return Account(id=user.id, email=user.email)


async def _found(ctx: Context, data: SignUp, password_hash: str) -> Founded:
    """A user, and a workspace that the user owns; from here on the call is the user's and works in that workspace."""
    user = await ctx.insert(
        User(email=data.email, full_name=data.full_name, password_hash=password_hash),
        conflict=Clash(REGISTERED, "email"),
    )
    id = new_id()
    workspace = await ctx.insert(
        Workspace(id=id, name=f"{data.full_name}'s Workspace", slug=workspace_slug(data.email, id))
    )
    ctx.user_id = user.id
    await ctx.enter(workspace.id)
    ctx.audit("USER", user.id, personal=True)
    ctx.audit("WORKSPACE", workspace.id, action="workspace.created", name=workspace.name, slug=workspace.slug)
    await ctx.insert(Membership(user_id=user.id, role=Role.OWNER, accepted_at=NOW))
    add_built_in_templates(ctx)
    return Founded(user, workspace)


def workspace_slug(email: str, workspace_id: str) -> str:
    """`ada.l@example.com` -> `ada-l-c0123456`: as a slug may start, and no longer than one (contract: formats.slug)."""
    name = re.sub(r"[^a-z0-9-]", "-", email.partition("@")[0].lower())
    return f"{name[:_LONGEST_SLUG_NAME]}-{workspace_id[:8]}".lstrip("-")
