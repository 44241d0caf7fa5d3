"""The first user of an instance, and sign-up: each test has a database without users."""

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from pydantic import TypeAdapter

from crewship.process.app import create_app
from crewship.process.serve import bootstrap_notice
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.identity.locality import is_at_the_machine
from resolvers.instance.crypto import setup_token
from resolvers.instance.passwords import Cost, Passwords
from resolvers.instance.running import instance
from resolvers.kernel.ground.inputs import Slug
from resolvers.people.auth.accounts import WITHOUT_LINK, workspace_slug
from tests.conftest import Database
from tests.every import each_of
from tests.people.auth.browsers import ACCESS, DEVICE, REFRESH, Browser, set_cookies
from tests.world import serving, settings_for

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

BOOTSTRAP, SIGNUP, GRAPHQL = "/api/v1/bootstrap", "/api/v1/auth/signup", "/graphql"
ADA = {"full_name": "Ada Lovelace", "email": "Ada.L+x@example.com", "password": "correct horse"}
FROM_AFAR = {"x-forwarded-for": "203.0.113.7"}
PLACES = (
    "^.(audit_sealed|cluster|release|works_from|events_history[^,]*|[a-z_]+_follows),"  # facts of the service itself
)
TABLES = ("users", "workspaces", "memberships", "cli_tokens", "sessions", "instance_facts")


@dataclass
class Fresh:
    """A running instance that nobody has used yet."""

    url: str
    token: str
    database: Database
    owner: asyncpg.Connection

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await Browser(self.url).send("POST", path, headers=headers, **content)

    async def counts(self) -> dict[str, int]:
        return {
            table: await self.owner.fetchval(f"SELECT count(*) FROM {table} t WHERE t::text !~ '{PLACES}'")
            for table in TABLES
        }


Start = Callable[..., contextlib.AbstractAsyncContextManager[Fresh]]


@pytest.fixture
def start(database: Database, tmp_path: Path) -> Start:
    @contextlib.asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Fresh]:
        chosen = settings_for(database.url, tmp_path, **settings)
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute("SELECT set_config('crewship.workspaces', '*', false)")
        try:
            async with serving(create_app(chosen, passwords=Passwords(Cost(1, 64, 1)))) as url:
                yield Fresh(url, setup_token(chosen.nextauth_secret.get_secret_value()), database, owner)  # type: ignore[union-attr]
        finally:
            await owner.close()

    return run


NONE = dict.fromkeys(TABLES, 0)
ONE = dict.fromkeys(TABLES, 1)


# ---- the first user --------------------------------------------------------------------------------------------------


async def test_the_first_user_owns_a_workspace_has_a_token_and_is_signed_in(start: Start) -> None:
    async with start() as fresh:
        browser = Browser(fresh.url)
        answer = await browser.send("POST", BOOTSTRAP, json=ADA)
        made = answer.json()
        assert answer.status_code == 201
        assert made == {
            "user_id": made["user_id"],
            "email": ADA["email"],
            "workspace_id": made["workspace_id"],
            "cli_token": made["cli_token"],
        }
        assert [text.split("=")[0] for text in set_cookies(answer)] == [ACCESS, REFRESH, DEVICE]
        assert all("; Max-Age=2592000; HttpOnly; SameSite=Lax" in text for text in set_cookies(answer)[:2])
        assert (await browser.send("GET", "/api/auth/session")).json()["user"] == {
            "id": made["user_id"],
            "name": "Ada Lovelace",
            "email": ADA["email"],
            "avatar_url": None,
        }
        user = await fresh.owner.fetchrow("SELECT * FROM users")
        assert (user["id"], user["full_name"], user["onboarding_completed"]) == (made["user_id"], "Ada Lovelace", False)
        assert user["password_hash"].startswith("$argon2id$")
        workspace = await fresh.owner.fetchrow("SELECT * FROM workspaces")
        assert (workspace["id"], workspace["name"], workspace["slug"]) == (
            made["workspace_id"],
            "Ada Lovelace's Workspace",
            f"ada-l-x-{made['workspace_id'][:8]}",
        )
        assert tuple(await fresh.owner.fetchrow("SELECT workspace_id, user_id, role FROM memberships")) == (
            workspace["id"],
            user["id"],
            "OWNER",
        )
        token = await fresh.owner.fetchrow("SELECT * FROM cli_tokens")
        assert (token["name"], token["tier"], token["user_id"], token["expires_at"]) == (
            "bootstrap",
            "STANDARD",
            user["id"],
            None,
        )
        assert token["token_hash"] == hashlib.sha256(made["cli_token"].encode()).hexdigest()
        who = await Browser(fresh.url).send(
            "GET", "/api/v1/auth/cli-token/validate", headers={"authorization": f"Bearer {made['cli_token']}"}
        )
        assert who.json()["user_email"] == ADA["email"]
        assert (await browser.log_in(ADA["email"], ADA["password"])).json()["ok"] is True


async def test_only_the_first_one_and_nobody_is_told_of_a_bad_body_afterwards(start: Start) -> None:
    async with start() as fresh:
        assert (await fresh.post(BOOTSTRAP, ADA)).status_code == 201
        before = await fresh.counts()
        for body in (ADA | {"email": "b@example.com"}, {}, b"{", b""):
            for headers in ({}, FROM_AFAR, {"x-setup-token": fresh.token}):
                answer = await fresh.post(BOOTSTRAP, body, headers)
                assert (answer.status_code, set_cookies(answer)) == (410, [])
        assert await fresh.counts() == before == ONE
        await fresh.owner.execute("DELETE FROM users")
        assert (await fresh.post(BOOTSTRAP, ADA)).status_code == 410


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", {}, *[{key: value for key, value in ADA.items() if key != left} for left in ADA]]
)
async def test_a_first_user_needs_a_whole_body(start: Start, body: Any) -> None:
    async with start() as fresh:
        assert (await fresh.post(BOOTSTRAP, body)).status_code == 400
        assert await fresh.counts() == NONE


BAD = [
    {"full_name": "A"},
    {"full_name": 1},
    {"full_name": "A\0da"},
    {"full_name": None},
    {"email": "ada"},
    {"email": "ada@example"},
    {"email": "ada@example.com\n"},
    {"email": "x" * 320 + "@example.com"},
    {"password": "short12"},
    {"password": "ä" * 37},
    {"password": 12345678},
]


@pytest.mark.parametrize("change", BAD)
async def test_the_rules_of_an_account(start: Start, change: dict[str, Any]) -> None:
    async with start(allow_signup=True) as fresh:
        for path in (BOOTSTRAP, SIGNUP):
            answer = await fresh.post(path, ADA | change)
            assert (answer.status_code, set_cookies(answer)) == (400, [])
            assert next(iter(change)) in answer.json()["error"].lower()
        assert await fresh.counts() == NONE


async def test_of_first_users_at_once_one_is_made(start: Start) -> None:
    """Sixteen: one address may have so many passwords hashed at once, however slow the machine is."""
    async with start() as fresh:
        answers = await asyncio.gather(
            *[fresh.post(BOOTSTRAP, ADA | {"email": f"u{number}@example.com"}) for number in range(16)]
        )
        assert sorted(answer.status_code for answer in answers) == [201, *[410] * 15]
        assert [bool(set_cookies(answer)) for answer in answers].count(True) == 1
        assert await fresh.counts() == ONE


async def test_bootstrap_works_whatever_signup_is_set_to_and_a_signed_up_user_closes_it(start: Start) -> None:
    async with start(allow_signup=True) as fresh:
        assert (await fresh.post(SIGNUP, ADA)).status_code == 201
        assert (await fresh.post(BOOTSTRAP, ADA | {"email": "b@example.com"})).status_code == 410


# ---- who may make the first user -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        FROM_AFAR,
        {"x-forwarded-for": "127.0.0.1"},
        {"x-real-ip": "10.0.0.5"},
        {"forwarded": "for=127.0.0.1"},
        {"host": "rebound.example.com:8080"},
    ],
)
async def test_from_elsewhere_the_first_user_needs_the_printed_link(start: Start, headers: dict[str, str]) -> None:
    async with start() as fresh:
        wrong: tuple[dict[str, str], ...] = (
            {},
            {"x-setup-token": ""},
            {"x-setup-token": "0" * 64},
            {"x-setup-token": fresh.token[:-1]},
        )
        for more in wrong:
            answer = await fresh.post(BOOTSTRAP, ADA, headers | more)
            assert answer.status_code == 403
            assert "link" in answer.json()["error"]
        for token in (None, "", 5, "0" * 64, fresh.token.upper()):
            assert (await fresh.post(BOOTSTRAP, ADA | {"setup_token": token}, headers)).status_code == 403
        assert (await fresh.post(BOOTSTRAP, b"{", headers)).status_code == 403
        assert await fresh.counts() == NONE
        assert (await fresh.post(BOOTSTRAP, ADA, headers | {"x-setup-token": fresh.token})).status_code == 201


async def test_the_link_that_is_printed_is_the_one_that_works_until_it_was_used(start: Start) -> None:
    async with start() as fresh:
        settings, url = instance.settings, "http://localhost:8080"
        notice = await bootstrap_notice(settings, fresh.database.url, url) or ""
        link = re.search(r"http://localhost:8080/#setup_token=([0-9a-f]{64})$", notice)
        assert link is not None
        assert await bootstrap_notice(settings, fresh.database.url, url) == notice
        public = settings.model_copy(update={"public_url": "https://crewship.example.com"})
        assert "at https://crewship.example.com/#setup_token=" in (
            await bootstrap_notice(public, fresh.database.url, url) or ""
        )
        assert (await fresh.post(BOOTSTRAP, ADA | {"setup_token": link[1]}, FROM_AFAR)).status_code == 201
        assert (await fresh.post(BOOTSTRAP, ADA | {"setup_token": link[1]}, FROM_AFAR)).status_code == 410
        assert await bootstrap_notice(settings, fresh.database.url, url) is None
        await fresh.owner.execute("DELETE FROM users")
        assert await bootstrap_notice(settings, fresh.database.url, url) is None


async def test_at_the_machine_a_setup_token_is_ignored(start: Start) -> None:
    async with start() as fresh:
        assert (await fresh.post(BOOTSTRAP, ADA, {"x-setup-token": "anything"})).status_code == 201


def test_each_secret_has_a_link_of_its_own() -> None:
    assert setup_token("a") == setup_token("a") != setup_token("b")


@pytest.mark.parametrize(
    ("client", "origin", "forwarded", "here"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080", False, True),
        ("127.0.0.9", "http://localhost:8080", False, True),
        ("::1", "http://[::1]:8080", False, True),
        ("127.0.0.1", "http://crewship.localhost", False, True),
        ("127.0.0.1", "http://desk:8080", False, False),  # as a proxy names its upstream
        ("127.0.0.1", "http://", False, False),
        ("127.0.0.1", "http://127.0.0.1", True, False),
        ("127.0.0.1", "http://crewship.example.com", False, False),
        ("127.0.0.1", "http://203.0.113.7:8080", False, False),
        ("127.0.0.1", "http://[2001:db8::1]:8080", False, False),
        ("127.0.0.1", "http://[", False, False),
        ("10.0.0.5", "http://localhost", False, False),
        ("203.0.113.7", "http://localhost", False, False),
        ("", "http://localhost", False, False),
    ],
)
def test_who_is_at_the_machine(client: str, origin: str, forwarded: bool, here: bool, tmp_path: Path) -> None:
    settings = settings_for("postgresql://nowhere", tmp_path)
    caller = Caller(CredentialKind.NONE, client=client, origin=origin, forwarded=forwarded)
    assert is_at_the_machine(caller, settings) is here
    for behind in (
        {"public_url": "https://crewship.example.com"},
        {"trusted_proxy_cidrs": (ip_network("10.0.0.7/32"),)},
    ):
        assert not is_at_the_machine(caller, settings.model_copy(update=behind))
        # whoever opens it is the service's own user, if nobody says to have passed the call on
        caller.local_socket = True
        assert is_at_the_machine(caller, settings.model_copy(update=behind)) is not forwarded
        caller.local_socket = False


@pytest.mark.parametrize(
    "behind",
    [
        {"public_url": "https://crewship.example.com"},
        {"trusted_proxy_cidrs": (ip_network("10.0.0.7/32"),)},
        {"host": "0.0.0.0"},
        {"host": "::"},
    ],
)
async def test_where_others_may_speak_through_loopback_the_link_is_needed(start: Start, behind: dict[str, Any]) -> None:
    """As through a forwarder of connections, whose visitors write the Host themselves."""
    async with start(**behind) as fresh:
        for host in ("localhost", "127.0.0.1:8080", "[::1]"):
            answer = await fresh.post(BOOTSTRAP, ADA, {"host": host})
            assert answer.status_code == 403
            assert "link" in answer.json()["error"]
        assert await fresh.counts() == NONE
        assert (
            await fresh.post(BOOTSTRAP, ADA, {"host": "localhost", "x-setup-token": fresh.token})
        ).status_code == 201


async def test_after_an_hour_the_link_is_needed_everywhere(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start() as fresh:
        monkeypatch.setattr(instance, "started", time.monotonic() - WITHOUT_LINK - 1)
        assert (await fresh.post(BOOTSTRAP, ADA)).status_code == 403
        assert (await fresh.post(BOOTSTRAP, ADA, {"x-setup-token": fresh.token})).status_code == 201


async def test_an_open_door_is_said_aloud(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async with start() as fresh:
        await bootstrap_notice(instance.settings, fresh.database.url, fresh.url)
        assert "no user exists yet" in caplog.text
        assert "CREWSHIP_PUBLIC_URL" in caplog.text
        caplog.clear()
        public = instance.settings.model_copy(update={"public_url": "https://crewship.example.com"})
        await bootstrap_notice(public, fresh.database.url, fresh.url)
        assert caplog.text == ""


async def test_a_window_lets_everybody_in_until_it_closes_for_everybody(start: Start) -> None:
    async with start(bootstrap_window=60) as fresh:
        instance.bootstrap_closes = time.monotonic() - 0.001
        for headers in ({}, FROM_AFAR, {"x-setup-token": fresh.token}):
            assert (await fresh.post(BOOTSTRAP, b"{", headers)).status_code == 410
        instance.bootstrap_closes = time.monotonic() + 60
        assert (await fresh.post(BOOTSTRAP, b"{", FROM_AFAR)).status_code == 400
        assert (await fresh.post(BOOTSTRAP, ADA, FROM_AFAR)).status_code == 201
        assert (await fresh.post(BOOTSTRAP, ADA, FROM_AFAR)).status_code == 410


async def test_the_window_counts_from_the_start(start: Start) -> None:
    async with start(bootstrap_window=0) as fresh:
        assert (await fresh.post(BOOTSTRAP, ADA)).status_code == 410
        assert await fresh.counts() == NONE


async def test_bootstrap_counts_in_the_bucket_of_logins(start: Start) -> None:
    async with start(ratelimit_disabled=False, ratelimit_auth=2) as fresh:
        statuses = [(await fresh.post(BOOTSTRAP, b"{")).status_code for _ in range(3)]
        assert statuses == [400, 400, 429]


# ---- sign-up ---------------------------------------------------------------------------------------------------------


async def test_signup_is_off_until_the_operator_opens_it(start: Start) -> None:
    async with start() as fresh:
        for body in (ADA, {}, b"{"):
            answer = await fresh.post(SIGNUP, body)
            assert answer.status_code == 403
            assert "CREWSHIP_ALLOW_SIGNUP" in answer.json()["error"]
        assert await fresh.counts() == NONE


async def test_who_signs_up_owns_a_workspace_and_is_signed_in(start: Start) -> None:
    async with start(allow_signup=True) as fresh:
        browser = Browser(fresh.url, https=True)
        answer = await browser.send("POST", SIGNUP, json=ADA)
        assert (answer.status_code, answer.json()) == (201, {"id": answer.json()["id"], "email": ADA["email"]})
        assert [text.split("=")[0] for text in set_cookies(answer)] == [
            f"__Secure-{name}" for name in (ACCESS, REFRESH, DEVICE)
        ]
        assert await fresh.counts() == ONE | {"cli_tokens": 0, "instance_facts": 0}
        assert (await browser.send("GET", "/api/auth/session")).json()["user"]["id"] == answer.json()["id"]
        assert await fresh.owner.fetchval("SELECT role FROM memberships") == "OWNER"
        before = await fresh.counts()
        again = await fresh.post(SIGNUP, ADA)
        assert (again.status_code, set_cookies(again), await fresh.counts()) == (409, [], before)
        assert (await fresh.post(SIGNUP, ADA | {"email": ADA["email"].lower()})).status_code == 201


async def test_of_signups_at_once_with_one_email_one_is_made(start: Start) -> None:
    async with start(allow_signup=True) as fresh:
        answers = await asyncio.gather(*[fresh.post(SIGNUP, ADA) for _ in range(10)])
        assert sorted(answer.status_code for answer in answers) == [201, *[409] * 9]
        assert await fresh.counts() == ONE | {"cli_tokens": 0, "instance_facts": 0}


@each_of(
    ("email", "slug"),
    [
        ("ada@example.com", "ada-cabcdefg"),
        ("Ada.L_x%+-1@example.com", "ada-l-x---1-cabcdefg"),
        ("_@example.com", "cabcdefg"),
        (".ada@example.com", "ada-cabcdefg"),
        ("a" * 64 + "@example.com", "a" * 41 + "-cabcdefg"),
    ],
)
def test_a_workspace_is_called_after_the_email(email: str, slug: str) -> None:
    assert workspace_slug(email, "cabcdefghijklmnop") == slug
    assert TypeAdapter(Slug).validate_python(slug) == slug


# ---- GraphQL ---------------------------------------------------------------------------------------------------------


async def _mutate(
    fresh: Fresh, name: str, kind: str, fields: str, given: dict[str, Any], headers: dict[str, str] | None = None
) -> httpx2.Response:
    query = f"mutation($in: {kind}!) {{ {name}(input: $in) {{ {fields} }} }}"
    return await fresh.post(GRAPHQL, {"query": query, "variables": {"in": given}}, headers)


async def test_graphql_makes_the_first_user_and_signs_in_with_the_same_cookies(start: Start) -> None:
    given = {"fullName": "Ada Lovelace", "email": "ada@example.com", "password": "correct horse"}
    async with start() as fresh:
        refused = await _mutate(fresh, "bootstrap", "BootstrapInput", "userId", given | {"setupToken": "0"}, FROM_AFAR)
        assert (refused.json()["errors"][0]["extensions"]["code"], set_cookies(refused)) == ("FORBIDDEN", [])
        answer = await _mutate(
            fresh,
            "bootstrap",
            "BootstrapInput",
            "userId email workspaceId cliToken",
            given | {"setupToken": fresh.token},
            FROM_AFAR,
        )
        made = answer.json()["data"]["bootstrap"]
        assert (made["email"], made["cliToken"][:13]) == ("ada@example.com", "crewship_cli_")
        assert [text.split("=")[0] for text in set_cookies(answer)] == [ACCESS, REFRESH, DEVICE]
        assert await fresh.counts() == ONE
        gone = await _mutate(fresh, "bootstrap", "BootstrapInput", "userId", given)
        assert (gone.json()["errors"][0]["extensions"]["code"], set_cookies(gone)) == ("GONE", [])


async def test_graphql_signs_up_and_a_later_failure_does_not_take_the_session_away(start: Start) -> None:
    given = {"fullName": "Ada Lovelace", "email": "ada@example.com", "password": "correct horse"}
    async with start(allow_signup=True) as fresh:
        query = "mutation($in: SignUpInput!) { one: signup(input: $in) { id email } two: signup(input: $in) { id } }"
        browser = Browser(fresh.url)
        answer = await browser.send("POST", GRAPHQL, json={"query": query, "variables": {"in": given}})
        assert answer.json()["data"]["one"]["email"] == "ada@example.com"
        assert (answer.json()["data"]["two"], answer.json()["errors"][0]["extensions"]["code"]) == (None, "CONFLICT")
        assert (await browser.send("GET", "/api/auth/session")).json()["user"]["id"] == answer.json()["data"]["one"][
            "id"
        ]
        short = await _mutate(
            fresh, "signup", "SignUpInput", "id", given | {"password": "short", "email": "b@example.com"}
        )
        assert short.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


# ---- what a failing commit leaves, and other origins -----------------------------------------------------------------


async def test_a_session_that_was_not_committed_is_not_handed_out(start: Start) -> None:
    async with start(allow_signup=True) as fresh:
        await fresh.owner.execute(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
            CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON sessions DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION refuse();
            """
        )
        for path in (BOOTSTRAP, SIGNUP):
            answer = await fresh.post(path, ADA)
            assert (answer.status_code, answer.json()["error"], set_cookies(answer)) == (500, "Internal error", [])
        assert await fresh.counts() == NONE


async def test_an_allowed_origin_elsewhere_cannot_exchange_tokens(start: Start) -> None:
    async with start(allowed_origins=("https://app.example.com",)) as fresh:
        browser = Browser(fresh.url)
        await browser.send("POST", BOOTSTRAP, json=ADA)
        for headers in ({"origin": "https://app.example.com"}, {"referer": "https://app.example.com/x"}):
            answer = await browser.send("POST", "/api/auth/token/refresh", headers=headers)
            assert (answer.status_code, answer.json()["error"], set_cookies(answer)) == (403, "session_invalid", [])
        for headers in ({"origin": fresh.url}, {"referer": f"{fresh.url}/x"}):
            assert (await browser.send("POST", "/api/auth/token/refresh", headers=headers)).status_code == 200
