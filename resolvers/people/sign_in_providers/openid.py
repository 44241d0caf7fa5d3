"""OpenID Connect, as a client: discovery, the exchange of a code, keys that rotate, ID tokens and user info.

HTTP is the kernel's; keys, signatures and times are PyJWT's to judge, and the rest of what Core 1.0 asks for is judged
here. Nothing of this knows users.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from resolvers.instance.crypto import secret_equals
from resolvers.instance.outbound import Outbound
from resolvers.instance.sign_in_providers import SignInProvider, is_safe_url
from resolvers.kernel import Code, Refusal, log

TIMEOUT, LARGEST_ANSWER = 10.0, 512 * 1024  # seconds, bytes
LIFETIME, REFETCH = 3600.0, 30.0  # seconds that documents are kept, and between two looks for a key that is not known
MOST_ISSUERS = 64
MOST_KEYS = 100
MOST_GROUPS = 1_000
LEEWAY = 60  # seconds by which clocks may differ

KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""Algorithms that count, and the kind of key of each. None with a shared secret: what verifies would also sign."""
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512, "DSA": hashlib.sha512}


class UntrustedToken(Exception):
    """An invalid ID token; the text gives the reason, for the operator only."""


class UnknownKey(UntrustedToken):
    """The token's key is unknown."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata that a provider publishes (OpenID Connect Discovery, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    posts_secret: bool
    algorithms: frozenset[str]
    names_itself: bool  # in its answers (RFC 9207)


@dataclass(slots=True)
class Known:
    """The cached facts about one issuer; times are of this process's clock."""

    metadata: Metadata
    read_at: float
    keys: list[dict[str, Any]] = field(default_factory=list)
    keys_at: float = -LIFETIME
    refetched_at: float = -REFETCH


@dataclass(frozen=True, slots=True)
class Person:
    """The person whom the provider has authenticated. `email` is verified by the provider, or None."""

    subject: str
    email: str | None
    name: str | None
    picture: str | None
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Exchange:
    """The data to redeem a code, and the values that the ID token has to repeat."""

    code: str
    redirect_uri: str
    verifier: str
    nonce: str


known: dict[str, Known] = {}


def gateway(text: str) -> Refusal:
    return Refusal(Code.BAD_GATEWAY, text)


# ---- discovery -------------------------------------------------------------------------------------------------------


async def discover(http: Outbound, provider: SignInProvider) -> Metadata:
    """The cached metadata for an hour; if they cannot be read again then, they stay valid for another hour."""
    kept, now = known.get(provider.issuer), monotonic()
    if kept is not None and now - kept.read_at < LIFETIME:
        return kept.metadata
    try:
        metadata = await read_metadata(http, provider)
    except Refusal:
        if kept is None or now - kept.read_at > 2 * LIFETIME:
            raise
        return kept.metadata
    if kept is None:
        while len(known) >= MOST_ISSUERS:
            del known[next(iter(known))]
        known[provider.issuer] = Known(metadata, now)
    else:
        kept.metadata, kept.read_at = metadata, now
    return metadata


async def read_metadata(http: Outbound, provider: SignInProvider) -> Metadata:
    document = await _read(http, f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration")
    if document.get("issuer") != provider.issuer:
        raise gateway("The sign-in provider's issuer differs from the configured one")
    urls: dict[str, Any] = {
        name: document.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    userinfo = document.get("userinfo_endpoint")
    for url in (*urls.values(), *([] if userinfo is None else [userinfo])):
        if not isinstance(url, str) or not is_safe_url(url, plain=provider.plain):
            raise gateway("An endpoint of the sign-in provider is missing or not safe")
    methods = _texts(document.get("token_endpoint_auth_methods_supported")) or ["client_secret_basic"]
    return Metadata(
        **urls,
        issuer=provider.issuer,
        userinfo_endpoint=userinfo,
        posts_secret="client_secret_basic" not in methods and "client_secret_post" in methods,
        algorithms=frozenset(_texts(document.get("id_token_signing_alg_values_supported")) or ["RS256"]) & KINDS.keys(),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
    )


async def _read(http: Outbound, url: str, **headers: str) -> dict[str, Any]:
    answer = await http.get(url, headers={"accept": "application/json"} | headers)
    if answer.status != 200:
        raise gateway(f"The sign-in provider answered {answer.status}")
    return _object(answer.json())


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise gateway("The sign-in provider's answer is not an object")
    return value


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


# ---- the code --------------------------------------------------------------------------------------------------------


def authorization_url(
    metadata: Metadata, provider: SignInProvider, *, state: str, nonce: str, verifier: str, redirect_uri: str
) -> str:
    from jwt.utils import base64url_encode

    challenge = base64url_encode(hashlib.sha256(verifier.encode()).digest()).decode()
    query = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(provider.scopes),
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    separator = "&" if "?" in metadata.authorization_endpoint else "?"
    return f"{metadata.authorization_endpoint}{separator}{urlencode(query, quote_via=quote)}"


async def redeem(http: Outbound, provider: SignInProvider, metadata: Metadata, exchange: Exchange) -> Person:
    """Exchanges the code for tokens, and these for the person. A refusal by the provider, or an unproven answer, is
    BAD_REQUEST.
    """
    tokens = await _exchange(http, provider, metadata, exchange)
    access_token, id_token = tokens.get("access_token"), tokens.get("id_token")
    if not isinstance(access_token, str) or not isinstance(id_token, str):
        raise gateway("The sign-in provider returned no tokens")
    try:
        claims = await _verified(http, provider, metadata, id_token, exchange.nonce, access_token)
    except UntrustedToken as untrusted:
        log.warning("an ID token was refused", provider=provider.id, why=str(untrusted))
        raise Refusal(Code.BAD_REQUEST, "The sign-in provider's answer is not valid") from None
    told = {} if _is_complete(provider, claims) else await _userinfo(http, metadata, access_token, claims["sub"])
    return _person(provider, claims, told)


async def _exchange(http: Outbound, provider: SignInProvider, metadata: Metadata, exchange: Exchange) -> dict[str, Any]:
    form = {
        "grant_type": "authorization_code",
        "code": exchange.code,
        "redirect_uri": exchange.redirect_uri,
        "code_verifier": exchange.verifier,
    }
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
    secret = None if provider.client_secret is None else provider.client_secret.get_secret_value()
    if secret is None or metadata.posts_secret:
        form |= {"client_id": provider.client_id} | ({} if secret is None else {"client_secret": secret})
    else:  # RFC 6749, 2.3.1: both parts are encoded as in forms
        pair = urlencode({provider.client_id: secret}).replace("=", ":", 1)
        headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    answer = await http.post(metadata.token_endpoint, urlencode(form).encode(), headers=headers)
    if 400 <= answer.status < 500:
        log.warning("a code was not redeemed", provider=provider.id, status=answer.status, why=_error_of(answer.body))
        raise Refusal(Code.BAD_REQUEST, "The sign-in provider did not accept the code")
    if answer.status != 200:
        raise gateway(f"The sign-in provider answered {answer.status}")
    return _object(answer.json())


def _error_of(body: bytes) -> str | None:
    """The code of an OAuth error, which is one of a few words."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    error = said.get("error") if isinstance(said, dict) else None
    return error[:100] if isinstance(error, str) else None


# ---- tokens ----------------------------------------------------------------------------------------------------------


async def _verified(
    http: Outbound, provider: SignInProvider, metadata: Metadata, token: str, nonce: str, access_token: str
) -> dict[str, Any]:
    """The claims of an ID token. A key that is not known is looked for once more: providers change theirs."""
    keys = await _keys(http, metadata)
    try:
        return verify(token, keys, metadata, provider.client_id, nonce, access_token)
    except UnknownKey:
        kept = known[metadata.issuer]
        if monotonic() - kept.refetched_at < REFETCH:
            raise
        kept.refetched_at = monotonic()
        keys = await _keys(http, metadata, anew=True)
        return verify(token, keys, metadata, provider.client_id, nonce, access_token)


async def _keys(http: Outbound, metadata: Metadata, *, anew: bool = False) -> list[dict[str, Any]]:
    kept = known.setdefault(metadata.issuer, Known(metadata, monotonic()))
    if anew or monotonic() - kept.keys_at >= LIFETIME:
        kept.keys, kept.keys_at = await read_keys(http, metadata), monotonic()
    return kept.keys


async def read_keys(http: Outbound, metadata: Metadata) -> list[dict[str, Any]]:
    listed = (await _read(http, metadata.jwks_uri)).get("keys")
    if not isinstance(listed, list):
        raise gateway("The sign-in provider has no keys")
    return [key for key in listed[:MOST_KEYS] if isinstance(key, dict)]


def is_usable(key: Mapping[str, Any], metadata: Metadata) -> bool:
    """Returns true if ID tokens may be signed with the key."""
    return any(_may_sign(key, algorithm) for algorithm in metadata.algorithms)


def verify(
    token: str, keys: list[dict[str, Any]], metadata: Metadata, client_id: str, nonce: str, access_token: str
) -> dict[str, Any]:
    """The claims of a genuine ID token that answers this request (OpenID Connect Core, 3.1.3.7)."""
    import jwt  # with the library of its algorithms: a process without sign-ins loads neither

    try:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in KINDS or algorithm not in metadata.algorithms:
            raise UntrustedToken("its algorithm is not accepted")
        key = jwt.PyJWK(_key_of(keys, algorithm, header.get("kid")), algorithm=algorithm)
        claims: dict[str, Any] = jwt.PyJWT(options={"enforce_minimum_key_length": True}).decode(
            token,
            key,
            algorithms=[algorithm],
            audience=client_id,
            issuer=metadata.issuer,
            leeway=LEEWAY,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except (jwt.PyJWTError, ValueError, OverflowError) as error:
        raise UntrustedToken(f"{type(error).__name__}: {error}") from None
    audience, party = claims["aud"], claims.get("azp")
    if party != client_id if party is not None else isinstance(audience, list) and len(audience) > 1:
        raise UntrustedToken("it was issued for another client")
    said = claims.get("nonce")
    if not isinstance(said, str) or not secret_equals(said, nonce):
        raise UntrustedToken("its nonce does not match this sign-in")
    if not isinstance(claims["sub"], str) or not claims["sub"].isascii() or not 0 < len(claims["sub"]) <= 255:
        raise UntrustedToken("its subject is not usable")
    if "at_hash" in claims and claims["at_hash"] != _half_hash(access_token, algorithm):
        raise UntrustedToken("its at_hash does not match the access token")
    return claims


def _key_of(keys: list[dict[str, Any]], algorithm: str, kid: Any) -> dict[str, Any]:
    """The one key that may have signed: of the kind of the algorithm, for signatures, and of this name."""
    usable = [key for key in keys if _may_sign(key, algorithm) and (kid is None or key.get("kid") == kid)]
    if not usable:
        raise UnknownKey("its key is unknown")
    if len(usable) > 1:
        raise UntrustedToken("several keys may have signed it")
    return usable[0]


def _may_sign(key: Mapping[str, Any], algorithm: str) -> bool:
    return (
        key.get("kty") == KINDS[algorithm] and key.get("use", "sig") == "sig" and key.get("alg", algorithm) == algorithm
    )


def _half_hash(text: str, algorithm: str) -> str:
    from jwt.utils import base64url_encode

    digest = _HASHES[algorithm[-3:]](text.encode()).digest()
    return base64url_encode(digest[: len(digest) // 2]).decode()


# ---- who it is -------------------------------------------------------------------------------------------------------


def _is_complete(provider: SignInProvider, claims: Mapping[str, Any]) -> bool:
    """Returns true if the ID token has all required claims: many providers keep it short and return the rest at the
    userinfo endpoint.
    """
    groups = not provider.gives_roles or _claim(claims, provider.groups_claim) is not None
    return groups and "email" in claims and "email_verified" in claims


async def _userinfo(http: Outbound, metadata: Metadata, access_token: str, subject: str) -> dict[str, Any]:
    if metadata.userinfo_endpoint is None:
        return {}
    told = await _read(http, metadata.userinfo_endpoint, authorization=f"Bearer {access_token}")
    if told.get("sub") != subject:
        raise gateway("The sign-in provider returned another user")
    return told


def _person(provider: SignInProvider, claims: Mapping[str, Any], told: Mapping[str, Any]) -> Person:
    """The email and its verification come from the same document, because each document makes its own statement."""
    sources = (claims, told)
    groups = next((found for source in sources if (found := _claim(source, provider.groups_claim)) is not None), None)
    return Person(
        subject=claims["sub"],
        email=next((source["email"] for source in sources if _says_verified(source)), None),
        name=_first_text(sources, "name"),
        picture=_first_text(sources, "picture"),
        groups=frozenset(_texts([groups] if isinstance(groups, str) else groups)[:MOST_GROUPS]),
    )


def _says_verified(claims: Mapping[str, Any]) -> bool:
    """Some write the boolean as a text."""
    verified = claims.get("email_verified")
    return isinstance(claims.get("email"), str) and (verified is True or verified == "true")


def _first_text(sources: tuple[Mapping[str, Any], ...], name: str) -> str | None:
    return next((value for source in sources if isinstance(value := source.get(name), str) and value), None)


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim of this name, or nested in others: `realm_access.roles`."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
