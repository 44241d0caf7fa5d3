"""Which credential fills which slot: bindings, their order and their visibility, and the variables of an agent."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from models.resources.credentials import CredentialStatus
from models.staff.agents import Agent
from models.staff.crews import CrewMember
from resolvers.resources.credentials.given import environment, given_to, still_given
from tests.resources.credentials.test_assignments import given
from tests.resources.credentials.test_credentials import CANARY, PATH, made
from tests.work.issues.board import UNKNOWN, Board, word
from tests.world import Person

pytestmark = pytest.mark.anyio
BINDINGS = f"{PATH}/bindings"


async def bind(board: Board, credential: dict[str, Any], slot: str, person: Person | None = None, **fields: Any) -> Any:
    body = {"credential_id": credential["id"], "slot": slot} | fields
    return await board.ask("POST", BINDINGS, body, person or board.world.admin)


async def listed(board: Board, person: Person, **query: str) -> int:
    return len((await replace(board, person=person).read(BINDINGS, **query))["bindings"])


async def resolved(board: Board, agent: Agent | None = None, person: Person | None = None) -> dict[str, Any]:
    path = f"/api/v1/agents/{(agent or board.worker).id}/credential-bindings"
    answer = await board.ask("GET", path, None, person or board.world.viewer)
    assert answer.status_code == 200, answer.text
    assert CANARY not in answer.text
    return answer.json()  # type: ignore[no-any-return]


async def sources(board: Board, slot: str) -> list[tuple[str, str]]:
    shown = (await resolved(board))["slots"]
    return [(row["credential_name"], row["source"]) for row in shown if row["slot"] == slot]


async def test_a_binding_holds_its_slot_in_its_scope_alone(board: Board) -> None:
    one, other, slot = await made(board), await made(board), word().upper()
    answer = await bind(board, one, f" {slot.lower()}-x ")
    assert answer.status_code == 201, answer.text
    row = answer.json()
    assert row == {
        "id": row["id"], "credential_id": one["id"], "credential_name": one["name"], "scope": "WORKSPACE",
        "crew_id": None, "agent_id": None, "slot": f"{slot}_X", "created_at": row["created_at"],
    }  # fmt: skip
    for same in (f"{slot}_X", f"{slot}-x", f"{slot.lower()}_X"):
        assert (await bind(board, other, same)).status_code == 409
    for owner in ({"scope": "crew ", "crew_id": board.crew.id}, {"scope": "AGENT", "agent_id": board.worker.id}):
        assert (await bind(board, other, f"{slot}_X", **owner)).status_code == 201
        assert (await bind(board, one, f"{slot}_X", **owner)).status_code == 409
    listed = (await board.read(BINDINGS, slot=f"{slot}-x"))["bindings"]
    assert [each["scope"] for each in listed] == ["AGENT", "CREW", "WORKSPACE"]
    assert listed[-1] == row
    path = f"{BINDINGS}/{row['id']}"
    assert (await board.ask("DELETE", path)).status_code == 403
    assert (await board.ask("DELETE", path, None, board.world.admin)).status_code == 204
    assert (await board.ask("DELETE", path, None, board.world.admin)).status_code == 404
    assert (await bind(board, other, f"{slot}_X")).status_code == 201
    actions = [each["action"] for each in await board.world.audit() if each["entity_id"] == row["id"]]
    assert sorted(actions) == ["credential_binding.created", "credential_binding.deleted"]


async def test_of_two_at_once_one_binds(board: Board) -> None:
    credential, slot = await made(board), word()
    answers = await asyncio.gather(*[bind(board, credential, slot) for _ in range(4)])
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"slot": "9A", "scope": "TEAM"}, "slot"),
        ({"slot": "a b"}, "slot"),
        ({"slot": "A="}, "slot"),
        ({"slot": " "}, "slot"),
        ({"slot": "GÄ"}, "slot"),
        ({"slot": None}, "slot"),
        ({"slot": "A" * 256}, "slot"),
        ({"scope": "TEAM"}, "scope"),
        ({"scope": 1}, "scope"),
        ({"crew_id": "{crew}", "credential_id": UNKNOWN}, "crew_id"),
        ({"agent_id": "{agent}"}, "agent_id"),
        ({"scope": "CREW"}, "crew_id"),
        ({"scope": "CREW", "crew_id": ""}, "crew_id"),
        ({"scope": "CREW", "crew_id": "{crew}", "agent_id": "{agent}"}, "agent_id"),
        ({"scope": "AGENT"}, "agent_id"),
        ({"credential_id": UNKNOWN, "scope": "CREW", "crew_id": UNKNOWN}, "credential_id"),
        ({"credential_id": None}, "credential_id"),
        ({"scope": "CREW", "crew_id": UNKNOWN}, "crew_id"),
        ({"scope": "AGENT", "agent_id": UNKNOWN}, "agent_id"),
    ],
)
async def test_what_cannot_be_bound_is_refused_by_its_first_fault(
    board: Board, fields: dict[str, Any], named: str
) -> None:
    credential = await made(board)
    ids = {"{crew}": board.crew.id, "{agent}": board.worker.id}
    sent = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in fields.items()}
    before = await board.world.snapshot()
    answer = await bind(board, credential, **({"slot": "A"} | sent))
    assert (answer.status_code, named in answer.json()["error"]) == (400, True), answer.text
    assert await board.world.snapshot() == before


async def test_a_deleted_credential_is_not_bound_and_its_bindings_stay(board: Board) -> None:
    own = await Board.of(board.world)
    lost, less, slot = await made(own), await made(own), word().upper()
    await bind(own, lost, slot, scope="AGENT", agent_id=own.worker.id)
    await bind(own, less, slot)
    assert await sources(own, slot) == [(lost["name"], "agent_binding")]
    await own.ask("DELETE", f"{PATH}/{lost['id']}", None, own.world.admin)
    assert (await bind(own, lost, word())).status_code == 400
    assert len((await own.read(BINDINGS, slot=slot))["bindings"]) == 2
    assert await sources(own, slot) == [], "a slot is not filled by another account"


async def test_members_see_bindings_of_the_credentials_that_they_see(board: Board) -> None:
    own = await Board.of(board.world)
    credential, slot = await made(own, crew_ids=[own.crew.id]), word().upper()
    assert (await bind(own, credential, slot)).status_code == 201
    seen = [await listed(own, person, slot=slot) for person in (own.person, own.world.member)]
    await own.world.add(CrewMember(crew_id=own.crew.id, user_id=own.world.viewer.user_id, **own.here))
    assert [*seen, await listed(own, own.world.viewer, slot=slot)] == [1, 0, 1]
    assert await sources(own, slot) == [(credential["name"], "workspace_binding")]
    for query in ({"scope": "TEAM"}, {"crew_id": UNKNOWN}, {"slot": "a b"}, {"credential_id": UNKNOWN, "slot": slot}):
        assert await listed(own, own.person, **query) == 0


async def test_the_most_specific_scope_wins_and_an_assignment_before_it(board: Board) -> None:
    own, slot = await Board.of(board.world), word().upper()
    of_all, of_crew, of_agent, assigned = [await made(own) for _ in range(4)]
    await bind(own, of_all, slot)
    assert await sources(own, slot) == [(of_all["name"], "workspace_binding")]
    await bind(own, of_crew, slot, scope="CREW", crew_id=own.crew.id)
    assert await sources(own, slot) == [(of_crew["name"], "crew_binding")]
    await bind(own, of_agent, slot, scope="AGENT", agent_id=own.worker.id)
    assert await sources(own, slot) == [(of_agent["name"], "agent_binding")]
    assert (await given(own, assigned, env_var_name=slot.lower())).status_code == 201
    assert await sources(own, slot) == [(assigned["name"], "agent_grant")]
    lead = {row["slot"]: row["source"] for row in (await resolved(own, own.lead))["slots"]}
    assert lead[slot] == "crew_binding"
    assert environment(await given_to(own.crew.workspace_id, own.worker.id))[slot] == CANARY


async def test_a_credential_of_the_crew_is_delivered_under_its_name(board: Board) -> None:
    own, other = await Board.of(board.world), await Board.of(board.world)
    name, bare = word(), f"{word()} key"
    linked = await made(own, name=f"{name}-k", crew_ids=[own.crew.id], value="linked")
    await made(own, name=bare, crew_ids=[own.crew.id])
    await made(own, name=word().upper())
    variable = f"{name.upper()}_K"
    shown = await resolved(own)
    assert [(row["slot"], row["source"]) for row in shown["slots"] if row["source"] == "crew_link"] == [
        (variable, "crew_link")
    ]
    assert len(shown["warnings"]) == 2
    assert all(any(part in text for text in shown["warnings"]) for part in (bare, f"{name}-k"))
    assert variable not in {row["slot"] for row in (await resolved(other))["slots"]}
    assert environment(await given_to(own.crew.workspace_id, own.worker.id))[variable] == "linked"
    await bind(own, linked, f"{name}-x", scope="CREW", crew_id=own.crew.id)
    slots = {row["slot"] for row in (await resolved(own))["slots"]}
    assert (variable in slots, f"{name.upper()}_X" in slots) == (False, True), "a binding that won delivers it"
    await bind(own, await made(own), f"{name}-x", scope="AGENT", agent_id=own.worker.id)
    assert variable in {row["slot"] for row in (await resolved(own))["slots"]}, "a binding that lost suppresses nothing"


async def test_names_that_become_one_variable_are_delivered_once(board: Board) -> None:
    own, name = await Board.of(board.world), word()
    legal = await made(own, name=f"{name.upper()}_A", crew_ids=[own.crew.id])
    late = await made(own, name=f"{name}-a", crew_ids=[own.crew.id])
    shown = await resolved(own)
    assert [row["credential_name"] for row in shown["slots"] if row["slot"] == legal["name"]] == [legal["name"]]
    assert [text for text in shown["warnings"] if late["name"] in text]


async def test_what_cannot_be_used_is_not_delivered(board: Board) -> None:
    own, slot = await Board.of(board.world), word().upper()
    credential = await made(own)
    await bind(own, credential, slot)
    before = await given_to(own.crew.workspace_id, own.worker.id)
    assert slot in {each.variable for each in before}
    for status in (CredentialStatus.REVOKED, CredentialStatus.PENDING_APPROVAL):
        await own.world.database.execute("UPDATE credentials SET status = $1 WHERE id = $2", status, credential["id"])
        assert await sources(own, slot) == []
        assert await given_to(own.crew.workspace_id, own.worker.id) == [
            each for each in before if each.credential_id != credential["id"]
        ]
        held = await still_given(own.crew.workspace_id, own.worker.id, before)
        assert credential["id"] not in {each.credential_id for each in held}


async def test_a_variable_that_controls_programs_is_not_delivered(board: Board) -> None:
    own = await Board.of(board.world)
    await bind(own, await made(own), "LD_PRELOAD", scope="AGENT", agent_id=own.worker.id)
    shown = await resolved(own)
    assert "LD_PRELOAD" not in {row["slot"] for row in shown["slots"]}
    assert any("LD_PRELOAD" in text for text in shown["warnings"])


async def test_a_lease_ends_and_no_other_way_takes_its_place(board: Board) -> None:
    own, slot = await Board.of(board.world), word().upper()
    credential = await made(own, crew_ids=[own.crew.id])
    await bind(own, credential, slot, scope="CREW", crew_id=own.crew.id)
    for bad in (-1, 2_592_001, "60", 1.5):
        assert (await given(own, credential, ttl_seconds=bad)).status_code == 400
    assert (await given(own, credential, ttl_seconds=60, env_var_name=f"{slot}_L")).status_code == 201
    [row] = await own.read(f"/api/v1/agents/{own.worker.id}/credentials")
    assert (row["expired"], row["lease_source"], row["grant_source"]) == (False, "manual", "explicit")
    assert row["expires_at"] > row["lease_issued_at"]
    line = (await own.read(f"{PATH}/{credential['id']}/audit"))[0]
    assert (line["event_type"], line["metadata"]["ttl_seconds"]) == ("LEASED", 60)
    entries = (await own.read("/api/v1/journal", entry_type="credential.lease_issued"))["entries"]
    assert [entry["payload"]["credential_id"] for entry in entries][:1] == [credential["id"]]
    before = await given_to(own.crew.workspace_id, own.worker.id)
    assert f"{slot}_L" in {each.variable for each in before}
    await own.world.database.execute(
        "UPDATE agent_credentials SET expires_at = now() - interval '1 second' WHERE id = $1", row["id"]
    )
    assert (await own.read(f"/api/v1/agents/{own.worker.id}/credentials"))[0]["expired"] is True
    held = [*await given_to(own.crew.workspace_id, own.worker.id)]
    held += await still_given(own.crew.workspace_id, own.worker.id, before)
    assert credential["id"] not in {each.credential_id for each in held}


BIND = """
mutation($ws: ID, $input: CreateBindingInput!) { createCredentialBinding(workspaceId: $ws, input: $input) { slot } }
"""
SLOTS = """
query($ws: ID, $agent: ID!, $slot: String) {
  agentCredentialSlots(workspaceId: $ws, agentId: $agent) { slots { slot credentialName source } warnings }
  credentialBindings(workspaceId: $ws, slot: $slot) { slot scope credentialName credential { name } agent { id } }
  findCredentialBindings(workspaceId: $ws, slot: $slot, first: 1) { nodes { slot } }
}
"""


async def test_graphql_shows_the_same(board: Board) -> None:
    own, slot = await Board.of(board.world), word().upper()
    credential = await made(own)
    sent = {"slot": slot.lower(), "scope": "AGENT", "agentId": own.worker.id, "credentialId": credential["id"]}
    answer = await own.world.graphql(own.world.admin, BIND, {"input": sent})
    assert answer["data"] == {"createCredentialBinding": {"slot": slot}}, answer
    answer = await own.world.graphql(own.person, SLOTS, {"agent": own.worker.id, "slot": slot})
    shown = answer["data"]
    assert {"slot": slot, "credentialName": credential["name"], "source": "agent_binding"} in shown[
        "agentCredentialSlots"
    ]["slots"]
    assert shown["credentialBindings"] == [
        {
            "slot": slot, "scope": "AGENT", "credentialName": credential["name"],
            "credential": {"name": credential["name"]}, "agent": {"id": own.worker.id},
        }
    ]  # fmt: skip
    assert shown["findCredentialBindings"] == {"nodes": [{"slot": slot}]}
