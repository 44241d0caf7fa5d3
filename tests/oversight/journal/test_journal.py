"""The journal: who tells of what, filters, pages, and words."""

from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.oversight.journal import JournalEntry, Priority, Severity
from models.staff.agents import Agent
from models.staff.assignments import Escalation, PeerConversation
from models.staff.chats import Chat, Message, MessageRole
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Assignment, AssignmentStatus
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
JOURNAL = "/api/v1/journal"


class Log:
    """A crew with two agents, and what is told of them."""

    def __init__(self, world: World) -> None:
        self.world, self.tag = world, new_id()[-8:]
        self.here: dict[str, Any] = {"workspace_id": world.workspace.id}
        self.crew = Crew(name="Deck", slug=f"deck-{self.tag}", **self.here)
        made: dict[str, Any] = {"crew_id": self.crew.id, **self.here}
        self.ann = Agent(name="Ann", slug=f"ann-{self.tag}", **made)
        self.bob = Agent(name="Bob", slug=f"bob-{self.tag}", **made)
        self.chat = Chat(agent_id=self.ann.id, **self.here)

    async def begin(self) -> "Log":
        await self.world.add(self.crew, self.ann, self.bob, self.chat)
        return self

    async def note(self, summary: str, **values: Any) -> JournalEntry:
        given: dict[str, Any] = {"entry_type": "file.written", "crew_id": self.crew.id, "agent_id": self.ann.id}
        row = JournalEntry(summary=summary, **(given | values), **self.here)
        await self.world.add(row)
        return row

    async def get(self, path: str = "", person: Person | None = None, **query: Any) -> Any:
        asked = {"workspace_id": self.world.workspace.id} | query
        async with self.world.client(person or self.world.viewer) as client:
            return await client.get(JOURNAL + path, params=asked)

    async def page(self, **query: Any) -> dict[str, Any]:
        answer = await self.get(**query)
        assert answer.status_code == 200, answer.text[:500]
        return answer.json()  # type: ignore[no-any-return]

    async def entries(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.page(**{"crew_id": self.crew.id} | query))["entries"]
        return found

    async def told(self, **query: Any) -> list[str]:
        return [entry["summary"] for entry in await self.entries(**query)]


@pytest.fixture
async def log(world: World) -> Log:
    return await Log(world).begin()


async def test_an_entry_has_what_its_row_says_and_no_nulls(log: Log) -> None:
    row = await log.note("wrote the log", payload={"path": "log.md"}, severity=Severity.warn)
    (entry,) = await log.entries()
    ts = entry["ts"]
    assert len(ts) == len("2026-01-01T00:00:00.000Z")
    assert entry == {
        "id": entry["id"], "workspace_id": log.world.workspace.id, "ts": ts, "entry_type": "file.written",
        "severity": "warn", "priority": "normal", "actor_type": "system", "summary": "wrote the log",
        "crew_id": log.crew.id, "agent_id": log.ann.id, "payload": {"path": "log.md"},
    }  # fmt: skip
    assert row.id in entry["id"]
    assert len(entry["id"]) <= 64
    answer = await log.get(f"/{entry['id']}")
    assert answer.json() == entry
    for unknown in (f"{entry['id']}x", "j_0123456789abcdef", new_id(), "jzzzzzzzzzzzzzzje1"):
        assert (await log.get(f"/{unknown}")).status_code == 404
    assert (await log.get("", **{"since": ts, "until": ts, "crew_id": log.crew.id})).json()["count"] == 1


async def test_a_run_is_told_twice_and_its_calls_with_its_end(log: Log) -> None:
    data = {"usage": {"input_tokens": 5, "output_tokens": 7}, "total_cost_usd": 0.25, "model": "small"}
    run = Run(agent_id=log.ann.id, chat_id=log.chat.id, started_at=now(), **log.here)
    await log.world.add(run)
    assert await log.told() == [f"run {run.id[:8]} started"]
    await log.world.database.execute(
        "UPDATE runs SET status = 'COMPLETED', finished_at = began_at + interval '2 s', data = $2::jsonb WHERE id = $1",
        run.id,
        data,
    )
    entries = {entry["entry_type"]: entry for entry in await log.entries(trace_id=run.id)}
    assert set(entries) == {"run.started", "run.completed", "llm.call", "cost.incurred"}
    assert entries["run.completed"]["payload"]["duration_ms"] == 2000
    assert entries["llm.call"]["payload"]["output_tokens"] == 7
    assert entries["cost.incurred"]["payload"]["cost_usd"] == 0.25
    assert {entry["agent_id"] for entry in entries.values()} == {log.ann.id}


async def test_what_is_said_assigned_asked_and_escalated_is_told(log: Log) -> None:
    said: dict[str, Any] = {"chat_id": log.chat.id, "agent_id": log.ann.id, **log.here}
    user = log.world.owner.user_id
    await log.world.add(Message(role=MessageRole.user, content="hoist the sail", author_user_id=user, **said))
    await log.world.add(Message(role=MessageRole.assistant, content="aye", **said))
    work: dict[str, Any] = {"assigned_by_id": log.ann.id, "assigned_to_id": log.bob.id, "task": "Hoist", **log.here}
    done: dict[str, Any] = {"status": AssignmentStatus.COMPLETED, "started_at": now(), "finished_at": now()}
    await log.world.add(Assignment(**work, **done))
    ends: dict[str, Any] = {"from_agent_id": log.ann.id, "to_agent_id": log.bob.id, **log.here}
    await log.world.add(PeerConversation(question="How deep?", **ends))
    await log.world.add(Escalation(crew_id=log.crew.id, from_agent_id=log.bob.id, reason="Which way?", **log.here))
    entries = await log.entries()
    assert sorted(entry["entry_type"] for entry in entries) == [
        "assignment.completed", "assignment.created", "assignment.running", "chat.agent_response", "chat.user_message",
        "peer.conversation", "peer.escalation",
    ]  # fmt: skip
    by_type = {entry["entry_type"]: entry for entry in entries}
    assert by_type["chat.user_message"]["payload"]["content"] == "hoist the sail"
    assert by_type["chat.user_message"]["actor_id"] == user
    assert by_type["chat.agent_response"]["summary"] == f"{log.ann.slug}: aye"
    assert by_type["peer.escalation"]["payload"]["state"] == "pending"
    assert by_type["assignment.completed"]["payload"]["target_slug"] == log.bob.slug
    await log.world.database.execute("DELETE FROM chats WHERE id = $1", log.chat.id)
    assert not {"chat.user_message", "chat.agent_response"} & {e["entry_type"] for e in await log.entries()}


async def test_filters_narrow_together(log: Log) -> None:
    await log.note("one", severity=Severity.error)
    await log.note("two", agent_id=log.bob.id, entry_type="network.egress")
    await log.note("three", mission_id="m1", trace_id="t1")
    for query, expected in (
        ({"agent_id": log.bob.id}, ["two"]),
        ({"agent_ids": f" {log.bob.id} ,, {log.ann.id}"}, ["three", "two", "one"]),
        ({"agent_id": log.bob.id, "agent_ids": log.ann.id}, ["three", "one"]),
        ({"crew_ids": f"{log.crew.id},nothing"}, ["three", "two", "one"]),
        ({"entry_type": "network.egress, file.written"}, ["three", "two", "one"]),
        ({"entry_type": "network.egress,file.written", "exclude_entry_type": "file.written"}, ["two"]),
        ({"severity": "error"}, ["one"]),
        ({"severity": "error,loud"}, ["one"]),
        ({"severity": "loud"}, []),
        ({"actor_type": "system", "severity": "info"}, ["three", "two"]),
        ({"mission_id": "m1"}, ["three"]),
        ({"trace_id": "t1", "agent_id": log.bob.id}, []),
        ({"priority": "normal"}, ["three", "two", "one"]),
        ({"priority": "pin,high"}, []),
        ({"q": "  "}, ["three", "two", "one"]),
        ({"severity": "", "since": "", "limit": ""}, ["three", "two", "one"]),
        ({"since": "2999-01-01T00:00:00Z"}, []),
        ({"unknown": "x"}, ["three", "two", "one"]),
        ({"agent_id": "'; \\ \" %"}, []),
        ({"entry_type": "'a\\'b", "severity": "'"}, []),
    ):
        assert await log.told(**query) == expected, query
        narrowed = {name: value for name, value in query.items() if name != "limit"}
        counted = await log.get("/count", **{"crew_id": log.crew.id}, limit="x", cursor="?", **narrowed)
        assert counted.json() == {"total": len(expected)}, query


async def test_words_are_found_as_a_phrase(log: Log) -> None:
    await log.note("The quick brown fox", payload={"path": "src/Main.py"})
    await log.note("brown quick")
    assert await log.told(q="QUICK brown") == ["The quick brown fox"]
    assert await log.told(q="brown") == ["brown quick", "The quick brown fox"]
    assert await log.told(q="fox & !quick | (") == []
    assert await log.told(q="'quick:* brown'") == ["The quick brown fox"]
    assert await log.told(q="!!! ???") == []
    assert await log.told(q="main.py") == ["The quick brown fox"]
    assert await log.told(q="x" * 200) == []


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"}, {"until": "2026-01-01"}, {"since": "2026-01-01T00:00:00"}, {"priority": "urgent"},
        {"limit": "0"}, {"limit": "501"}, {"limit": "ten"}, {"limit": "-1"}, {"cursor": "x"}, {"cursor": "e30="},
        {"cursor": "WyJ4IiwieSJd"}, {"q": "x" * 201}, {"q": "a\0b"},
    ],
)  # fmt: skip
async def test_what_is_none_is_refused(log: Log, query: dict[str, str]) -> None:
    answer = await log.get(**query)
    assert answer.status_code == 400, answer.text[:300]
    assert answer.json()["error"]


async def test_pages_follow_each_other_in_one_order(log: Log) -> None:
    for number in range(7):
        await log.note(f"n{number}")
    at = now() - timedelta(hours=1)
    for number in range(5):  # of one moment
        await log.note(f"m{number}", created_at=at)
    seen, cursor = list[dict[str, Any]](), ""
    while True:
        page = await log.page(crew_id=log.crew.id, limit=3, cursor=cursor)
        assert page["count"] == len(page["entries"])
        seen += page["entries"]
        cursor = page["next_cursor"]
        if len(seen) == 3:
            await log.note("meanwhile")
        if not cursor:
            break
    assert len(seen) == len({entry["id"] for entry in seen}) == 12
    assert [(e["ts"], e["id"]) for e in seen] == sorted([(e["ts"], e["id"]) for e in seen], reverse=True)
    assert log.world.workspace.id not in cursor


async def test_a_mark_is_set_by_admins_and_told(log: Log) -> None:
    await log.note("keep this", trace_id="t9")
    (entry,) = await log.entries()
    path = f"{JOURNAL}/{entry['id']}/priority"
    world = log.world
    assert (await world.rest(world.manager, "POST", path, {"priority": "pin"})).status_code == 403
    assert (await world.rest(world.admin, "POST", path, {"priority": "urgent"})).status_code == 400
    assert (await world.rest(world.admin, "POST", f"{JOURNAL}/j_no/priority", {"priority": "pin"})).status_code == 404
    token = "sk-ant-api03-" + "a1B2" * 20
    answer = await world.rest(world.admin, "POST", path, {"priority": "pin", "reason": f"for {token}"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["previous"] == "normal"
    marked, kept = await log.entries()
    assert (kept["id"], kept["priority"]) == (entry["id"], "pin")
    assert marked["entry_type"] == "memory.priority_changed"
    assert marked["refs"] == {"parent_entry_id": entry["id"]}
    assert (marked["trace_id"], marked["payload"]["new_priority"]) == ("t9", Priority.pin)
    assert token not in str(marked)
    assert await log.told(priority="pin,permanent") == ["keep this"]


async def test_nobody_reads_another_workspaces_entries(log: Log) -> None:
    await log.note("ours")
    (entry,) = await log.entries()
    world = log.world
    theirs = {"workspace_id": world.other.id}
    async with world.client(world.outsider) as client:
        assert (await client.get(f"{JOURNAL}/{entry['id']}", params=theirs)).status_code == 404
        assert entry["id"] not in (await client.get(JOURNAL, params=theirs)).text
        assert (await client.get(JOURNAL, params={"workspace_id": world.workspace.id})).status_code == 403


async def test_graphql_pages_the_same_entries(log: Log) -> None:
    for number in range(3):
        await log.note(f"n{number}")
    document = """query($ws: ID, $crew: ID, $after: String) {
        journal(workspaceId: $ws, crewId: $crew, first: 2, after: $after) {
            nodes { summary agent { slug } payload } pageInfo { hasNextPage endCursor } totalCount
        }
    }"""
    first = (await log.world.graphql(log.world.viewer, document, {"crew": log.crew.id}))["data"]["journal"]
    assert [node["summary"] for node in first["nodes"]] == ["n2", "n1"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (3, True)
    assert first["nodes"][0]["agent"] == {"slug": log.ann.slug}
    after = {"crew": log.crew.id, "after": first["pageInfo"]["endCursor"]}
    second = (await log.world.graphql(log.world.viewer, document, after))["data"]["journal"]
    assert [node["summary"] for node in second["nodes"]] == ["n0"]
    assert second["pageInfo"]["hasNextPage"] is False


async def test_names_for_readers(log: Log) -> None:
    names = (await log.get("/lookup")).json()
    assert {"id": log.ann.id, "name": "Ann", "slug": log.ann.slug, "crew_id": log.crew.id} == {
        key: next(agent for agent in names["agents"] if agent["id"] == log.ann.id)[key]
        for key in ("id", "name", "slug", "crew_id")
    }
    assert log.crew.id in [crew["id"] for crew in names["crews"]]
    assert isinstance(names["missions"], list)
