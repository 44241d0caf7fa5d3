"""Personas, as the contract states them."""

import hashlib
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import AutonomyLevel, Crew
from resolvers.kernel import instance
from resolvers.staff.personas.writing import MOST_VERSIONS
from tests.every import each_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio
DEFAULT = "You are the Analyst (role: AGENT). Respond clearly and stay on-task."


async def crew_of(world: World, **values: Any) -> Crew:
    crew = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id, **values)
    await world.add(crew)
    return crew


async def agent_of(world: World, crew: Crew | None = None, **values: Any) -> Agent:
    given = {"name": "Ada", "slug": new_id(), "crew_id": crew and crew.id} | values
    agent = Agent(workspace_id=world.workspace.id, **given)
    await world.add(agent)
    return agent


def path(row: Agent | Crew, more: str = "") -> str:
    return f"/api/v1/{'agents' if isinstance(row, Agent) else 'crews'}/{row.id}/persona{more}"


async def get(world: World, row: Agent | Crew, more: str = "", **query: Any) -> Any:
    async with world.client(world.viewer) as client:
        answer = await client.get(path(row, more), params={"workspace_id": world.workspace.id} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def put(world: World, row: Agent | Crew, content: Any, person: Person | None = None) -> httpx2.Response:
    return await world.rest(person or world.manager, "PUT", path(row), {"content": content})


async def versions(world: World, row: Agent | Crew) -> list[Any]:
    sql = "SELECT * FROM memory_versions WHERE owner_id = $1 ORDER BY written_at DESC, id DESC"
    found: list[Any] = await world.database.fetch(sql, row.id)
    return found


async def test_the_own_persona_then_that_of_the_crew_then_a_sentence(world: World) -> None:
    crew = await crew_of(world)
    ada = await agent_of(world, crew, role_title="Analyst")
    shown = {"agent_id": ada.id, "cap_bytes": 1500}
    assert await get(world, ada) == shown | {
        "layer": "crew", "from_default": True, "content": DEFAULT, "bytes": len(DEFAULT)
    }  # fmt: skip
    assert (await put(world, crew, "We sail. ")).json()["layer"] == "crew"
    assert await get(world, ada) == shown | {
        "layer": "crew", "from_default": False, "content": "We sail. ", "bytes": 9
    }  # fmt: skip
    written = (await put(world, ada, "You are Ada.\nBríef.")).json()
    assert written == {"layer": "agent", "bytes": 20, "updated": written["updated"]}
    assert await get(world, ada) == shown | {
        "layer": "agent", "from_default": False, "content": "You are Ada.\nBríef.", "bytes": 20
    }  # fmt: skip
    for _ in range(2):
        assert (await world.rest(world.manager, "DELETE", path(ada))).status_code == 204
    assert (await get(world, ada))["content"] == "We sail. "
    assert (await world.rest(world.manager, "DELETE", path(crew))).status_code == 204
    assert (await get(world, ada))["from_default"] is True
    assert await get(world, crew) == {
        "crew_id": crew.id, "layer": "crew", "content": "", "bytes": 0, "cap_bytes": 1500
    }  # fmt: skip


async def test_a_crew_that_was_deleted_has_no_persona_for_its_agents(world: World) -> None:
    crew = await crew_of(world, persona="We sail.")
    ada = await agent_of(world, crew, role_title="  ")
    assert (await get(world, ada))["content"] == "We sail."
    assert (await world.rest(world.admin, "DELETE", f"/api/v1/crews/{crew.id}")).status_code == 200
    found = await get(world, ada)
    assert found["content"] == "You are the AGENT (role: AGENT). Respond clearly and stay on-task."


@each_of(
    ("content", "status"),
    [("", 400), (" \n", 400), (5, 400), (None, 400), ("x" * 1501, 413), ("é" * 751, 413), ("x" * 70_000, 413)],
)
async def test_a_bad_persona_writes_nothing(world: World, content: Any, status: int) -> None:
    for row in (await agent_of(world), await crew_of(world)):
        assert (await put(world, row, content)).status_code == status
        assert await versions(world, row) == []
        assert await world.database.fetchval(f"SELECT persona FROM {row.__tablename__} WHERE id = $1", row.id) is None


async def test_at_the_cap(world: World) -> None:
    ada = await agent_of(world)
    assert (await put(world, ada, "é" * 750)).json()["bytes"] == 1500


async def test_it_changes_the_version_of_the_agent_and_not_its_time(world: World) -> None:
    ada = await agent_of(world)
    read = f"/api/v1/agents/{ada.id}"
    before = await world.rest(world.viewer, "GET", read)
    await put(world, ada, "You are Ada.")
    after = await world.rest(world.viewer, "GET", read)
    assert before.json() == after.json()
    assert before.headers["etag"] != after.headers["etag"]


async def test_of_two_who_began_from_one_persona_one_is_refused(world: World) -> None:
    ada = await agent_of(world)
    document = """mutation($ws: ID, $in: SetPersonaInput!, $version: Int) {
        setAgentPersona(workspaceId: $ws, input: $in, ifVersion: $version) { agent { version } } }"""
    first = {"in": {"agentId": ada.id, "content": "First."}, "version": 1}
    assert (await world.graphql(world.manager, document, first))["data"]["setAgentPersona"] == {"agent": {"version": 2}}
    second = await world.graphql(world.owner, document, {"in": {"agentId": ada.id, "content": "Late."}, "version": 1})
    assert second["errors"][0]["extensions"]["code"] == "PRECONDITION_FAILED"
    assert (await get(world, ada))["content"] == "First."
    assert len(await versions(world, ada)) == 1


async def test_members_read_and_managers_write(world: World) -> None:
    ada = await agent_of(world)
    for person in (world.member, world.viewer):
        assert (await put(world, ada, "x", person)).status_code == 403
        assert (await world.rest(person, "DELETE", path(ada))).status_code == 403
    assert await versions(world, ada) == []


async def test_history(world: World) -> None:
    ada = await agent_of(world)
    assert await get(world, ada, "/history") == {"entries": []}
    texts = ["You are Ada.", "You are Ada still.", "You are Ada still."]
    for text in texts:
        await put(world, ada, text)
    entries = (await get(world, ada, "/history"))["entries"]
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in reversed(texts)]
    assert [entry["sha256"] for entry in entries] == digests
    assert [entry.get("parent_sha") for entry in entries] == [*digests[1:], None]
    assert {entry["written_by"] for entry in entries} == {world.manager.user_id}
    await world.rest(world.manager, "DELETE", path(ada))
    assert (await get(world, ada, "/history"))["entries"] == entries
    assert len((await get(world, ada, "/history", limit=1))["entries"]) == 1
    row = (await versions(world, ada))[0]
    assert (row["tier"], row["path"]) == ("persona", f"agent:{ada.slug}/PERSONA.md")
    content = await world.rest(world.owner, "GET", f"/api/v1/admin/memory/versions/{row['id']}/content")
    assert content.status_code == 200, content.text


async def test_history_is_the_agents_and_not_the_slugs(world: World) -> None:
    slug = new_id()
    old = await agent_of(world, slug=slug)
    await put(world, old, "You are the old one.")
    await world.rest(world.admin, "DELETE", f"/api/v1/agents/{old.id}")
    new = await agent_of(world, slug=slug)
    assert await get(world, new, "/history") == {"entries": []}


async def test_the_oldest_versions_go_with_their_texts(world: World) -> None:
    ada, bob = await agent_of(world), await agent_of(world)
    for text in ("You are first.", "You are second.", "You are third."):
        await put(world, ada, text)
    await put(world, bob, "You are second.")  # a text that somebody else has, too
    await world.database.execute("UPDATE memory_versions SET written_at = written_at - interval '1 hour'")
    row = (await versions(world, ada))[0]
    columns = "id, workspace_id, path, tier, sha256, bytes, written_by, payload_ref, owner_id"
    await world.database.execute(
        f"INSERT INTO memory_versions ({columns})"
        " SELECT $1::text || n, $2, $3, 'persona', 'none', 1, '', '', $4 FROM generate_series(1, $5) n",
        new_id(), world.workspace.id, row["path"], ada.id, MOST_VERSIONS - 1,
    )  # fmt: skip
    assert (await put(world, ada, "You are last.")).status_code == 200
    left = await versions(world, ada)
    assert len(left) == MOST_VERSIONS
    folder = instance.store.folder("workspaces", world.workspace.id, "memory")
    kept = {entry.name for entry in await folder.list("")}
    digests = {text: hashlib.sha256(f"You are {text}.".encode()).hexdigest() for text in ("first", "second", "last")}
    assert digests["first"] not in kept
    assert {digests["second"], digests["last"]} <= kept


async def suggest(world: World, agent: Agent, **body: Any) -> httpx2.Response:
    return await world.rest(world.manager, "POST", path(agent, "/suggest"), body)


async def proposals(world: World, agent: Agent) -> list[dict[str, Any]]:
    sql = "SELECT * FROM audit_logs WHERE entity_id = $1 AND action = 'persona.suggest_pending' ORDER BY created_at"
    return [dict(row) for row in await world.database.fetch(sql, agent.id)]


async def items(world: World, agent: Agent) -> list[Any]:
    found: list[Any] = await world.database.fetch("SELECT * FROM inbox_items WHERE sender_id = $1", agent.id)
    return found


@pytest.mark.parametrize("level", [None, AutonomyLevel.strict, AutonomyLevel.guided, AutonomyLevel.trusted])
async def test_a_proposal_waits_in_the_audit_log(world: World, level: AutonomyLevel | None) -> None:
    ada = await agent_of(world, None if level is None else await crew_of(world, autonomy_level=level))
    text, why = "Be kinder. " + "x" * 1400, "tone " * 1_500
    answer = await suggest(world, ada, content=text, rationale=why)
    assert answer.status_code == 200
    assert answer.json() == {
        "agent_id": ada.id, "decision": "inbox_approve", "bytes": len(text), "rationale": why,
        "timestamp": answer.json()["timestamp"], "applied": False, "pending": True,
    }  # fmt: skip
    (row,) = await proposals(world, ada)
    assert row["data"] == {"content": text, "rationale": why, "bytes": len(text)}, "the row is the proposal"
    assert row["entity_type"] == "agent"
    assert await items(world, ada) == [] == await versions(world, ada)
    assert (await get(world, ada))["from_default"] is True


async def test_a_proposal_of_an_agent_that_does_not_learn_is_put_before_managers(world: World) -> None:
    ada = await agent_of(world, await crew_of(world, autonomy_level=AutonomyLevel.full))
    answer = (await suggest(world, ada, content="Be kinder.")).json()
    assert (answer["decision"], answer["applied"], answer["pending"]) == ("inbox_approve", False, True)
    assert answer["self_learning_gate"] == "off"
    (row,), (item,) = await proposals(world, ada), await items(world, ada)
    assert row["data"]["self_learning_gate"] == "off"
    assert (item["kind"], item["source_id"], item["target_role"]) == ("escalation", row["id"], "MANAGER")
    assert (item["priority"], item["blocking"], item["sender_type"]) == ("low", True, "agent")
    assert await versions(world, ada) == []


async def test_a_proposal_of_one_that_learns_is_written_at_once(world: World) -> None:
    ada = await agent_of(world, await crew_of(world, autonomy_level=AutonomyLevel.full), learning_enabled=True)
    answer = (await suggest(world, ada, content="Be the kindest.")).json()
    assert answer == {
        "agent_id": ada.id, "decision": "auto_journal", "bytes": 15, "rationale": "",
        "timestamp": answer["timestamp"], "applied": True,
    }  # fmt: skip
    assert (await get(world, ada))["content"] == "Be the kindest."
    assert [row["written_by"] for row in await versions(world, ada)] == [world.manager.user_id]
    assert await proposals(world, ada) == [] == await items(world, ada)


@pytest.mark.parametrize(
    ("body", "status"), [({"content": " "}, 400), ({"rationale": "x"}, 400), ({"content": "x" * 1501}, 413)]
)
async def test_a_bad_proposal_leaves_no_trace(world: World, body: dict[str, Any], status: int) -> None:
    ada = await agent_of(world)
    assert (await suggest(world, ada, **body)).status_code == status
    assert await proposals(world, ada) == []


async def test_graphql_has_the_same(world: World) -> None:
    ada = await agent_of(world)
    write = """mutation ($input: SetPersonaInput!, $ws: ID) {
        setAgentPersona(input: $input, workspaceId: $ws) { layer bytes }
    }"""
    made = await world.graphql(world.manager, write, {"input": {"agentId": ada.id, "content": "You are Ada."}})
    assert made["data"]["setAgentPersona"] == {"layer": "agent", "bytes": 12}
    read = """query ($id: ID!, $ws: ID) { agent(id: $id, workspaceId: $ws) {
        persona { layer content fromDefault } personaVersions { totalCount nodes { bytes writtenBy } }
    } }"""
    found = (await world.graphql(world.viewer, read, {"id": ada.id}))["data"]["agent"]
    assert found == {
        "persona": {"layer": "agent", "content": "You are Ada.", "fromDefault": False},
        "personaVersions": {"totalCount": 1, "nodes": [{"bytes": 12, "writtenBy": world.manager.user_id}]},
    }
