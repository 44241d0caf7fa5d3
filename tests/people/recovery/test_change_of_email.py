"""A change of the own email: who gets a link, what it is good for, who is told, and what nobody learns."""

from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from resolvers.instance.running import instance
from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.people.account import WITHOUT, WRONG
from tests.people.auth.browsers import PASSWORD, Browser, new_user, signed_in
from tests.people.recovery.conftest import PLACE
from tests.people.recovery.mailbox import Mailbox, idle, text_of
from tests.world import World

pytestmark = pytest.mark.anyio
CHANGE, CONFIRM, INVALID = "/api/v1/auth/email", "/api/v1/auth/email/confirm", "Invalid or expired token"


async def ask(browser: Browser, email: Any, password: Any = PASSWORD, **headers: str) -> httpx2.Response:
    return await browser.send("POST", CHANGE, json={"email": email, "password": password}, headers=headers)


async def confirm(world: World, token: Any) -> httpx2.Response:
    return await Browser(world.url).send("POST", CONFIRM, json={"token": token})


async def long_ago(world: World) -> None:
    await world.database.execute("UPDATE email_changes SET created_at = created_at - interval '2 minutes'")


async def token_for(mailbox: Mailbox, email: str, number: int = 1) -> str:
    return (await mailbox.link(email, number)).partition("token=")[2]


async def email_of(world: World, id: str) -> str:
    return await world.database.fetchval("SELECT email FROM users WHERE id = $1", id)  # type: ignore[no-any-return]


async def logs_in(world: World, email: str) -> bool:
    return bool((await Browser(world.url).log_in(email)).json()["ok"])


@pytest.mark.slow
async def test_a_link_to_the_new_address_changes_it_once_and_the_old_one_is_told(
    world: World, mailbox: Mailbox
) -> None:
    browser, user = await signed_in(world)
    await world.database.execute("UPDATE users SET email_verified = now() WHERE id = $1", user.id)
    new = f"new.{user.email}"
    answer = await ask(browser, new)
    assert (answer.status_code, answer.json()["ok"]) == (202, True)
    mail = await mailbox.arrived(new)
    assert mail["subject"] == "Confirm your new email"
    assert (await mailbox.link(new)).startswith(f"{PLACE}/confirm-email?token=")
    token = await token_for(mailbox, new)
    row = await world.database.fetchrow("SELECT * FROM email_changes WHERE user_id = $1", user.id)
    assert token not in str(dict(row))
    assert await email_of(world, user.id) == user.email, "nothing changes until then"
    assert (await confirm(world, token)).json() == {"ok": True}
    assert await email_of(world, user.id) == new
    assert await world.database.fetchval("SELECT email_verified FROM users WHERE id = $1", user.id) is not None
    assert [await logs_in(world, each) for each in (user.email, new)] == [False, True]
    assert (await browser.send("GET", "/api/v1/auth/sessions")).status_code == 200, "sessions stay"
    again = await confirm(world, token)
    assert (again.status_code, again.json()["error"]) == (400, INVALID)
    notice = await mailbox.arrived(user.email)
    assert notice["subject"] == "The email of your account was changed"
    assert new not in text_of(notice)


async def test_what_was_mailed_to_the_old_address_ends_with_it(world: World, mailbox: Mailbox) -> None:
    browser, user = await signed_in(world)
    await Browser(world.url).send("POST", "/api/v1/auth/forgot", json={"email": user.email})
    reset = await token_for(mailbox, user.email)
    await ask(browser, f"moved.{user.email}")
    await confirm(world, await token_for(mailbox, f"moved.{user.email}"))
    body = {"token": reset, "new_password": "another horse battery"}
    assert (await Browser(world.url).send("POST", "/api/v1/auth/reset", json=body)).status_code == 400


async def test_an_address_that_is_taken_is_answered_alike_and_gets_no_link(world: World, mailbox: Mailbox) -> None:
    browser, user = await signed_in(world)
    somebody, free = await new_user(world), f"free.{user.email}"
    answers = []
    for email in (somebody.email, somebody.email.upper(), free):
        await long_ago(world)
        answers.append(await ask(browser, email))
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    await mailbox.arrived(free)
    await idle(world)
    assert mailbox.to(somebody.email) == mailbox.to(somebody.email.upper()) == []


async def test_one_that_is_taken_meanwhile_is_as_good_as_none(world: World, mailbox: Mailbox) -> None:
    browser, user = await signed_in(world)
    wanted = f"wanted.{user.email}"
    await ask(browser, wanted)
    token = await token_for(mailbox, wanted)
    await new_user(world, email=wanted)
    refused = await confirm(world, token)
    assert (refused.status_code, refused.json()["error"]) == (400, INVALID)
    assert await email_of(world, user.id) == user.email


async def test_a_later_link_ends_the_one_before_and_each_ends_in_time(world: World, mailbox: Mailbox) -> None:
    browser, user = await signed_in(world)
    first, second = f"a.{user.email}", f"b.{user.email}"
    await ask(browser, first)
    token = await token_for(mailbox, first)
    assert (await ask(browser, second)).status_code == 429, "one a minute"
    await long_ago(world)
    assert (await ask(browser, second)).status_code == 202
    late = await token_for(mailbox, second)
    assert (await confirm(world, token)).status_code == 400
    ends = "UPDATE email_changes SET expires_at = now() - interval '1 second' WHERE user_id = $1"
    await world.database.execute(ends, user.id)
    for bad in (late, "", "f" * 64, None):
        assert (await confirm(world, bad)).status_code == 400
    assert await email_of(world, user.id) == user.email
    await world.database.execute("UPDATE email_changes SET expires_at = now() - interval '25 hours'")
    await sweeper.sweep(across_workspaces)
    assert await world.database.fetchval("SELECT count(*) FROM email_changes") == 0


async def test_ten_a_day(world: World) -> None:
    browser, user = await signed_in(world)
    insert = (
        "INSERT INTO email_changes (id, user_id, email, old_email, created_at, expires_at)"
        " SELECT 'e_' || i || $1, $1, 'x', 'x', now() - interval '1 hour', now() FROM generate_series(1, 10) i"
    )
    await world.database.execute(insert, user.id)
    assert (await ask(browser, f"n.{user.email}")).status_code == 429


async def test_it_takes_the_password_of_a_person(world: World) -> None:
    browser, user = await signed_in(world)
    wrong = await ask(browser, f"n.{user.email}", "not this one")
    assert (wrong.status_code, wrong.json()["error"]) == (403, WRONG)
    assert await world.database.fetchval("SELECT failed_login_count FROM users WHERE id = $1", user.id) == 1
    for email in (user.email, "no address", "", None, f"{'x' * 320}@example.com"):
        assert (await ask(browser, email)).status_code == 400
    assert (await ask(Browser(world.url), "a@example.com")).status_code == 401
    scoped = (await world.rest(world.member, "POST", "/api/v1/auth/cli-token", {"scopes": ["crews:read"]})).json()
    by_token = await ask(Browser(world.url), "a@example.com", authorization=f"Bearer {scoped['token']}")
    assert by_token.status_code == 403
    await world.database.execute("UPDATE users SET password_hash = NULL WHERE id = $1", user.id)
    without = await ask(browser, f"n.{user.email}")
    assert (without.status_code, without.json()["error"]) == (400, WITHOUT), "of a provider's alone"
    assert await world.database.fetchval("SELECT count(*) FROM email_changes WHERE user_id = $1", user.id) == 0


async def test_without_mail_nothing_is_promised(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, user = await signed_in(world)
    monkeypatch.setattr(instance, "mailer", None)
    assert (await ask(browser, f"n.{user.email}")).status_code == 409


async def test_by_graphql_and_no_log_has_the_token(world: World, mailbox: Mailbox) -> None:
    browser, user = await signed_in(world)
    new = f"g.{user.email}"
    document = "mutation($in: ChangeEmailInput!) { changeEmail(input: $in) { ok } }"
    body = {"query": document, "variables": {"in": {"email": new, "password": PASSWORD}}}
    with capture_logs() as logs:
        made = await browser.send("POST", "/graphql", json=body)
        assert made.json()["data"] == {"changeEmail": {"ok": True}}
        token = await token_for(mailbox, new)
        document = "mutation($in: ConfirmEmailInput!) { confirmEmail(input: $in) { ok } }"
        body = {"query": document, "variables": {"in": {"token": token}}}
        done = await Browser(world.url).send("POST", "/graphql", json=body)
    assert done.json()["data"] == {"confirmEmail": {"ok": True}}
    assert await email_of(world, user.id) == new
    assert token not in str(logs)
