"""An address that somebody signed up with before its owner came: what they left ends when the owner is seen."""

from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.kernel import InstanceFact
from models.people.auth import SignInDevice
from models.people.pairing import Pairing
from models.people.passkeys import Passkey
from models.people.sign_in_providers import LinkedIdentity
from models.people.workspaces import Invitation, Membership, Role
from resolvers.instance.running import BOOTSTRAPPED
from resolvers.people.workspaces.acceptance import NOT_VERIFIED
from tests.people.auth.browsers import PASSWORD, Browser, signed_in
from tests.people.recovery.mailbox import Mailbox
from tests.world import World, now

pytestmark = pytest.mark.anyio
NEW = "another horse battery"
LEFT = (
    {"cli_tokens": "revoked_at IS NULL", "sessions": "revoked_at IS NULL"}
    | dict.fromkeys(["passkeys", "linked_identities", "pairings", "sign_in_devices"], "true")
    | {"memberships": "accepted_at IS NOT NULL"}
)
INVITED = "SELECT count(*) FROM invitations WHERE accepted_by = $1"


async def link(mailbox: Mailbox, email: str) -> str:
    return (await mailbox.link(email)).partition("token=")[2]


async def settle_in(world: World) -> tuple[Browser, Any, str]:
    """Somebody signs up, and leaves every way to come back that there is."""
    browser, user = await signed_in(world)
    token = (await browser.send("POST", "/api/v1/auth/cli-token")).json()["token"]
    until = {"expires_at": now() + timedelta(hours=1)}
    key = {"credential_id": new_id().encode(), "public_key": b"x", "sign_count": 0, "name": "Key"}
    identity = {"provider": "p", "issuer": f"https://{new_id()}.example", "subject": new_id(), "email": "x@example.com"}
    await world.add(
        Membership(workspace_id=world.workspace.id, user_id=user.id, role=Role.ADMIN, accepted_at=now()),
        Passkey(user_id=user.id, **key),
        LinkedIdentity(user_id=user.id, **identity),
        Pairing(user_id=user.id, code_hash=new_id(), **until),
    )
    known = "SELECT count(*) FROM sign_in_devices WHERE user_id = $1"
    if not await world.database.fetchval(known, user.id):
        await world.add(SignInDevice(user_id=user.id, cookie_hash=new_id(), password_mark="x"))
    return browser, user, token


async def left(world: World, user_id: str) -> dict[str, int]:
    found = {}
    for table, good in LEFT.items():
        sql = f"SELECT count(*) FROM {table} WHERE user_id = $1 AND {good}"
        found[table] = await world.database.fetchval(sql, user_id)
    return found


async def reset(world: World, mailbox: Mailbox, email: str) -> None:
    await Browser(world.url).send("POST", "/api/v1/auth/forgot", json={"email": email})
    body = {"token": await link(mailbox, email), "new_password": NEW}
    assert (await Browser(world.url).send("POST", "/api/v1/auth/reset", json=body)).status_code == 200


async def change(world: World, mailbox: Mailbox, browser: Browser, email: str, by: Browser) -> None:
    body = {"email": email, "password": PASSWORD}
    assert (await browser.send("POST", "/api/v1/auth/email", json=body)).status_code == 202
    sent = {"token": await link(mailbox, email)}
    assert (await by.send("POST", "/api/v1/auth/email/confirm", json=sent)).status_code == 200


@pytest.mark.slow
async def test_a_reset_by_mail_ends_what_was_left_and_the_password_is_the_owners(
    world: World, mailbox: Mailbox
) -> None:
    _, user, token = await settle_in(world)
    assert min((await left(world, user.id)).values()) > 0
    await reset(world, mailbox, user.email)
    assert await left(world, user.id) == dict.fromkeys(LEFT, 0)
    bearer = {"authorization": f"Bearer {token}"}
    assert (await Browser(world.url).send("GET", "/api/v1/workspaces", headers=bearer)).status_code == 401
    assert (await Browser(world.url).log_in(user.email, NEW)).json()["ok"]


async def test_who_was_known_before_keeps_all_but_the_sessions(world: World, mailbox: Mailbox) -> None:
    """As does the first user, whom the operator let in."""
    _, user, _ = await settle_in(world)
    await world.database.execute("UPDATE users SET email_verified = now() WHERE id = $1", user.id)
    _, first, _ = await settle_in(world)
    await world.add(InstanceFact(name=BOOTSTRAPPED, value=first.id))
    for one in (user, first):
        before = await left(world, one.id)
        await reset(world, mailbox, one.email)
        assert await left(world, one.id) == before | {"sessions": 0, "pairings": 0}
    await world.database.execute("DELETE FROM instance_facts WHERE name = $1", BOOTSTRAPPED)


async def test_a_new_email_that_somebody_else_confirms_puts_out_who_asked_for_it(
    world: World, mailbox: Mailbox
) -> None:
    browser, user, _ = await settle_in(world)
    await change(world, mailbox, browser, f"new.{user.email}", Browser(world.url))
    assert await left(world, user.id) == dict.fromkeys(LEFT, 0)
    assert await world.database.fetchval("SELECT password_hash FROM users WHERE id = $1", user.id) is None


async def test_who_confirms_the_new_email_where_they_are_signed_in_goes_on(world: World, mailbox: Mailbox) -> None:
    browser, user, _ = await settle_in(world)
    other = Browser(world.url)
    await other.log_in(user.email)
    await change(world, mailbox, browser, f"new.{user.email}", browser)
    assert await left(world, user.id) == dict.fromkeys(LEFT, 0) | {"sessions": 1}
    assert (await browser.send("GET", "/api/v1/auth/sessions")).status_code == 200
    assert (await other.send("GET", "/api/v1/auth/sessions")).status_code == 401
    assert (await Browser(world.url).log_in(f"new.{user.email}")).json()["ok"]


async def test_the_owner_stays_a_member_whose_consent_is_asked_for_anew(world: World, mailbox: Mailbox) -> None:
    _, user, _ = await settle_in(world)
    others = "SELECT count(*) FROM memberships WHERE user_id <> $1 AND accepted_at IS NOT NULL"
    await world.database.execute("UPDATE memberships SET accepted_at = now()")
    before = await world.database.fetchval(others, user.id)
    made = {"workspace_id": world.workspace.id, "invited_by": world.owner.user_id, "role": Role.ADMIN}
    used = {"expires_at": now(), "accepted_at": now(), "accepted_by": user.id}
    await world.add(Invitation(email=user.email, token=new_id(), **made, **used))
    assert await world.database.fetchval(INVITED, user.id) == 1
    await reset(world, mailbox, user.email)
    assert await world.database.fetchval(INVITED, user.id) == 0
    owner = Browser(world.url)
    await owner.log_in(user.email, NEW)
    shown = (await owner.send("GET", "/api/v1/workspaces")).json()
    assert world.workspace.id in {workspace["id"] for workspace in shown}
    member = "SELECT count(*) FROM memberships WHERE user_id = $1 AND workspace_id = $2 AND accepted_at IS NULL"
    assert await world.database.fetchval(member, user.id, world.workspace.id) == 1
    assert await world.database.fetchval(others, user.id) == before > 0


async def test_an_invitation_waits_for_an_address_that_is_known(world: World, mailbox: Mailbox) -> None:
    """Where this server sends mail: else nobody could show whose it is."""
    browser, user, _ = await settle_in(world)
    made = {"workspace_id": world.workspace.id, "invited_by": world.owner.user_id, "role": Role.ADMIN}
    token = new_id()
    await world.add(Invitation(email=user.email, token=token, expires_at=now() + timedelta(days=1), **made))
    accept = ("POST", "/api/v1/auth/invitations/accept")
    refused = await browser.send(*accept, json={"token": token})
    assert (refused.status_code, refused.json()["error"]) == (403, NOT_VERIFIED)
    await reset(world, mailbox, user.email)
    owner = Browser(world.url)
    await owner.log_in(user.email, NEW)
    assert (await owner.send(*accept, json={"token": token})).status_code == 200
    found = "SELECT count(*) FROM cli_tokens WHERE user_id = $1 AND revoked_at IS NULL"
    assert await world.database.fetchval(found, user.id) == 0
