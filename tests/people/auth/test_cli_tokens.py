"""CLI tokens and websocket tickets: who may make which, what they say, and when they stop working."""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from models.people.auth import CliToken
from models.people.workspaces import Membership, Role, Workspace
from resolvers.instance.crypto import TokenKind
from resolvers.instance.running import instance
from resolvers.people.auth.cli_tokens import SCOPES
from tests.every import each_of
from tests.people.auth.browsers import Browser, signed_in
from tests.world import Person, World

pytestmark = pytest.mark.anyio

CREATE, LIST, WHO = "/api/v1/auth/cli-token", "/api/v1/auth/cli-tokens", "/api/v1/auth/cli-token/validate"


async def create(world: World, person: Person, **body: Any) -> httpx2.Response:
    return await world.rest(person, "POST", CREATE, body, workspace=None)


async def use(world: World, token: str, **headers: str) -> httpx2.Response:
    return await Browser(world.url).send("GET", WHO, headers={"authorization": f"Bearer {token}"} | headers)


@each_of(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"name": "", "tier": "", "scopes": [" ", ""], "expires_in_seconds": -5}',
        b'{"name": null}',
    ],
)
async def test_by_default_a_token_is_standard_lives_on_and_may_all(world: World, content: bytes) -> None:
    answer = await Browser(world.url).send(
        "POST", CREATE, content=content, headers={"authorization": f"Bearer {world.viewer.token}"}
    )
    made = answer.json()
    assert answer.status_code == 200
    assert made == {
        "token": made["token"],
        "id": made["id"],
        "name": "CLI token",
        "tier": "STANDARD",
        "created_at": made["created_at"],
    }
    assert re.fullmatch("crewship_cli_[0-9a-f]{64}", made["token"])
    row = await world.database.fetchrow("SELECT * FROM cli_tokens WHERE id = $1", made["id"])
    assert row["token_hash"] == hashlib.sha256(made["token"].encode()).hexdigest()
    assert (row["user_id"], row["scopes"], row["expires_at"]) == (world.viewer.user_id, [], None)
    assert (await use(world, made["token"])).json() == {
        "valid": True,
        "user_id": world.viewer.user_id,
        "user_email": world.viewer.email,
    }


@each_of(
    ("body", "lifetime"),
    [
        ({"tier": "standard", "expires_in_seconds": 90}, 90),
        ({"tier": "Standard", "expires_in_seconds": 1}, 1),
        ({"tier": "admin"}, 24 * 3600),
        ({"tier": "ADMIN", "expires_in_seconds": 60}, 60),
        ({"tier": "ADMIN", "expires_in_seconds": 604800}, 604800),
        ({"tier": "ADMIN", "expires_in_seconds": 604801}, 604800),
        ({"tier": "ADMIN", "expires_in_seconds": 10**12}, 604800),
        ({"tier": "ADMIN", "expires_in_seconds": -1}, 24 * 3600),
    ],
)
async def test_lifetimes_by_tier(world: World, body: dict[str, Any], lifetime: int) -> None:
    made = (await create(world, world.owner, name="mine", **body)).json()
    tier = body["tier"].upper()
    assert (made["name"], made["tier"]) == ("mine", tier)
    assert datetime.fromisoformat(made["expires_at"]) - datetime.fromisoformat(made["created_at"]) == timedelta(
        seconds=lifetime
    )
    if tier == "ADMIN":
        assert re.fullmatch("crewship_admin_[0-9a-f]{64}", made["token"])
        stored = await world.database.fetchval("SELECT token_hash FROM cli_tokens WHERE id = $1", made["id"])
        assert stored == hmac.new(bytes.fromhex("cd" * 32), made["token"].encode(), "sha256").hexdigest()


@each_of(
    ("body", "text"),
    [
        ({"tier": "ROOT"}, "tier"),
        ({"tier": 1}, "tier"),
        ({"scopes": ["agents:read", "agents:fly"]}, "agents:fly"),
        ({"scopes": "agents:read"}, "scopes"),
        ({"scopes": [1]}, "scopes"),
        ({"tier": "ADMIN", "expires_in_seconds": 59}, "60"),
        ({"expires_in_seconds": "60"}, "expires_in_seconds"),
        ({"expires_in_seconds": 1.5}, "expires_in_seconds"),
        ({"expires_in_seconds": True}, "expires_in_seconds"),
        ({"name": 5}, "name"),
        ({"name": "a\0"}, "name"),
    ],
)
async def test_what_is_wrong_is_named(world: World, body: dict[str, Any], text: str) -> None:
    before = await world.snapshot()
    answer = await create(world, world.owner, **body)
    assert answer.status_code == 400
    assert text in answer.json()["error"]
    assert await world.snapshot() == before


async def test_scopes_are_trimmed_and_kept(world: World) -> None:
    made = (await create(world, world.manager, scopes=[" agents:run ", "", "crews:*", "agents:run"])).json()
    assert made["scopes"] == ["agents:run", "crews:*"]
    assert await world.database.fetchval("SELECT scopes FROM cli_tokens WHERE id = $1", made["id"]) == [
        "agents:run",
        "crews:*",
    ]


READS = {
    f"{domain}:read"
    for domain in (
        "agents",
        "chats",
        "crews",
        "credentials",
        "issues",
        "labels",
        "projects",
        "runs",
        "skills",
        "workspace",
        "webhooks",
    )
}
OF_ADMINS = {"*", "workspace:*", "workspace:admin"}
LEAST = {scope: "viewer" if scope in READS else "admin" if scope in OF_ADMINS else "manager" for scope in SCOPES}


@pytest.mark.slow
async def test_no_scope_goes_beyond_the_role(world: World) -> None:
    assert len(SCOPES) == 20 + 15, "the contract's, and those of chats, issues, labels, projects and runs"
    ranked = ["viewer", "member", "manager", "admin", "owner"]
    for scope, least in LEAST.items():
        for name in ("nobody", *ranked):
            may = name != "nobody" and (least == "viewer" or ranked.index(name) >= ranked.index(least))
            answer = await create(world, world.people[name], scopes=[scope])
            assert answer.status_code == (200 if may else 403), (scope, name)
            assert may or scope in answer.json()["error"]


async def test_the_best_role_anywhere_counts_but_not_in_a_deleted_workspace(world: World) -> None:
    person = await world.person("climber", Role.VIEWER)
    assert (await create(world, person, scopes=["*"])).status_code == 403
    second = Workspace(name="Second", slug="second")
    await world.add(second, Membership(workspace_id=second.id, user_id=person.user_id, role=Role.ADMIN))
    assert (await create(world, person, scopes=["*"])).status_code == 200
    await world.database.execute("UPDATE workspaces SET deleted_at = now() WHERE id = $1", second.id)
    assert (await create(world, person, scopes=["*"])).status_code == 403


async def test_only_owners_make_admin_tokens(world: World) -> None:
    for name in ("nobody", "viewer", "member", "manager", "admin"):
        assert (await create(world, world.people[name], tier="ADMIN")).status_code == 403
    for name in ("owner", "outsider"):
        assert (await create(world, world.people[name], tier="ADMIN")).status_code == 200


async def test_without_their_key_there_are_no_admin_tokens(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = (await create(world, world.owner, tier="ADMIN")).json()
    monkeypatch.setattr(instance, "admin_key", None)
    before = await world.snapshot()
    answer = await create(world, world.owner, tier="ADMIN")
    assert answer.status_code == 503
    assert "CREWSHIP_ADMIN_TOKEN_HMAC_KEY" in answer.json()["error"]
    assert (await create(world, world.member, tier="ADMIN")).status_code == 403
    assert await world.snapshot() == before
    refused = await use(world, made["token"])
    assert (refused.status_code, refused.json()["error"]) == (401, "session_invalid")


async def test_every_use_of_an_admin_token_is_recorded(world: World) -> None:
    made = (await create(world, world.owner, tier="ADMIN")).json()

    async def uses() -> list[Any]:
        return list(
            await world.database.fetch(
                "SELECT path, ip, user_agent FROM admin_token_uses WHERE token_id = $1 ORDER BY used_at", made["id"]
            )
        )

    await use(world, made["token"], **{"user-agent": "script/1 " + "x" * 300, "x-forwarded-for": "203.0.113.7"})
    await Browser(world.url).send(
        "GET",
        "/api/v1/workspaces/unknown/members",
        headers={"authorization": f"Bearer {made['token']}", "user-agent": "script/2"},
    )
    assert [tuple(row) for row in await uses()] == [
        (WHO, "203.0.113.7", ("script/1 " + "x" * 300)[:250]),
        ("/api/v1/workspaces/unknown/members", "127.0.0.1", "script/2"),
    ]
    await world.database.execute("UPDATE cli_tokens SET revoked_at = now() WHERE id = $1", made["id"])
    assert (await use(world, made["token"])).status_code == 401
    assert len(await uses()) == 2
    standard = (await create(world, world.owner)).json()
    await use(world, standard["token"])
    assert (
        await world.database.fetchval("SELECT count(*) FROM admin_token_uses WHERE token_id = $1", standard["id"]) == 0
    )


async def test_a_use_of_an_admin_token_is_recorded_once_however_often_the_gate_is_asked(world: World) -> None:
    made = (await create(world, world.owner, tier="ADMIN")).json()
    headers, paths = {"authorization": f"Bearer {made['token']}"}, list[str]()
    cases = [
        ("cnosuchchat", world.workspace.id, 200),
        ("cnosuchchat", world.other.id, 403),
        ("cnosuchchat", "unknown", 403),
    ]
    for chat_id, workspace, status in cases * 2:  # the second time their plan is known
        path = f"/api/v1/chats/{chat_id}/messages"
        answer = await Browser(world.url).send("GET", path, params={"workspace_id": workspace}, headers=headers)
        assert answer.status_code == status, answer.text
        paths.append(path)
        rows = await world.database.fetch("SELECT path FROM admin_token_uses WHERE token_id = $1", made["id"])
        assert [row["path"] for row in rows] == paths


@each_of(
    ("tier", "sets"),
    [
        (tier, sets)
        for tier, other in (("STANDARD", "ADMIN"), ("ADMIN", "STANDARD"))
        for sets in ("revoked_at = now()", "expires_at = now()", f"tier = '{other}'")
    ],
)
async def test_a_token_that_is_revoked_expired_or_of_the_other_tier_is_invalid(
    world: World, tier: str, sets: str
) -> None:
    made = (await create(world, world.owner, tier=tier)).json()
    assert (await use(world, made["token"])).status_code == 200
    await world.database.execute(f"UPDATE cli_tokens SET {sets} WHERE id = $1", made["id"])
    answer = await use(world, made["token"])
    assert (answer.status_code, answer.json()["error"], answer.headers["www-authenticate"]) == (
        401,
        "session_invalid",
        'Bearer error="session_invalid"',
    )


async def test_the_own_tokens_are_listed_newest_first_without_their_values(world: World) -> None:
    person = await world.person("lister", Role.VIEWER)
    made = [(await create(world, person, name=str(number), scopes=["agents:read"])).json() for number in range(3)]
    past = datetime.now(UTC) - timedelta(days=1)
    await world.add(
        CliToken(
            user_id=person.user_id,
            name="past",
            token_hash="x",
            expires_at=past,
            revoked_at=past,
            last_used_at=past,
            created_at=past,
        )
    )
    listed = (await world.rest(person, "GET", LIST, workspace=None)).json()
    assert set(listed) == {"data"}
    assert [one["name"] for one in listed["data"]] == ["2", "1", "0", "test", "past"]
    second = {
        "id": made[1]["id"],
        "name": "1",
        "tier": "STANDARD",
        "created_at": made[1]["created_at"],
        "scopes": ["agents:read"],
        "expires_soon": False,
    }
    assert listed["data"][1] == second
    assert set(listed["data"][4]) == {*second, "expires_at", "last_used_at", "revoked_at"} - {"scopes"}
    assert (await world.rest(world.nobody, "GET", LIST, workspace=None)).json()["data"][-1]["name"] == "test"


async def test_revoking_again_is_fine_and_moves_the_time(world: World) -> None:
    made = (await create(world, world.member)).json()
    times = []
    for _ in range(2):
        answer = await world.rest(world.member, "DELETE", f"{LIST}/{made['id']}", workspace=None)
        assert (answer.status_code, answer.json()) == (200, {"status": "revoked"})
        times.append(await world.database.fetchval("SELECT revoked_at FROM cli_tokens WHERE id = $1", made["id"]))
    assert times[0] < times[1]
    assert (await use(world, made["token"])).status_code == 401


async def test_nobody_revokes_a_token_of_somebody_else(world: World) -> None:
    made = (await create(world, world.member)).json()
    before = await world.snapshot()
    for id in (made["id"], "c" + "0" * 24):
        answer = await world.rest(world.owner, "DELETE", f"{LIST}/{id}", workspace=None)
        assert (answer.status_code, answer.json()["error"]) == (404, "CLI token not found")
    assert await world.snapshot() == before


async def test_a_secret_is_not_kept_for_a_second_answer(world: World) -> None:
    first = await world.rest(world.owner, "POST", CREATE, {}, workspace=None, **{"idempotency-key": "once"})
    again = await world.rest(world.owner, "POST", CREATE, {}, workspace=None, **{"idempotency-key": "once"})
    assert (first.status_code, again.status_code) == (200, 409)
    kept = await world.database.fetch("SELECT body FROM idempotency_keys WHERE key = 'once'")
    assert first.json()["token"].encode() not in b"".join(row[0] or b"" for row in kept)


# ---- tickets ---------------------------------------------------------------------------------------------------------


async def test_a_ticket_is_bound_to_the_session_it_is_asked_for_with(world: World) -> None:
    browser, user = await signed_in(world)
    answer = await browser.send("GET", "/api/v1/ws-token")
    assert set(answer.json()) == {"token"}
    claims = instance.signer.read(TokenKind.ws, answer.json()["token"], now=instance.clock.seconds())
    session_id = await world.database.fetchval("SELECT id FROM sessions WHERE user_id = $1", user.id)
    assert (claims.user_id, claims.session_id, claims.name, claims.email) == (
        user.id,
        session_id,
        user.full_name,
        user.email,
    )
    assert claims.expires_at - claims.issued_at == 15 * 60


async def test_a_ticket_of_a_cli_token_is_bound_to_no_session(world: World) -> None:
    ticket = (await world.rest(world.viewer, "GET", "/api/v1/ws-token", workspace=None)).json()["token"]
    claims = instance.signer.read(TokenKind.ws, ticket, now=instance.clock.seconds())
    assert (claims.user_id, claims.session_id) == (world.viewer.user_id, None)
    for headers in ({"authorization": f"Bearer {ticket}"}, {"cookie": f"authjs.session-token={ticket}"}):
        answer = await Browser(world.url).send("GET", "/api/v1/ws-token", headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "session_invalid")
    assert (await Browser(world.url).send("GET", "/api/v1/ws-token")).json()["error"] == "no_credentials"
