"""A change of the own password: what it asks for, and what it ends."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from models.people.auth import Session
from resolvers.instance.crypto import digest
from resolvers.instance.passwords import Passwords
from resolvers.people.account import LOCKED, WITHOUT, WRONG
from tests.every import each_of
from tests.live.sockets import client_of
from tests.people.auth.browsers import PASSWORD, Browser, signed_in
from tests.world import World, now

pytestmark = pytest.mark.anyio
PATH, SESSIONS, NEW = "/api/v1/auth/password", "/api/v1/auth/sessions", "a new horse battery"
OF_USERS = "/api/v1/users/me/password"
PATHS = (PATH, OF_USERS)


async def change(
    browser: Browser, current: Any = PASSWORD, new: Any = NEW, path: str = PATH, **headers: str
) -> httpx2.Response:
    body = {"current_password": current, "new_password": new}
    return await browser.send("POST", path, json=body, headers=headers)


async def logs_in(world: World, email: str, password: str) -> bool:
    return bool((await Browser(world.url).log_in(email, password)).json()["ok"])


@pytest.mark.parametrize("path", PATHS)
async def test_the_new_password_holds_and_the_old_one_does_not(world: World, path: str) -> None:
    browser, user = await signed_in(world)
    answer = await change(browser, path=path)
    assert (answer.status_code, answer.json()) == (200, {"success": True, "sessions_revoked": 0})
    assert [await logs_in(world, user.email, each) for each in (PASSWORD, NEW)] == [False, True]


async def test_all_other_sessions_end_with_their_sockets(world: World) -> None:
    browser, user = await signed_in(world)
    second = Browser(world.url)
    await second.log_in(user.email)
    token = (await browser.send("POST", "/api/v1/auth/cli-token")).json()["token"]
    await browser.send("POST", "/api/v1/auth/pair/start")
    await world.database.execute(
        "INSERT INTO password_resets (id, email, user_id, token_hash, expires_at)"
        " VALUES ($1, 'x', $2, $3, now() + interval '5 minutes')",
        f"r_{user.id}",
        user.id,
        digest(f"link of {user.id}"),
    )
    async with client_of(world, browser) as own, client_of(world, second) as other:
        await own.settle()
        await other.settle()
        expired = Session(id="s_" + digest(user.id), user_id=user.id, expires_at=now() - timedelta(seconds=1))
        await world.add(expired)
        assert (await change(browser)).json() == {"success": True, "sessions_revoked": 1}
        await other.hears("session_revoked")
        await own.settle()
        assert own.of("session_revoked") == []
    answer = await second.send("GET", SESSIONS)
    assert (answer.status_code, answer.json()["error"]) == (401, "session_revoked")
    assert [each["is_current"] for each in (await browser.send("GET", SESSIONS)).json()] == [True]
    who = await Browser(world.url).send(
        "GET", "/api/v1/auth/cli-token/validate", headers={"authorization": f"Bearer {token}"}
    )
    assert who.status_code == 200, "CLI tokens stay"
    body = {"token": f"link of {user.id}", "new_password": "another horse"}
    assert (await Browser(world.url).send("POST", "/api/v1/auth/reset", json=body)).status_code == 400
    assert await world.database.fetchval("SELECT count(*) FROM pairings WHERE user_id = $1", user.id) == 0


async def test_by_a_cli_token_every_session_ends(world: World) -> None:
    browser, _ = await signed_in(world)
    token = (await browser.send("POST", "/api/v1/auth/cli-token")).json()["token"]
    assert (await change(Browser(world.url), authorization=f"Bearer {token}")).status_code == 200
    answer = await browser.send("GET", SESSIONS)
    assert (answer.status_code, answer.json()["error"]) == (401, "session_revoked")
    scoped = (await world.rest(world.member, "POST", "/api/v1/auth/cli-token", {"scopes": ["crews:read"]})).json()
    answer = await change(Browser(world.url), authorization=f"Bearer {scoped['token']}")
    assert answer.status_code == 403


async def test_a_wrong_password_ends_no_session(world: World) -> None:
    """The newer address answers 401, as if nobody was signed in, without a reason by which a page signs out."""
    browser, user = await signed_in(world)
    answer = await change(browser, "wrong", path=OF_USERS)
    assert (answer.status_code, answer.json()["error"]) == (401, WRONG)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers.get_list("set-cookie") == []
    assert (await browser.send("GET", SESSIONS)).status_code == 200
    assert (await change(browser, "wrong", "short", path=OF_USERS)).status_code == 400, "the length is looked at first"
    failures = await world.database.fetchval("SELECT failed_login_count FROM users WHERE id = $1", user.id)
    assert failures == 1


@each_of(
    ("current", "new", "status"),
    [
        ("wrong", NEW, 403),
        ("", NEW, 403),
        (PASSWORD + " ", NEW, 403),
        ("ä" * 100, NEW, 403),
        (PASSWORD, "short", 400),
        (PASSWORD, "ä" * 37, 400),
        (PASSWORD, None, 400),
        (None, NEW, 400),
        (7, NEW, 400),
    ],
)
async def test_what_is_refused_changes_no_password(world: World, current: Any, new: Any, status: int) -> None:
    browser, user = await signed_in(world)
    answer = await change(browser, current, new)
    assert answer.status_code == status, answer.text
    assert await logs_in(world, user.email, PASSWORD)
    assert (await browser.send("GET", SESSIONS)).status_code == 200


async def test_wrong_passwords_lock_as_at_sign_in(world: World) -> None:
    """Whoever finds a browser unlocked cannot try on and on."""
    browser, user = await signed_in(world)
    for n in range(10):
        assert (await change(browser, "wrong", path=PATHS[n % 2])).json()["error"] == WRONG
    for path in PATHS:
        answer = await change(browser, path=path)
        assert (answer.status_code, answer.json()["error"]) == (423, LOCKED)
    assert not await logs_in(world, user.email, PASSWORD), "a browser that has never signed in is locked out, too"
    await world.database.execute("UPDATE users SET locked_until = now() - interval '1 second' WHERE id = $1", user.id)
    assert (await change(browser)).status_code == 200
    row = await world.database.fetchrow("SELECT failed_login_count, locked_until FROM users WHERE id = $1", user.id)
    assert tuple(row) == (0, None)


async def test_of_changes_at_once_one_wins(world: World) -> None:
    browser, user = await signed_in(world)
    answers = await asyncio.gather(*(change(browser, PASSWORD, f"horse battery {n}") for n in range(3)))
    assert sorted(answer.status_code for answer in answers)[0] == 200
    assert {answer.status_code for answer in answers} <= {200, 403, 409}
    won = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    assert await logs_in(world, user.email, f"horse battery {won[0]}")


async def test_who_has_no_password_is_told_so(world: World) -> None:
    for path in PATHS:
        body = {"current_password": "", "new_password": NEW}
        answer = await world.rest(world.member, "POST", path, body, workspace=None)
        assert (answer.status_code, answer.json()["error"]) == (400, WITHOUT)


async def test_rest_names_no_field_of_a_wrong_password(world: World) -> None:
    browser, _ = await signed_in(world)
    answer = await change(browser, "wrong", NEW)
    assert (answer.status_code, "fields" in answer.json()) == (403, False)


async def test_by_graphql(world: World) -> None:
    browser, user = await signed_in(world)
    document = "mutation($in: ChangePasswordInput!) { changePassword(input: $in) { success } }"
    cases = (
        ("wrong", NEW, "FORBIDDEN", ["currentPassword"]),
        (PASSWORD, "short", "BAD_REQUEST", ["newPassword"]),
        (PASSWORD, NEW, None, []),
    )
    for current, new, outcome, fields in cases:
        variables = {"in": {"currentPassword": current, "newPassword": new}}
        answer = (await browser.send("POST", "/graphql", json={"query": document, "variables": variables})).json()
        told = answer.get("errors", [{"extensions": {"code": None}}])[0]["extensions"]
        assert (told["code"], list(told.get("fields", {}))) == (outcome, fields)
    assert await logs_in(world, user.email, NEW)


async def test_no_connection_waits_for_a_hash(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is hashed inside a transaction."""
    browser, _ = await signed_in(world)
    verify, held = Passwords.verify, list[int]()

    async def watched(self: Passwords, *given: Any) -> Any:
        held.append(
            await world.database.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in tr%'"
            )
        )
        return await verify(self, *given)

    monkeypatch.setattr(Passwords, "verify", watched)
    assert (await change(browser)).status_code == 200
    assert held == [0]
