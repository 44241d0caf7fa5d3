"""Whose account it is that a provider vouches for."""

import asyncio
import secrets
from typing import Any

import pytest

from models.people.passkeys import Passkey
from tests.people.auth.browsers import Browser, new_user
from tests.people.sign_in_providers.conftest import Visits, email, verified_user
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_a_verified_email_links_the_account_that_has_it(world: World, visitor: Visits) -> None:
    user, visit = await verified_user(world), visitor("google")
    assert (await visit.sign_in("linked", email=user.email, email_verified=True)).status_code == 307
    assert await visit.user_id() == user.id
    assert (await Browser(world.url).log_in(user.email)).json()["ok"] is True


@pytest.mark.parametrize("verified", [False, None, "false", "True", 1, [True]])
async def test_an_email_that_is_not_verified_links_nothing(world: World, visitor: Visits, verified: Any) -> None:
    user, visit = await verified_user(world), visitor("open")
    before = await world.database.fetchval("SELECT count(*) FROM users")
    answer = await visit.sign_in(secrets.token_hex(4), email=user.email, email_verified=verified)
    assert answer.status_code == 403
    assert await visit.user_id() is None
    assert await world.database.fetchval("SELECT count(*) FROM users") == before
    page = await visitor("open").sign_in(secrets.token_hex(4), html=True, email=user.email, email_verified=verified)
    assert (page.status_code, page.headers["location"]) == (302, "/login?error=OAuthAccountNotLinked")


async def test_an_email_in_another_letter_case_is_the_same(world: World, visitor: Visits) -> None:
    user, visit = await verified_user(world), visitor("google")
    await visit.sign_in("shouting", email=user.email.upper().replace("EXAMPLE.COM", "Example.Com"), email_verified=True)
    assert await visit.user_id() == user.id


async def test_of_two_that_differ_in_case_the_exact_one_counts_and_no_guess(world: World, visitor: Visits) -> None:
    lower = await verified_user(world)
    upper = await verified_user(world, email=lower.email.upper().replace("EXAMPLE.COM", "example.com"))
    visit = visitor("google")
    await visit.sign_in("exact", email=upper.email, email_verified=True)
    assert await visit.user_id() == upper.id
    neither = visitor("google")
    answer = await neither.sign_in("neither", email=lower.email.title(), email_verified=True)
    assert answer.status_code == 403
    assert await neither.user_id() is None


async def test_whoever_signed_up_with_an_address_that_is_not_theirs_is_out(world: World, visitor: Visits) -> None:
    """The account was made before its owner came, by somebody who never showed that the address is theirs."""
    squatter = await new_user(world)
    browser = Browser(world.url)
    await browser.log_in(squatter.email)
    token = (await browser.send("POST", "/api/v1/auth/cli-token", json={})).json()["token"]
    await world.add(Passkey(user_id=squatter.id, name="p", credential_id=squatter.id.encode(), public_key=b"key"))
    await world.database.execute("UPDATE users SET passkey_required = true WHERE id = $1", squatter.id)
    visit = visitor("google")
    await visit.sign_in("owner of the address", email=squatter.email, email_verified=True)
    assert await visit.user_id() == squatter.id
    assert (await browser.send("GET", "/api/auth/session")).json() == {}
    assert (await Browser(world.url).log_in(squatter.email)).json()["ok"] is False
    assert await world.database.fetchval("SELECT count(*) FROM passkeys WHERE user_id = $1", squatter.id) == 0
    assert not await world.database.fetchval("SELECT passkey_required FROM users WHERE id = $1", squatter.id)
    async with world.client(authorization=f"Bearer {token}") as client:
        assert (await client.get("/api/v1/auth/cli-tokens")).status_code == 401


async def test_the_first_user_keeps_password_and_tokens(world: World, visitor: Visits) -> None:
    visit = visitor("google")
    await visit.sign_in("the operator", email=world.owner.email, email_verified=True)
    assert await visit.user_id() == world.owner.user_id
    assert (await world.rest(world.owner, "GET", "/api/v1/auth/cli-tokens", workspace=None)).status_code == 200


async def test_an_address_that_was_handed_on_does_not_hand_on_the_account(world: World, visitor: Visits) -> None:
    user = await verified_user(world)
    await visitor("google").sign_in("who left", email=user.email, email_verified=True)
    visit = visitor("google")
    answer = await visit.sign_in("who came", email=user.email, email_verified=True)
    assert answer.status_code == 403
    assert await visit.user_id() is None


async def test_newcomers_need_sign_up_or_an_invitation(world: World, visitor: Visits) -> None:
    """Google says nothing of sign-up here, and CREWSHIP_ALLOW_SIGNUP is off."""
    address = email()
    page = await visitor("google").sign_in("stranger", html=True, email=address, email_verified=True)
    assert (page.status_code, page.headers["location"]) == (302, "/login?error=OAuthCreateAccount")
    assert await world.database.fetchval("SELECT count(*) FROM users WHERE email = $1", address) == 0
    invited = await world.rest(
        world.owner,
        "POST",
        f"/api/v1/workspaces/{world.workspace.id}/invitations",
        {"email": address, "role": "MANAGER"},
    )
    assert invited.status_code == 201
    visit = visitor("google")
    assert (await visit.sign_in("stranger", email=address.title(), email_verified=True)).status_code == 307
    members = await world.database.fetch(
        "SELECT workspace_id, role FROM memberships WHERE user_id = $1", await visit.user_id()
    )
    assert [tuple(row) for row in members] == [(world.workspace.id, "MANAGER")]
    accepted = await world.database.fetchval("SELECT accepted_at FROM invitations WHERE email = $1", address)
    assert accepted is not None


async def test_an_invitation_that_has_expired_invites_nobody(world: World, visitor: Visits) -> None:
    address = email()
    await world.rest(world.owner, "POST", f"/api/v1/workspaces/{world.workspace.id}/invitations", {"email": address})
    await world.database.execute("UPDATE invitations SET expires_at = now() WHERE email = $1", address)
    answer = await visitor("google").sign_in("late", email=address, email_verified=True)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("address", "verified", "status"),
    [
        ("ada@corp.example", True, 307),
        ("Grace@CORP.example", True, 307),
        ("eve@corp.example.evil.example", True, 403),
        ("eve@evilcorp.example", True, 403),
        ("eve@sub.corp.example", True, 403),
        ("bob@corp.example", False, 403),
        (None, True, 403),
    ],
)
async def test_only_addresses_of_allowed_domains(
    visitor: Visits, address: str | None, verified: bool, status: int
) -> None:
    claims = {} if address is None else {"email": address, "email_verified": verified}
    answer = await visitor("staff").sign_in(f"staff {address}", {}, **claims)
    assert answer.status_code == status, answer.text


async def test_who_has_left_the_domain_is_out_though_linked(visitor: Visits) -> None:
    await visitor("staff").sign_in("leaver", email="leaver@corp.example", email_verified=True)
    visit = visitor("staff")
    page = await visit.sign_in("leaver", html=True, email="leaver@elsewhere.example", email_verified=True)
    assert (page.status_code, page.headers["location"]) == (302, "/login?error=AccessDenied")
    assert await visit.user_id() is None


@pytest.mark.parametrize(
    "address", ["no address", "ädä@corp.example", f"{'a' * 330}@corp.example", "a@b\u0000.example"]
)
async def test_an_address_that_no_account_can_have_is_none(visitor: Visits, address: str) -> None:
    answer = await visitor("open").sign_in(secrets.token_hex(4), email=address, email_verified=True)
    assert answer.status_code == 403


async def test_two_first_sign_ins_at_once_make_one_account(world: World, visitor: Visits) -> None:
    address = email()
    answers = await asyncio.gather(
        *[visitor("open").sign_in("at once", email=address, email_verified=True) for _ in range(4)]
    )
    assert [answer.status_code for answer in answers] == [307] * 4
    assert await world.database.fetchval("SELECT count(*) FROM users WHERE email = $1", address) == 1
