"""Sessions: who is signed in, why a credential is refused, the rotation of refresh tokens, and the end of a session."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from models.people.auth import Session
from resolvers.instance.crypto import TokenKind, new_session_id
from resolvers.instance.running import instance
from tests.every import each_of
from tests.people.auth.browsers import (
    ACCESS,
    CLEARED,
    REFRESH,
    SECURE_ACCESS,
    SECURE_REFRESH,
    Browser,
    new_user,
    set_cookies,
    signed_in,
)
from tests.world import World

pytestmark = pytest.mark.anyio

SESSION, REFRESHED, OUT, WHO = (
    "/api/auth/session",
    "/api/auth/token/refresh",
    "/api/auth/signout",
    "/api/v1/auth/cli-token/validate",
)


async def row_of(world: World, user_id: str) -> dict[str, Any]:
    (row,) = await world.database.fetch("SELECT * FROM sessions WHERE user_id = $1", user_id)
    return dict(row)


async def change(world: World, user_id: str, sets: str) -> None:
    await world.database.execute(f"UPDATE sessions SET {sets} WHERE user_id = $1", user_id)


def token(
    kind: TokenKind,
    user_id: str,
    session_id: str | None,
    lifetime: timedelta = timedelta(days=1),
    now: float | None = None,
) -> str:
    return instance.signer.sign(kind, user_id=user_id, session_id=session_id, lifetime=lifetime, now=now)[0]


def refused(answer: httpx2.Response, reason: str) -> bool:
    header = answer.headers["www-authenticate"]
    return (answer.status_code, answer.json()["error"], header) == (401, reason, f'Bearer error="{reason}"')


# ---- GET /api/auth/session -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("https", [False, True])
async def test_the_session_tells_who_is_signed_in_and_until_when(world: World, https: bool) -> None:
    browser, user = await signed_in(world, https)
    answer = await browser.send("GET", SESSION)
    expires = answer.json()["expires"]
    shown = {"id": user.id, "name": user.full_name, "email": user.email, "avatar_url": None}
    assert answer.json() == {"user": shown, "expires": expires}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", expires)
    assert abs(datetime.fromisoformat(expires) - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    assert set_cookies(answer) == []


async def test_nobody_is_signed_in_without_the_cookie_of_the_scheme(world: World) -> None:
    browser, _ = await signed_in(world)
    bearer = {"cookie": "", "authorization": f"Bearer {browser.access}"}
    other_name = {"cookie": f"{SECURE_ACCESS}={browser.access}"}
    for headers in (bearer, other_name, {"cookie": f"{ACCESS}="}, {"cookie": f"{REFRESH}={browser.refresh}"}):
        answer = await browser.send("GET", SESSION, headers=headers)
        assert (answer.status_code, answer.json(), set_cookies(answer)) == (200, {}, [])


@each_of("fault", ["revoked", "ended", "gone", "another user's", "expired", "refresh token", "ticket", "junk", "null"])
async def test_a_session_that_is_no_longer_good_is_cleared(world: World, fault: str) -> None:
    browser, user = await signed_in(world)
    row = await row_of(world, user.id)
    bad = {
        "another user's": lambda: token(TokenKind.access, world.owner.user_id, row["id"]),
        "expired": lambda: token(
            TokenKind.access, user.id, row["id"], timedelta(minutes=1), now=instance.clock.seconds() - 70
        ),
        "refresh token": lambda: browser.refresh,
        "ticket": lambda: token(TokenKind.ws, user.id, row["id"]),
        "junk": lambda: "junk",
        "null": lambda: "null",
    }
    if fault in bad:
        browser.cookies[ACCESS] = bad[fault]()
    elif fault == "gone":
        await world.database.execute("DELETE FROM sessions WHERE user_id = $1", user.id)
    else:
        await change(
            world, user.id, "revoked_at = now()" if fault == "revoked" else "expires_at = now() - interval '1 second'"
        )
    answer = await browser.send("GET", SESSION)
    assert (answer.status_code, answer.json(), set(set_cookies(answer))) == (200, {}, CLEARED)


# ---- why a credential is refused ------------------------------------------------------------------------------------


async def test_the_four_reasons(world: World) -> None:
    browser, user = await signed_in(world)
    row = await row_of(world, user.id)
    session_id, now = row["id"], instance.clock.seconds()
    gone = token(TokenKind.access, user.id, new_session_id())
    cases = {
        "no_credentials": [
            {},
            {"cookie": f"{ACCESS}="},
            {"authorization": "Basic eDp5"},
            {"authorization": f"bearer {browser.access}"},
            {"authorization": "Bearer"},
        ],
        "session_expired": [
            {"authorization": "Bearer " + token(TokenKind.access, user.id, session_id, timedelta(minutes=1), now - 66)}
        ],
        "session_revoked": [{"authorization": f"Bearer {gone}"}, {"cookie": f"{SECURE_ACCESS}={gone}"}],
        "session_invalid": [
            {"authorization": f"Bearer {value}"}
            for value in (
                "null",
                "undefined",
                "a.b.c",
                browser.access[:-2],
                browser.refresh,
                token(TokenKind.ws, user.id, session_id),
                "crewship_cli_" + "0" * 64,
                "crewship_cli_",
                "crewship_admin_" + "0" * 64,
                world.owner.token.replace("crewship_cli_", "crewship_admin_"),
                world.owner.token.upper(),
            )
        ]
        + [
            {"cookie": f"{ACCESS}=null"},
            {"cookie": f"{ACCESS}={browser.refresh}"},
            {"authorization": "Bearer null", "cookie": f"{ACCESS}={browser.access}"},
        ],
    }
    for reason, requests in cases.items():
        for headers in requests:
            answer = await Browser(world.url).send("GET", WHO, headers=headers)
            assert refused(answer, reason), (reason, headers, answer.text)
            assert set_cookies(answer) == []
    await change(world, user.id, "expires_at = now() - interval '1 second'")
    assert refused(await browser.send("GET", WHO), "session_expired")
    await change(world, user.id, "revoked_at = now()")
    assert refused(await browser.send("GET", WHO), "session_revoked")


async def test_a_token_is_good_for_five_seconds_after_its_end(world: World) -> None:
    browser, user = await signed_in(world)
    browser.cookies[ACCESS] = token(
        TokenKind.access,
        user.id,
        (await row_of(world, user.id))["id"],
        timedelta(minutes=1),
        instance.clock.seconds() - 62,
    )
    assert (await browser.send("GET", WHO)).status_code == 200


# ---- refreshing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("https", [False, True])
async def test_a_refresh_gives_new_cookies_and_the_old_token_ends_the_session(world: World, https: bool) -> None:
    browser, user = await signed_in(world, https)
    before, row = dict(browser.cookies), await row_of(world, user.id)
    answer = await browser.send("POST", REFRESHED)
    assert (answer.status_code, answer.json()["ok"], set(answer.json())) == (200, True, {"ok", "expires"})
    prefix, secure = ("__Secure-", "; Secure") if https else ("", "")
    assert [re.sub("=[^;]+", "=", text, count=1) for text in set_cookies(answer)] == [
        f"{prefix}authjs.session-token=; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax{secure}",
        f"{prefix}authjs.refresh-token=; Path=/api/auth/; Max-Age=2592000; HttpOnly; SameSite=Lax{secure}",
    ]
    assert all(browser.cookies[name] != before[name] for name in before if "csrf" not in name and "device" not in name)
    assert (await browser.send("GET", SESSION)).json()["expires"] == answer.json()["expires"]
    after = await row_of(world, user.id)
    assert after["current_refresh_jti"] not in (None, row["current_refresh_jti"])
    assert (after["id"], after["expires_at"], after["revoked_at"]) == (row["id"], row["expires_at"], None)
    replayed = await Browser(world.url, https, before).send("POST", REFRESHED)
    assert refused(replayed, "session_revoked")
    assert set(set_cookies(replayed)) == CLEARED
    row = await row_of(world, user.id)
    assert (row["revoked_reason"], row["revoked_at"] is not None) == ("rotation", True)
    assert refused(await browser.send("GET", WHO), "session_revoked")
    assert refused(await browser.send("POST", REFRESHED), "session_revoked")


async def test_the_tokens_of_a_refresh_do_not_outlive_the_session(world: World) -> None:
    browser, user = await signed_in(world)
    await change(world, user.id, "expires_at = now() + interval '1 hour'")
    expires = datetime.fromisoformat((await browser.send("POST", REFRESHED)).json()["expires"])
    end = (await row_of(world, user.id))["expires_at"]
    assert end - timedelta(seconds=3) <= expires <= end


async def test_a_session_that_knows_no_refresh_token_takes_any_of_its_own(world: World) -> None:
    browser, user = await signed_in(world)
    await change(world, user.id, "current_refresh_jti = NULL")
    assert (await browser.send("POST", REFRESHED)).status_code == 200
    assert (await row_of(world, user.id))["current_refresh_jti"] is not None


async def test_the_plain_refresh_cookie_is_read_on_https_too(world: World) -> None:
    browser, _ = await signed_in(world)
    browser.https = True
    assert (await browser.send("POST", REFRESHED)).status_code == 200
    assert {SECURE_ACCESS, SECURE_REFRESH} <= set(browser.cookies)


async def test_without_a_refresh_cookie_nothing_is_cleared(world: World) -> None:
    browser, _ = await signed_in(world)
    for cookie in (f"{ACCESS}={browser.access}", f"{REFRESH}=", ""):
        answer = await browser.send("POST", REFRESHED, headers={"cookie": cookie})
        assert refused(answer, "session_expired")
        assert set_cookies(answer) == []


@each_of(
    ("fault", "reason"),
    [
        ("junk", "session_expired"),
        ("access token", "session_expired"),
        ("expired", "session_expired"),
        ("ended", "session_expired"),
        ("revoked", "session_revoked"),
        ("revoked and ended", "session_revoked"),
        ("gone", "session_revoked"),
        ("user gone", "session_revoked"),
        ("another user's", "session_revoked"),
    ],
)
async def test_a_refresh_token_that_is_no_longer_good_is_cleared(world: World, fault: str, reason: str) -> None:
    browser, user = await signed_in(world)
    session_id = (await row_of(world, user.id))["id"]
    if fault in ("ended", "revoked", "revoked and ended"):
        sets = {"ended": "expires_at = now()", "revoked": "revoked_at = now()"}
        await change(world, user.id, sets.get(fault) or ", ".join(sets.values()))
    elif fault in ("gone", "user gone"):
        await world.database.execute(
            "DELETE FROM sessions WHERE user_id = $1" if fault == "gone" else "DELETE FROM users WHERE id = $1", user.id
        )
    else:
        browser.cookies[REFRESH] = {
            "junk": "junk",
            "access token": browser.access,
            "expired": token(
                TokenKind.refresh, user.id, session_id, timedelta(minutes=1), instance.clock.seconds() - 70
            ),
            "another user's": token(TokenKind.refresh, world.owner.user_id, session_id),
        }[fault]
    before = await world.snapshot()
    answer = await browser.send("POST", REFRESHED)
    assert refused(answer, reason)
    assert set(set_cookies(answer)) == CLEARED
    assert await world.snapshot() == before


async def test_of_refreshes_at_once_with_one_token_exactly_one_succeeds_and_the_session_ends(world: World) -> None:
    for _ in range(5):
        browser, user = await signed_in(world)
        answers = await asyncio.gather(
            *[Browser(world.url, cookies=dict(browser.cookies)).send("POST", REFRESHED) for _ in range(6)]
        )
        assert sorted(answer.status_code for answer in answers) == [200, *[401] * 5]
        assert all(refused(answer, "session_revoked") for answer in answers if answer.status_code == 401)
        row = await row_of(world, user.id)
        assert (row["revoked_reason"], row["revoked_at"] is not None) == ("rotation", True)


async def test_a_refresh_is_a_post(world: World) -> None:
    answer = await Browser(world.url).send("GET", REFRESHED)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


# ---- signing out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [(ACCESS, REFRESH), (ACCESS,), (REFRESH,)])
async def test_signing_out_ends_the_session_of_either_cookie(world: World, left: tuple[str, ...]) -> None:
    browser, user = await signed_in(world)
    kept = dict(browser.cookies)
    browser.cookies = {name: kept[name] for name in left}
    answer = await browser.send("POST", OUT)
    assert (answer.status_code, answer.json(), set(set_cookies(answer))) == (200, {"url": "/login"}, CLEARED)
    row = await row_of(world, user.id)
    assert (row["revoked_reason"], row["revoked_at"] is not None) == ("logout", True)
    assert refused(await Browser(world.url, cookies=kept).send("GET", WHO), "session_revoked")
    assert refused(await Browser(world.url, cookies=kept).send("POST", REFRESHED), "session_revoked")


async def test_a_session_cookie_that_says_nothing_leaves_it_to_the_refresh_cookie(world: World) -> None:
    browser, user = await signed_in(world)
    browser.cookies[ACCESS] = "junk"
    await browser.send("POST", OUT)
    assert (await row_of(world, user.id))["revoked_reason"] == "logout"


async def test_signing_out_is_fine_for_anybody_and_ends_nobody_elses_session(world: World) -> None:
    _, user = await signed_in(world)
    forged = {ACCESS: token(TokenKind.access, world.owner.user_id, (await row_of(world, user.id))["id"])}
    before = await world.snapshot()
    for cookies in ({}, {ACCESS: "junk", REFRESH: "junk"}, forged):
        answer = await Browser(world.url, cookies=cookies).send("POST", OUT)
        assert (answer.status_code, answer.json(), set(set_cookies(answer))) == (200, {"url": "/login"}, CLEARED)
    assert await world.snapshot() == before


# ---- the own sessions ------------------------------------------------------------------------------------------------


async def test_the_own_sessions_are_listed_last_used_first(world: World) -> None:
    browser, user = await signed_in(world)
    current = (await row_of(world, user.id))["id"]
    now = datetime.now(UTC)
    older, newer, revoked, expired = (
        Session(
            id=new_session_id(),
            user_id=user.id,
            expires_at=now + timedelta(days=days),
            last_used_at=now - timedelta(hours=hours),
            **more,
        )
        for days, hours, more in (
            (1, 2, {"user_agent": "Firefox", "ip": "203.0.113.7"}),
            (1, 1, {}),
            (1, 0, {"revoked_at": now}),
            (-1, 0, {}),
        )
    )
    await world.add(older, newer, revoked, expired)
    answer = (await browser.send("GET", "/api/v1/auth/sessions")).json()
    assert [one["id"] for one in answer] == [current, newer.id, older.id]
    assert [one["is_current"] for one in answer] == [True, False, False]
    assert set(answer[1]) == {"id", "created_at", "last_used_at", "is_current"}
    assert (answer[2]["user_agent"], answer[2]["ip"]) == ("Firefox", "203.0.113.7")
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one[key])
        for one in answer
        for key in ("created_at", "last_used_at")
    )
    bearer = await Browser(world.url).send(
        "GET", "/api/v1/auth/sessions", headers={"authorization": f"Bearer {browser.access}"}
    )
    assert [one["is_current"] for one in bearer.json()] == [True, False, False]


async def test_a_cli_token_is_no_session(world: World) -> None:
    user = await new_user(world)
    assert (await world.rest(world.member, "GET", "/api/v1/auth/sessions", workspace=None)).json() == []
    row = Session(id=new_session_id(), user_id=world.member.user_id, expires_at=datetime.now(UTC) + timedelta(days=1))
    await world.add(
        row, Session(id=new_session_id(), user_id=user.id, expires_at=datetime.now(UTC) + timedelta(days=1))
    )
    (one,) = (await world.rest(world.member, "GET", "/api/v1/auth/sessions", workspace=None)).json()
    assert (one["id"], one["is_current"]) == (row.id, False)
    answer = await world.rest(world.member, "POST", f"/api/v1/auth/sessions/{row.id}/revoke", workspace=None)
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "id": row.id, "is_current": False})


async def test_a_session_is_revoked_once_and_its_cookies_with_it(world: World) -> None:
    browser, user = await signed_in(world)
    second = Browser(world.url)
    await second.log_in(user.email)
    (mine, other) = [one["id"] for one in (await second.send("GET", "/api/v1/auth/sessions")).json()]
    path = f"/api/v1/auth/sessions/{other}/revoke"
    assert (await second.send("POST", path)).json() == {"ok": True, "id": other, "is_current": False}
    ended = await world.database.fetchrow("SELECT revoked_at, revoked_reason FROM sessions WHERE id = $1", other)
    assert ended["revoked_reason"] == "admin_force"
    assert refused(await browser.send("GET", WHO), "session_revoked")
    assert (await second.send("POST", path)).status_code == 200
    assert (
        await world.database.fetchrow("SELECT revoked_at, revoked_reason FROM sessions WHERE id = $1", other) == ended
    )
    answer = await second.send("POST", f"/api/v1/auth/sessions/{mine}/revoke")
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "id": mine, "is_current": True})
    assert refused(await second.send("GET", WHO), "session_revoked")


async def test_nobody_revokes_a_session_of_somebody_else(world: World) -> None:
    browser, _ = await signed_in(world)
    _, user = await signed_in(world)
    before = await world.snapshot()
    for id in ((await row_of(world, user.id))["id"], new_session_id(), "x"):
        answer = await browser.send("POST", f"/api/v1/auth/sessions/{id}/revoke")
        assert (answer.status_code, answer.json()["error"]) == (404, "Session not found")
    assert await world.snapshot() == before


@pytest.mark.slow
async def test_use_of_a_session_is_noted_at_most_once_a_minute(world: World) -> None:
    browser, user = await signed_in(world)
    await change(world, user.id, "last_used_at = now() - interval '61 seconds'")
    await browser.send("GET", WHO)
    for _ in range(100):
        if datetime.now(UTC) - (await row_of(world, user.id))["last_used_at"] < timedelta(seconds=30):
            break
        await asyncio.sleep(0.05)
    used = (await row_of(world, user.id))["last_used_at"]
    assert datetime.now(UTC) - used < timedelta(seconds=30)
    await browser.send("GET", WHO)
    await asyncio.sleep(1.2)
    assert (await row_of(world, user.id))["last_used_at"] == used


async def test_a_bearer_without_a_value_is_none(world: World) -> None:
    """The cookie is tried then, and without one nothing was sent at all (contract: auth.selection)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rsplit(":", 1)[1]))
    browser, _ = await signed_in(world)
    for cookie, status in (("", b"401"), (f"cookie: {ACCESS}={browser.access}\r\n", b"200")):
        writer.write(
            f"GET /api/v1/ws-token HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer \r\n{cookie}\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))  # type: ignore[index]
        assert head.split()[1] == status
        assert status == b"200" or b'"error":"no_credentials"' in body
    writer.close()
