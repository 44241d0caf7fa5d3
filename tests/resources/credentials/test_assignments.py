"""Credentials are given to agents under names; who is told what of it, and the timeline."""

import asyncio
from typing import Any

import pytest

from models.staff.crews import CrewMember
from tests.resources.credentials.test_credentials import CANARY, PATH, made, told
from tests.work.issues.board import UNKNOWN, Board, word

pytestmark = pytest.mark.anyio


def of(board: Board) -> str:
    return f"/api/v1/agents/{board.worker.id}/credentials"


async def given(board: Board, credential: dict[str, Any], **fields: Any) -> Any:
    body = {"credential_id": credential["id"], "env_var_name": "GH_TOKEN"} | fields
    return await board.ask("POST", of(board), body, board.world.admin)


async def test_an_agent_is_given_a_credential_once_and_it_is_taken_back(board: Board) -> None:
    credential = await made(board, type="API_KEY", provider="GITHUB")
    answer = await given(board, credential, priority=4)
    assert (answer.status_code, set(answer.json())) == (201, {"id"})
    [row] = [row for row in await board.read(of(board)) if row["credential_id"] == credential["id"]]
    assert row == {
        "id": answer.json()["id"], "agent_id": board.worker.id, "credential_id": credential["id"],
        "credential_name": credential["name"], "credential_type": "API_KEY", "credential_provider": "GITHUB",
        "credential_status": "ACTIVE", "env_var_name": "GH_TOKEN", "priority": 4, "created_at": row["created_at"],
        "expired": False, "grant_source": "explicit",
    }  # fmt: skip
    assert (await given(board, credential, env_var_name="OTHER")).status_code == 409
    shown = await board.read(f"{PATH}/{credential['id']}")
    assert (shown["_count_agent_credentials"], shown["agent_names"]) == (1, [board.worker.name])
    path = f"{of(board)}/{row['id']}"
    for wrong in (f"{of(board)}/{credential['id']}", path.replace(board.worker.id, board.lead.id)):
        assert (await board.ask("DELETE", wrong, None, board.world.admin)).status_code == 404
    assert (await board.ask("DELETE", path)).status_code == 403
    assert (await board.ask("DELETE", path, None, board.world.admin)).json() == {"success": True}
    assert (await board.ask("DELETE", path, None, board.world.admin)).status_code == 404
    actions = [row["action"] for row in await board.world.audit() if row["entity_id"] == answer.json()["id"]]
    assert sorted(actions) == ["agent_credential.assigned", "agent_credential.unassigned"]


async def test_pools_stand_by_variable_and_the_highest_number_first(board: Board) -> None:
    own = await Board.of(board.world)
    for variable, priority in (("B", 0), ("A", -1), ("B", 7), ("a b=c", 2), ("B", 3)):
        assert (await given(own, await made(own), env_var_name=variable, priority=priority)).status_code == 201
    listed = [(row["env_var_name"], row["priority"]) for row in await own.read(of(own))]
    assert listed == sorted(listed, key=lambda row: (row[0], -row[1]))
    assert len(listed) == 5


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"credential_id": ""}, 400),
        ({"credential_id": None}, 400),
        ({"env_var_name": ""}, 400),
        ({"env_var_name": None}, 400),
        ({"env_var_name": "x" * 300}, 400),
        ({"priority": "x"}, 400),
        ({"priority": 1.5}, 400),
        ({"credential_id": UNKNOWN}, 404),
    ],
)
async def test_what_cannot_be_assigned_is_refused_and_nothing_is_written(
    board: Board, fields: dict[str, Any], status: int
) -> None:
    credential = await made(board)
    before = await board.world.snapshot()
    assert (await given(board, credential, **fields)).status_code == status
    assert await board.world.snapshot() == before


async def test_of_two_at_once_one_assigns(board: Board) -> None:
    credential = await made(board)
    answers = await asyncio.gather(*[given(board, credential) for _ in range(4)])
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_an_assignment_needs_a_credential_that_is_there(board: Board) -> None:
    """Also where the credential is deleted for good at the same moment."""
    credential = await made(board)
    await board.ask("DELETE", f"{PATH}/{credential['id']}", None, board.world.owner)
    assert (await given(board, credential)).status_code == 404
    columns = "id, workspace_id, agent_id, credential_id, env_var_name, priority"
    with pytest.raises(Exception, match="agent_credentials_workspace_id_credential_id_fkey"):
        await board.world.database.execute(
            f"INSERT INTO agent_credentials ({columns}) VALUES ('cstray', $1, $2, 'cnone', 'X', 0)",
            board.here["workspace_id"],
            board.worker.id,
        )


COUNT = """
query($ws: ID, $id: ID!) { agent(workspaceId: $ws, id: $id) { credentialCount credentials { nodes { name } } } }
"""


async def test_a_hidden_credential_is_not_counted_and_no_edge_leads_to_it(board: Board) -> None:
    own, other = await Board.of(board.world), await Board.of(board.world)
    member = own.world.member
    await own.world.add(CrewMember(crew_id=own.crew.id, user_id=member.user_id, **own.here))
    names = [word() for _ in range(3)]
    for name, crews in zip(names, ([], [own.crew.id], [other.crew.id]), strict=True):
        assert (await given(own, await made(own, name=name, crew_ids=crews))).status_code == 201
    for person, seen in ((own.world.owner, 3), (member, 2), (own.world.viewer, 1)):
        found = (await own.world.graphql(person, COUNT, {"id": own.worker.id}))["data"]["agent"]
        shown = sorted(row["name"] for row in found["credentials"]["nodes"])
        assert (found["credentialCount"], shown) == (seen, sorted(names[:seen]))
        rest = (await own.ask("GET", f"/api/v1/agents/{own.worker.id}", None, person)).json()
        assert rest["_count"]["credentials"] == seen
        # contract: agent_credentials.list shows every assignment, to every member
        assert len((await own.ask("GET", of(own), None, person)).json()) == 3


CREW = "query($ws: ID, $id: ID!) { crew(workspaceId: $ws, id: $id) { credentials { nodes { name } } } }"


async def test_a_crew_leads_to_the_credentials_that_its_members_see(board: Board) -> None:
    own = await Board.of(board.world)
    credential = await made(own, crew_ids=[own.crew.id])
    await made(own)
    for person, names in ((own.world.owner, [credential["name"]]), (own.world.viewer, [])):
        found = (await own.world.graphql(person, CREW, {"id": own.crew.id}))["data"]["crew"]
        assert [row["name"] for row in found["credentials"]["nodes"]] == names


ASSIGN = """
mutation($ws: ID, $in: AssignCredentialInput!) {
  assignCredential(workspaceId: $ws, input: $in) {
    id envVarName priority credentialName agent { id } credential { id }
  }
}
"""
SHOWN = """
query($ws: ID, $id: ID!) { agentCredentials(workspaceId: $ws, agentId: $id) { id credentialName credential { id } } }
"""


async def test_graphql_assigns_and_shows_the_same(board: Board) -> None:
    other = await Board.of(board.world)
    credential = await made(board, crew_ids=[other.crew.id])
    sent = {"agentId": board.worker.id, "credentialId": credential["id"], "envVarName": "K", "priority": 2}
    made_ = (await board.world.graphql(board.world.admin, ASSIGN, {"in": sent}))["data"]["assignCredential"]
    assert made_ == {
        "id": made_["id"], "envVarName": "K", "priority": 2, "credentialName": credential["name"],
        "agent": {"id": board.worker.id}, "credential": {"id": credential["id"]},
    }  # fmt: skip
    for person, seen in ((board.world.owner, {"id": credential["id"]}), (board.world.viewer, None)):
        rows = (await board.world.graphql(person, SHOWN, {"id": board.worker.id}))["data"]["agentCredentials"]
        [row] = [row for row in rows if row["id"] == made_["id"]]
        assert (row["credentialName"], row["credential"]) == (credential["name"], seen)


async def test_the_timeline_is_newest_first_for_managers(board: Board) -> None:
    credential = await made(board, provider="GITHUB")
    await board.ask("PATCH", f"{PATH}/{credential['id']}", {"value": "another"})
    path = f"{PATH}/{credential['id']}/audit"
    rows = await board.read(path)
    assert [row["event_type"] for row in rows] == ["ROTATE", "CREATED"]
    assert rows[0]["metadata"] == {"mode": "inline", "rotated_by": board.person.user_id}
    assert rows[1] == {
        "id": rows[1]["id"], "event_type": "CREATED", "agent_id": None, "ip_address": rows[1]["ip_address"],
        "metadata": {"created_by": board.person.user_id, "provider": "GITHUB", "type": "SECRET"},
        "occurred_at": rows[1]["occurred_at"], "actor_kind": "user", "actor_id": board.person.user_id,
        "actor_name": rows[0]["actor_name"],
    }  # fmt: skip
    for limit, count in (("1", 1), ("0", 2), ("501", 2), ("x", 2)):
        assert len(await board.read(path, limit=limit)) == count
    assert (await board.ask("GET", path, None, board.world.member)).status_code == 403
    assert (await board.ask("GET", f"{PATH}/{UNKNOWN}/audit")).status_code == 404
    assert await told(board, credential["id"]) == ["CREATED", "ROTATE"]


async def test_a_taken_name_tells_nothing_else_of_who_has_it(board: Board) -> None:
    """One who may create by a capability, and does not see the credential that has the name."""
    other = await Board.of(board.world)
    hidden = await made(board, crew_ids=[other.crew.id], description="Of the treasury", provider="VERCEL")
    await board.world.database.execute(
        "UPDATE memberships SET capabilities = '[\"credential.create\"]' WHERE user_id = $1 AND workspace_id = $2",
        board.world.member.user_id,
        board.here["workspace_id"],
    )
    body = {"name": hidden["name"], "value": CANARY}
    refused = await board.ask("POST", PATH, body, board.world.member)
    assert refused.status_code == 409
    for told_ in (hidden["name"], hidden["id"], other.crew.id, "treasury", "VERCEL"):
        assert told_ not in refused.text
