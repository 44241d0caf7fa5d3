"""Signing in with another provider: to it and back. Google is one of them, with routes of its own."""

from typing import Annotated

from pydantic import Field

from models import bounds
from resolvers.instance.outbound import Policy
from resolvers.instance.sign_in_providers import GOOGLE, SignInProvider
from resolvers.kernel import (
    REST_ONLY,
    Action,
    Auth,
    Code,
    Context,
    Input,
    NoInput,
    Output,
    Refusal,
    Text,
    Url,
    command,
    instance,
    procedure,
)
from resolvers.people.auth.login import local_path
from resolvers.people.auth.sessions import open_session
from resolvers.people.sign_in_providers import openid
from resolvers.people.sign_in_providers.accounts import account_of, check_domain, verified_email
from resolvers.people.sign_in_providers.attempts import claim, new_secrets, note
from resolvers.people.sign_in_providers.memberships import accept, apply_groups, invitations_of
from resolvers.people.sign_in_providers.refusals import DENIED, turned_away

OFF = "Sign-in with this provider is not configured"
ERRORS = (Code.NOT_FOUND, Code.FORBIDDEN, Code.CONFLICT, Code.BAD_GATEWAY)

ProviderId = Annotated[str, Field(strict=True, max_length=bounds.SLUG)]
AuthorizationCode = Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION)]


class GoogleStatus(Output):
    """The state of sign-in with Google. `enabled`: it is configured."""

    enabled: bool


class SignInProviderInfo(Output):
    """A provider for the login page. `start_url` is the path on this server that starts the sign-in."""

    id: str
    name: str
    start_url: str


class StartGoogle(Input):
    """`redirect` is the path to return to after sign-in, on this origin."""

    redirect: Url = "/"


class StartSignIn(StartGoogle):
    provider: ProviderId


class FinishGoogle(Input):
    """The parameters that the provider adds to the address: `state` with a `code` or an `error`. `iss` is the
    provider's issuer.
    """

    state: Text = ""
    code: AuthorizationCode = ""
    error: Text = ""
    iss: Url = ""


class FinishSignIn(FinishGoogle):
    provider: ProviderId


class SignInStarted(Output):
    location: str = Field(repr=False)
    browser: str = Field(repr=False)


class ProviderSignedIn(Output):
    location: str


def offered(id: str) -> SignInProvider:
    found = next((provider for provider in instance.settings.providers if provider.id == id), None)
    if found is None:
        raise Refusal(Code.NOT_FOUND, OFF)
    return found


def redirect_uri(ctx: Context, provider: SignInProvider) -> str:
    """The redirect address that is registered with the provider."""
    return f"{instance.settings.public_url or ctx.caller.origin}{provider.callback}"


@procedure("auth.sign_in_providers", Action.NONE, auth=Auth.NONE)
async def list_sign_in_providers(ctx: Context, data: NoInput) -> list[SignInProviderInfo]:
    """List sign-in providers.

    Lists the OpenID Connect providers that the operator has configured, in their order. Sign-in by email and
    password is not listed.
    """
    return [
        SignInProviderInfo(id=provider.id, name=provider.label, start_url=f"{provider.path}/redirect")
        for provider in instance.settings.providers
    ]


@procedure("auth.google_status", Action.NONE, auth=Auth.NONE)
async def get_google_status(ctx: Context, data: NoInput) -> GoogleStatus:
    """Get whether sign-in with Google is on."""
    return GoogleStatus(enabled=any(provider.id == GOOGLE for provider in instance.settings.providers))


@command(
    "auth.google_redirect",
    Action.NONE,
    auth=Auth.NONE,
    surfaces=REST_ONLY,
    errors=(Code.NOT_FOUND, Code.BAD_GATEWAY),
    late=True,
)
async def start_google(ctx: Context, data: StartGoogle) -> SignInStarted:
    """Start signing in with Google.

    Redirects the browser to Google, which sends it back within 15 minutes.
    """
    return await _start(ctx, offered(GOOGLE), data.redirect)


@command(
    "auth.oidc_redirect",
    Action.NONE,
    auth=Auth.NONE,
    surfaces=REST_ONLY,
    errors=(Code.NOT_FOUND, Code.BAD_GATEWAY),
    late=True,
)
async def start_sign_in(ctx: Context, data: StartSignIn) -> SignInStarted:
    """Start signing in with a provider.

    Redirects the browser to the provider, which sends it back within 15 minutes.
    """
    return await _start(ctx, offered(data.provider), data.redirect)


@command(
    "auth.google_callback",
    Action.NONE,
    audit="session.opened",
    auth=Auth.NONE,
    surfaces=REST_ONLY,
    errors=ERRORS,
    late=True,
)
async def finish_google(ctx: Context, data: FinishGoogle) -> ProviderSignedIn:
    """Finish signing in with Google.

    Works as for any other provider.
    """
    return await _finish(ctx, offered(GOOGLE), data)


@command(
    "auth.oidc_callback",
    Action.NONE,
    audit="session.opened",
    auth=Auth.NONE,
    surfaces=REST_ONLY,
    errors=ERRORS,
    late=True,
)
async def finish_sign_in(ctx: Context, data: FinishSignIn) -> ProviderSignedIn:
    """Finish signing in with a provider.

    Works once, and in the browser that started it. Signs in the user who is linked to the provider's account,
    otherwise the user with the email that the provider has verified. A new user gets an account if sign-up is open,
    if the provider is configured to create accounts, or if an invitation to this email is open.

    Applies the roles that the user's groups at the provider map to.
    """
    return await _finish(ctx, offered(data.provider), data)


async def _start(ctx: Context, provider: SignInProvider, path: str) -> SignInStarted:
    async with ctx.outside.http(Policy.CONFIGURED, timeout=openid.TIMEOUT, most=openid.LARGEST_ANSWER) as http:
        metadata = await openid.discover(http, provider)
    made = new_secrets(ctx)
    location = openid.authorization_url(
        metadata,
        provider,
        state=made.state,
        nonce=made.nonce,
        verifier=made.verifier,
        redirect_uri=redirect_uri(ctx, provider),
    )
    await ctx.begin()
    await note(ctx, made, provider.id, local_path(path))
    return SignInStarted(location=location, browser=made.browser)


async def _finish(ctx: Context, provider: SignInProvider, data: FinishGoogle) -> ProviderSignedIn:
    if not data.state:
        raise Refusal(Code.BAD_REQUEST, "state is required")
    made, path = await claim(ctx, provider.id, data.state)
    async with ctx.outside.http(Policy.CONFIGURED, timeout=openid.TIMEOUT, most=openid.LARGEST_ANSWER) as http:
        metadata = await openid.discover(http, provider)
        _check_answer(metadata, data)
        exchange = openid.Exchange(data.code, redirect_uri(ctx, provider), made.verifier, made.nonce)
        person = await openid.redeem(http, provider, metadata, exchange)
    email = verified_email(person)
    check_domain(provider, email)
    invitations = [] if email is None else await invitations_of(email)
    await ctx.begin()
    user, is_new = await account_of(ctx, provider, person, email, bool(invitations))
    ctx.user_id = user.id
    if is_new:
        await accept(ctx, user, invitations)
    await apply_groups(ctx, provider, user, person.groups)
    await open_session(ctx, user)
    return ProviderSignedIn(location=path)


def _check_answer(metadata: openid.Metadata, data: FinishGoogle) -> None:
    """Checks that the answer comes from this provider and is positive. A provider that supports `iss` always sends it
    (RFC 9207).
    """
    if data.iss != metadata.issuer and (data.iss or metadata.names_itself):
        raise Refusal(Code.BAD_REQUEST, "The answer comes from another provider")
    if data.error == "access_denied":
        raise turned_away("The sign-in was cancelled at the provider", DENIED)
    if data.error or not data.code:
        raise Refusal(Code.BAD_REQUEST, "The provider did not complete the sign-in")
