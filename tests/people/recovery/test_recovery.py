"""A forgotten password: who gets a link, what it is good for, and what strangers learn."""

import asyncio
import re
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from resolvers.instance.crypto import digest
from resolvers.instance.running import instance
from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.people.recovery import MAIL_RESET
from tests.every import each_of
from tests.live.sockets import client_of
from tests.people.auth.browsers import PASSWORD, Browser, new_user, signed_in
from tests.people.recovery.conftest import PLACE
from tests.people.recovery.mailbox import Mailbox, idle, text_of
from tests.world import World

pytestmark = pytest.mark.anyio
FORGOT, RESET = "/api/v1/auth/forgot", "/api/v1/auth/reset"
NEW, INVALID = "a new horse battery", "Invalid or expired token"


async def forgot(world: World, email: Any) -> httpx2.Response:
    return await Browser(world.url).send("POST", FORGOT, json={"email": email})


async def reset(world: World, token: Any, password: Any = NEW) -> httpx2.Response:
    return await Browser(world.url).send("POST", RESET, json={"token": token, "new_password": password})


async def token_for(world: World, mailbox: Mailbox, email: str, number: int = 1) -> str:
    """By a link that is asked for now; those of before were asked for long ago."""
    await world.database.execute("UPDATE password_resets SET created_at = created_at - interval '2 minutes'")
    await forgot(world, email)
    return (await mailbox.link(email, number)).partition("token=")[2]


async def logs_in(world: World, email: str, password: str) -> bool:
    return bool((await Browser(world.url).log_in(email, password)).json()["ok"])


async def test_a_link_sets_a_new_password_once(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    answer = await forgot(world, user.email)
    assert (answer.status_code, answer.json()["ok"]) == (200, True)
    mail = await mailbox.arrived(user.email)
    assert (mail["from"], mail["to"], mail["subject"]) == (
        "Crewship <no-reply@example.com>",
        user.email,
        "Set a new password",
    )
    assert mail["message-id"].endswith("@example.com>")
    link = await mailbox.link(user.email)
    assert re.fullmatch(PLACE + r"/reset-password\?token=[0-9a-f]{64}", link)
    token = link.partition("token=")[2]
    row = await world.database.fetchrow("SELECT * FROM password_resets WHERE user_id = $1", user.id)
    assert row["token_hash"] == digest(token)
    assert token not in str(dict(row))
    answer = await reset(world, token)
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert [await logs_in(world, user.email, each) for each in (PASSWORD, NEW)] == [False, True]
    before = await world.snapshot()
    again = await reset(world, token, "yet another horse")
    assert (again.status_code, again.json()["error"]) == (400, INVALID)
    assert await world.snapshot() == before


async def test_whoever_is_signed_in_is_out(world: World, mailbox: Mailbox) -> None:
    """Sessions and their sockets; CLI tokens stay, as the address was known to be the user's."""
    browser, user = await signed_in(world)
    await world.database.execute("UPDATE users SET email_verified = now() WHERE id = $1", user.id)
    await browser.send("POST", "/api/v1/auth/pair/start")
    made = (await browser.send("POST", "/api/v1/auth/cli-token")).json()["token"]
    async with client_of(world, browser) as socket:
        await socket.settle()
        assert (await reset(world, await token_for(world, mailbox, user.email))).status_code == 200
        assert (await socket.hears("session_revoked"))["payload"]["reason"] == "session_revoked"
    answer = await browser.send("GET", "/api/v1/auth/sessions")
    assert (answer.status_code, answer.json()["error"]) == (401, "session_revoked")
    reasons = await world.database.fetch("SELECT revoked_reason FROM sessions WHERE user_id = $1", user.id)
    assert [row["revoked_reason"] for row in reasons] == ["password_change"]
    assert await world.database.fetchval("SELECT count(*) FROM pairings WHERE user_id = $1", user.id) == 0
    who = await Browser(world.url).send(
        "GET", "/api/v1/auth/cli-token/validate", headers={"authorization": f"Bearer {made}"}
    )
    assert who.status_code == 200


async def test_a_reset_lifts_the_lock(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    for _ in range(10):
        await logs_in(world, user.email, "wrong")
    assert not await logs_in(world, user.email, PASSWORD)
    assert (await reset(world, await token_for(world, mailbox, user.email))).status_code == 200
    assert await logs_in(world, user.email, NEW)
    verified = await world.database.fetchval("SELECT email_verified FROM users WHERE id = $1", user.id)
    assert verified is not None, "the mailbox is the user's"


async def test_a_later_link_ends_the_one_before(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    first = await token_for(world, mailbox, user.email)
    second = await token_for(world, mailbox, user.email, 2)
    assert first != second
    assert (await reset(world, first)).json()["error"] == INVALID
    assert (await reset(world, second)).status_code == 200


async def test_a_used_link_ends_all_others_of_the_user_and_nobody_elses(world: World, mailbox: Mailbox) -> None:
    user, other = await new_user(world), await new_user(world)
    theirs = await token_for(world, mailbox, other.email)
    token = await token_for(world, mailbox, user.email)
    kept = "other" * 10
    await world.database.execute(
        "INSERT INTO password_resets (id, email, user_id, token_hash, expires_at)"
        " VALUES ('r_kept', 'x', $1, $2, now() + interval '5 minutes')",
        user.id,
        digest(kept),
    )
    assert (await reset(world, token)).status_code == 200
    assert (await reset(world, kept)).json()["error"] == INVALID
    assert (await reset(world, theirs)).status_code == 200
    assert [await logs_in(world, each.email, NEW) for each in (user, other)] == [True, True]


async def test_a_link_ends_after_half_an_hour(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    token = await token_for(world, mailbox, user.email)
    until = "SELECT expires_at - created_at FROM password_resets WHERE user_id = $1"
    assert 29 * 60 < (await world.database.fetchval(until, user.id)).total_seconds() < 31 * 60
    await world.database.execute(
        "UPDATE password_resets SET expires_at = now() - interval '1 second' WHERE user_id = $1", user.id
    )
    before = await world.snapshot()
    answer = await reset(world, token)
    assert (answer.status_code, answer.json()["error"]) == (400, INVALID)
    assert await world.snapshot() == before


async def test_of_resets_at_once_one_wins(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    token = await token_for(world, mailbox, user.email)
    answers = await asyncio.gather(*(reset(world, token, f"horse battery {n}") for n in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    won = next(n for n, answer in enumerate(answers) if answer.status_code == 200)
    assert await logs_in(world, user.email, f"horse battery {won}")


@each_of(
    ("token", "password", "told"),
    [
        ("", "short", "Password must be at least 8 characters"),
        ("", "ä" * 37, "Password must be at most 72 bytes"),
        ("", NEW, "Token is required"),
        (None, NEW, "Token is required"),
        ("0" * 64, NEW, INVALID),
        ("0" * 200, NEW, INVALID),
        ("' OR 1=1; --", NEW, INVALID),
    ],
)
async def test_a_bad_reset_is_refused_and_changes_nothing(world: World, token: Any, password: str, told: str) -> None:
    before = await world.snapshot()
    answer = await reset(world, token, password)
    assert (answer.status_code, answer.json()["error"]) == (400, told)
    assert await world.snapshot() == before


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"token": 7, "new_password": "long enough"}'])
async def test_a_reset_needs_a_body(world: World, content: bytes) -> None:
    assert (await Browser(world.url).send("POST", RESET, content=content)).status_code == 400


@pytest.mark.slow
@each_of(
    "content",
    [
        b"",
        b"[]",
        b"nonsense",
        b"{}",
        b'{"email": null}',
        b'{"email": 7}',
        b'{"email": ["a@example.com"]}',
        b'{"email": ""}',
        b'{"email": "stranger@example.com"}',
        b'{"email": "no address"}',
        b'{"email": "stranger@example.com\\nBcc: owner@example.com"}',
        b'{"email": "' + b"a" * 5000 + b'@example.com"}',
    ],
)
async def test_whatever_is_sent_is_answered_like_an_account(world: World, mailbox: Mailbox, content: bytes) -> None:
    user = await new_user(world)
    known = await forgot(world, user.email)
    answer = await Browser(world.url).send("POST", FORGOT, content=content)
    assert (answer.status_code, answer.content) == (known.status_code, known.content) == (200, known.content)
    moving = {"date", "x-request-id"}
    told = [{name: each.headers[name] for name in each.headers.keys() - moving} for each in (known, answer)]
    assert told[0] == told[1]
    await mailbox.arrived(user.email)
    await idle(world)
    assert len(mailbox.to(user.email)) == 1
    assert not [mail for mail in mailbox.mails if "stranger" in mail["to"] or mail["bcc"]]
    assert await world.database.fetchval("SELECT count(*) FROM password_resets WHERE user_id IS NULL") == 0


async def test_the_request_does_the_same_for_everybody(world: World) -> None:
    """Whether there is an account is found out later, by a job: before that the rows of both are alike."""
    user = await new_user(world)
    shapes = []
    for email in (user.email, "stranger@example.com"):
        before = await world.database.fetchval(
            "SELECT count(*) FROM dbos.workflow_status WHERE name = $1", MAIL_RESET.name
        )
        await forgot(world, email)
        after = await world.database.fetchval(
            "SELECT count(*) FROM dbos.workflow_status WHERE name = $1", MAIL_RESET.name
        )
        shapes.append(after - before)
    assert shapes == [1, 1]


async def test_case_does_not_matter_and_tags_do(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world, email="Nina.New+Ships@Example.com")
    await forgot(world, "  nina.NEW+ships@example.COM ")
    mail = await mailbox.arrived(user.email)
    assert mail["to"] == user.email, "to the address that is stored, not the one that was typed"
    for other in ("nina.new@example.com", "nina.new+ship@example.com", "ninanew+ships@example.com"):
        await forgot(world, other)
    await idle(world)
    assert len([mail for mail in mailbox.mails if "nina" in mail["to"].lower()]) == 1


async def test_of_two_accounts_the_exact_one_is_meant(world: World, mailbox: Mailbox) -> None:
    upper, lower = [await new_user(world, email=email) for email in ("TWIN@example.com", "twin@example.com")]
    await forgot(world, "twin@example.com")
    token = (await mailbox.link(lower.email)).partition("token=")[2]
    assert (await reset(world, token)).status_code == 200
    assert [await logs_in(world, each.email, NEW) for each in (upper, lower)] == [False, True]


@pytest.mark.slow
async def test_nobodys_mailbox_is_flooded(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    await asyncio.gather(*(forgot(world, user.email) for _ in range(6)))
    await mailbox.arrived(user.email)
    await idle(world)
    assert len(mailbox.to(user.email)) == 1
    for n in range(2, 13):
        await world.database.execute(
            "UPDATE password_resets SET created_at = created_at - interval '2 minutes' WHERE user_id = $1", user.id
        )
        await forgot(world, user.email)
        await idle(world)
        assert len(mailbox.to(user.email)) == min(n, 10)


@pytest.mark.slow
async def test_a_mail_that_is_not_taken_is_sent_again_with_the_same_link(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    mailbox.refusing, before = ["451 try again later", "421 busy"], mailbox.tried
    token = await token_for(world, mailbox, user.email)
    assert mailbox.tried - before == 3
    assert (await reset(world, token)).status_code == 200


async def test_a_mail_that_is_refused_for_good_is_not_sent_again(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    mailbox.refusing, before = [f"550 no {user.email} here"], mailbox.tried
    with capture_logs() as lines:
        await forgot(world, user.email)
        await idle(world)
    assert mailbox.tried - before == 1
    told = [line for line in lines if "could not be mailed" in line["event"]]
    assert [line["cause"] for line in told] == ["the mail server answered 550"]
    assert user.email not in str(lines)


@pytest.mark.slow
async def test_no_link_is_in_a_log_or_in_a_table(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    mailbox.refusing = ["451 try again"]
    with capture_logs() as lines:
        token = await token_for(world, mailbox, user.email)
        await idle(world)
    assert token not in str(lines)
    kept = await world.database.fetch("SELECT inputs::text AS text FROM dbos.workflow_input")
    assert token not in str([row["text"] for row in kept])


async def test_without_mail_the_answer_stays_and_the_operator_is_told(
    world: World, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await new_user(world)
    with_mail = await forgot(world, "stranger@example.com")
    await idle(world)
    monkeypatch.setattr(instance, "mailer", None)
    before = await world.snapshot()
    with capture_logs() as lines:
        answer = await forgot(world, user.email)
    assert (answer.status_code, answer.content) == (200, with_mail.content)
    assert [line["log_level"] for line in lines if "crewship doctor" in line["event"]] == ["warning"]
    assert user.email not in str(lines)
    assert await world.snapshot() == before


async def test_old_resets_are_swept(world: World) -> None:
    sql = (
        "INSERT INTO password_resets (id, email, created_at, expires_at)"
        " VALUES ($1, 'x', now() - interval '{} hours', now())"
    )
    for id, age in (("r_old", 25), ("r_young", 23)):
        await world.database.execute(sql.format(age), id)
    await sweeper.sweep(across_workspaces)
    rows = await world.database.fetch("SELECT id FROM password_resets WHERE id IN ('r_old', 'r_young')")
    assert [row["id"] for row in rows] == ["r_young"]


async def test_by_graphql(world: World, mailbox: Mailbox) -> None:
    user = await new_user(world)
    ask = "mutation($email: String!) { requestPasswordReset(input: {email: $email}) { ok message } }"
    told = [
        (await world.graphql(None, ask, {"email": email}))["data"]["requestPasswordReset"]
        for email in (user.email, "stranger@example.com")
    ]
    assert told[0] == told[1]
    token = (await mailbox.link(user.email)).partition("token=")[2]
    sets = 'mutation($token: String!) { resetPassword(input: {token: $token, newPassword: "NEW"}) { ok } }'.replace(
        "NEW", NEW
    )
    assert (await world.graphql(None, sets, {"token": token}))["data"]["resetPassword"] == {"ok": True}
    again = await world.graphql(None, sets, {"token": token})
    assert (again["errors"][0]["message"], again["errors"][0]["extensions"]["code"]) == (INVALID, "BAD_REQUEST")
    assert text_of(await mailbox.arrived(user.email)).count("http") == 2
