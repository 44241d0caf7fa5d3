"""Getting a credential by consent: to an authorization server, and back with a code."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from models import bounds
from models.resources.credentials import Credential, CredentialType
from resolvers.instance.crypto import secret_equals
from resolvers.kernel import (
    NO_SURFACE,
    REST_ONLY,
    Action,
    Auth,
    Code,
    Context,
    CredentialKind,
    Input,
    Output,
    Refusal,
    Text,
    Url,
    command,
    forbidden,
    instance,
)
from resolvers.kernel.admission.places import go_on_as
from resolvers.people.sign_in_providers.attempts import browser_of
from resolvers.resources.oauth import loopback
from resolvers.resources.oauth.client import redeemed
from resolvers.resources.oauth.states import ConsentState, begin, claim
from resolvers.resources.oauth.tokens import bind, store

CALLBACK: Final = "/api/v1/oauth/callback"
INCOMPLETE: Final = "The credential must be an OAUTH2 credential with a client id, an authorization URL and a token URL"
MISSING: Final = "Credential not found"
SCHEMES: Final = ("http", "https")

CredentialId = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.ID)]
AuthorizationCode = Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION, repr=False)]


def _redirect(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in SCHEMES or not parts.hostname or parts.fragment or "@" in parts.netloc):
        raise PydanticCustomError("url", "must be an http or https URL without a fragment")
    return value


RedirectUri = Annotated[str, Field(strict=True, max_length=bounds.URL), AfterValidator(_redirect)]


class OfCredential(Input):
    """A credential of the workspace."""

    credential_id: CredentialId


class InitiateOAuth(OfCredential):
    """`redirect_uri`: the address to which the authorization server redirects; by default this server's callback."""

    redirect_uri: RedirectUri = ""


class ExchangeOAuth(OfCredential):
    """Without `code_verifier`, the server finds the verifier and the redirect URI by `state`."""

    code: Annotated[AuthorizationCode, Field(min_length=1)]
    redirect_uri: RedirectUri = ""
    code_verifier: Annotated[Text, Field(repr=False)] = ""
    state: Text = ""


class FinishOAuth(Input):
    """The parameters that the authorization server adds to the address: `state` with a `code` or an `error`; `iss` is
    its issuer.
    """

    code: AuthorizationCode = ""
    state: Text = ""
    error: Text = ""
    iss: Url = ""


class FinishLoopback(FinishOAuth):
    """`redirect_uri`: the address to which the answer came."""

    redirect_uri: RedirectUri


class OAuthStarted(Output):
    """Open `auth_url` in a browser. `state` works once, for 15 minutes."""

    auth_url: str = Field(repr=False)
    state: str = Field(repr=False)


class LoopbackStarted(OAuthStarted):
    """`loopback_port`: the port on this server's loopback address where it listens for two minutes."""

    loopback_port: int


class OAuthConnected(Output):
    """The credential has its tokens."""

    status: str = "ok"
    credential_id: str


@command("oauth.initiate", Action.MANAGE, audit="credential.consent_asked", errors=(Code.NOT_FOUND,))
async def initiate_oauth(ctx: Context, data: InitiateOAuth) -> OAuthStarted:
    """Start a consent for a credential.

    Uses PKCE (S256) and the credential's resource.
    """
    credential = await _of(ctx, data.credential_id)
    begun = await begin(ctx, credential, data.redirect_uri or callback(ctx))
    ctx.audit("CREDENTIAL", credential.id, name=credential.name)
    return OAuthStarted(auth_url=begun.auth_url, state=begun.state)


@command(
    "oauth.loopback",
    Action.MANAGE,
    audit="credential.consent_asked",
    errors=(Code.NOT_FOUND, Code.RATE_LIMITED),
    late=True,
)
async def start_loopback(ctx: Context, data: OfCredential) -> LoopbackStarted:
    """Start a consent in a browser on this machine.

    For a browser on the server's own machine: the server listens on its loopback address for one response, at
    most two minutes.
    """
    credential = await _of(ctx, data.credential_id)
    listener = await loopback.listen(finish_loopback)
    try:
        await ctx.begin()
        begun = await begin(ctx, credential, listener.redirect_uri, listens=True)
        ctx.audit("CREDENTIAL", credential.id, name=credential.name)
    except BaseException:
        listener.close()
        raise
    return LoopbackStarted(auth_url=begun.auth_url, state=begun.state, loopback_port=listener.port)


@command(
    "oauth.exchange",
    Action.MANAGE,
    audit="credential.connected",
    errors=(Code.NOT_FOUND, Code.BAD_GATEWAY),
    late=True,
)
async def exchange_oauth(ctx: Context, data: ExchangeOAuth) -> OAuthConnected:
    """Finish a consent with a copied code.

    Exchanges a code that the user has copied. The credential is not bound to MCP servers.
    """
    credential = await _of(ctx, data.credential_id, asks=False)
    verifier, redirect_uri = data.code_verifier or None, data.redirect_uri or callback(ctx)
    if verifier is None and data.state:
        of = {"workspace_id": ctx.workspace_id, "credential_id": credential.id, "user_id": ctx.user_id}
        begun = await claim(data.state, **of)
        verifier, redirect_uri = begun.verifier, begun.redirect_uri
    tokens = await redeemed(credential, code=data.code, redirect_uri=redirect_uri, verifier=verifier)
    await ctx.begin()
    await store(ctx, await ctx.get(Credential, credential.id, lock=True, missing=MISSING), tokens)
    return OAuthConnected(credential_id=credential.id)


@command(
    "oauth.callback",
    Action.NONE,
    audit="credential.connected",
    auth=Auth.NONE,
    surfaces=REST_ONLY,
    errors=(Code.FORBIDDEN, Code.NOT_FOUND, Code.BAD_GATEWAY),
    late=True,
)
async def finish_oauth(ctx: Context, data: FinishOAuth) -> OAuthConnected:
    """Finish getting a credential by consent.

    Works once, in the browser that began the consent or where the user who began it is signed in; that user must
    still have permission. The credential gets its tokens and is bound to the MCP servers it was requested for.
    Refused if another user is signed in, and for responses of another authorization server (RFC 9207).
    """
    _check_answer(data)
    return await _finish(ctx, data, await claim(data.state, user_id=_user_of(ctx), browser=browser_of(ctx)))


@command(
    "oauth.callback_loopback",
    Action.NONE,
    audit="credential.connected",
    auth=Auth.NONE,
    surfaces=NO_SURFACE,
    errors=(Code.FORBIDDEN, Code.NOT_FOUND, Code.BAD_GATEWAY),
    late=True,
)
async def finish_loopback(ctx: Context, data: FinishLoopback) -> OAuthConnected:
    """Finish getting a credential by consent on this machine.

    For the listener that was opened for it, on the server's own loopback address.
    """
    _check_answer(data)
    return await _finish(ctx, data, await claim(data.state, listener=data.redirect_uri))


def _check_answer(data: FinishOAuth) -> None:
    if data.error:
        raise Refusal(Code.BAD_REQUEST, f"The authorization server answers: {data.error}")
    if not data.code or not data.state:
        raise Refusal(Code.BAD_REQUEST, "code and state are required")


async def _finish(ctx: Context, data: FinishOAuth, begun: ConsentState) -> OAuthConnected:
    await _as_who_began(ctx, begun)
    credential = await ctx.get(Credential, begun.credential_id, missing=MISSING)
    _check_issuer(credential, data.iss)
    tokens = await redeemed(credential, code=data.code, redirect_uri=begun.redirect_uri, verifier=begun.verifier)
    await ctx.begin()
    await _as_who_began(ctx, begun)
    credential = await ctx.get(Credential, begun.credential_id, lock=True, missing=MISSING)
    await store(ctx, credential, tokens)
    await bind(ctx, credential)
    return OAuthConnected(credential_id=credential.id)


async def _as_who_began(ctx: Context, begun: ConsentState) -> None:
    """Continues with the user's current role: a user who has lost the permission meanwhile cannot complete a
    consent.
    """
    await ctx.enter(begun.workspace_id)
    if not await go_on_as(ctx, begun.user_id) or not ctx.may(Action.MANAGE):
        raise forbidden("The user who began this consent may no longer connect credentials here")


def callback(ctx: Context) -> str:
    """The callback on the configured origin, otherwise on the one that the client used, as trusted proxies
    report it.
    """
    return f"{instance.settings.public_url or ctx.caller.origin}{CALLBACK}"


async def _of(ctx: Context, id: str, *, asks: bool = True) -> Credential:
    """The credential, which has what it takes to ask for consent, or (`asks`: not) to redeem a code."""
    credential = await ctx.get(Credential, id, missing=MISSING)
    needed = [credential.oauth_client_id, credential.oauth_token_url, *([credential.oauth_auth_url] if asks else [])]
    if credential.type is not CredentialType.OAUTH2 or not all(needed):
        raise Refusal(Code.BAD_REQUEST, INCOMPLETE)
    if asks and urlsplit(credential.oauth_auth_url or "").scheme not in SCHEMES:
        raise Refusal(Code.BAD_REQUEST, INCOMPLETE)
    return credential


def _user_of(ctx: Context) -> str | None:
    """The user who is signed in where the answer arrives, if any."""
    return ctx.caller.user_id or None if ctx.caller.kind is CredentialKind.SESSION else None


def _check_issuer(credential: Credential, issuer: str) -> None:
    """That the answer is of the server that was asked. One that names itself always does (RFC 9207)."""
    known = credential.oauth_issuer
    if known is None or (not issuer and not credential.oauth_names_issuer):
        return
    if not secret_equals(issuer, known):
        raise Refusal(Code.BAD_REQUEST, "The answer comes from another authorization server")
