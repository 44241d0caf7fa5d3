"""Signing in with a passkey: alone, and after the password."""

import asyncio
from typing import Any

import pytest

from resolvers.instance.running import instance
from tests.every import each_of
from tests.people.auth.browsers import PASSWORD, Browser, new_user
from tests.people.passkeys.authenticator import PRESENT, Authenticator, decoded
from tests.people.passkeys.pages import (
    NOT_ACCEPTED,
    REQUIRE,
    SIGN_IN,
    START_SIGN_IN,
    ask,
    data,
    refusal,
    registered,
    sign_in,
    sign_in_options,
)
from tests.world import World

pytestmark = pytest.mark.anyio
WHO = "{ viewer { id } }"


async def requiring(world: World) -> tuple[Any, Authenticator]:
    """Somebody who requires a passkey."""
    browser, user, authenticator = await registered(world)
    await data(browser, REQUIRE, required=True)
    return user, authenticator


async def is_signed_in(browser: Browser) -> bool:
    return bool((await browser.send("GET", "/api/auth/session")).json())


async def test_a_passkey_signs_in_without_a_name(world: World) -> None:
    _, user, authenticator = await registered(world)
    browser = Browser(world.url)
    csrf, asked = await sign_in_options(browser)
    assert (asked["rpId"], asked["userVerification"]) == ("crewship.example.com", "required")
    assert asked["allowCredentials"] == []
    made = await data(browser, SIGN_IN, csrfToken=csrf, credential=authenticator.get(asked))
    assert made == {"userId": user.id, "email": user.email}
    assert await data(browser, WHO) == {"id": user.id}
    row = await world.database.fetchrow("SELECT * FROM passkeys WHERE user_id = $1", user.id)
    assert (row["sign_count"], row["last_used_at"] is not None) == (1, True)


async def test_rest_signs_in_as_well(world: World) -> None:
    _, user, authenticator = await registered(world)
    browser = Browser(world.url, https=True)
    csrf, path = await browser.csrf(), "/api/v1/auth/passkeys/sign-in"
    asked = (await browser.send("POST", f"{path}/options", json={"csrf_token": csrf})).json()["options"]
    answer = await browser.send("POST", path, json={"csrf_token": csrf, "credential": authenticator.get(asked)})
    assert (answer.status_code, answer.json()) == (200, {"user_id": user.id, "email": user.email})
    assert "__Secure-authjs.session-token" in browser.cookies
    assert await is_signed_in(browser)


async def test_a_challenge_is_one_browsers_and_good_once(world: World) -> None:
    _, _, authenticator = await registered(world)
    browser, other = Browser(world.url), Browser(world.url)
    csrf, asked = await sign_in_options(browser)
    theirs, _ = await sign_in_options(other)
    credential = authenticator.get(asked)
    assert await refusal(other, SIGN_IN, csrfToken=theirs, credential=credential) == NOT_ACCEPTED
    assert (await refusal(other, SIGN_IN, csrfToken=csrf, credential=credential))[0] == "FORBIDDEN"
    tabs = [Browser(world.url, cookies=dict(browser.cookies)) for _ in range(5)]
    answers = await asyncio.gather(*(ask(tab, SIGN_IN, csrfToken=csrf, credential=credential) for tab in tabs))
    assert sorted("errors" in answer for answer in answers) == [False, True, True, True, True]
    assert (await refusal(browser, SIGN_IN, csrfToken=csrf, credential=credential))[0] == "FORBIDDEN"


async def test_an_old_challenge_is_none(world: World) -> None:
    _, _, authenticator = await registered(world)
    browser = Browser(world.url)
    csrf, asked = await sign_in_options(browser)
    old = "UPDATE passkey_challenges SET expires_at = now() WHERE challenge = $1"
    await world.database.execute(old, asked["challenge"])
    answer = await refusal(browser, SIGN_IN, csrfToken=csrf, credential=authenticator.get(asked))
    assert answer == ("FORBIDDEN", "The sign-in was not started in this browser, or has expired")


@pytest.mark.slow
@each_of(
    ("changes", "lies"),
    [
        ({"origin": "https://evil.example.com"}, {}),
        ({"origin": "http://crewship.example.com"}, {}),
        ({"rp_id": "evil.example.com"}, {}),
        ({"flags": PRESENT}, {}),
        ({"flags": 0}, {}),
        ({"handle": b"somebody"}, {}),
        ({"id": b"another"}, {}),
        ({}, {"challenge": "AAAA"}),
        ({}, {"says": "webauthn.create"}),
        ({}, {"signs": b"something else"}),
        ({}, {"rawId": "AAAA"}),
        ({}, {"rawId": "\u00e9"}),
        ({}, {"rawId": None}),
        ({}, {"response": None}),
        ({}, {"type": "password"}),
        ({}, {"response": {"clientDataJSON": "e30", "authenticatorData": "AAAA", "signature": "AAAA"}}),
    ],
)
async def test_what_proves_nothing_signs_nobody_in(world: World, changes: dict[str, Any], lies: dict[str, Any]) -> None:
    _, user, authenticator = await registered(world)
    for name, value in changes.items():
        setattr(authenticator, name, value)
    browser = Browser(world.url)
    error = (await sign_in(browser, authenticator, **lies))["errors"][0]
    assert (error["extensions"]["code"], error["message"]) == NOT_ACCEPTED
    assert not await is_signed_in(browser)
    row = await world.database.fetchrow("SELECT * FROM passkeys WHERE user_id = $1", user.id)
    assert (row["sign_count"], row["last_used_at"]) == (0, None)


async def test_a_counter_that_goes_back_is_a_copy(world: World) -> None:
    _, user, authenticator = await registered(world)
    for _ in range(3):
        assert "errors" not in await sign_in(Browser(world.url), authenticator)
    for count in (0, 1, 2):  # the next is one more, and the last was 3
        authenticator.count = count
        browser = Browser(world.url)
        answer = await sign_in(browser, authenticator)
        assert answer["errors"][0]["message"] == NOT_ACCEPTED[1], count
        assert not await is_signed_in(browser)
    authenticator.counts, authenticator.count = False, 0
    assert "errors" in await sign_in(Browser(world.url), authenticator), "it has counted before"
    authenticator.count = 4
    assert "errors" not in await sign_in(Browser(world.url), authenticator)
    assert await world.database.fetchval("SELECT sign_count FROM passkeys WHERE user_id = $1", user.id) == 4


async def test_an_authenticator_need_not_count(world: World) -> None:
    _, _, authenticator = await registered(world)
    authenticator.counts = False
    for _ in range(3):
        assert "errors" not in await sign_in(Browser(world.url), authenticator)


async def test_a_deleted_passkey_signs_nobody_in(world: World) -> None:
    _, user, authenticator = await registered(world)
    await world.database.execute("DELETE FROM passkeys WHERE user_id = $1", user.id)
    assert "errors" in await sign_in(Browser(world.url), authenticator)


async def test_without_the_token_of_the_page_nothing_begins(world: World) -> None:
    browser = Browser(world.url)
    await browser.csrf()
    for token in ("", "wrong"):
        assert (await refusal(browser, START_SIGN_IN, csrfToken=token))[0] == "FORBIDDEN"
        assert (await refusal(browser, SIGN_IN, csrfToken=token, credential={}))[0] == "FORBIDDEN"
    assert (await refusal(Browser(world.url), START_SIGN_IN, csrfToken=""))[0] == "FORBIDDEN"


async def test_a_locked_password_does_not_lock_the_passkey(world: World) -> None:
    _, user, authenticator = await registered(world)
    await world.database.execute("UPDATE users SET locked_until = now() + interval '1 hour' WHERE id = $1", user.id)
    assert "errors" not in await sign_in(Browser(world.url), authenticator)


# ---- after the password ----------------------------------------------------------------------------------------------


async def test_the_password_alone_is_not_enough(world: World) -> None:
    user, authenticator = await requiring(world)
    browser = Browser(world.url)
    wrong = (await browser.log_in(user.email, "wrong")).json()
    right = (await browser.log_in(user.email)).json()
    assert wrong == {"ok": False, "error": "CredentialsSignin", "url": "/api/auth/error?error=CredentialsSignin"}
    assert right == wrong | {"passkey_required": True}
    assert not [name for name in browser.cookies if "session" in name or "device" in name]
    assert not await is_signed_in(browser)
    csrf, asked = await sign_in_options(browser)
    assert [decoded(one["id"]) for one in asked["allowCredentials"]] == [authenticator.id]
    assert asked["allowCredentials"][0]["transports"] == ["hybrid", "internal"]
    made = await data(browser, SIGN_IN, csrfToken=csrf, credential=authenticator.get(asked))
    assert made["userId"] == user.id
    assert await is_signed_in(browser)


async def test_after_the_password_only_a_passkey_of_the_user_will_do(world: World) -> None:
    user, _ = await requiring(world)
    _, _, somebody_elses = await registered(world)
    browser = Browser(world.url)
    await browser.log_in(user.email)
    answer = await sign_in(browser, somebody_elses)
    assert answer["errors"][0]["message"] == NOT_ACCEPTED[1]
    assert not await is_signed_in(browser)


async def test_a_form_is_sent_back_to_the_page_that_asks_for_the_passkey(world: World) -> None:
    user, _ = await requiring(world)
    browser = Browser(world.url)
    body = {"email": user.email, "password": PASSWORD, "csrfToken": await browser.csrf()}
    answer = await browser.send("POST", "/api/auth/callback/credentials", data=body)
    assert (answer.status_code, answer.headers["location"]) == (302, "/login?error=PasskeyRequired")


async def test_who_requires_none_signs_in_as_before(world: World) -> None:
    user = await new_user(world)
    assert (await Browser(world.url).log_in(user.email)).json()["ok"] is True


@pytest.mark.parametrize(
    "url", [None, "http://crewship.example.com", "https://192.0.2.1", "https://[2001:db8::1]", "http://localhost:8080"]
)
async def test_passkeys_need_a_public_url_that_browsers_have_them_for(
    world: World, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    browser = Browser(world.url)
    csrf = await browser.csrf()
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"public_url": url}))
    if url == "http://localhost:8080":
        assert (await data(browser, START_SIGN_IN, csrfToken=csrf))["options"]["rpId"] == "localhost"
    else:
        code, text = await refusal(browser, START_SIGN_IN, csrfToken=csrf)
        assert (code, "CREWSHIP_PUBLIC_URL" in text) == ("UNAVAILABLE", True)
