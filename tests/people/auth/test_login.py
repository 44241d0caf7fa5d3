"""Logging in: the csrf token, both forms of the request and of the answer, the lockout, and the hashes of passwords."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pwdlib.hashers.bcrypt import BcryptHasher

from resolvers.instance.passwords import Verification
from resolvers.instance.running import instance
from resolvers.people.auth.login import local_path
from tests.every import each_of
from tests.people.auth.browsers import ACCESS, CSRF, PASSWORD, SECURE_ACCESS, Browser, new_user, set_cookies
from tests.world import World

pytestmark = pytest.mark.anyio

LOGIN = "/api/auth/callback/credentials"
FAILED = {"error": "CredentialsSignin", "ok": False, "url": "/api/auth/error?error=CredentialsSignin"}


@pytest.mark.parametrize(
    ("https", "name", "secure"), [(False, "authjs.csrf-token", ""), (True, "__Host-authjs.csrf-token", "; Secure")]
)
async def test_the_csrf_token_is_new_each_time_and_set_as_a_cookie(
    world: World, https: bool, name: str, secure: str
) -> None:
    tokens = set()
    for _ in range(2):
        answer = await Browser(world.url, https).send("GET", "/api/auth/csrf")
        token = answer.json()["csrfToken"]
        assert (answer.status_code, answer.json()) == (200, {"csrfToken": token})
        assert re.fullmatch("[0-9a-f]{64}", token)
        assert set_cookies(answer) == [f"{name}={token}; Path=/; HttpOnly; SameSite=Lax{secure}"]
        tokens.add(token)
    assert len(tokens) == 2


async def test_email_and_password_are_the_one_provider(world: World) -> None:
    answer = await world.rest(None, "GET", "/api/auth/providers", workspace=None)
    path = "/api/auth/callback/credentials"
    assert answer.json() == {
        "credentials": {
            "id": "credentials",
            "name": "Credentials",
            "type": "credentials",
            "signinUrl": path,
            "callbackUrl": path,
        }
    }


@pytest.mark.parametrize(("https", "prefix", "secure"), [(False, "", ""), (True, "__Secure-", "; Secure")])
async def test_a_login_sets_the_cookies_of_a_session_of_thirty_days_and_of_the_browser(
    world: World, https: bool, prefix: str, secure: str
) -> None:
    user, browser = await new_user(world), Browser(world.url, https)
    body = {
        "email": user.email,
        "password": PASSWORD,
        "csrfToken": await browser.csrf(),
        "redirect": "false",
        "json": "true",
    }
    answer = await browser.send("POST", LOGIN, json=body, headers={"user-agent": "x" * 300})
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "url": "/", "status": 200})
    assert [re.sub("=[^;]+", "=", text, count=1) for text in set_cookies(answer)] == [
        f"{prefix}authjs.session-token=; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax{secure}",
        f"{prefix}authjs.refresh-token=; Path=/api/auth/; Max-Age=2592000; HttpOnly; SameSite=Lax{secure}",
        f"{prefix}crewship.device=; Path=/api/auth/; Max-Age=15552000; HttpOnly; SameSite=Lax{secure}",
    ]
    (row,) = await world.database.fetch("SELECT * FROM sessions WHERE user_id = $1", user.id)
    assert re.fullmatch("s_[0-9a-f]{64}", row["id"])
    assert row["expires_at"] - row["created_at"] == timedelta(days=30)
    assert (row["user_agent"], row["ip"], row["revoked_at"]) == ("x" * 250, "127.0.0.1", None)
    assert re.fullmatch("[0-9a-f]{32}", row["current_refresh_jti"])
    assert abs(row["created_at"] - datetime.now(UTC)) < timedelta(seconds=30)


@each_of(
    ("callback", "goes"),
    [
        (None, "/"),
        ("/crews?tab=1#top", "/crews?tab=1#top"),
        ("/", "/"),
        ("/ä b", "/%C3%A4%20b"),
        ("", "/"),
        ("crews", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/x\\y", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
    ],
)
async def test_a_form_is_sent_on_to_a_path_of_this_origin_only(world: World, callback: str | None, goes: str) -> None:
    user, browser = await new_user(world), Browser(world.url)
    form = {"email": user.email, "password": PASSWORD, "csrfToken": await browser.csrf()} | (
        {} if callback is None else {"callbackUrl": callback}
    )
    answer = await browser.send("POST", LOGIN, data=form)
    assert (answer.status_code, answer.headers["location"], len(set_cookies(answer))) == (302, goes, 3)


@pytest.mark.parametrize("path", ["/%2F/evil.example", "/a//b", "/@evil.example"])
def test_what_browsers_take_for_a_path_is_a_path(path: str) -> None:
    assert local_path(path) == path


async def test_a_callback_in_the_query_counts_and_one_in_json_does_not(world: World) -> None:
    user, browser = await new_user(world), Browser(world.url)
    body = {"email": user.email, "password": PASSWORD, "csrfToken": await browser.csrf(), "callbackUrl": "/body"}
    assert (await browser.send("POST", LOGIN, json=body)).json()["url"] == "/"
    assert (await browser.send("POST", f"{LOGIN}?callbackUrl=/query", json=body)).json()["url"] == "/query"
    assert (await browser.send("POST", f"{LOGIN}?callbackUrl=/query", data=body)).headers["location"] == "/body"


@pytest.mark.parametrize(
    ("query", "extra"),
    [("?redirect=false", {}), ("?json=true", {}), ("", {"redirect": "false"}), ("", {"json": "true"})],
)
async def test_a_form_may_ask_for_json(world: World, query: str, extra: dict[str, str]) -> None:
    user, browser = await new_user(world), Browser(world.url)
    form = {"email": user.email, "csrfToken": await browser.csrf()} | extra
    assert (await browser.send("POST", LOGIN + query, data=form | {"password": "wrong"})).json() == FAILED
    assert (await browser.send("POST", LOGIN + query, data=form | {"password": PASSWORD})).json() == {
        "ok": True,
        "url": "/",
        "status": 200,
    }


@pytest.mark.parametrize(
    "media", ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"]
)
async def test_json_is_read_whatever_the_header_says(world: World, media: str) -> None:
    user, browser = await new_user(world), Browser(world.url)
    body = f'{{"email": "{user.email}", "password": "{PASSWORD}", "csrfToken": "{await browser.csrf()}"}}'
    assert (await browser.send("POST", LOGIN, content=body, headers={"content-type": media})).json()["ok"] is True


async def test_wrong_empty_unknown_and_locked_look_the_same(world: World) -> None:
    user = await new_user(world)
    locked = await new_user(world, locked_until=datetime.now(UTC) + timedelta(minutes=1), failed_login_count=10)
    without = await new_user(world, password_hash=None)
    browser = Browser(world.url)
    attempts: list[dict[str, Any]] = [
        {"email": user.email, "password": "wrong"},
        {"email": user.email, "password": ""},
        {"email": user.email},
        {"email": user.email, "password": "x" * 100},
        {"email": user.email.upper(), "password": PASSWORD},
        {"email": "nobody@nowhere.example", "password": PASSWORD},
        {},
        {"email": locked.email, "password": PASSWORD},
        {"email": without.email, "password": ""},
    ]
    for attempt in attempts:
        answer = await browser.send("POST", LOGIN, json=attempt | {"csrfToken": await browser.csrf()})
        assert (answer.status_code, answer.json(), set_cookies(answer)) == (200, FAILED, [])
        answer = await browser.send("POST", LOGIN, data=attempt | {"csrfToken": await browser.csrf()})
        assert (answer.status_code, answer.headers["location"], set_cookies(answer)) == (
            302,
            "/login?error=CredentialsSignin",
            [],
        )
    assert (
        await world.database.fetchval(
            "SELECT count(*) FROM sessions WHERE user_id = ANY ($1)", [user.id, locked.id, without.id]
        )
        == 0
    )


@pytest.mark.parametrize("email", ["known", "unknown@nowhere.example", "locked"])
async def test_every_attempt_costs_one_hash(world: World, email: str, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await new_user(world, locked_until=datetime.now(UTC) + timedelta(minutes=1) if email == "locked" else None)
    real, hashes = instance.passwords._verify, []

    def counted(password: bytes, stored: str | None) -> Verification:
        hashes.append(stored)
        return real(password, stored)

    monkeypatch.setattr(instance.passwords, "_verify", counted)
    await Browser(world.url).log_in(email if "@" in email else user.email, "wrong")
    assert len(hashes) == 1


@each_of(("cookie", "sent"), [(False, "same"), (True, "x" * 64), (True, ""), (True, None), (True, "ä")])
async def test_the_csrf_token_has_to_be_the_cookie(world: World, cookie: bool, sent: str | None) -> None:
    user, browser = await new_user(world), Browser(world.url)
    token = await browser.csrf()
    if not cookie:
        browser.cookies.clear()
    before = await world.snapshot()
    body = {"email": user.email, "password": PASSWORD} | (
        {} if sent is None else {"csrfToken": token if sent == "same" else sent}
    )
    for content in ({"json": body}, {"data": body}):
        answer = await browser.send("POST", LOGIN, **content)
        assert (answer.status_code, set_cookies(answer)) == (403, [])
    assert await world.snapshot() == before


async def test_an_empty_csrf_cookie_equals_nothing(world: World) -> None:
    user = await new_user(world)
    answer = await Browser(world.url).send(
        "POST", LOGIN, json={"email": user.email, "password": PASSWORD, "csrfToken": ""}, headers={"cookie": f"{CSRF}="}
    )
    assert answer.status_code == 403


async def test_the_command_line_sends_the_plain_csrf_cookie_on_https_too(world: World) -> None:
    user, browser = await new_user(world), Browser(world.url, https=True)
    token = await browser.csrf()
    browser.cookies = {CSRF: token}
    answer = await browser.send(
        "POST",
        LOGIN,
        json={"email": user.email, "password": PASSWORD, "csrfToken": token, "redirect": "false", "json": "true"},
    )
    assert answer.json()["ok"] is True
    assert SECURE_ACCESS in browser.cookies


@each_of(
    ("media", "content"),
    [
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/json", b"[]"),
        ("application/json", b'"x"'),
        ("application/json", b'{"email": 1}'),
        ("application/json", b'{"email": "\\ud800"}'),
        ("application/x-www-form-urlencoded", b"email=%ff"),
        ("application/x-www-form-urlencoded", b"\xff"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=" % n for n in range(200))),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\na\r\n--x--\r\n',
        ),
        ("application/json", b'{"email": "' + b"x" * 16 * 1024 + b'"}'),
        ("application/x-www-form-urlencoded", b"email=" + b"x" * 16 * 1024),
    ],
)
async def test_a_body_that_cannot_be_read_or_is_too_long_is_refused(world: World, media: str, content: bytes) -> None:
    browser = Browser(world.url)
    await browser.csrf()
    answer = await browser.send("POST", LOGIN, content=content, headers={"content-type": media})
    assert (answer.status_code, set_cookies(answer)) == (400, [])


# ---- the lockout -----------------------------------------------------------------------------------------------------


async def _state(world: World, user_id: str) -> tuple[int, datetime | None]:
    row = await world.database.fetchrow("SELECT failed_login_count, locked_until FROM users WHERE id = $1", user_id)
    return row[0], row[1]


async def test_ten_wrong_passwords_in_a_row_lock_the_account_for_five_minutes(world: World) -> None:
    user, browser = await new_user(world), Browser(world.url)
    for attempt in range(1, 10):
        await browser.log_in(user.email, "wrong")
        assert await _state(world, user.id) == (attempt, None)
    assert (await browser.log_in(user.email)).json()["ok"] is True
    assert await _state(world, user.id) == (0, None)
    browser = Browser(world.url)  # one that has not signed in before
    for _ in range(10):
        await browser.log_in(user.email, "wrong")
    count, until = await _state(world, user.id)
    assert count == 10
    assert until is not None
    assert timedelta(minutes=4, seconds=30) < until - datetime.now(UTC) <= timedelta(minutes=5)
    for password in (PASSWORD, "wrong"):
        assert (await browser.log_in(user.email, password)).json() == FAILED
    assert await _state(world, user.id) == (10, until)


async def test_a_lock_that_is_over_resets_the_count(world: World) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    wrong, right = (
        await new_user(world, failed_login_count=10, locked_until=past),
        await new_user(world, failed_login_count=10, locked_until=past),
    )
    browser = Browser(world.url)
    await browser.log_in(wrong.email, "wrong")
    assert await _state(world, wrong.id) == (1, None)
    assert (await browser.log_in(right.email)).json()["ok"] is True
    assert await _state(world, right.id) == (0, None)


async def test_wrong_passwords_at_once_are_all_counted_and_a_right_one_behind_them_is_locked_out(world: World) -> None:
    user = await new_user(world)
    await asyncio.gather(*[Browser(world.url).log_in(user.email, "wrong") for _ in range(15)])
    count, until = await _state(world, user.id)
    assert count == 10
    assert until is not None
    assert (await Browser(world.url).log_in(user.email)).json() == FAILED


# ---- hashes ----------------------------------------------------------------------------------------------------------


async def test_a_bcrypt_hash_is_accepted_and_replaced_also_by_logins_at_once(world: World) -> None:
    user = await new_user(world, password_hash=BcryptHasher(rounds=4).hash(PASSWORD))
    assert (await Browser(world.url).log_in(user.email, "wrong")).json() == FAILED
    answers = await asyncio.gather(*[Browser(world.url).log_in(user.email) for _ in range(8)])
    assert [answer.json()["ok"] for answer in answers] == [True] * 8
    stored = await world.database.fetchval("SELECT password_hash FROM users WHERE id = $1", user.id)
    assert stored.startswith("$argon2id$")
    assert (await Browser(world.url).log_in(user.email)).json()["ok"] is True
    assert await world.database.fetchval("SELECT password_hash FROM users WHERE id = $1", user.id) == stored


async def test_a_password_that_is_changed_while_the_old_one_is_checked_lets_nobody_in_with_the_old(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, other = await new_user(world), await instance.passwords.hash("another password")
    real, calls = instance.passwords.verify, []

    async def verify(password: str, stored: str | None, client: str | None) -> Verification:
        checked = await real(password, stored, client)
        calls.append(checked.ok)
        await world.database.execute("UPDATE users SET password_hash = $1 WHERE id = $2", other, user.id)
        return checked

    monkeypatch.setattr(instance.passwords, "verify", verify)
    answer = await Browser(world.url).log_in(user.email)
    assert (answer.json(), calls) == (FAILED, [True, False])
    assert await _state(world, user.id) == (1, None)
    assert await world.database.fetchval("SELECT count(*) FROM sessions WHERE user_id = $1", user.id) == 0


# ---- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "goes"),
    [
        ("", "/login?callbackUrl=%2F"),
        ("?callbackUrl=/crews?a=b%26c", "/login?callbackUrl=%2Fcrews%3Fa%3Db%26c"),
        ("?callbackUrl=//x.example", "/login?callbackUrl=%2F"),
    ],
)
async def test_the_signin_page_is_elsewhere(world: World, query: str, goes: str) -> None:
    answer = await Browser(world.url).send("GET", f"/api/auth/signin{query}")
    assert (answer.status_code, answer.headers["location"]) == (302, goes)


async def test_an_error_is_json_for_programs_and_the_login_page_for_browsers(world: World) -> None:
    browser = Browser(world.url)
    answer = await browser.send("GET", "/api/auth/error?error=A%26B")
    assert (answer.status_code, answer.json()) == (200, {"error": "A&B", "message": "Authentication error: A&B"})
    assert (await browser.send("GET", "/api/auth/error")).json() == {
        "error": "Default",
        "message": "Authentication error: Default",
    }
    answer = await browser.send(
        "GET", "/api/auth/error?error=A%26B", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    )
    assert (answer.status_code, answer.headers["location"]) == (302, "/login?error=A%26B")


async def test_the_login_answers_posts_only(world: World) -> None:
    answer = await Browser(world.url).send("GET", LOGIN)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_the_cookie_is_a_credential(world: World) -> None:
    user, browser = await new_user(world), Browser(world.url)
    await browser.log_in(user.email)
    for headers in (
        {},
        {"cookie": "", "authorization": f"Bearer {browser.access}"},
        {"cookie": f"{SECURE_ACCESS}={browser.cookies[ACCESS]}"},
    ):
        answer = await browser.send("GET", "/api/v1/auth/cli-token/validate", headers=headers)
        assert answer.json() == {"valid": True, "user_id": user.id, "user_email": user.email}
