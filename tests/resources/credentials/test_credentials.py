"""Credentials on both surfaces: what is taken, who sees them, what is told of them, and that no value comes back."""

import asyncio
import base64
from typing import Any

import pytest

from models.resources.credentials import AgentCredential, Credential
from models.sealed import Sealed
from models.staff.crews import CrewMember
from resolvers.instance.running import instance
from tests.work.issues.board import UNKNOWN, Board, word
from tests.world import Person

pytestmark = pytest.mark.anyio
PATH = "/api/v1/credentials"
CANARY = "canary-7f3a9c"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nYWJj\n-----END OPENSSH PRIVATE KEY-----\n"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----"


async def made(board: Board, person: Person | None = None, **fields: Any) -> dict[str, Any]:
    answer = await board.ask("POST", PATH, {"name": word(), "value": CANARY} | fields, person)
    assert answer.status_code == 201, answer.text[:300]
    return answer.json()  # type: ignore[no-any-return]


async def change(board: Board, credential: dict[str, Any], **fields: Any) -> Any:
    return await board.ask("PATCH", f"{PATH}/{credential['id']}", fields)


async def opened(board: Board, id: str, column: str = "value") -> str | None:
    sealed = await board.world.database.fetchval(f"SELECT {column} FROM credentials WHERE id = $1", id)
    if sealed is None:
        return None
    return (await instance.vault.open(Sealed(sealed), table=Credential, column=column, row_id=id)).reveal()


async def told(board: Board, id: str) -> list[str]:
    rows = await board.world.database.fetch(
        "SELECT event_type FROM credential_events WHERE credential_id = $1 ORDER BY occurred_at, id", id
    )
    return [row[0] for row in rows]


async def test_a_credential_of_a_name_and_a_value_has_the_defaults(board: Board) -> None:
    since, name = await board.since(), word()
    credential = await made(board, name=name)
    times = {key: credential[key] for key in ("id", "created_at", "updated_at")}
    assert credential == times | {
        "name": name, "description": None, "type": "SECRET", "provider": "NONE", "status": "ACTIVE",
        "scope": "WORKSPACE", "crew_id": None, "crew_ids": [], "account_label": None, "account_email": None,
        "username": None, "token_expires_at": None, "last_checked_at": None, "last_error": None, "last_used_at": None,
        "last_used_ips": [], "tags": [], "_count_agent_credentials": 0, "agent_ids": [], "agent_names": [],
        "mcp_used": False, "security_level": 1, "security_level_label": "L1 · low", "testable": False,
        "sensitivity": "STANDARD",
        "created_by_actor_type": "user", "created_by_actor_id": board.person.user_id, "provisioned_for_service": None,
    }  # fmt: skip
    assert await board.read(f"{PATH}/{credential['id']}") == credential
    assert await board.events(since) == []
    assert await told(board, credential["id"]) == ["CREATED"]
    assert await opened(board, credential["id"]) == CANARY


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "SSH_KEY", "value": KEY},
        {"type": "SSH_KEY", "value": "  " + KEY.replace("\n", "\r\n")},
        {"type": "CERTIFICATE", "value": CERTIFICATE},
        {"type": "USERPASS", "username": "captain"},
        {"type": "AI_CLI_TOKEN", "provider": "ANTHROPIC"},
        {"type": "OAUTH2"},
    ],
)
async def test_each_type_takes_what_it_should(board: Board, fields: dict[str, Any]) -> None:
    credential = await made(board, **fields)
    assert (credential["type"], credential["status"]) == (fields["type"], "ACTIVE")
    assert await opened(board, credential["id"]) == fields.get("value", CANARY)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "n" * 256},
        {"value": ""},
        {"value": None},
        {"value": 5},
        {"type": "PASSWORD"},
        {"type": "USERPASS"},
        {"type": "USERPASS", "username": "  "},
        {"type": "SSH_KEY"},
        {"type": "SSH_KEY", "value": CERTIFICATE},
        {"type": "SSH_KEY", "value": KEY + "more"},
        {"type": "SSH_KEY", "value": KEY.replace("OPENSSH ", "X")},
        {"type": "SSH_KEY", "value": KEY.replace("END OPENSSH", "END")},
        {"type": "CERTIFICATE", "value": KEY},
        {"type": "NOPE", "pending": True, "value": ""},
        {"crew_ids": [UNKNOWN]},
        {"crew_id": UNKNOWN},
        {"crew_ids": "x"},
        {"tags": "x"},
        {"security_level": "2"},
        {"security_level": 1.5},
        {"security_level": 0},
        {"security_level": 5},
        {"created_by_actor_type": "robot"},
        {"created_by_actor_type": "agent"},
        {"created_by_actor_type": "system", "created_by_actor_id": "x"},
        {"provisioned_for_service": "a/b"},
        {"provisioned_for_service": "a/b/c", "provider": "AUTO_MANAGED", "created_by_actor_type": "system"},
    ],
)
async def test_what_a_credential_cannot_be_is_refused_and_nothing_is_written(
    board: Board, fields: dict[str, Any]
) -> None:
    before = await board.world.snapshot()
    body = {"name": word(), "value": CANARY} | fields
    answer = await board.ask("POST", PATH, body, board.world.owner)
    assert answer.status_code == 400, answer.text
    assert CANARY not in answer.text
    assert "YWJj" not in answer.text
    assert await board.world.snapshot() == before


async def test_a_slot_waits_for_its_value(board: Board) -> None:
    slot = await made(board, value="", pending=True, type="API_KEY")
    assert (slot["status"], await opened(board, slot["id"])) == ("PENDING", None)
    filled = (await change(board, slot, value=CANARY)).json()
    assert (filled["status"], await opened(board, slot["id"])) == ("ACTIVE", CANARY)
    assert await told(board, slot["id"]) == ["CREATED", "ROTATE"]


async def test_the_client_of_oauth_is_kept_for_oauth_alone(board: Board) -> None:
    client = {"oauth_client_id": "client", "oauth_client_secret": CANARY, "oauth_scopes": "a b"}
    waiting = await made(board, type="OAUTH2", value="", **client)
    assert waiting["status"] == "PENDING"
    assert await opened(board, waiting["id"], "oauth_client_secret") == CANARY
    other = await made(board, **client)
    assert await opened(board, other["id"], "oauth_client_secret") is None


async def test_tags_are_kept_as_the_rule_says(board: Board) -> None:
    tags = [" Prod ", "prod", "EU", "", "x" * 33, *"abcdefg"]
    credential = await made(board, tags=tags, security_level=4)
    assert credential["tags"] == ["prod", "eu", *"abcdef"]
    assert (await change(board, credential, tags=[])).json()["tags"] == []


async def test_who_is_said_to_have_made_it(board: Board) -> None:
    body = {"created_by_actor_type": "agent", "created_by_actor_id": board.worker.id}
    assert (await board.ask("POST", PATH, {"name": word(), "value": CANARY} | body)).status_code == 403
    own = {"created_by_actor_id": board.world.owner.user_id}
    assert (await board.ask("POST", PATH, {"name": word(), "value": CANARY} | own)).status_code == 403
    by_agent = await made(board, board.world.admin, **body)
    assert (by_agent["created_by_actor_type"], by_agent["created_by_actor_id"]) == ("agent", board.worker.id)
    service = {"provider": "AUTO_MANAGED", "created_by_actor_type": "system", "provisioned_for_service": " a/b "}
    made_by_system = await made(board, board.world.admin, **service)
    assert (made_by_system["created_by_actor_id"], made_by_system["provisioned_for_service"]) == (None, "a/b")


async def test_members_see_those_of_the_workspace_and_of_their_crews(board: Board) -> None:
    member, elsewhere = board.world.member, await Board.of(board.world)
    await board.world.add(CrewMember(crew_id=board.crew.id, user_id=member.user_id, **board.here))
    seen = [await made(board), await made(board, crew_ids=[board.crew.id])]
    hidden = [
        await made(board, crew_ids=[elsewhere.crew.id]),
        await made(board, scope="GALAXY"),
        await made(board, scope="CREW"),
    ]
    for person, expected in ((member, seen), (board.world.viewer, seen[:1]), (board.world.manager, seen + hidden)):
        listed = {row["id"] for row in (await board.ask("GET", PATH, None, person)).json()}
        assert listed & {row["id"] for row in seen + hidden} == {row["id"] for row in expected}
        for row in seen + hidden:
            answer = await board.ask("GET", f"{PATH}/{row['id']}", None, person)
            assert answer.status_code == (200 if row in expected else 404)


async def test_crews_are_replaced_and_carry_the_scope(board: Board) -> None:
    other = await Board.of(board.world)
    credential = await made(board, crew_ids=[other.crew.id, board.crew.id, other.crew.id])
    assert credential["crew_ids"] == [other.crew.id, board.crew.id]
    assert (credential["scope"], credential["crew_id"]) == ("CREW", other.crew.id)
    for fields, crews in (
        ({"crew_id": board.crew.id}, [board.crew.id]),
        ({"crew_id": ""}, []),
        ({"crew_ids": [board.crew.id, other.crew.id], "crew_id": None}, [board.crew.id, other.crew.id]),
        ({"crew_ids": None}, []),
    ):
        changed = (await change(board, credential, **fields)).json()
        assert changed["crew_ids"] == crews, fields
        assert changed["scope"] == ("CREW" if crews else "WORKSPACE")
        assert await board.read(f"{PATH}/{credential['id']}") == changed
    assert (await change(board, credential, crew_ids=[UNKNOWN])).status_code == 400


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": ""},
        {"name": None},
        {"type": "NOPE"},
        {"type": "USERPASS"},
        {"type": "SSH_KEY"},
        {"type": "SSH_KEY", "value": CANARY},
        {"username": 5},
        {"tags": "x"},
        {"security_level": 5},
        {"security_level": 0},
        {"security_level": 2.9},
        {"provider": None},
        {"scope": None},
    ],
)
async def test_a_bad_update_is_refused(board: Board, fields: dict[str, Any]) -> None:
    credential = await made(board)
    before = await board.world.snapshot()
    answer = await change(board, credential, **fields)
    assert (answer.status_code, CANARY in answer.text) == (400, False)
    assert await board.world.snapshot() == before


async def test_a_new_value_heals_and_an_empty_one_is_ignored(board: Board) -> None:
    credential = await made(board)
    await board.world.database.execute(
        "UPDATE credentials SET status = 'REVOKED', last_error = 'gone' WHERE id = $1", credential["id"]
    )
    kept = (await change(board, credential, value="", description="same")).json()
    assert (kept["status"], await opened(board, credential["id"])) == ("REVOKED", CANARY)
    healed = (await change(board, credential, value=f"{CANARY}-2", status="EXPIRED")).json()
    assert (healed["status"], healed["last_error"]) == ("ACTIVE", None)
    assert await opened(board, credential["id"]) == f"{CANARY}-2"
    assert await told(board, credential["id"]) == ["CREATED", "ROTATE"]


async def test_a_name_is_taken_until_it_is_deleted_and_then_free_with_its_assignments_gone(board: Board) -> None:
    credential = await made(board)
    given = AgentCredential(agent_id=board.worker.id, credential_id=credential["id"], env_var_name="T", **board.here)
    await board.world.add(given)
    again = {"name": credential["name"], "value": CANARY}
    assert (await board.ask("POST", PATH, again)).status_code == 409
    other = await made(board)
    assert (await change(board, other, name=credential["name"])).status_code == 409
    path = f"{PATH}/{credential['id']}"
    assert (await board.ask("DELETE", path)).status_code == 403
    assert (await board.ask("DELETE", path, None, board.world.owner)).json() == {"success": True}
    assert (await board.ask("GET", path)).status_code == 404
    assert await told(board, credential["id"]) == ["CREATED", "REVOKE"]
    refused = await board.ask("POST", PATH, again | {"crew_ids": [UNKNOWN]})
    kept = "SELECT count(*) FROM agent_credentials WHERE id = $1"
    assert (refused.status_code, await board.world.database.fetchval(kept, given.id)) == (400, 1)
    await made(board, **again)
    assert await board.world.database.fetchval(kept, given.id) == 0
    gone = "SELECT count(*) FROM credentials WHERE id = $1"
    assert await board.world.database.fetchval(gone, credential["id"]) == 0


async def test_of_two_at_once_with_one_name_one_is_made(board: Board) -> None:
    body = {"name": word(), "value": CANARY}
    answers = await asyncio.gather(*[board.ask("POST", PATH, body) for _ in range(4)])
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_agents_are_counted_and_live_ones_named(board: Board) -> None:
    credential = await made(board)
    await board.world.add(
        *[
            AgentCredential(agent_id=agent.id, credential_id=credential["id"], env_var_name="T", **board.here)
            for agent in (board.worker, board.lead)
        ]
    )
    await board.world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", board.worker.id)
    shown = await board.read(f"{PATH}/{credential['id']}")
    assert (shown["_count_agent_credentials"], shown["agent_names"]) == (2, [board.lead.name])
    assert shown["agent_ids"] == [board.lead.id]


async def test_the_list_is_by_type_then_newest_first(board: Board) -> None:
    own = await Board.of(board.world, board.world.other)
    rows = [await made(own, type=type) for type in ("SECRET", "API_KEY", "API_KEY", "CLI_TOKEN")]
    listed = [row["id"] for row in (await own.read(PATH)) if row["id"] in {r["id"] for r in rows}]
    assert listed == [rows[place]["id"] for place in (2, 1, 3, 0)]


async def test_no_value_is_anywhere_but_sealed_in_its_column(board: Board) -> None:
    """Neither as it is nor encoded: in no table, event, audit row and kept answer."""
    credential = await made(
        board, board.world.owner, type="OAUTH2", refresh_token=f"{CANARY}-r", oauth_client_id="c",
        oauth_client_secret=f"{CANARY}-o",
    )  # fmt: skip
    await change(board, credential, value=f"{CANARY}-new", name=word(), description="changed")
    path = f"{PATH}/{credential['id']}"
    await board.ask("POST", f"{path}/rotate", {"value": f"{CANARY}-newer"}, board.world.owner)
    await board.ask("POST", f"{path}/rotate", {"value": f"{CANARY}-x", "grace_seconds": -1}, board.world.owner)
    await board.ask("POST", f"{PATH}/test", {"value": f"{CANARY}-test", "provider": "NONE"})
    await board.ask("POST", f"{path}/test")
    fail = {"name": credential["name"], "value": CANARY, "crew_id": UNKNOWN}
    texts = [(await board.ask("POST", PATH, fail)).text, str(await board.read(PATH))]
    tables = await board.world.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        rows = await board.world.database.fetch(f'SELECT t::text FROM "{table[0]}" t')
        texts += [row[0] for row in rows]
    plain = CANARY.encode()
    forms = (CANARY, base64.b64encode(plain).decode().rstrip("=")[:-2], plain.hex(), CANARY[::-1])
    assert not [text[:200] for text in texts if any(form in text for form in forms)]
    actions = [row["action"] for row in await board.world.audit() if row["entity_id"] == credential["id"]]
    assert sorted(actions) == [
        "credential.created", "credential.rotated", "credential.tested", "credential.updated",
    ]  # fmt: skip


DOCUMENT = """
mutation($ws: ID, $in: CreateCredentialInput!) {
  createCredential(workspaceId: $ws, input: $in) { id name type status crewIds tags version }
}
"""


async def test_graphql_makes_shows_and_hides_the_same(board: Board) -> None:
    given = {"name": word(), "value": CANARY, "crewIds": [board.crew.id], "tags": ["A"]}
    answer = await board.world.graphql(board.person, DOCUMENT, {"in": given})
    created = answer["data"]["createCredential"]
    assert (created["crewIds"], created["tags"], created["type"]) == ([board.crew.id], ["a"], "SECRET")
    shown = "query($ws: ID, $id: ID!) { credential(workspaceId: $ws, id: $id) { name agentNames } }"
    asked = {"id": created["id"]}
    assert (await board.world.graphql(board.person, shown, asked))["data"]["credential"]["name"] == created["name"]
    assert (await board.world.graphql(board.world.viewer, shown, asked))["errors"]
    for field in ("value", "refreshToken", "oauthClientSecret"):
        refused = await board.world.graphql(board.person, shown.replace("agentNames", field), asked)
        assert "Cannot query field" in str(refused["errors"])


LEVEL = """query($ws: ID!, $id: ID!) { credential(workspaceId: $ws, id: $id) {
agentIds securityLevel securityLevelLabel testable } }"""


async def test_levels_have_names_and_a_check_is_offered_where_there_is_one(board: Board) -> None:
    for level, label in enumerate(("L1 · low", "L2 · medium", "L3 · high", "L4 · critical"), 1):
        credential = await made(board, security_level=level, provider="GITHUB")
        assert (credential["security_level"], credential["security_level_label"]) == (level, label)
        shown = await board.data(LEVEL, id=credential["id"])
        assert shown == {"agentIds": [], "securityLevel": level, "securityLevelLabel": label, "testable": True}
    for fields, testable in (
        ({"provider": "ANTHROPIC", "type": "API_KEY"}, True),
        ({"provider": "ANTHROPIC", "type": "AI_CLI_TOKEN"}, False),
        ({"provider": "github"}, False),
    ):
        assert (await made(board, **fields))["testable"] is testable
        usual = await board.read("/api/v1/credentials/default-env-var", **fields)
        assert usual["testable"] is testable
    raised = await change(board, credential, security_level=1)
    assert (raised.json()["security_level"], raised.json()["security_level_label"]) == (1, "L1 · low")


FIND = """query($ws: ID!, $status: [CredentialStatus!], $type: [CredentialType!], $search: String) {
findCredentials(workspaceId: $ws, status: $status, type: $type, search: $search) {
totalCount nodes { id mcpUsed crewIds agentNames } } }"""


async def found(board: Board, person: Person | None = None, **filters: Any) -> list[str]:
    page = await board.data(FIND, person, **filters)
    ids = [node["id"] for node in page["nodes"]]
    assert page["totalCount"] == len(ids)
    return ids


async def test_credentials_are_found_by_state_type_and_name(board: Board) -> None:
    name = word()
    key = await made(board, name=f"{name} Key", type="API_KEY")
    slot = await made(board, name=f"{name} slot", value="", pending=True)
    hidden = await made(board, name=f"{name} hidden", crew_ids=[board.crew.id])
    all = {key["id"], slot["id"], hidden["id"]}
    assert set(await found(board, search=name.upper())) == all
    assert await found(board, search=f"{name} key") == [key["id"]]
    assert await found(board, search=name, type=["API_KEY", "OAUTH2"]) == [key["id"]]
    assert await found(board, search=name, status=["PENDING", "EXPIRED"]) == [slot["id"]]
    assert await found(board, search=name, status=["EXPIRED"]) == []
    assert await found(board, search=name, type=["API_KEY"], status=["PENDING"]) == []
    assert set(await found(board, board.world.viewer, search=name)) == all - {hidden["id"]}


async def test_a_credential_names_the_agents_that_get_it(board: Board) -> None:
    credential = await made(board)
    for agent in (board.lead, board.worker):
        path, given = (
            f"/api/v1/agents/{agent.id}/credentials",
            {"credential_id": credential["id"], "env_var_name": "KEY"},
        )
        assert (await board.ask("POST", path, given, board.world.admin)).status_code == 201
    ask = """query($ws: ID!, $id: ID!) { credential(workspaceId: $ws, id: $id) { assignments(first: 1) {
        totalCount nodes { envVarName agent { id } } } } }"""
    assert (await board.data(ask, id=credential["id"]))["assignments"] == {
        "totalCount": 2,
        "nodes": [{"envVarName": "KEY", "agent": {"id": board.lead.id}}],
    }
