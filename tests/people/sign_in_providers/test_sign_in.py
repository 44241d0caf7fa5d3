"""To a provider and back: who is signed in, and whose answers are refused."""

import asyncio
import hashlib
import hmac
import re
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from resolvers.instance.crypto import digest
from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.people.sign_in_providers import openid
from tests.people.auth.browsers import Browser, set_cookies
from tests.people.sign_in_providers.conftest import HTML, Visits, email, verified_user
from tests.people.sign_in_providers.provider import CLIENT, Provider, base64url
from tests.world import World

pytestmark = pytest.mark.anyio


# ---- the way there ---------------------------------------------------------------------------------------------------


async def test_what_can_be_signed_in_with(world: World) -> None:
    listed = await world.graphql(None, "{ signInProviders { id name startUrl } }")
    rest = (await world.rest(None, "GET", "/api/v1/auth/oidc", workspace=None)).json()
    assert [(p["id"], p["name"]) for p in rest][:3] == [
        ("google", "Google"),
        ("open", "Open House"),
        ("staff", "Staff"),
    ]
    assert listed["data"]["signInProviders"] == [
        {"id": p["id"], "name": p["name"], "startUrl": p["start_url"]} for p in rest
    ]
    assert [p["start_url"] for p in rest][:2] == ["/api/v1/auth/google/redirect", "/api/v1/auth/oidc/open/redirect"]
    status = await world.rest(None, "GET", "/api/v1/auth/google/status", workspace=None)
    assert (status.status_code, status.json()) == (200, {"enabled": True})


@pytest.mark.parametrize(("https", "name"), [(False, "crewship.browser"), (True, "__Host-crewship.browser")])
async def test_the_browser_is_sent_with_state_nonce_and_a_challenge(
    world: World, provider: Provider, https: bool, name: str
) -> None:
    browser = Browser(world.url, https)
    answer = await browser.send("GET", "/api/v1/auth/google/redirect?redirect=/crews")
    assert answer.status_code == 307
    location = urlsplit(answer.headers["location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == f"{provider.issuer('google').url}/authorize"
    query = dict(parse_qsl(location.query))
    assert query.pop("redirect_uri").endswith("/api/v1/auth/google/callback")
    state, nonce, challenge = query.pop("state"), query.pop("nonce"), query.pop("code_challenge")
    assert query == {
        "response_type": "code",
        "client_id": CLIENT,
        "scope": "openid email profile",
        "code_challenge_method": "S256",
    }
    assert re.fullmatch("[0-9a-f]{64}", state)
    (cookie,) = set_cookies(answer)
    value = browser.cookies[name]
    secure = "; Secure" if https else ""
    assert cookie == f"{name}={value}; Path=/; Max-Age=900; HttpOnly; SameSite=Lax{secure}"

    def made(of: str) -> str:
        return hmac.new(value.encode(), f"{of}:{state}".encode(), hashlib.sha256).hexdigest()

    assert nonce == made("nonce")
    assert challenge == base64url(hashlib.sha256(made("code verifier").encode()).digest())
    (row,) = await world.database.fetch("SELECT * FROM sign_in_attempts WHERE state_hash = $1", digest(state))
    kept = repr(dict(row))
    assert (row["provider"], row["path"]) == ("google", "/crews")
    assert state not in kept
    assert value not in kept


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
async def test_nobody_is_sent_to_another_origin_afterwards(visitor: Visits, path: str) -> None:
    visit = visitor("open")
    location = await visit.start(path)
    answer = await visit.come_back(location, visit.issuer.grant(location, path, email=email(), email_verified=True))
    assert (answer.status_code, answer.headers["location"]) == (307, "/")


async def test_a_provider_that_is_not_configured_is_not_there(world: World) -> None:
    for path in ("oidc/nobody/redirect", "oidc/nobody/callback?state=s&code=c"):
        answer = await world.rest(None, "GET", f"/api/v1/auth/{path}", workspace=None)
        assert answer.status_code == 404, path


async def test_a_provider_that_is_away_is_told(world: World, provider: Provider) -> None:
    issuer = provider.issuer("staff")
    openid.known.pop(issuer.url, None)
    issuer.down = True
    plain = await world.rest(None, "GET", "/api/v1/auth/oidc/staff/redirect", workspace=None)
    page = await world.rest(None, "GET", "/api/v1/auth/oidc/staff/redirect", workspace=None, **HTML)
    assert plain.status_code == 502
    assert (page.status_code, page.headers["location"]) == (302, "/login?error=OAuthSignin")
    assert await world.database.fetchval("SELECT count(*) FROM sign_in_attempts WHERE provider = 'staff'") == 0


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://accounts.example"},
        {"issuer": None},
        {"token_endpoint": "http://token.example/token"},
        {"token_endpoint": None},
        {"jwks_uri": "ftp://127.0.0.1/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"userinfo_endpoint": "https://user:password@127.0.0.1/"},
    ],
    ids=lambda metadata: "-".join(f"{k}:{v}" for k, v in metadata.items()),
)
async def test_a_provider_that_says_it_is_another_or_unsafe_is_refused(
    world: World, provider: Provider, metadata: dict[str, Any]
) -> None:
    issuer = provider.issuer("staff")
    openid.known.pop(issuer.url, None)
    issuer.metadata = metadata
    answer = await world.rest(None, "GET", "/api/v1/auth/oidc/staff/redirect", workspace=None)
    assert answer.status_code == 502
    assert issuer.url not in openid.known


async def test_discovery_and_keys_are_asked_for_once(visitor: Visits, provider: Provider) -> None:
    visit = visitor("open")
    await visit.sign_in("cached", email=email(), email_verified=True)
    visit.issuer.asked.clear()
    assert (await visit.sign_in("cached", email=email(), email_verified=True)).status_code == 307
    assert visit.issuer.asked == ["token"]


async def test_documents_that_cannot_be_read_anew_are_good_for_a_while(
    visitor: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = visitor("open")
    await visit.start()
    monkeypatch.setattr(openid, "monotonic", lambda: time.monotonic() + openid.LIFETIME + 1)
    visit.issuer.down = True
    await visit.start()
    monkeypatch.setattr(openid, "monotonic", lambda: time.monotonic() + 2 * openid.LIFETIME + 1)
    answer = await visit.browser.send("GET", f"{visit.path}/redirect")
    assert answer.status_code == 502


# ---- the way back ----------------------------------------------------------------------------------------------------


async def test_a_newcomer_gets_an_account_without_a_password_and_a_workspace(world: World, visitor: Visits) -> None:
    visit, address = visitor("open"), email().upper().replace("CORP.EXAMPLE", "Corp.Example")
    answer = await visit.sign_in(
        "newcomer", email=address, email_verified=True, name="Ada Lovelace", picture="https://pictures.example/ada.png"
    )
    assert (answer.status_code, answer.headers["location"]) == (307, "/crews?tab=1")
    user = await world.database.fetchrow("SELECT * FROM users WHERE id = $1", await visit.user_id())
    assert user["email"] == address.lower()
    assert (user["full_name"], user["avatar_url"]) == ("Ada Lovelace", "https://pictures.example/ada.png")
    assert (user["password_hash"], user["onboarding_completed"]) == (None, False)
    assert user["email_verified"] is not None
    assert await world.database.fetchval("SELECT count(*) FROM memberships WHERE user_id = $1", user["id"]) == 0
    again = visitor("open")
    await again.sign_in("newcomer", email="elsewhere@other.example", email_verified=False)
    assert await again.user_id() == user["id"]
    linked = await world.database.fetch("SELECT * FROM linked_identities WHERE user_id = $1", user["id"])
    assert [(row["issuer"], row["subject"]) for row in linked] == [(visit.issuer.url, "newcomer")]
    assert linked[0]["used_at"] > linked[0]["created_at"]


async def test_what_the_id_token_leaves_out_is_asked_for(world: World, visitor: Visits) -> None:
    visit, address = visitor("open"), email()
    told = {"email": address, "email_verified": "true", "name": "Told"}
    assert (await visit.sign_in("short", told)).status_code == 307
    assert visit.issuer.asked[-1] == "userinfo"
    assert await world.database.fetchval("SELECT email FROM users WHERE id = $1", await visit.user_id()) == address


async def test_userinfo_of_somebody_else_is_refused(visitor: Visits) -> None:
    visit = visitor("open")
    answer = await visit.sign_in("me", {"sub": "another", "email": email(), "email_verified": True})
    assert answer.status_code == 502
    assert await visit.user_id() is None


async def test_an_unverified_email_of_the_token_is_not_verified_by_userinfo(world: World, visitor: Visits) -> None:
    """Each source speaks of its own address alone."""
    victim, visit = await verified_user(world), visitor("open")
    told = {"email": "mine@corp.example", "email_verified": True}
    answer = await visit.sign_in("mixing", told, email=victim.email)
    assert answer.status_code == 307
    assert await visit.user_id() != victim.id


async def test_a_client_without_a_secret_has_the_verifier_alone(visitor: Visits) -> None:
    visit = visitor("public")
    assert (await visit.sign_in("public", email=email(), email_verified=True)).status_code == 307


async def test_a_secret_is_posted_where_that_is_all_the_provider_takes(visitor: Visits) -> None:
    visit = visitor("open")
    openid.known.pop(visit.issuer.url, None)
    visit.issuer.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await visit.sign_in("posting", email=email(), email_verified=True)).status_code == 307
    openid.known.pop(visit.issuer.url, None)


# ---- what is refused -------------------------------------------------------------------------------------------------


async def test_an_answer_counts_once(world: World, visitor: Visits) -> None:
    visit = visitor("open")
    location = await visit.start()
    code = visit.issuer.grant(location, "once", email=email(), email_verified=True)
    assert (await visit.come_back(location, code)).status_code == 307
    visit.issuer.asked.clear()
    again = await visit.come_back(location, code)
    page = await visit.come_back(location, code, html=True)
    assert again.status_code == 400
    assert (page.status_code, page.headers["location"]) == (302, "/login?error=OAuthCallback")
    assert visit.issuer.asked == []


async def test_of_many_answers_at_once_one_counts(visitor: Visits) -> None:
    visit = visitor("open")
    location = await visit.start()
    code = visit.issuer.grant(location, "many", email=email(), email_verified=True)
    visit.issuer.asked.clear()
    others = [visitor("open") for _ in range(5)]
    for other in others:
        other.browser.cookies = dict(visit.browser.cookies)
    answers = await asyncio.gather(*[other.come_back(location, code) for other in others])
    assert sorted(answer.status_code for answer in answers) == [307, 400, 400, 400, 400]
    assert visit.issuer.asked.count("token") == 1


async def test_an_answer_in_another_browser_is_refused_and_left_to_its_own(visitor: Visits) -> None:
    """Else somebody could be made to sign in as somebody else (RFC 6749, 10.12)."""
    visit, other = visitor("open"), visitor("open")
    location = await visit.start()
    code = visit.issuer.grant(location, "bound", email=email(), email_verified=True)
    assert (await other.come_back(location, code)).status_code == 400
    await other.start()
    assert (await other.come_back(location, code)).status_code == 400
    assert await other.user_id() is None
    assert (await visit.come_back(location, code)).status_code == 307


async def test_two_tabs_come_back_in_any_order(visitor: Visits) -> None:
    visit = visitor("open")
    first, second = await visit.start(), await visit.start()
    codes = [
        visit.issuer.grant(where, "tabs", email="tabs@corp.example", email_verified=True) for where in (first, second)
    ]
    assert (await visit.come_back(second, codes[1])).status_code == 307
    assert (await visit.come_back(first, codes[0])).status_code == 307


async def test_a_code_of_another_sign_in_is_refused(visitor: Visits) -> None:
    """Its verifier and its nonce are those of the other one."""
    visit = visitor("open")
    first, second = await visit.start(), await visit.start()
    code = visit.issuer.grant(first, "swapped", email=email(), email_verified=True)
    assert (await visit.come_back(second, code)).status_code == 400


async def test_an_answer_of_another_provider_is_refused(visitor: Visits) -> None:
    visit, other = visitor("open"), visitor("public")
    location = await visit.start()
    code = visit.issuer.grant(location, "mixed up", email=email(), email_verified=True)
    other.browser = visit.browser
    assert (await other.come_back(location, code)).status_code == 400
    assert (await visit.come_back(location, code, iss=other.issuer.url)).status_code == 400


async def test_a_provider_that_names_itself_has_to(visitor: Visits) -> None:
    visit = visitor("open")
    openid.known.pop(visit.issuer.url, None)
    visit.issuer.metadata = {"authorization_response_iss_parameter_supported": True}
    try:
        for iss, status in ((None, 400), (visit.issuer.url, 307)):
            location = await visit.start()
            code = visit.issuer.grant(location, "named", email="named@corp.example", email_verified=True)
            assert (await visit.come_back(location, code, iss=iss)).status_code == status
    finally:
        openid.known.pop(visit.issuer.url, None)


async def test_an_answer_after_fifteen_minutes_is_refused(world: World, visitor: Visits) -> None:
    visit = visitor("open")
    location = await visit.start()
    code = visit.issuer.grant(location, "late", email=email(), email_verified=True)
    await world.database.execute("UPDATE sign_in_attempts SET created_at = now() - interval '15 minutes 1 second'")
    assert (await visit.come_back(location, code)).status_code == 400


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"state": None}, 400, "OAuthCallback"),
        ({"state": "f" * 64}, 400, "OAuthCallback"),
        ({"code": None}, 400, "OAuthCallback"),
        ({"code": "guessed"}, 400, "OAuthCallback"),
        ({"code": None, "error": "access_denied"}, 403, "AccessDenied"),
        ({"code": None, "error": "server_error"}, 400, "OAuthCallback"),
        ({"state": "s" * 5000}, 400, "OAuthCallback"),
    ],
    ids=str,
)
async def test_answers_that_sign_nobody_in(
    visitor: Visits, changes: dict[str, str | None], status: int, error: str
) -> None:
    for html in (False, True):
        visit = visitor("open")
        location = await visit.start()
        code = visit.issuer.grant(location, "nobody", email=email(), email_verified=True)
        answer = await visit.come_back(location, html=html, **({"code": code} | changes))  # type: ignore[arg-type]
        assert answer.status_code == (302 if html else status)
        assert not html or answer.headers["location"] == f"/login?error={error}"
        assert await visit.user_id() is None


async def test_sign_ins_that_nobody_comes_back_from_are_removed(world: World, visitor: Visits) -> None:
    old, young = await visitor("open").start(), await visitor("open").start()
    states = [digest(dict(parse_qsl(urlsplit(location).query))["state"]) for location in (old, young)]
    await world.database.execute(
        "UPDATE sign_in_attempts SET created_at = now() - interval '16 minutes' WHERE state_hash = $1", states[0]
    )
    await sweeper.sweep(across_workspaces)
    left = [row["state_hash"] for row in await world.database.fetch("SELECT state_hash FROM sign_in_attempts")]
    assert states[0] not in left
    assert states[1] in left
