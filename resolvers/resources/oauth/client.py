"""Requests to an authorization server: consent, client registration, tokens (OAuth 2.1, RFC 7591, RFC 8707)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import orjson

from models import bounds
from models.resources.credentials import Credential
from resolvers.instance.outbound import Answered
from resolvers.instance.vault import Unopenable
from resolvers.kernel import Code, Refusal, instance
from resolvers.resources.credentials.vault import opened
from resolvers.resources.integrations.testing import policy
from resolvers.resources.oauth.discovery import AuthorizationServer, may_call

TIMEOUT, LARGEST = 15.0, 256 * 1024
CLIENT_NAME: Final = "Crewship"
FAILED: Final = "The authorization server returned no token"
OF_ANOTHER: Final = "The answer is for another client or from another authorization server"
LONGEST_LIFE: Final = 10 * 365 * 86_400  # seconds


class Rejected(Refusal):
    """The server refused the credential or code: repeating the request is useless."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """`lasts`: None if the server does not say."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    lasts: timedelta | None


@dataclass(frozen=True, slots=True)
class Client:
    """Ours at one authorization server."""

    id: str
    secret: str | None = field(repr=False)


def authorization_url(credential: Credential, *, state: str, verifier: str, redirect_uri: str) -> str:
    """The address of the consent page. Its existing query is kept."""
    from jwt.utils import base64url_encode

    address = urlsplit(credential.oauth_auth_url or "")
    query = {
        "client_id": credential.oauth_client_id or "",
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "state": state,
        "access_type": "offline",
        "prompt": "consent",
        "code_challenge": base64url_encode(hashlib.sha256(verifier.encode()).digest()).decode(),
        "code_challenge_method": "S256",
    }
    query |= {"scope": credential.oauth_scopes} if credential.oauth_scopes else {}
    query |= {"resource": credential.oauth_resource} if credential.oauth_resource else {}
    kept = [(name, value) for name, value in parse_qsl(address.query, keep_blank_values=True) if name not in query]
    return address._replace(query=urlencode([*kept, *query.items()], quote_via=quote), fragment="").geturl()


async def registered(server: AuthorizationServer, redirect_uri: str) -> Client | None:
    """A client of our own; None where the server does not make one."""
    asked = {
        "redirect_uris": [redirect_uri],
        "client_name": CLIENT_NAME,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }
    headers = {"content-type": "application/json", "accept": "application/json"}
    try:
        async with instance.http(policy(), timeout=TIMEOUT, most=LARGEST) as http:
            answer = await http.post(server.registration_endpoint, orjson.dumps(asked), headers=headers)
            said = answer.json() if answer.status in (200, 201) else {}
    except Refusal:
        return None
    id, secret = (said.get("client_id"), said.get("client_secret")) if isinstance(said, dict) else (None, None)
    if not isinstance(id, str) or not 0 < len(id) <= bounds.URL or "\0" in id:
        return None
    return Client(id, secret if _is_token(secret) else None)


async def redeemed(credential: Credential, *, code: str, redirect_uri: str, verifier: str | None) -> Tokens:
    """The tokens for a code. BAD_GATEWAY if there are none, BAD_REQUEST if they were issued for another client."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    form |= {} if verifier is None else {"code_verifier": verifier}
    return await _tokens(credential, form)


async def refreshed(credential: Credential, refresh_token: str) -> Tokens:
    """Raises Rejected if the server refuses the refresh token."""
    return await _tokens(credential, {"grant_type": "refresh_token", "refresh_token": refresh_token})


async def _tokens(credential: Credential, form: Mapping[str, str]) -> Tokens:
    sent = {**form, "client_id": credential.oauth_client_id or ""}
    if (secret := await _secret_of(credential)) is not None:
        sent["client_secret"] = secret
    if credential.oauth_resource:
        sent["resource"] = credential.oauth_resource
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    if not may_call(credential.oauth_token_url):
        raise Refusal(Code.BAD_GATEWAY, FAILED)
    try:
        async with instance.http(policy(), timeout=TIMEOUT, most=LARGEST) as http:
            answer = await http.post(credential.oauth_token_url or "", urlencode(sent).encode(), headers=headers)
    except Refusal:
        raise Refusal(Code.BAD_GATEWAY, FAILED) from None
    return _read(credential, answer)


async def _secret_of(credential: Credential) -> str | None:
    if credential.oauth_client_secret is None:
        return None
    try:
        return (await opened(credential.id, "oauth_client_secret", credential.oauth_client_secret)).reveal()
    except Unopenable:
        raise Refusal(Code.BAD_GATEWAY, FAILED) from None


def _read(credential: Credential, answer: Answered) -> Tokens:
    if 400 <= answer.status < 500 and answer.status not in (408, 429):
        raise Rejected(Code.BAD_GATEWAY, FAILED)
    said = answer.json() if answer.status == 200 else {}
    said = said if isinstance(said, dict) else {}
    access = said.get("access_token")
    if not _is_token(access):
        raise Refusal(Code.BAD_GATEWAY, FAILED)
    _check_audience(credential, said.get("id_token"))
    refresh, lasts = said.get("refresh_token"), said.get("expires_in")
    seconds = int(lasts) if isinstance(lasts, int | float) or (isinstance(lasts, str) and lasts.isdecimal()) else 0
    life = timedelta(seconds=min(seconds, LONGEST_LIFE)) if seconds > 0 else None
    return Tokens(access, refresh if _is_token(refresh) else None, life)


def _is_token(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= bounds.PROMPT and value.isprintable()


def _check_audience(credential: Credential, id_token: Any) -> None:
    """Checks the issuer and the audience of an ID token. It came from the server itself over TLS, so a check of its
    signature would prove nothing more (OpenID Connect Core, 3.1.3.7).
    """
    if not isinstance(id_token, str):
        return
    import jwt

    try:
        claims = jwt.decode(id_token, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise Refusal(Code.BAD_REQUEST, OF_ANOTHER) from None
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    issuer = credential.oauth_issuer
    if credential.oauth_client_id not in audiences or (issuer is not None and claims.get("iss") != issuer):
        raise Refusal(Code.BAD_REQUEST, OF_ANOTHER)
