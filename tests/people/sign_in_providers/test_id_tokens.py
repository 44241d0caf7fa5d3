"""What a provider says, and what of it is proof."""

import hashlib
import hmac
import warnings
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from resolvers.people.sign_in_providers import openid
from tests.people.sign_in_providers.conftest import Visits, email
from tests.people.sign_in_providers.provider import CLIENT, FOREIGN, WEAK, Issuer, base64url

pytestmark = pytest.mark.anyio


def unsigned(issuer: Issuer, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, algorithm="none", headers={"kid": issuer.kid})


def with_the_public_key(issuer: Issuer, claims: dict[str, Any]) -> str:
    """HS256, keyed with what everybody can read: by hand, as PyJWT refuses to."""
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, body = jwt.encode(claims, "x" * 64, algorithm="HS256", headers={"kid": issuer.kid}).split(".")[:2]
    signature = hmac.new(public, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64url(signature)}"


def with_another_key(issuer: Issuer, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, FOREIGN, algorithm="RS256", headers={"kid": issuer.kid})


def spoiled_signature(issuer: Issuer, claims: dict[str, Any]) -> str:
    head, body, signature = jwt.encode(claims, issuer.key, algorithm="RS256", headers={"kid": issuer.kid}).split(".")
    return f"{head}.{body}.{('A' if signature[0] != 'A' else 'B') + signature[1:]}"


def with_another_algorithm_of_the_key(issuer: Issuer, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, issuer.key, algorithm="PS256", headers={"kid": issuer.kid})


@pytest.mark.parametrize(
    "sign",
    [
        unsigned,
        with_the_public_key,
        with_another_key,
        spoiled_signature,
        with_another_algorithm_of_the_key,
        lambda issuer, claims: "no token",
        lambda issuer, claims: "e30.e30.e30",
    ],
)
async def test_a_token_that_the_provider_did_not_sign_proves_nothing(visitor: Visits, sign: Any) -> None:
    visit = visitor("open")
    visit.issuer.sign = sign
    answer = await visit.sign_in("forged", email=email(), email_verified=True)
    assert answer.status_code == 400
    assert "signature" not in answer.text.lower()
    assert await visit.user_id() is None


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://accounts.example"},
        {"iss": None},
        {"aud": "another client"},
        {"aud": ["another client"]},
        {"aud": None},
        {"aud": [CLIENT, "another client"]},
        {"aud": [CLIENT, "another client"], "azp": "another client"},
        {"azp": "another client"},
        {"nonce": "another sign-in"},
        {"nonce": None},
        {"nonce": 7},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"iat": None},
        {"iat": 32_503_680_000},
        {"nbf": 32_503_680_000},
        {"sub": None},
        {"sub": ""},
        {"sub": "s" * 256},
        {"sub": "sübject"},
        {"at_hash": "of another token"},
    ],
    ids=str,
)
async def test_a_token_that_is_no_answer_to_this_request_proves_nothing(
    visitor: Visits, changes: dict[str, Any]
) -> None:
    visit = visitor("open")
    visit.issuer.claims = lambda claims: {k: v for k, v in (claims | changes).items() if v is not None}
    answer = await visit.sign_in("elsewhere", email=email(), email_verified=True)
    assert answer.status_code == 400
    assert await visit.user_id() is None


async def test_several_audiences_are_good_with_this_client_as_the_party(visitor: Visits) -> None:
    visit = visitor("open")
    visit.issuer.claims = lambda claims: claims | {"aud": [CLIENT, "another"], "azp": CLIENT}
    assert (await visit.sign_in("party", email=email(), email_verified=True)).status_code == 307


async def test_a_key_that_is_not_known_is_looked_for_once(visitor: Visits) -> None:
    visit = visitor("open")
    address = email()
    await visit.sign_in("rotating", email=address, email_verified=True)
    visit.issuer.rotate()
    visit.issuer.asked.clear()
    assert (await visit.sign_in("rotating", email=address, email_verified=True)).status_code == 307
    assert visit.issuer.asked == ["token", "jwks"]
    visit.issuer.asked.clear()
    visit.issuer.sign = lambda issuer, claims: jwt.encode(
        claims, FOREIGN, algorithm="RS256", headers={"kid": "unheard of"}
    )
    for _ in range(3):
        assert (await visit.sign_in("rotating", email=address, email_verified=True)).status_code == 400
    assert visit.issuer.asked.count("jwks") == 0, "looked for again at once"
    openid.known[visit.issuer.url].refetched_at -= openid.REFETCH
    assert (await visit.sign_in("rotating", email=address, email_verified=True)).status_code == 400
    assert visit.issuer.asked.count("jwks") == 1


async def test_a_weak_key_is_no_key(visitor: Visits) -> None:
    def sign(issuer: Issuer, claims: dict[str, Any]) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyJWT would not sign with it either
            return jwt.encode(claims, issuer.key, algorithm="RS256", headers={"kid": issuer.kid})

    visit = visitor("open")
    kept = visit.issuer.key
    visit.issuer.rotate(WEAK)
    visit.issuer.sign = sign
    openid.known.pop(visit.issuer.url, None)
    try:
        answer = await visit.sign_in("weak", email=email(), email_verified=True)
        assert answer.status_code == 400
    finally:
        visit.issuer.rotate(kept)
        openid.known.pop(visit.issuer.url, None)


async def test_the_verifier_has_to_be_shown(visitor: Visits) -> None:
    """What the provider asks for is what was sent: without it, or with another one, there are no tokens."""
    visit = visitor("open")
    location = await visit.start()
    code = visit.issuer.grant(location, "verified", email=email(), email_verified=True)
    granted = visit.issuer.codes[code]
    form = {"code": code, "redirect_uri": granted.query["redirect_uri"], "client_id": CLIENT}
    assert visit.issuer.token(form | {"client_secret": visit.issuer.secret or ""}, None)[0] == 400
    visit.issuer.codes[code] = granted
    assert (await visit.come_back(location, code)).status_code == 307
    assert parse_qs(urlsplit(location).query)["code_challenge"]
