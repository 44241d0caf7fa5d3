"""Passkeys of somebody who is signed in."""

import asyncio
from typing import Any

import pytest

from tests.every import each_of
from tests.people.auth.browsers import signed_in
from tests.people.passkeys.authenticator import BACKED_UP, BACKUP_ELIGIBLE, PRESENT, VERIFIED, Authenticator, decoded
from tests.people.passkeys.pages import NOT_ACCEPTED, REGISTER, REQUIRE, START, ask, data, options, refusal, registered
from tests.world import World

pytestmark = pytest.mark.anyio
LIST = "{ passkeys { id name backedUp createdAt lastUsedAt } }"
STATUS = "{ passkeyStatus { available required passkeys } }"
DELETE = "mutation($in: ByIdInput!) { deletePasskey(input: $in) { id } }"
RENAME = "mutation($in: RenamePasskeyInput!) { renamePasskey(input: $in) { id name } }"
NOWHERE = {"user": {"id": ""}, "rp": {"id": "x"}, "challenge": ""}
COUNT = "SELECT count(*) FROM passkeys WHERE user_id = $1"


async def test_the_options_ask_for_a_discoverable_passkey_that_verifies_its_user(world: World) -> None:
    browser, user = await signed_in(world)
    asked = await options(browser)
    assert asked["rp"] == {"id": "crewship.example.com", "name": "Crewship"}
    assert decoded(asked["user"]["id"]).decode() == user.id
    assert (asked["user"]["name"], asked["user"]["displayName"]) == (user.email, user.full_name)
    chosen = asked["authenticatorSelection"]
    assert (chosen["residentKey"], chosen["userVerification"]) == ("required", "required")
    assert len(decoded(asked["challenge"])) >= 32
    assert (await options(browser))["challenge"] != asked["challenge"]


async def test_a_passkey_is_registered_listed_renamed_and_deleted(world: World) -> None:
    browser, user = await signed_in(world)
    authenticator = Authenticator(flags=PRESENT | VERIFIED | BACKUP_ELIGIBLE | BACKED_UP)
    made = await data(browser, REGISTER, name="phone", credential=authenticator.create(await options(browser)))
    assert made == {"id": made["id"], "name": "phone", "backedUp": True, "lastUsedAt": None}
    row = await world.database.fetchrow("SELECT * FROM passkeys WHERE id = $1", made["id"])
    assert (row["user_id"], row["credential_id"]) == (user.id, authenticator.id)
    assert row["transports"] == ["hybrid", "internal"]
    asked = await options(browser)
    assert [decoded(known["id"]) for known in asked["excludeCredentials"]] == [authenticator.id]
    assert (await data(browser, RENAME, id=made["id"], name="old phone"))["name"] == "old phone"
    assert [one["name"] for one in await data(browser, LIST)] == ["old phone"]
    assert await data(browser, STATUS) == {"available": True, "required": False, "passkeys": 1}
    assert await data(browser, DELETE, id=made["id"]) == {"id": made["id"]}
    assert await data(browser, LIST) == []


async def test_a_challenge_is_good_once(world: World) -> None:
    browser, _ = await signed_in(world)
    credential = Authenticator().create(await options(browser))
    answers = await asyncio.gather(*(ask(browser, REGISTER, name="x", credential=credential) for _ in range(5)))
    assert sorted("errors" in answer for answer in answers) == [False, True, True, True, True]
    assert (await refusal(browser, REGISTER, name="x", credential=credential))[0] == "FORBIDDEN"


async def test_a_challenge_is_used_up_by_what_proves_nothing(world: World) -> None:
    browser, _ = await signed_in(world)
    asked, authenticator = await options(browser), Authenticator()
    foreign = Authenticator(origin="https://evil.example.com").create(asked)
    assert await refusal(browser, REGISTER, name="x", credential=foreign) == NOT_ACCEPTED
    again = await refusal(browser, REGISTER, name="x", credential=authenticator.create(asked))
    assert again == ("FORBIDDEN", "The registration was not started in this session, or has expired")


@pytest.mark.slow
@each_of(
    ("changes", "lies"),
    [
        ({"origin": "https://evil.example.com"}, {}),
        ({"origin": "http://crewship.example.com"}, {}),
        ({"origin": "https://crewship.example.com:8443"}, {}),
        ({"rp_id": "evil.example.com"}, {}),
        ({"flags": PRESENT}, {}),
        ({"flags": VERIFIED}, {}),
        ({"id": b"x" * 1024}, {}),
        ({}, {"challenge": "AAAA"}),
        ({}, {"says": "webauthn.get"}),
        ({}, {"fmt": "android-safetynet"}),
        ({}, {"fmt": "tpm"}),
        ({}, {"fmt": "nonsense"}),
        ({}, {"id": "AAAA"}),
        ({}, {"rawId": 5}),
        ({}, {"type": "password"}),
        ({}, {"response": {}}),
        ({}, {"response": {"clientDataJSON": "e30", "attestationObject": "oA"}}),
        ({}, {"response": {"clientDataJSON": "!", "attestationObject": "!"}}),
    ],
)
async def test_what_proves_nothing_is_refused_in_one_way(
    world: World, changes: dict[str, Any], lies: dict[str, Any]
) -> None:
    browser, user = await signed_in(world)
    credential = Authenticator(**changes).create(await options(browser), **lies)
    assert await refusal(browser, REGISTER, name="x", credential=credential) == NOT_ACCEPTED
    assert await world.database.fetchval(COUNT, user.id) == 0


async def test_the_challenge_of_another_session_or_of_another_time_is_none(world: World) -> None:
    browser, _ = await signed_in(world)
    other, _ = await signed_in(world)
    asked = await options(browser)
    assert (await refusal(other, REGISTER, name="x", credential=Authenticator().create(asked)))[0] == "FORBIDDEN"
    old = "UPDATE passkey_challenges SET expires_at = now() WHERE challenge = $1"
    await world.database.execute(old, asked["challenge"])
    assert (await refusal(browser, REGISTER, name="x", credential=Authenticator().create(asked)))[0] == "FORBIDDEN"


async def test_a_credential_is_registered_once_on_the_instance(world: World) -> None:
    _, _, authenticator = await registered(world)
    browser, _ = await signed_in(world)
    taken = await refusal(browser, REGISTER, name="x", credential=authenticator.create(await options(browser)))
    assert taken == ("CONFLICT", "This passkey is already registered")


async def test_there_are_not_more_than_25(world: World) -> None:
    browser, user = await signed_in(world)
    asked = await options(browser)
    await world.database.execute(
        "INSERT INTO passkeys (id, user_id, name, credential_id, public_key, sign_count, transports, backed_up)"
        " SELECT n || $1, $1, 'x', convert_to(n || $1, 'UTF8'), 'k', 0, '[]', false FROM generate_series(1, 25) n",
        user.id,
    )
    assert (await refusal(browser, START))[0] == "CONFLICT"
    assert (await refusal(browser, REGISTER, name="x", credential=Authenticator().create(asked)))[0] == "CONFLICT"


async def test_nobody_changes_the_passkey_of_somebody_else(world: World) -> None:
    _, user, _ = await registered(world)
    id = await world.database.fetchval("SELECT id FROM passkeys WHERE user_id = $1", user.id)
    browser, _ = await signed_in(world)
    assert await refusal(browser, DELETE, id=id) == ("NOT_FOUND", "Passkey not found")
    assert await refusal(browser, RENAME, id=id, name="mine") == ("NOT_FOUND", "Passkey not found")
    assert await data(browser, LIST) == []


@pytest.mark.parametrize("by_token", [False, True])
async def test_a_way_to_sign_in_is_changed_by_whoever_has_just_signed_in(world: World, by_token: bool) -> None:
    browser, user, authenticator = await registered(world)
    id = await world.database.fetchval("SELECT id FROM passkeys WHERE user_id = $1", user.id)
    headers: dict[str, str] = {}
    if by_token:
        token = (await browser.send("POST", "/api/v1/auth/cli-token")).json()["token"]
        headers = {"authorization": f"Bearer {token}"}
    else:
        old = "UPDATE sessions SET created_at = now() - interval '61 minutes' WHERE user_id = $1"
        await world.database.execute(old, user.id)
    calls: list[tuple[str, dict[str, Any]]] = [
        (START, {}),
        (REGISTER, {"name": "x", "credential": authenticator.create(NOWHERE)}),
        (DELETE, {"id": id}),
        (REQUIRE, {"required": True}),
    ]
    for query, given in calls:
        body = {"query": query, "variables": {"in": given} if given else {}}
        answer = (await browser.send("POST", "/graphql", json=body, headers=headers)).json()
        assert answer["errors"][0]["message"].startswith("Sign in again in a browser"), answer
    assert await world.database.fetchval(COUNT, user.id) == 1


async def test_a_passkey_that_is_required_is_there(world: World) -> None:
    browser, _ = await signed_in(world)
    assert (await refusal(browser, REQUIRE, required=True))[0] == "CONFLICT"
    made = await data(browser, REGISTER, name="x", credential=Authenticator().create(await options(browser)))
    assert await data(browser, REQUIRE, required=True) == {"required": True, "passkeys": 1}
    assert (await refusal(browser, DELETE, id=made["id"]))[0] == "CONFLICT"
    assert await data(browser, REQUIRE, required=False) == {"required": False, "passkeys": 1}
    assert await data(browser, DELETE, id=made["id"]) == {"id": made["id"]}
