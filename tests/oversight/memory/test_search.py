"""The search for memories, by people and by agents, and their health."""

from typing import Any

import pytest

from models.oversight.journal import JournalEntry, Severity
from models.staff.agents import Agent
from models.staff.crews import Crew, CrewMember
from resolvers.identity.machine_tokens import issue_workspace_token
from tests.oversight.memory.conftest import MEMORY, Bridge, document
from tests.world import Person

pytestmark = pytest.mark.anyio
SEARCH = f"{MEMORY}/search/hybrid"
INTERNAL = "/api/v1/internal/memory/search/hybrid"
MASTER = "ef" * 32


async def found(bridge: Bridge, query: str, person: Person | None = None, **more: Any) -> Any:
    answer = await bridge.ask("POST", SEARCH, person or bridge.world.viewer, body={"query": query} | more)
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == len(answer.json()["hits"])
    return answer.json()["hits"]


async def noted(bridge: Bridge, summary: str, **more: Any) -> str:
    of = {
        "entry_type": "summary.generated",
        "crew_id": bridge.crew.id,
        "workspace_id": bridge.world.workspace.id,
    } | more
    entry = JournalEntry(summary=summary, **of)
    await bridge.world.add(entry)
    return entry.id


async def joined(bridge: Bridge, person: Person) -> None:
    here = {"workspace_id": bridge.world.workspace.id}
    await bridge.world.add(CrewMember(crew_id=bridge.crew.id, user_id=person.user_id, **here))


async def test_files_are_found_by_any_of_their_words(bridge: Bridge) -> None:
    await bridge.import_documents(
        document("AGENT.md", "# Notes\n\nThe staging host is reached over the jump box.\nAsk Olga.\n"),
        document("daily/a.md", "The jump to the new staging cluster is done.\n"),
        document("daily/b.md", "Nothing of that.\n"),
    )
    hits = await found(bridge, "jump box staging")
    assert [hit["fts"]["file"].partition("/")[2] for hit in hits] == ["AGENT.md", "daily/a.md"]
    assert [round(hit["score"], 6) for hit in hits] == [round(1 / 61, 6), round(1 / 62, 6)]
    assert (hits[0]["fts"]["line_start"], hits[0]["fts"]["line_end"]) == (2, 4)
    assert "jump box" in hits[0]["fts"]["snippet"]
    assert "episodic" not in hits[0]
    for query in ("zzzz", '"unbalanced AND (', "&", "'; DROP TABLE x", "a" * 1000, "\\", "!!! ||| <-> :*"):
        assert await found(bridge, query) == []
    assert len(await found(bridge, "jump", limit=1)) == 1
    assert len(await found(bridge, "jump", limit=0)) == 2
    await bridge.import_documents(document("AGENT.md", "Rewritten.\n"))
    assert [hit["fts"]["file"].partition("/")[2] for hit in await found(bridge, "jump box")] == ["daily/a.md"]


async def test_memories_of_deleted_crews_are_not_found(bridge: Bridge) -> None:
    await bridge.import_documents(document("AGENT.md", "quokka\n"))
    assert len(await found(bridge, "quokka")) == 1
    await bridge.world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", bridge.crew.id)
    assert await found(bridge, "quokka") == []


async def test_the_journal_of_a_crew_is_for_its_members(bridge: Bridge) -> None:
    await noted(bridge, "The quetzal migration went well")
    id = await noted(bridge, "The quetzal migration was denied", entry_type="keeper.decision", severity=Severity.warn)
    await noted(bridge, "The quetzal migration was allowed", entry_type="keeper.decision")
    await noted(bridge, "A quetzal elsewhere", crew_id=None)
    body = {"query": "quetzal denied", "scope": "crew_shared", "crew_id": bridge.crew.id}
    for person in (bridge.world.owner, bridge.world.admin, bridge.world.viewer):
        assert (await bridge.ask("POST", SEARCH, person, body=body)).status_code == 403
    await joined(bridge, bridge.world.member)
    hits = await found(bridge, "quetzal denied", bridge.world.member, scope="crew_shared", crew_id=bridge.crew.id)
    assert [hit["source"] for hit in hits] == ["episodic", "episodic"]
    assert id in hits[0]["episodic"]["EntryID"] or "denied" in hits[0]["episodic"]["Summary"]
    assert hits[0]["episodic"]["Age"] >= 0
    assert await found(bridge, "quetzal") == await found(bridge, "quetzal", scope="own") == []


@pytest.mark.parametrize(
    "body",
    [{}, {"query": ""}, {"query": "  "}, {"query": "x", "scope": "all"}, {"query": "x", "scope": "crew_shared"},
     {"query": 3}, {"query": "x", "limit": "3"}, {"query": "x" * 5000}],
)  # fmt: skip
async def test_bad_searches(bridge: Bridge, body: dict[str, Any]) -> None:
    assert (await bridge.ask("POST", SEARCH, body=body)).status_code == 400


async def test_a_search_with_hits_is_in_the_journal(bridge: Bridge) -> None:
    await bridge.import_documents(document("AGENT.md", "axolotl\n"))
    sql = "SELECT payload, actor_id FROM journal_entries WHERE entry_type = 'memory.searched' ORDER BY created_at"
    before = len(await bridge.world.database.fetch(sql))
    await found(bridge, "nothing-like-it")
    assert len(await bridge.world.database.fetch(sql)) == before
    await found(bridge, "axolotl")
    entries = await bridge.world.database.fetch(sql)
    assert len(entries) == before + 1
    assert entries[-1]["actor_id"] == bridge.world.viewer.user_id
    assert '"hit_count": 1' in str(entries[-1]["payload"]).replace("'", '"')


async def as_agent(bridge: Bridge, body: Any, slug: str | None, token: str = "") -> Any:
    bound = token or issue_workspace_token(MASTER, bridge.world.workspace.id)
    heads = {"X-Internal-Token": bound} | ({} if slug is None else {"X-Acting-Agent-Slug": slug})
    async with bridge.world.client(None, **heads) as client:
        return await client.post(INTERNAL, json=body)


async def test_an_agent_finds_its_own_entries_and_those_of_its_crew(bridge: Bridge) -> None:
    here = {"workspace_id": bridge.world.workspace.id}
    other = Crew(name="Other", slug=f"other-{bridge.crew.slug}", **here)
    far = Agent(name="Far", slug=f"far-{bridge.agent.slug}", crew_id=other.id, **here)
    await bridge.world.add(other, far)
    await noted(bridge, "The narwhal was mine", agent_id=bridge.agent.id)
    await noted(bridge, "The narwhal was of the crew")
    slug = bridge.agent.slug
    answer = await as_agent(bridge, {"query": "narwhal", "scope": "own"}, slug)
    assert answer.status_code == 200, answer.text
    own = answer.json()
    assert [hit["episodic"]["Summary"] for hit in own["hits"]] == ["The narwhal was mine"]
    crew = {"query": "narwhal", "scope": "crew_shared", "crew_id": bridge.crew.id}
    assert (await as_agent(bridge, crew, slug)).json()["count"] == 2
    assert (await as_agent(bridge, crew, far.slug)).status_code == 403
    assert (await as_agent(bridge, {"query": "x", "scope": "crew_shared"}, slug)).status_code == 400
    assert (await as_agent(bridge, {"query": ""}, slug)).status_code == 400
    for named in (None, "nobody"):
        spoofed = {"query": "narwhal", "acting_agent_slug": slug}
        assert (await as_agent(bridge, spoofed, named)).status_code == 403
    assert (await as_agent(bridge, {"query": "x"}, slug, "ab" * 32)).status_code == 403


async def test_health_follows_the_journal(bridge: Bridge) -> None:
    path = f"{MEMORY}/health"
    empty = (await bridge.ask("GET", path, bridge.world.viewer, crew_id=bridge.crew.id)).json()
    assert empty["overall"] == 40.0
    assert empty["metrics"] == {
        "freshness": 100.0, "coverage": 0.0, "coherence": 0.0, "efficiency": 100.0, "reachability": 0.0
    }  # fmt: skip
    for number in range(10):
        await noted(bridge, f"entry {number}", entry_type=f"test.kind_{number}")
    full = (await bridge.ask("GET", path, bridge.world.viewer, crew_id=bridge.crew.id)).json()
    assert (full["metrics"]["coverage"], full["details"]["efficiency_live"]) == (100.0, 10.0)
    assert full["overall"] == 50.0
    assert (await bridge.ask("GET", path)).json()["crew_id"] == ""
    assert (await bridge.ask("GET", path, crew_id="cnone00000000000000000")).status_code == 404
