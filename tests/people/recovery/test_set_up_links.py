"""Accounts that an administrator makes with a membership: who gets a link to them, and what the link does."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.people.passkeys import Passkey
from models.people.recovery import OVER
from models.people.sign_in_providers import LinkedIdentity
from models.people.workspaces import Membership, Role
from resolvers.people.recovery import INVALID
from resolvers.people.workspaces.provisioning import MEMBER
from tests.every import each_of
from tests.people.auth.browsers import PASSWORD, Browser, new_user
from tests.people.recovery.conftest import PLACE
from tests.world import World, now

pytestmark = pytest.mark.anyio


def path(world: World) -> str:
    return f"/api/v1/workspaces/{world.workspace.id}/members/provision"


def address() -> str:
    return f"{new_id()}@example.com"


async def provision(world: World, email: Any, person: Any = None, **body: Any) -> httpx2.Response:
    return await world.rest(person or world.admin, "POST", path(world), {"email": email, **body}, workspace=None)


async def redeem(world: World, token: str, password: str = PASSWORD) -> httpx2.Response:
    body = {"token": token, "new_password": password}
    return await Browser(world.url).send("POST", "/api/v1/auth/reset", json=body)


async def logs_in(world: World, email: str) -> bool:
    return bool((await Browser(world.url).log_in(email)).json()["ok"])


async def test_a_new_account_gets_a_link_that_works_once_and_verifies_nothing(world: World) -> None:
    email = address()
    answer = await provision(world, f"  {email.upper()} ", role="viewer", full_name=" Grace Hopper ")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    shown = {name: made[name] for name in ("email", "role", "created_user")}
    assert shown == {"email": email, "role": "VIEWER", "created_user": True}
    assert made["setup_url"].startswith(f"{PLACE}/reset-password?token=")
    token = made["setup_url"].partition("token=")[2]
    row = await world.database.fetchrow("SELECT * FROM password_resets WHERE user_id = $1", made["user_id"])
    assert token not in str(tuple(row))
    assert timedelta(days=6, hours=23) < row["expires_at"] - now() <= timedelta(days=7)
    assert f"{row['expires_at']:%Y-%m-%dT%H:%M:%SZ}" == made["expires_at"]
    assert not await logs_in(world, email)
    assert (await redeem(world, token)).status_code == 200
    assert await logs_in(world, email)
    again = await redeem(world, token, "another password")
    assert (again.status_code, again.json()["error"]) == (400, INVALID)
    user = await world.database.fetchrow("SELECT * FROM users WHERE id = $1", made["user_id"])
    assert (user["email_verified"], user["full_name"]) == (None, "Grace Hopper")
    member = await world.database.fetchrow("SELECT * FROM memberships WHERE user_id = $1", made["user_id"])
    assert (member["role"], member["workspace_id"]) == ("VIEWER", world.workspace.id)


async def test_an_unclaimed_account_of_this_workspace_alone_gets_a_link(world: World) -> None:
    user = await new_user(world, password_hash=None)
    made = (await provision(world, user.email)).json()
    assert (made["user_id"], made["created_user"]) == (user.id, False)
    assert made["setup_url"] != ""
    removed = f"/api/v1/workspaces/{world.workspace.id}/members/{user.id}"
    assert (await world.rest(world.admin, "DELETE", removed, workspace=None)).status_code == 200
    second = (await provision(world, user.email)).json()
    old, new = (each["setup_url"].partition("token=")[2] for each in (made, second))
    assert (await redeem(world, old)).status_code == 400, "a later link replaces it"
    assert (await redeem(world, new)).status_code == 200


@each_of("claim", ["password", "verified", "passkey", "identity", "elsewhere"])
async def test_a_claimed_account_gets_a_membership_and_no_link(world: World, claim: str) -> None:
    """By a link an administrator could take the account over."""
    values: dict[str, Any] = {} if claim == "password" else {"password_hash": None}
    if claim == "verified":
        values["email_verified"] = now()
    user = await new_user(world, **values)
    if claim == "passkey":
        key = {"credential_id": new_id().encode(), "public_key": b"x", "sign_count": 0, "name": "Key"}
        await world.add(Passkey(user_id=user.id, **key))
    elif claim == "identity":
        identity = {"provider": "p", "issuer": "https://p.example", "subject": new_id(), "email": user.email}
        await world.add(LinkedIdentity(user_id=user.id, **identity))
    elif claim == "elsewhere":
        await world.add(Membership(workspace_id=world.other.id, user_id=user.id, role=Role.MEMBER))
    answer = await provision(world, user.email)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["user_id"], made["setup_url"], made["expires_at"]) == (user.id, "", "")
    assert await world.database.fetchval("SELECT count(*) FROM password_resets WHERE user_id = $1", user.id) == 0
    member = "SELECT count(*) FROM memberships WHERE user_id = $1 AND workspace_id = $2"
    assert await world.database.fetchval(member, user.id, world.workspace.id) == 1


@each_of("claim", ["verified", "passkey", "elsewhere"])
async def test_a_link_does_not_work_for_an_account_that_was_claimed_meanwhile(world: World, claim: str) -> None:
    made = (await provision(world, address())).json()
    token = made["setup_url"].partition("token=")[2]
    if claim == "verified":
        await world.database.execute("UPDATE users SET email_verified = now() WHERE id = $1", made["user_id"])
    elif claim == "passkey":
        key = {"credential_id": new_id().encode(), "public_key": b"x", "sign_count": 0, "name": "Key"}
        await world.add(Passkey(user_id=made["user_id"], **key))
    else:
        await world.add(Membership(workspace_id=world.other.id, user_id=made["user_id"], role=Role.MEMBER))
    assert (await redeem(world, token)).status_code == 400
    assert not await logs_in(world, made["email"])


async def test_a_member_is_refused_and_what_is_refused_changes_nothing(world: World) -> None:
    email = address()
    assert (await provision(world, email)).status_code == 201
    before = await world.snapshot()
    again = await provision(world, email)
    assert (again.status_code, again.json()["error"]) == (409, MEMBER)
    for body in ({"email": ""}, {"email": "nobody"}, {"email": 7}, {"email": "a b@c"}, {"email": "\u00e4@c"}, {}):
        refused = await world.rest(world.admin, "POST", path(world), body, workspace=None)
        assert refused.status_code == 400, body
    for role in ("OWNER", "owner", "GUEST", 7):
        assert (await provision(world, address(), role=role)).status_code == 400
    for person in (world.manager, world.member, world.viewer, world.outsider):
        assert (await provision(world, address(), person)).status_code == 403
    assert await world.snapshot() == before


async def test_the_sweeper_leaves_a_link_that_works(world: World) -> None:
    made = (await provision(world, address())).json()
    found = f"SELECT count(*) FROM password_resets WHERE user_id = $1 AND ctid IN ({OVER.replace('$1', '1000')})"
    ends = "created_at = now() - interval '6 days', expires_at = now() + $2"
    aged = f"UPDATE password_resets SET {ends} WHERE user_id = $1"
    for left, swept in ((timedelta(hours=1), 0), (timedelta(hours=-1), 1)):
        await world.database.execute(aged, made["user_id"], left)
        assert await world.database.fetchval(found, made["user_id"]) == swept


async def test_an_admin_may_provision_an_admin(world: World) -> None:
    assert (await provision(world, address(), role="Admin")).json()["role"] == "ADMIN"


async def test_by_graphql(world: World) -> None:
    document = """mutation($in: ProvisionMemberInput!, $ws: ID!) {
        provisionMember(workspaceId: $ws, input: $in) { email role createdUser setupUrl expiresAt } }"""
    email = address()
    answer = await world.graphql(world.owner, document, {"in": {"email": email, "role": "MANAGER"}})
    made = answer["data"]["provisionMember"]
    assert (made["email"], made["role"], made["createdUser"]) == (email, "MANAGER", True)
    assert made["setupUrl"].startswith(PLACE)
