"""What acts with the token of a service account: as itself, with its role, and never as a person."""

import asyncio
import contextlib
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from resolvers.kernel.declarations.operation import OPERATIONS, Auth
from resolvers.kernel.store.connection import Connection
from tests.every import each_of
from tests.live.graphql import Talk, talking
from tests.live.sockets import client_of
from tests.people.service_accounts.robots import ACCOUNTS, account, robot, token
from tests.world import World

pytestmark = pytest.mark.anyio
CREW = {"name": "Robots", "slug": "robots"}


@pytest.mark.parametrize(("role", "may"), [("VIEWER", False), ("MEMBER", False), ("MANAGER", True), ("ADMIN", True)])
async def test_the_gate_asks_for_the_role_of_the_account(world: World, role: str, may: bool) -> None:
    actor = await robot(world, f"gate {role}", role)
    assert (await world.rest(actor, "GET", "/api/v1/crews")).status_code == 200
    made = await world.rest(actor, "POST", "/api/v1/crews", {"name": f"Crew {role}", "slug": f"crew-{role.lower()}"})
    assert made.status_code == (201 if may else 403)
    assert (await world.rest(actor, "GET", "/api/v1/crews", workspace=world.other.id)).status_code == 403


async def test_audit_rows_say_that_it_was_a_service(world: World) -> None:
    actor = await robot(world, "audited")
    made = await world.rest(actor, "POST", "/api/v1/crews", {"name": "Audited", "slug": "audited"})
    rows = [row for row in await world.audit() if row["entity_id"] == made.json()["id"]]
    assert [(row["actor_type"], row["user_id"]) for row in rows] == [("service", actor.user_id)]
    await world.rest(world.owner, "POST", "/api/v1/crews", {"name": "By hand", "slug": "by-hand"})
    assert (await world.audit())[-1]["actor_type"] == "token"  # a person's


async def test_scopes_take_away_from_the_role(world: World) -> None:
    actor = await robot(world, "scoped", scopes=["crews:read"])
    assert (await world.rest(actor, "GET", "/api/v1/crews")).status_code == 200
    assert (await world.rest(actor, "POST", "/api/v1/crews", CREW)).status_code == 403
    assert (await world.rest(actor, "GET", "/api/v1/labels")).status_code == 403


PEOPLE = ("auth.", "onboarding.", "service_accounts.")


async def test_what_is_of_people_is_closed_to_every_account(world: World) -> None:
    """By the scopes that its tokens always have."""
    closed = {op.name for op in OPERATIONS.values() if op.auth is Auth.USER and op.needs is None}
    assert {name for name in OPERATIONS if name.startswith(PEOPLE) and OPERATIONS[name].auth is Auth.USER} <= closed | {
        "auth.cli_token_validate"
    }
    actor = await robot(world, "greedy", "ADMIN")
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/auth/cli-token", {}),
        ("GET", "/api/v1/auth/cli-tokens", None),
        ("GET", "/api/v1/auth/sessions", None),
        ("POST", ACCOUNTS, {"name": "child"}),
        ("GET", ACCOUNTS, None),
        ("POST", f"{ACCOUNTS}/{actor.user_id}/tokens", {}),
        ("PATCH", f"{ACCOUNTS}/{actor.user_id}", {"role": "ADMIN"}),
        ("POST", "/api/v1/workspaces", {"name": "Own", "slug": "own"}),
    ]
    before = await world.snapshot()
    for method, path, body in calls:
        assert (await world.rest(actor, method, path, body)).status_code == 403, path
    assert await world.snapshot() == before


async def test_it_knows_who_it_is(world: World) -> None:
    actor = await robot(world, "self-aware")
    valid = (await world.rest(actor, "GET", "/api/v1/auth/cli-token/validate")).json()
    assert (valid["user_id"], valid["user_email"]) == (actor.user_id, actor.email)
    viewer = (await world.graphql(actor, "{ viewer { id fullName workspaces { id } } }"))["data"]["viewer"]
    assert viewer == {"id": actor.user_id, "fullName": "self-aware", "workspaces": [{"id": world.workspace.id}]}


async def test_nobody_signs_in_as_an_account(world: World) -> None:
    from tests.people.auth.browsers import Browser

    actor = await robot(world, "unsigned")
    browser = Browser(world.url)
    for password in ("", "x", "correct horse battery"):
        assert (await browser.log_in(actor.email, password)).json()["ok"] is False
    assert not {name for name in browser.cookies if "session" in name}


# ---- tokens ----------------------------------------------------------------------------------------------------------


@each_of(
    ("role", "scopes", "status"),
    [
        ("VIEWER", ["crews:read"], 201),
        ("VIEWER", ["*"], 201),
        ("VIEWER", ["crews:write"], 403),
        ("MANAGER", ["crews:write", "agents:run"], 201),
        ("MANAGER", ["workspace:admin"], 403),
        ("ADMIN", ["workspace:admin"], 201),
        ("ADMIN", ["crews:fly"], 400),
    ],
)
async def test_no_scope_goes_beyond_the_role_of_the_account(
    world: World, role: str, scopes: list[str], status: int
) -> None:
    made = await account(world, f"{role} {scopes}"[:100], role)
    before = await world.snapshot()
    answer = await world.rest(world.owner, "POST", f"{ACCOUNTS}/{made['id']}/tokens", {"scopes": scopes})
    assert answer.status_code == status
    if status == 201:
        assert answer.json()["scopes"] == scopes
    else:
        assert await world.snapshot() == before


async def test_tokens_are_listed_rotated_and_revoked(world: World) -> None:
    actor = await robot(world, "tokens", name="first", expires_in_seconds=3600)
    path = f"{ACCOUNTS}/{actor.user_id}/tokens"
    (listed,) = (await world.rest(world.admin, "GET", path)).json()
    assert (listed["name"], listed["scopes"], listed["expires_soon"]) == ("first", ["*"], False)
    assert "token" not in listed
    answers = await asyncio.gather(
        *(world.rest(world.admin, "POST", f"{path}/{listed['id']}/rotate", {"overlap_seconds": 60}) for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 4
    new = next(answer.json() for answer in answers if answer.status_code == 200)
    for value in (actor.token, new["token"]):
        async with world.client(None, authorization=f"Bearer {value}") as client:
            seen = await client.get("/api/v1/crews", params={"workspace_id": world.workspace.id})
        assert seen.status_code == 200
    for _ in range(2):
        gone = await world.rest(world.admin, "DELETE", f"{path}/{listed['id']}")
        assert (gone.status_code, gone.json()) == (200, {"status": "revoked"})
    assert (await world.rest(actor, "GET", "/api/v1/crews")).status_code == 401
    shown = (await world.rest(world.admin, "GET", path)).json()
    assert [(token["id"], "revoked_at" in token, "rotated_at" in token) for token in shown] == [
        (new["id"], False, False),
        (listed["id"], True, True),
    ]
    actions = [row["action"] for row in await world.audit() if row["entity_id"] == actor.user_id]
    assert actions == [
        "service_account.created", "service_account.token_created", "service_account.token_rotated",
        "service_account.token_revoked", "service_account.token_revoked",
    ]  # fmt: skip
    assert new["token"] not in str(await world.audit())


async def test_tokens_of_others_are_not_an_accounts(world: World) -> None:
    one, two = await account(world, "one"), await account(world, "two")
    other = await token(world, two["id"])
    persons = await world.database.fetchval("SELECT id FROM cli_tokens WHERE user_id = $1", world.member.user_id)
    before = await world.snapshot()
    for id in (other["id"], persons, "cnone"):
        path = f"{ACCOUNTS}/{one['id']}/tokens/{id}"
        assert (await world.rest(world.owner, "DELETE", path)).status_code == 404
        assert (await world.rest(world.owner, "POST", f"{path}/rotate", {})).status_code == 404
    assert await world.snapshot() == before


# ---- sockets ---------------------------------------------------------------------------------------------------------

CREWS = "subscription($ws: ID) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { name } } }"


@pytest.mark.parametrize("how", ["deactivate", "delete", "revoke"])
async def test_its_sockets_end_with_it(world: World, how: str) -> None:
    actor = await robot(world, f"socket {how}")
    path = f"{ACCOUNTS}/{actor.user_id}"
    id = (await world.rest(world.owner, "GET", f"{path}/tokens")).json()[0]["id"]
    ends = {"deactivate": ("POST", f"{path}/deactivate"), "delete": ("DELETE", path)}
    heard = list[dict[str, Any]]()

    async def listen(talk: Talk) -> None:
        with contextlib.suppress(ConnectionClosed):  # where the credential itself has ended
            while True:
                heard.append(await talk.hear())

    async with client_of(world, actor) as client, talking(world, actor) as talk:
        await client.subscribe(f"workspace:{world.workspace.id}")
        await talk.subscribe("1", CREWS, ws=world.workspace.id)
        listening = asyncio.create_task(listen(talk))
        number = 0
        while not (heard and client.of("crew.created")):  # until both listen
            number += 1
            body = {"name": f"Before {how}", "slug": f"before-{how}-{number}"}
            assert (await world.rest(world.owner, "POST", "/api/v1/crews", body)).status_code == 201
            await asyncio.sleep(0.1)
        method, at = ends.get(how, ("DELETE", f"{path}/tokens/{id}"))
        assert (await world.rest(world.owner, method, at)).status_code < 300
        await world.rest(world.owner, "POST", "/api/v1/crews", {"name": f"After {how}", "slug": f"after-{how}"})
        await client.until(lambda: client.of("error", "session_revoked") or client.closed)
        await client.until(lambda: listening.done() or not (heard[-1].get("payload") or {}).get("data"))
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert "Before" in str(heard)
        assert "After" not in str(heard) + str(client.heard)


async def test_a_lowered_role_holds_at_once(world: World) -> None:
    actor = await robot(world, "lowered", "ADMIN")
    told = "SELECT count(*) FROM events WHERE type = 'access.changed' AND channel = 'access:' || $1"
    before = await world.database.fetchval(told, actor.user_id)
    await world.rest(world.owner, "PATCH", f"{ACCOUNTS}/{actor.user_id}", {"role": "VIEWER"})
    assert await world.database.fetchval(told, actor.user_id) == before + 1
    assert (await world.rest(actor, "POST", "/api/v1/crews", CREW)).status_code == 403


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the statements of calls, in their order."""
    texts = list[str]()
    for name in ("fetchrow", "fetch", "begin_with"):

        def watched(self: Any, query: str, *args: Any, _was: Any = getattr(Connection, name), **named: Any) -> Any:
            texts.append(query)
            return _was(self, query, *args, **named)

        monkeypatch.setattr(Connection, name, watched)
    return texts


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/crews"), ("POST", "/api/v1/labels")])
async def test_its_calls_are_the_statements_of_a_members_calls(
    world: World, sent: list[str], method: str, path: str
) -> None:
    actor = await robot(world, f"counted {method}")
    told = list[list[str]]()
    for person in (world.manager, actor, world.manager, actor):
        body = {"name": f"{path} {len(told)}", "color": "red"} if method == "POST" else None
        sent.clear()
        assert (await world.rest(person, method, path, body)).status_code < 300
        told.append([text for text in sent if "gate_" in text or "labels" in text])  # and none of the background
    assert told[3] == told[2]
    assert len(told[2]) == (1 if method == "GET" else 2)
