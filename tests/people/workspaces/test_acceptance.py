"""Accepting an invitation: who may, once, in time, and what a newcomer gets."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.people.workspaces import Invitation, Membership, Role, Workspace
from resolvers.people.workspaces.acceptance import ACCEPTED, EXPIRED, MEMBER, OTHER_EMAIL, REGISTERED
from resolvers.people.workspaces.invitations import MISSING
from tests.every import each_of
from tests.people.auth.browsers import PASSWORD, Browser, new_user, signed_in
from tests.people.workspaces.calls import at
from tests.world import World, now

pytestmark = pytest.mark.anyio
ACCEPT, SIGN_UP = "/api/v1/auth/invitations/accept", "/api/v1/auth/invitations/signup"


async def invited(world: World, email: str, **given: Any) -> Invitation:
    values = {
        "workspace_id": world.workspace.id,
        "role": Role.MANAGER,
        "invited_by": world.owner.user_id,
        "token": new_id() + new_id(),
        "expires_at": now() + timedelta(days=1),
    } | given
    made = Invitation(email=email, **values)
    await world.add(made)
    return made


async def accept(browser: Browser, token: Any) -> httpx2.Response:
    return await browser.send("POST", ACCEPT, json={"token": token})


async def sign_up(browser: Browser, token: Any, /, **more: Any) -> httpx2.Response:
    return await browser.send(
        "POST", SIGN_UP, json={"token": token, "full_name": "Grace Hopper", "password": PASSWORD} | more
    )


async def role_of(world: World, user_id: str) -> str | None:
    sql = "SELECT role FROM memberships WHERE workspace_id = $1 AND user_id = $2"
    role: str | None = await world.database.fetchval(sql, world.workspace.id, user_id)
    return role


def told(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


@pytest.mark.parametrize("change", [str, str.upper, str.title])
async def test_the_invited_joins_with_the_role(world: World, change: Any) -> None:
    browser, user = await signed_in(world)
    invitation = await invited(world, change(user.email))
    assert (await browser.send("GET", f"/api/v1/workspaces/{world.workspace.id}")).status_code == 403
    answer = await accept(browser, invitation.token)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "workspace_id": world.workspace.id,
            "workspace_slug": world.workspace.slug,
            "workspace_name": world.workspace.name,
            "role": "MANAGER",
        },
    )
    assert await role_of(world, user.id) == "MANAGER"
    assert (await browser.send("GET", f"/api/v1/workspaces/{world.workspace.id}")).json()[
        "currentUserRole"
    ] == "MANAGER"
    accepted = await world.database.fetchval("SELECT accepted_at FROM invitations WHERE id = $1", invitation.id)
    assert accepted is not None
    listed = (await at(world, world.owner, "GET", "/invitations")).json()
    assert invitation.id not in [each["id"] for each in listed]
    assert told(await accept(browser, invitation.token)) == (409, MEMBER)


async def test_an_invitation_is_accepted_once(world: World) -> None:
    browser, user = await signed_in(world)
    invitation = await invited(world, user.email)
    assert (await accept(browser, invitation.token)).status_code == 200
    await at(world, world.owner, "DELETE", f"/members/{user.id}")
    before = await world.snapshot()
    assert told(await accept(browser, invitation.token)) == (410, ACCEPTED)
    assert await world.snapshot() == before


async def test_of_acceptances_at_once_one_wins(world: World) -> None:
    browser, user = await signed_in(world)
    invitation = await invited(world, user.email)
    answers = await asyncio.gather(*(accept(browser, invitation.token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    sql = "SELECT count(*) FROM memberships WHERE user_id = $1"
    assert await world.database.fetchval(sql, user.id) == 1


async def test_what_is_refused_changes_nothing(world: World) -> None:
    browser, user = await signed_in(world)
    gone = Workspace(name="Gone", slug=new_id(), deleted_at=now())
    await world.add(gone)
    cases = [
        ("0" * 64, (404, MISSING)),
        ((await invited(world, f"x{user.email}")).token, (403, OTHER_EMAIL)),
        ((await invited(world, user.email.replace("@", "+tag@"))).token, (403, OTHER_EMAIL)),
        ((await invited(world, user.email, expires_at=now() - timedelta(seconds=1))).token, (410, EXPIRED)),
        ((await invited(world, user.email, workspace_id=gone.id)).token, (404, MISSING)),
    ]
    before = await world.snapshot()
    for token, outcome in cases:
        assert told(await accept(browser, token)) == outcome
    for token in (None, "", 7, ["a"], "a" * 300):
        assert (await accept(browser, token)).status_code == 400
    assert (await accept(Browser(world.url), cases[1][0])).status_code == 401
    assert await world.snapshot() == before


async def test_a_token_with_scopes_joins_nothing(world: World) -> None:
    browser, user = await signed_in(world)
    await world.add(Membership(workspace_id=world.other.id, user_id=user.id, role=Role.ADMIN))
    invitation = await invited(world, user.email)
    made = (await browser.send("POST", "/api/v1/auth/cli-token", json={"scopes": ["workspace:admin"]})).json()
    headers = {"authorization": f"Bearer {made['token']}"}
    answer = await Browser(world.url).send("POST", ACCEPT, json={"token": invitation.token}, headers=headers)
    assert answer.status_code == 403
    assert await role_of(world, user.id) is None


# ---- newcomers -------------------------------------------------------------------------------------------------------


async def test_a_newcomer_gets_an_account_though_sign_up_is_off(world: World) -> None:
    assert not world.settings.allow_signup
    invitation = await invited(world, "Grace.H+navy@Example.org")
    browser = Browser(world.url)
    answer = await sign_up(browser, invitation.token, email="other@example.org")
    made = answer.json()
    assert (answer.status_code, made) == (
        201,
        {
            "id": made["id"],
            "email": "Grace.H+navy@Example.org",
            "workspace_id": world.workspace.id,
            "workspace_slug": world.workspace.slug,
            "workspace_name": world.workspace.name,
            "role": "MANAGER",
        },
    )
    assert (await browser.send("GET", "/api/auth/session")).json()["user"]["email"] == invitation.email, "signed in"
    assert [each["id"] for each in (await browser.send("GET", "/api/v1/workspaces")).json()] == [world.workspace.id]
    assert await role_of(world, made["id"]) == "MANAGER"
    assert (await Browser(world.url).log_in(invitation.email)).json()["ok"] is True
    before = await world.snapshot()
    assert told(await sign_up(Browser(world.url), invitation.token)) == (410, ACCEPTED)
    assert await world.snapshot() == before


async def test_who_has_an_account_signs_in(world: World) -> None:
    user = await new_user(world)
    invitation = await invited(world, user.email.upper())
    before = await world.snapshot()
    assert told(await sign_up(Browser(world.url), invitation.token)) == (409, REGISTERED)
    assert await world.snapshot() == before
    browser = Browser(world.url)
    await browser.log_in(user.email)
    assert (await accept(browser, invitation.token)).status_code == 200


async def test_of_sign_ups_at_once_one_wins(world: World) -> None:
    invitation = await invited(world, f"{new_id()}@example.org")
    answers = await asyncio.gather(*(sign_up(Browser(world.url), invitation.token) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 410, 410, 410]
    assert await world.database.fetchval("SELECT count(*) FROM users WHERE email = $1", invitation.email) == 1


@each_of(
    ("more", "status"),
    [
        ({"token": "0" * 64}, 404),
        ({"token": ""}, 400),
        ({"full_name": "x"}, 400),
        ({"full_name": None}, 400),
        ({"password": "short"}, 400),
        ({"password": "\u00e4" * 37}, 400),
        ({"password": None}, 400),
    ],
)
async def test_a_bad_sign_up_changes_nothing(world: World, more: dict[str, Any], status: int) -> None:
    invitation = await invited(world, f"{new_id()}@example.org")
    before = await world.snapshot()
    browser = Browser(world.url)
    assert (await sign_up(browser, invitation.token, **more)).status_code == status
    assert (await world.snapshot(), browser.cookies) == (before, {})


async def test_an_expired_invitation_makes_no_account(world: World) -> None:
    invitation = await invited(world, f"{new_id()}@example.org", expires_at=now() - timedelta(seconds=1))
    before = await world.snapshot()
    assert told(await sign_up(Browser(world.url), invitation.token)) == (410, EXPIRED)
    assert await world.snapshot() == before


# ---- taking back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "status"), [("owner", 204), ("admin", 204), ("manager", 403), ("outsider", 403)])
async def test_an_open_invitation_is_deleted(world: World, by: str, status: int) -> None:
    invitation = await invited(world, f"{new_id()}@example.org")
    answer = await at(world, getattr(world, by), "DELETE", f"/invitations/{invitation.id}")
    assert answer.status_code == status
    assert (await sign_up(Browser(world.url), invitation.token)).status_code == (404 if status == 204 else 201)


async def test_what_was_accepted_or_is_foreign_is_not_deleted(world: World) -> None:
    accepted = await invited(world, "a@example.org", accepted_at=now())
    foreign = await invited(world, "b@example.org", workspace_id=world.other.id)
    before = await world.snapshot()
    for id in (accepted.id, foreign.id, new_id()):
        assert told(await at(world, world.owner, "DELETE", f"/invitations/{id}")) == (404, MISSING)
    assert await world.snapshot() == before


async def test_nobody_is_invited_in_another_case(world: World) -> None:
    await invited(world, "Case@example.org")
    answer = await at(world, world.owner, "POST", "/invitations", {"email": "cASE@Example.org"})
    assert answer.status_code == 409
    answer = await at(world, world.owner, "POST", "/invitations", {"email": world.member.email.upper()})
    assert answer.status_code == 409


async def test_by_graphql(world: World) -> None:
    browser, user = await signed_in(world)
    invitation = await invited(world, user.email)

    async def run(query: str, **variables: Any) -> dict[str, Any]:
        body = {"query": query, "variables": variables}
        return (await browser.send("POST", "/graphql", json=body)).json()  # type: ignore[no-any-return]

    accepts = "mutation($t: String!) { acceptInvitation(input: {token: $t}) { workspaceId role } }"
    made = await run(accepts, t=invitation.token)
    assert made["data"]["acceptInvitation"] == {"workspaceId": world.workspace.id, "role": "MANAGER"}
    assert (await run(accepts, t=invitation.token))["errors"][0]["extensions"]["code"] == "CONFLICT"
    deletes = "mutation($ws: ID!, $id: ID!) {"
    deletes += " deleteInvitation(workspaceId: $ws, input: {invitationId: $id}) { success } }"
    other = await invited(world, "c@example.org")
    answer = await world.graphql(world.owner, deletes, {"id": other.id})
    assert answer["data"]["deleteInvitation"] == {"success": True}
    signs = 'mutation($t: String!) { signupByInvitation(input: {token: $t, fullName: "Grace Hopper", password: "%s"})'
    newcomer = await invited(world, f"{new_id()}@example.org")
    browser = Browser(world.url)
    made = await run(signs.replace("%s", PASSWORD) + " { email workspaceName } }", t=newcomer.token)
    assert made["data"]["signupByInvitation"] == {"email": newcomer.email, "workspaceName": world.workspace.name}
    assert isinstance(await world.database.fetchval("SELECT id FROM users WHERE email = $1", newcomer.email), str)
