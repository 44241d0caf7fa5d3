"""REST: chats, as the contract states them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from models.base import new_id
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.chats import ChatOrigin, ChatReadCursor, MessageRole
from models.staff.crews import CrewMember
from models.staff.runs import RunFrame, RunStatus
from models.work.missions import Assignment
from tests.every import each_of
from tests.staff.chats.rooms import agent_of, chat_of, crew_of, elsewhere, position, row, rows, run_of, said
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
START = datetime(2024, 5, 1, 10, 0, 0, 123_456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def get(world: World, path: str, person: Person | None = None, **query: Any) -> Any:
    async with world.client(person or world.viewer) as client:
        answer = await client.get(f"/api/v1{path}", params={"workspace_id": world.workspace.id} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def chats_of(agent: Agent) -> str:
    return f"/api/v1/agents/{agent.id}/chats"


# ---- lists -----------------------------------------------------------------------------------------------------------


async def test_the_chats_of_an_agent(world: World) -> None:
    agent = await agent_of(world)
    old = await chat_of(
        world,
        agent,
        created_by=world.member.user_id,
        title="Old",
        started_at=START,
        created_at=START,
        last_activity_at=START,
    )
    times: dict[str, Any] = {"started_at": START, "created_at": START, "ended_at": START + MINUTE}
    new = await chat_of(world, agent, origin=ChatOrigin.CLI, last_activity_at=START + MINUTE, message_count=4, **times)
    await chat_of(world)
    shown = await get(world, f"/agents/{agent.id}/chats", limit="1")  # ignored
    common = {
        "agent_id": agent.id,
        "workspace_id": world.workspace.id,
        "mode": "CHAT",
        "status": "ACTIVE",
        "unread_count": 0,
    }
    common |= {"started_at": "2024-05-01T10:00:00Z", "created_at": "2024-05-01T10:00:00Z"}
    assert shown == [
        common | {"id": new.id, "title": None, "message_count": 4, "ended_at": "2024-05-01T10:01:00Z", "origin": "CLI",
                  "last_activity_at": "2024-05-01T10:01:00.123Z"},
        common | {"id": old.id, "title": "Old", "message_count": 0, "ended_at": None, "origin": None,
            "last_activity_at": "2024-05-01T10:00:00.123Z"},
    ]  # fmt: skip
    for unknown in ("nothing", (await elsewhere(world)).agent_id):
        assert await get(world, f"/agents/{unknown}/chats") == []


async def test_a_hundred_chats_at_most(world: World) -> None:
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    await world.database.execute(
        "INSERT INTO chats SELECT (jsonb_populate_record(c, jsonb_build_object('id', c.id || n, 'last_activity_at',"
        " now() - n * interval '1 day'))).* FROM chats c, generate_series(1, 120) n WHERE c.id = $1",
        chat.id,
    )
    shown = await get(world, f"/agents/{agent.id}/chats")
    assert [c["id"] for c in shown] == [chat.id] + [f"{chat.id}{n}" for n in range(1, 100)]


async def test_what_is_unread(world: World) -> None:
    chat = await chat_of(world)
    own, other = world.member.user_id, world.owner.user_id
    for minute, (role, author) in enumerate(
        [
            (MessageRole.assistant, None),
            (MessageRole.user, own),
            (MessageRole.user, other),
            (MessageRole.user, None),  # queued for the agent by somebody
            (MessageRole.system, None),
            (MessageRole.assistant, own),
        ]
    ):
        await said(world, chat, role=role, author_user_id=author, created_at=START + minute * MINUTE)

    async def unread(person: Person) -> int:
        [shown] = await get(world, f"/agents/{chat.agent_id}/chats", person)
        return shown["unread_count"]  # type: ignore[no-any-return]

    assert (await unread(world.member), await unread(world.owner), await unread(world.viewer)) == (4, 4, 5)
    await world.add(ChatReadCursor(workspace_id=chat.workspace_id, chat_id=chat.id, user_id=own, last_read_seq=3))
    assert (await unread(world.member), await unread(world.owner)) == (2, 4)


async def test_chats_of_the_workspace(world: World) -> None:
    gone = await agent_of(world, deleted_at=now(), slug=f"gone{new_id()}")
    made = [
        await chat_of(world, gone, updated_at=START + MINUTE, origin=ChatOrigin.CRON, title="One"),
        await chat_of(world, gone, updated_at=START, origin=ChatOrigin.CRON),
    ]
    theirs = await elsewhere(world)
    shown = await get(world, "/chats", origin="CRON")
    assert shown == {
        "data": [
            {
                "id": made[0].id,
                "agent_id": gone.id,
                "agent_slug": gone.slug,
                "title": "One",
                "updated_at": "2024-05-01T10:01:00Z",
            },
            {
                "id": made[1].id,
                "agent_id": gone.id,
                "agent_slug": gone.slug,
                "title": None,
                "updated_at": "2024-05-01T10:00:00Z",
            },
        ]
    }
    assert [c["id"] for c in (await get(world, "/chats", origin="CRON", limit=1, offset=1))["data"]] == [made[1].id]
    everything = (await get(world, "/chats", limit=1000))["data"]
    assert len(everything) == min(
        100, await world.database.fetchval("SELECT count(*) FROM chats WHERE workspace_id = $1", world.workspace.id)
    )
    assert len((await get(world, "/chats"))["data"]) == 20
    assert theirs.id not in {c["id"] for c in everything}
    async with world.client(world.viewer) as client:
        assert (
            await client.get("/api/v1/chats", params={"workspace_id": world.workspace.id, "origin": "SMOKE"})
        ).status_code == 400


async def test_one_chat(world: World) -> None:
    chat = await chat_of(world, title="One", updated_at=START)
    answer = await world.rest(world.viewer, "GET", f"/api/v1/chats/{chat.id}", workspace=None)
    slug = (await row(world, "agents", chat.agent_id))["slug"]
    assert answer.json() == {
        "id": chat.id,
        "agent_id": chat.agent_id,
        "agent_slug": slug,
        "title": "One",
        "updated_at": "2024-05-01T10:00:00Z",
    }
    for person, id in (
        (world.outsider, chat.id),
        (world.nobody, chat.id),
        (world.viewer, (await elsewhere(world)).id),
        (world.viewer, "nothing"),
    ):
        assert (await world.rest(person, "GET", f"/api/v1/chats/{id}")).status_code == 404


# ---- create ----------------------------------------------------------------------------------------------------------


async def test_a_chat_is_begun(world: World) -> None:
    agent, before = await agent_of(world), await position(world)
    answer = await world.rest(
        world.viewer, "POST", chats_of(agent), {"mode": "CHAT", "origin": "CLI", "metadata": {"plan": True}}
    )
    assert answer.status_code == 201
    id = answer.json()["id"]
    assert answer.json() == {"id": id}
    assert re.fullmatch(r"c[a-z0-9]{24}", id)
    chat = await row(world, "chats", id)
    assert (chat["agent_id"], chat["created_by"], chat["status"], chat["mode"]) == (
        agent.id,
        world.viewer.user_id,
        "ACTIVE",
        "CHAT",
    )
    assert (chat["origin"], chat["title"], chat["visibility"], chat["message_count"]) == ("CLI", None, "private", 0)
    assert abs(chat["last_activity_at"] - now()) < MINUTE
    assert [event["type"] for event in await world.events(before)] == ["chat.created"]
    assert [row["action"] for row in await world.audit() if row["entity_id"] == id] == ["chat.created"]


async def test_the_same_id_is_the_same_chat(world: World) -> None:
    agent, id = await agent_of(world), "0b6f7a52-5b1c-4f43-9f0a-2f6e0f7a9d11"
    assert (await world.rest(world.member, "POST", chats_of(agent), {"session_id": id, "origin": "UI"})).json() == {
        "id": id
    }
    await world.database.execute("UPDATE chats SET title = 'Kept' WHERE id = $1", id)
    before = await world.snapshot()
    again = await world.rest(world.owner, "POST", chats_of(agent), {"session_id": id, "origin": "CLI"})
    assert (again.status_code, again.json()) == (201, {"id": id})
    for other in (await agent_of(world), await agent_of(world, deleted_at=now())):
        before = await world.snapshot()
        answer = await world.rest(world.owner, "POST", chats_of(other), {"session_id": id})
        assert answer.status_code == (404 if other.deleted_at else 409)
        assert await world.snapshot() == before
    theirs = await elsewhere(world)  # another workspace's id is as good as any
    answer = await world.rest(world.owner, "POST", chats_of(agent), {"session_id": theirs.id})
    assert (answer.status_code, answer.json()) == (201, {"id": theirs.id})


@each_of("id", ["", "a/b", "a\\b", "..", "a..b", "x" * 201, "a\nb", 7, {}])
async def test_an_id_that_cannot_be(world: World, id: Any) -> None:
    agent = await agent_of(world)
    assert (await world.rest(world.owner, "POST", chats_of(agent), {"session_id": id})).status_code == 400
    assert await rows(world, "SELECT id FROM chats WHERE agent_id = $1", agent.id) == []


@each_of("id", ["a b", "a%2Fb", "ü☃", "a.b", "x" * 200, "?x=1#y"])
async def test_an_id_that_the_client_chose_can_be_used(world: World, id: str) -> None:
    agent, chosen = await agent_of(world), f"{new_id()[:8]}{id}"[:200]
    assert (await world.rest(world.owner, "POST", chats_of(agent), {"session_id": chosen})).json() == {"id": chosen}
    assert await get(world, f"/chats/{quote(chosen, safe='')}/messages") == {"chat_id": chosen, "messages": []}
    assert (await get(world, f"/chats/{quote(chosen, safe='')}"))["id"] == chosen


@pytest.mark.parametrize("origin", ["SMOKE", "", None])
async def test_an_unknown_origin_is_none(world: World, origin: Any) -> None:
    agent = await agent_of(world)
    answer = await world.rest(world.owner, "POST", chats_of(agent), {"origin": origin})
    assert (await row(world, "chats", answer.json()["id"]))["origin"] is None


@pytest.mark.parametrize("origin", [7, ["UI"], {"UI": 1}, True])
async def test_an_origin_that_is_no_text_is_refused(world: World, origin: Any) -> None:
    agent = await agent_of(world)
    answer = await world.rest(world.owner, "POST", chats_of(agent), {"origin": origin})
    assert (answer.status_code, answer.json()["fields"]) == (
        400,
        {"origin": "must be 'UI', 'CLI', 'WEBHOOK', 'CRON' or 'AGENT'"},
    )


async def test_a_body_there_must_be(world: World) -> None:
    agent = await agent_of(world)
    async with world.client(world.owner) as client:
        for body in (b"", b"[]", b"chat"):
            answer = await client.post(f"{chats_of(agent)}?workspace_id={world.workspace.id}", content=body)
            assert answer.status_code == 400
    assert (await world.rest(world.owner, "POST", "/api/v1/agents/nothing/chats", {})).status_code == 404
    assert (
        await world.rest(world.owner, "POST", f"/api/v1/agents/{(await elsewhere(world)).agent_id}/chats", {})
    ).status_code == 404


# ---- messages --------------------------------------------------------------------------------------------------------


async def test_messages_are_shown_whole(world: World) -> None:
    chat = await chat_of(world)
    second = await said(
        world, chat, "Two", seq=2, created_at=START + MINUTE, role=MessageRole.user, author_user_id=world.owner.user_id
    )
    parts = [
        {"type": "text", "content": "One"},
        {"type": "tool_call", "content": "Bash", "tool_name": "Bash", "metadata": {"input": {"n": 1.50}}},
    ]
    more = {"agent_id": chat.agent_id, "tool_name": "Bash", "tool_summary": "[tool: Bash]", "data": {"kind": "example"}}
    first = await said(world, chat, "One", seq=1, created_at=START, parts=parts, **more)
    await said(world, await chat_of(world))
    assert await get(world, f"/chats/{chat.id}/messages") == {
        "chat_id": chat.id,
        "messages": [
            {"id": first.id, "session_id": chat.id, "agent_id": chat.agent_id, "role": "assistant", "content": "One",
                "parts": parts, "tool_name": "Bash",
             "tool_summary": "[tool: Bash]", "metadata": {"kind": "example"}, "ts": "2024-05-01T10:00:00Z"},
            {"id": second.id, "session_id": chat.id, "role": "user", "content": "Two", "ts": "2024-05-01T10:01:00Z",
                "author_user_id": world.owner.user_id},
        ],
    }  # fmt: skip


async def test_without_a_window_every_message_is_shown(world: World) -> None:
    chat = await chat_of(world)
    first = await said(world, chat, created_at=START)
    await world.database.execute(
        "INSERT INTO messages SELECT (jsonb_populate_record(m, jsonb_build_object('id',"
        " m.id || (1000 - n), 'seq', m.seq + n))).* FROM messages m, generate_series(1, 699) n WHERE m.id = $1",
        first.id,
    )
    ids = [first.id] + [f"{first.id}{1000 - n}" for n in range(1, 700)]

    async def shown(**query: Any) -> list[str]:
        return [m["id"] for m in (await get(world, f"/chats/{chat.id}/messages", **query))["messages"]]

    assert await shown() == ids
    assert await shown(limit="all") == ids
    assert await shown(limit=2) == ids[:2]
    assert await shown(limit=2, offset=3) == ids[3:5]
    assert await shown(offset=3) == ids[3:53]
    assert await shown(limit=0) == ids[:50]
    assert await shown(limit=1000) == ids[:500]
    assert await shown(limit=1000, offset=690) == ids[690:]


async def test_messages_need_no_workspace(world: World) -> None:
    chat = await chat_of(world)
    message = await said(world, chat)
    for workspace in (None, world.workspace.slug, world.other.id):
        answer = await world.rest(world.viewer, "GET", f"/api/v1/chats/{chat.id}/messages", workspace=workspace)
        assert [m["id"] for m in answer.json()["messages"]] == [message.id]


async def test_a_chat_that_one_cannot_read_is_one_that_is_not_there(world: World) -> None:
    chat = await chat_of(world)
    await said(world, chat)
    theirs = await elsewhere(world)
    await said(world, theirs)
    for person, id in (
        (world.viewer, "nothing"),
        (world.viewer, theirs.id),
        (world.outsider, chat.id),
        (world.nobody, chat.id),
    ):
        own = world.workspace.id if person is world.viewer else None
        answer = await world.rest(person, "GET", f"/api/v1/chats/{id}/messages", workspace=own)
        assert (answer.status_code, answer.json()) == (200, {"messages": []})
    for person, id in ((world.outsider, chat.id), (world.outsider, theirs.id), (world.nobody, "nothing")):
        answer = await world.rest(person, "GET", f"/api/v1/chats/{id}/messages")
        assert (answer.status_code, answer.json().get("error")) == (
            (200, None) if id == theirs.id else (403, "Not a member of this workspace")
        )
    assert (await world.rest(None, "GET", f"/api/v1/chats/{chat.id}/messages")).status_code == 401


# ---- read marks ------------------------------------------------------------------------------------------------------


async def test_a_mark_moves_to_now(world: World) -> None:
    chat, before = await chat_of(world), await position(world)
    path = f"/api/v1/agents/{chat.agent_id}/chats/{chat.id}/read"
    for _ in range(2):
        answer = await world.rest(world.viewer, "PUT", path)
        body = answer.json()
        assert (answer.status_code, body["chat_id"]) == (200, chat.id)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["last_read_at"])
        [mark] = await rows(world, "SELECT * FROM chat_read_cursors WHERE chat_id = $1", chat.id)
        assert (mark["user_id"], mark["workspace_id"]) == (world.viewer.user_id, world.workspace.id)
        shown = datetime.fromisoformat(body["last_read_at"])
        assert timedelta(0) <= mark["last_read_at"] - shown < timedelta(milliseconds=1)
        assert abs(shown - now()) < MINUTE
    assert await world.events(before) == []


async def test_a_mark_is_in_a_chat_of_that_agent(world: World) -> None:
    chat, other, theirs = await chat_of(world), await agent_of(world), await elsewhere(world)
    for agent_id, chat_id in ((other.id, chat.id), (chat.agent_id, "nothing"), (theirs.agent_id, theirs.id)):
        assert (
            await world.rest(world.owner, "PUT", f"/api/v1/agents/{agent_id}/chats/{chat_id}/read")
        ).status_code == 404
    assert await rows(world, "SELECT 1 FROM chat_read_cursors WHERE chat_id = ANY($1)", [chat.id, theirs.id]) == []


# ---- rename and delete -----------------------------------------------------------------------------------------------


async def test_a_new_title(world: World) -> None:
    chat = await chat_of(world, created_by=world.viewer.user_id, last_activity_at=START, updated_at=START)
    path = f"/api/v1/agents/{chat.agent_id}/chats/{chat.id}"
    answer = await world.rest(world.viewer, "PATCH", path, {"title": "  A\tnew\n\x07 title "})
    assert answer.status_code == 200
    assert (answer.json()["title"], answer.json()["last_activity_at"]) == ("A new title", "2024-05-01T10:00:00.123Z")
    assert answer.json() == next(c for c in await get(world, f"/agents/{chat.agent_id}/chats"))
    for title in ("", " \n", "\x07", "x" * 201, None, 7):
        assert (await world.rest(world.viewer, "PATCH", path, {"title": title})).status_code == 400
    assert (await world.rest(world.viewer, "PATCH", path, {"title": "x" * 200 + " \n"})).status_code == 200
    for wrong in (
        f"/api/v1/agents/{(await agent_of(world)).id}/chats/{chat.id}",
        f"/api/v1/agents/{chat.agent_id}/chats/nothing",
    ):
        assert (await world.rest(world.owner, "PATCH", wrong, {"title": "x"})).status_code == 404


@pytest.mark.slow
@each_of("method", ["PATCH", "DELETE"])
@each_of("crew_role", [None, Role.VIEWER, Role.MANAGER, Role.ADMIN, Role.OWNER])
@each_of("name", ["owner", "admin", "manager", "member", "viewer"])
async def test_who_may_change_a_chat(world: World, name: str, crew_role: Role | None, method: str) -> None:
    """Workspace role x role in the agent's crew x creator of the agent x creator of the chat."""
    person, crew = world.people[name], await crew_of(world)
    if crew_role is not None:
        await world.add(
            CrewMember(workspace_id=world.workspace.id, crew_id=crew.id, user_id=person.user_id, role=crew_role)
        )
    for made_agent in (False, True):
        agent = await agent_of(world, crew_id=crew.id, created_by_user_id=person.user_id if made_agent else None)
        for creator in (person.user_id, world.people["nobody"].user_id, None):
            chat = await chat_of(world, agent, created_by=creator)
            edits = name in ("owner", "admin") or (
                name == "manager" and (made_agent or crew_role in (Role.ADMIN, Role.OWNER))
            )
            allowed = creator == person.user_id or edits
            answer = await world.rest(
                person, method, f"{chats_of(agent)}/{chat.id}", {"title": "New"} if method == "PATCH" else None
            )
            assert answer.status_code == ((200 if method == "PATCH" else 204) if allowed else 403)
            left = await rows(world, "SELECT title FROM chats WHERE id = $1", chat.id)
            assert left == ([{"title": "New"}] if method == "PATCH" else []) if allowed else [{"title": None}]


async def test_what_goes_with_a_chat_and_what_stays(world: World) -> None:
    chat = await chat_of(world)
    run = await run_of(world, chat, status=RunStatus.COMPLETED, finished_at=now())
    await said(world, chat)
    here: dict[str, Any] = {"workspace_id": chat.workspace_id, "chat_id": chat.id}
    await world.add(
        RunFrame(run_id=run.id, seq=1, type="run_begin", payload={"from_seq": 0}, **here),
        ChatReadCursor(user_id=world.owner.user_id, last_read_seq=0, **here),
    )
    answer = await world.rest(world.owner, "DELETE", f"/api/v1/agents/{chat.agent_id}/chats/{chat.id}")
    assert (answer.status_code, answer.content) == (204, b"")
    for table in ("messages", "run_frames", "chat_read_cursors"):
        assert await rows(world, f"SELECT 1 FROM {table} WHERE chat_id = $1", chat.id) == []
    assert (await row(world, "runs", run.id))["chat_id"] == chat.id
    assert (
        await world.rest(world.owner, "DELETE", f"/api/v1/agents/{chat.agent_id}/chats/{chat.id}")
    ).status_code == 404


async def test_what_keeps_a_chat(world: World) -> None:
    assigned, busy = await chat_of(world), await chat_of(world)
    work: dict[str, Any] = {"assigned_by_id": assigned.agent_id, "assigned_to_id": assigned.agent_id, "task": "Hoist"}
    await world.add(Assignment(workspace_id=assigned.workspace_id, chat_id=assigned.id, **work))
    await run_of(world, busy)
    before = await world.snapshot()
    for chat, text in ((assigned, "Assignments refer to this chat"), (busy, "This chat has an active run")):
        answer = await world.rest(world.owner, "DELETE", f"/api/v1/agents/{chat.agent_id}/chats/{chat.id}")
        assert (answer.status_code, answer.json()["error"]) == (409, text)
    assert await world.snapshot() == before
