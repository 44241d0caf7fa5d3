"""Linked identities: whose are shown, and which may be unlinked."""

import asyncio
import secrets

import pytest

from models.people.auth import User
from models.people.passkeys import Passkey
from tests.people.auth.browsers import new_user
from tests.people.sign_in_providers.conftest import Visitor, Visits
from tests.world import World, now

pytestmark = pytest.mark.anyio

IDENTITIES = "/api/v1/auth/identities"
LISTED = "{ linkedIdentities { id provider issuer subject email } }"


async def linked(visitor: Visits, user: User, *ids: str) -> Visitor:
    """A browser signed in as the user, by the last of the providers."""
    for id in ids:
        visit = visitor(id)
        await visit.sign_in(secrets.token_hex(4), email=user.email, email_verified=True)
    return visit


async def ids_of(visit: Visitor) -> list[str]:
    return [row["id"] for row in (await visit.browser.send("GET", IDENTITIES)).json()]


async def test_the_own_ones_are_listed_on_both_surfaces(world: World, visitor: Visits) -> None:
    user, stranger = await new_user(world, email_verified=now()), await new_user(world, email_verified=now())
    await linked(visitor, stranger, "google")
    visit = await linked(visitor, user, "google", "open")
    rows = (await visit.browser.send("GET", IDENTITIES)).json()
    assert [(row["provider"], row["email"]) for row in rows] == [("google", user.email), ("open", user.email)]
    assert rows[0].keys() == {"id", "provider", "issuer", "subject", "email", "created_at", "used_at"}
    shown = (await visit.browser.send("POST", "/graphql", json={"query": LISTED})).json()
    shared = ("id", "provider", "issuer", "subject", "email")
    assert shown["data"]["linkedIdentities"] == [{name: row[name] for name in shared} for row in rows]


async def test_one_of_two_ways_may_be_unlinked_and_the_last_may_not(world: World, visitor: Visits) -> None:
    user = await new_user(world, email_verified=now(), password_hash=None)
    visit = await linked(visitor, user, "google", "open")
    first, second = await ids_of(visit)
    gone = await visit.browser.send("DELETE", f"{IDENTITIES}/{first}")
    assert gone.status_code == 204
    refused = await visit.browser.send("DELETE", f"{IDENTITIES}/{second}")
    assert refused.status_code == 409
    assert await ids_of(visit) == [second]
    await world.database.execute("UPDATE users SET password_hash = 'set' WHERE id = $1", user.id)
    document = "mutation($id: ID!) { unlinkIdentity(input: {id: $id}) { id } }"
    answer = await visit.browser.send("POST", "/graphql", json={"query": document, "variables": {"id": second}})
    assert answer.json()["data"] == {"unlinkIdentity": {"id": second}}
    assert await ids_of(visit) == []


async def test_of_two_that_are_unlinked_at_once_one_stays(world: World, visitor: Visits) -> None:
    user = await new_user(world, email_verified=now(), password_hash=None)
    visit = await linked(visitor, user, "google", "open")
    answers = await asyncio.gather(*[visit.browser.send("DELETE", f"{IDENTITIES}/{id}") for id in await ids_of(visit)])
    assert sorted(answer.status_code for answer in answers) == [204, 409]
    assert len(await ids_of(visit)) == 1


async def test_an_identity_at_a_provider_that_is_gone_is_no_way_to_sign_in(world: World, visitor: Visits) -> None:
    user = await new_user(world, email_verified=now(), password_hash=None)
    visit = await linked(visitor, user, "google", "open")
    old, only = await ids_of(visit)
    await world.database.execute("UPDATE linked_identities SET issuer = 'https://gone.example' WHERE id = $1", old)
    assert (await visit.browser.send("DELETE", f"{IDENTITIES}/{only}")).status_code == 409
    assert (await visit.browser.send("DELETE", f"{IDENTITIES}/{old}")).status_code == 204


async def test_an_identity_of_somebody_else_is_not_there(world: World, visitor: Visits) -> None:
    user, stranger = await new_user(world, email_verified=now()), await new_user(world, email_verified=now())
    other = await linked(visitor, stranger, "google")
    visit = await linked(visitor, user, "google")
    (foreign,) = await ids_of(other)
    assert (await visit.browser.send("DELETE", f"{IDENTITIES}/{foreign}")).status_code == 404
    assert await ids_of(other) == [foreign]


async def test_a_passkey_is_a_way_to_sign_in_and_the_last_one_stays(world: World, visitor: Visits) -> None:
    user = await new_user(world, email_verified=now(), password_hash=None)
    visit = await linked(visitor, user, "google")
    key = Passkey(user_id=user.id, name="laptop", credential_id=user.id.encode(), public_key=b"key")
    await world.add(key)
    (id,) = await ids_of(visit)
    assert (await visit.browser.send("DELETE", f"{IDENTITIES}/{id}")).status_code == 204
    document = "mutation($id: ID!) { deletePasskey(input: {id: $id}) { id } }"
    send = {"query": document, "variables": {"id": key.id}}
    refused = (await visit.browser.send("POST", "/graphql", json=send)).json()
    assert refused["errors"][0]["extensions"]["code"] == "CONFLICT"
    await linked(visitor, user, "google")
    assert (await visit.browser.send("POST", "/graphql", json=send)).json()["data"] == {"deletePasskey": {"id": key.id}}
