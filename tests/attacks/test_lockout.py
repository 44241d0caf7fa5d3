"""Ten wrong passwords lock an account. Who uses that against its owner, or to learn which accounts there are?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resolvers.instance.crypto import digest
from resolvers.instance.passwords import Passwords
from resolvers.instance.running import instance
from resolvers.kernel.writing.context import Context
from tests.every import each_of
from tests.people.auth.browsers import DEVICE, PASSWORD, Browser, new_user, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
FAILED = {"error": "CredentialsSignin", "ok": False, "url": "/api/auth/error?error=CredentialsSignin"}


async def lock(world: World, email: str, cookies: dict[str, str] | None = None) -> None:
    """What a stranger does. `cookies`: those of a browser."""
    for _ in range(instance.settings.lockout_failures):
        assert (await Browser(world.url, False, dict(cookies or {})).log_in(email, "wrong")).json() == FAILED


def known_by(browser: Browser) -> dict[str, str]:
    """The browser after its session has ended: with nothing left but its device cookie."""
    return {name: value for name, value in browser.cookies.items() if name.endswith(DEVICE)}


@pytest.mark.parametrize("https", [False, True])
async def test_strangers_lock_out_no_browser_that_signed_in_before(world: World, https: bool) -> None:
    browser, user = await signed_in(world, https)
    assert (await browser.send("POST", "/api/auth/signout")).status_code == 200
    assert len(known_by(browser)) == 1, "signing out leaves the device cookie"
    await lock(world, user.email)
    assert (await Browser(world.url).log_in(user.email)).json() == FAILED, "a new browser waits"
    assert (await browser.log_in(user.email)).json()["ok"] is True
    assert (await Browser(world.url).log_in(user.email)).json() == FAILED, "and goes on waiting"


async def test_such_a_browser_has_a_count_and_a_lock_of_its_own(world: World) -> None:
    browser, user = await signed_in(world)
    device = known_by(browser)
    await lock(world, user.email, device)
    assert (await Browser(world.url, False, dict(device)).log_in(user.email)).json() == FAILED
    assert await world.database.fetchval("SELECT failed_login_count FROM users WHERE id = $1", user.id) == 0
    assert (await Browser(world.url).log_in(user.email)).json()["ok"] is True, "others are not locked out by it"
    await world.database.execute(
        "UPDATE sign_in_devices SET locked_until = now() - interval '1 second' WHERE user_id = $1", user.id
    )
    assert (await Browser(world.url, False, dict(device)).log_in(user.email)).json()["ok"] is True


async def test_the_cookie_changes_with_each_sign_in(world: World) -> None:
    browser, user = await signed_in(world)
    first = known_by(browser)
    assert (await browser.log_in(user.email)).json()["ok"] is True
    assert known_by(browser) != first
    rows = await world.database.fetch("SELECT cookie_hash FROM sign_in_devices WHERE user_id = $1", user.id)
    assert [row["cookie_hash"] for row in rows] == [digest(known_by(browser)[DEVICE])], (
        "one row a browser, and no value in it"
    )
    await lock(world, user.email)
    assert (await Browser(world.url, False, first).log_in(user.email)).json() == FAILED
    assert (await Browser(world.url, False, known_by(browser)).log_in(user.email)).json()["ok"] is True


async def test_a_device_is_of_one_account_and_one_password_and_does_not_last_for_ever(world: World) -> None:
    browser, user = await signed_in(world)
    other = await new_user(world)
    await lock(world, other.email)
    assert (await Browser(world.url, False, known_by(browser)).log_in(other.email)).json() == FAILED
    await lock(world, user.email)
    await world.database.execute(
        "UPDATE sign_in_devices SET used_at = now() - interval '181 days' WHERE user_id = $1", user.id
    )
    assert (await Browser(world.url, False, known_by(browser)).log_in(user.email)).json() == FAILED
    await world.database.execute("UPDATE sign_in_devices SET used_at = now() WHERE user_id = $1", user.id)
    await world.database.execute(
        "UPDATE users SET password_hash = $1 WHERE id = $2", await instance.passwords.hash("another password"), user.id
    )
    assert (await Browser(world.url, False, known_by(browser)).log_in(user.email, "another password")).json() == FAILED


@each_of("value", ["", "a", "0" * 64, '%C3%A9;junk="1"', "x" * 5000])
async def test_a_made_up_cookie_is_worth_nothing(world: World, value: str) -> None:
    user = await new_user(world, failed_login_count=10, locked_until=datetime.now(UTC) + timedelta(minutes=5))
    assert (await Browser(world.url, False, {DEVICE: value}).log_in(user.email)).json() == FAILED


async def test_sessions_and_tokens_go_on_while_their_account_is_locked(world: World) -> None:
    browser, user = await signed_in(world)
    token = (await browser.send("POST", "/api/v1/auth/cli-token", json={})).json()["token"]
    await lock(world, user.email)
    for headers in ({}, {"authorization": f"Bearer {token}"}):
        assert (await browser.send("GET", "/api/v1/auth/cli-token/validate", headers=headers)).status_code == 200


async def test_every_failure_has_one_answer_and_one_amount_of_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password, an unknown email, a locked account: as many statements, hashes and commits on disk."""

    user, locked = (
        await new_user(world),
        await new_user(world, failed_login_count=10, locked_until=datetime.now(UTC) + timedelta(hours=1)),
    )
    sent: list[str] = []
    send, verify, commit = Context._send, Passwords.verify, Context.commit

    async def counted(self: Context, sql: str, *arguments: Any, **named: Any) -> Any:
        sent.append(sql.split()[0] + ("!" if named.get("begins", True) else ""))
        return await send(self, sql, *arguments, **named)

    async def hashed(self: Passwords, *arguments: Any) -> Any:
        sent.append("hash")
        return await verify(self, *arguments)

    async def committed(self: Context) -> None:
        if self.begun:
            sent.append(
                "commit"
                if await self.conn.fetchval("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
                else "empty commit"
            )
        await commit(self)

    monkeypatch.setattr(Context, "_send", counted)
    monkeypatch.setattr(Passwords, "verify", hashed)
    monkeypatch.setattr(Context, "commit", committed)
    work = []
    for email, password in (
        (user.email, "wrong"),
        ("nobody-at-all@example.com", PASSWORD),
        (locked.email, "wrong"),
        (locked.email, PASSWORD),
    ):
        browser = Browser(world.url)
        body = {"email": email, "password": password, "csrfToken": await browser.csrf(), "redirect": "false"}
        sent.clear()
        answer = await browser.send("POST", "/api/auth/callback/credentials", json=body)
        assert (answer.status_code, answer.json()) == (200, FAILED)
        work.append([word.removesuffix("!") if word != "UPDATE!" else "SELECT" for word in sent])
    assert work[0].count("commit") == 1
    assert work == [work[0]] * 4
