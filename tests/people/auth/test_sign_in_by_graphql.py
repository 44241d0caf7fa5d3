"""Signing in and out over GraphQL: the operations of the REST routes, with their cookies and their limits."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from tests.people.auth.browsers import CLEARED, CSRF, DEVICE, PASSWORD, Browser, new_user, set_cookies, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio

PATH = "/api/auth/graphql"
TOKEN = "{ csrfToken { csrfToken } }"
SIGN_IN = "mutation ($in: LogInInput!) { signIn(input: $in) { ok url status error passkeyRequired } }"
SIGN_OUT = "mutation { signOut { url } }"
REFRESH = "mutation { refreshSession { ok expires } }"
FAILED = {
    "ok": False,
    "url": "/api/auth/error?error=CredentialsSignin",
    "status": None,
    "error": "CredentialsSignin",
    "passkeyRequired": None,
}


async def ask(browser: Browser, query: str, path: str = PATH, headers: Any = None, **variables: Any) -> Any:
    return await browser.send("POST", path, json={"query": query, "variables": variables}, headers=headers)


async def token(browser: Browser) -> str:
    return str((await ask(browser, TOKEN)).json()["data"]["csrfToken"]["csrfToken"])


async def sign_in(browser: Browser, email: str, password: str = PASSWORD, **more: str) -> Any:
    given = {"email": email, "password": password, "csrfToken": await token(browser)} | more
    return await ask(browser, SIGN_IN, **{"in": given})


def without_values(answer: Any) -> list[str]:
    return [re.sub("=[^;]+", "=", text, count=1) for text in set_cookies(answer)]


@pytest.mark.parametrize("https", [False, True])
async def test_the_cookies_are_those_of_the_routes(world: World, https: bool) -> None:
    by_rest, by_graph = Browser(world.url, https), Browser(world.url, https)
    user = await new_user(world)
    routes, fields = (
        [
            await by_rest.send("GET", "/api/auth/csrf"),
            await by_rest.log_in(user.email),
            await by_rest.send("POST", "/api/auth/token/refresh"),
            await by_rest.send("POST", "/api/auth/signout"),
        ],
        [
            await ask(by_graph, TOKEN),
            await sign_in(by_graph, user.email),
            await ask(by_graph, REFRESH),
            await ask(by_graph, SIGN_OUT),
        ],
    )
    assert [len(set_cookies(route)) for route in routes] == [1, 3, 2, 4]
    assert [without_values(field) for field in fields] == [without_values(route) for route in routes]
    assert fields[1].json()["data"]["signIn"] == FAILED | {"ok": True, "url": "/", "status": 200, "error": None}
    assert fields[2].json()["data"]["refreshSession"]["ok"] is True
    assert fields[3].json()["data"] == {"signOut": {"url": "/login"}}
    assert set(set_cookies(fields[3])) == CLEARED
    ended = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_reason = 'logout'"
    assert await world.database.fetchval(ended, user.id) == 2
    audited = "SELECT action FROM security_logs WHERE user_id = $1"
    actions = [row["action"] for row in await world.database.fetch(audited, user.id)]
    assert sorted(actions) == sorted(2 * ["session.opened", "session.closed"])


async def test_the_session_is_good_and_the_answer_goes_on_within_this_origin(world: World) -> None:
    user, browser = await new_user(world), Browser(world.url)
    assert (await sign_in(browser, user.email, callbackUrl="/console")).json()["data"]["signIn"]["url"] == "/console"
    assert (await ask(browser, "{ viewer { id } }", "/graphql")).json()["data"] == {"viewer": {"id": user.id}}
    away = await sign_in(browser, user.email, callbackUrl="//evil.example")
    assert away.json()["data"]["signIn"]["url"] == "/"


async def test_wrong_unknown_and_locked_look_the_same(world: World) -> None:
    user = await new_user(world)
    locked = await new_user(world, locked_until=datetime(2100, 1, 1, tzinfo=UTC), failed_login_count=10)
    for email, password in ((user.email, "wrong"), ("nobody@example.com", PASSWORD), (locked.email, PASSWORD)):
        answer = await sign_in(Browser(world.url), email, password)
        assert (answer.status_code, answer.json()["data"]["signIn"], set_cookies(answer)) == (200, FAILED, [])
    assert await world.database.fetchval("SELECT failed_login_count FROM users WHERE id = $1", user.id) == 1


@pytest.mark.parametrize("sent", ["", "0" * 64])
async def test_another_csrf_token_than_the_cookie_signs_nobody_in(world: World, sent: str) -> None:
    user, browser = await new_user(world), Browser(world.url)
    await token(browser)
    answer = await ask(browser, SIGN_IN, **{"in": {"email": user.email, "password": PASSWORD, "csrfToken": sent}})
    assert answer.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert set_cookies(answer) == []
    assert CSRF in browser.cookies


async def test_a_browser_that_signed_in_before_is_known_again(world: World) -> None:
    browser, user = await signed_in(world)
    before = browser.cookies[DEVICE]
    locked = "UPDATE users SET locked_until = now() + interval '1 hour', failed_login_count = 10 WHERE id = $1"
    await world.database.execute(locked, user.id)
    assert (await sign_in(browser, user.email)).json()["data"]["signIn"]["ok"] is True
    assert browser.cookies[DEVICE] != before
    assert (await sign_in(Browser(world.url), user.email)).json()["data"]["signIn"] == FAILED


async def test_a_refresh_token_that_was_used_ends_the_session_and_clears_the_cookies(world: World) -> None:
    browser, _ = await signed_in(world)
    stolen = Browser(world.url, cookies=dict(browser.cookies))
    assert (await ask(browser, REFRESH)).json()["data"]["refreshSession"]["ok"] is True
    again = await ask(stolen, REFRESH)
    assert again.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED", "reason": "session_revoked"}
    assert set(set_cookies(again)) == CLEARED
    assert (await ask(Browser(world.url), REFRESH)).json()["errors"][0]["extensions"]["reason"] == "session_expired"


async def test_nothing_else_than_a_post_is_offered_there(world: World) -> None:
    browser = Browser(world.url)
    for method in ("GET", "PUT", "DELETE"):
        assert (await browser.send(method, f"{PATH}?query={TOKEN}")).status_code == 404
    form = await browser.send("POST", PATH, data={"query": TOKEN})
    assert form.status_code == 415


# ---- guesses ---------------------------------------------------------------------------------------------------------


def guesses(email: str, csrf: str, count: int) -> tuple[str, dict[str, Any]]:
    """One document with many wrong passwords."""
    names = [f"in{number}" for number in range(count)]
    fields = " ".join(f"g{name}: signIn(input: ${name}) {{ ok error }}" for name in names)
    given = {name: {"email": email, "password": f"guess {name}", "csrfToken": csrf} for name in names}
    return f"mutation ({', '.join(f'${name}: LogInInput!' for name in names)}) {{ {fields} }}", given


async def test_guesses_of_one_document_lock_the_account(world: World) -> None:
    user, browser = await new_user(world), Browser(world.url)
    document, given = guesses(user.email, await token(browser), 12)
    answer = (await ask(browser, document, **given)).json()
    assert [one["ok"] for one in answer["data"].values()] == [False] * 12
    row = await world.database.fetchrow("SELECT failed_login_count, locked_until FROM users WHERE id = $1", user.id)
    assert (row["failed_login_count"], row["locked_until"] is not None) == (10, True)
    assert (await sign_in(browser, user.email)).json()["data"]["signIn"] == FAILED


async def test_a_batch_of_documents_is_refused(world: World) -> None:
    answer = await Browser(world.url).send("POST", PATH, json=[{"query": TOKEN}, {"query": TOKEN}])
    assert answer.status_code == 400


async def test_nothing_that_was_typed_is_logged_or_audited(world: World) -> None:
    user, browser = await new_user(world), Browser(world.url)
    with capture_logs() as logs:
        await sign_in(browser, user.email, "a password nobody may read")
        await sign_in(browser, user.email)
        await ask(browser, SIGN_IN, **{"in": {"email": user.email, "password": "another one unread", "csrfToken": "x"}})
    audited = "SELECT row_to_json(a)::text AS text FROM security_logs a WHERE user_id = $1"
    rows = await world.database.fetch(audited, user.id)
    assert len(rows) == 2
    written = json.dumps(logs, default=str) + " ".join(row["text"] for row in rows)
    for secret in ("nobody may read", "one unread", PASSWORD, *browser.cookies.values()):
        assert secret not in written


# ---- transports that set no cookies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [TOKEN, SIGN_IN, SIGN_OUT, REFRESH])
async def test_a_websocket_signs_nobody_in_or_out(world: World, query: str) -> None:
    browser, user = await signed_in(world)
    given = {"in": {"email": user.email, "password": PASSWORD, "csrfToken": "x"}} if query is SIGN_IN else {}
    headers = {"cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    url = world.url.replace("http", "ws") + "/graphql"
    async with connect(url, subprotocols=["graphql-transport-ws"], additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        payload = {"query": query, "variables": given}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        said = json.loads(await socket.recv())
    (error,) = said["payload"]["errors"]
    assert (error["extensions"]["code"], "cookies" in error["message"]) == ("BAD_REQUEST", True)
    alive = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
    assert await world.database.fetchval(alive, user.id) == 1
