"""GraphQL: chats and messages, and the ways between them and what they belong to."""

from datetime import UTC, datetime, timedelta

import pytest

from models.staff.chats import ChatOrigin, ChatReadCursor, MessageRole
from models.staff.runs import RunStatus
from tests.staff.chats.rooms import agent_of, chat_of, elsewhere, row, rows, run_of, said
from tests.world import World, now

pytestmark = pytest.mark.anyio
START = datetime(2024, 5, 1, 10, tzinfo=UTC)


async def test_a_chat_and_all_that_hangs_on_it(world: World) -> None:
    agent = await agent_of(world, name="Stoker", slug="stoker")
    chat = await chat_of(world, agent, title="Coal", last_seq=9, message_count=2, last_activity_at=START)
    first = await said(
        world, chat, "Shovel", role=MessageRole.user, author_user_id=world.owner.user_id, created_at=START
    )
    parts = [{"type": "text", "content": "Done"}]
    second = await said(
        world, chat, "Done", agent_id=agent.id, parts=parts, data={"kind": "x"}, created_at=START + timedelta(minutes=1)
    )
    run = await run_of(world, chat, status=RunStatus.COMPLETED, finished_at=now())
    document = """query($id: ID!) { chat(id: $id) {
        id title lastSeq messageCount unreadCount lastActivityAt visibility origin createdBy creator { email }
        agentSlug agent { name chatCount }
        messages(first: 10) { totalCount nodes {
            id role content parts metadata authorUserId author { id } agent { slug } chat { id } createdAt } }
        runs { nodes { id status agent { id } chat { id } } }
    } }"""
    answer = await world.graphql(world.viewer, document, {"id": chat.id})
    assert answer["data"]["chat"] == {
        "id": chat.id, "title": "Coal", "lastSeq": 9, "messageCount": 2, "unreadCount": 2,
        "lastActivityAt": "2024-05-01T10:00:00Z",
        "visibility": "private", "origin": None, "createdBy": world.owner.user_id,
        "creator": {"email": "owner@example.com"}, "agentSlug": "stoker",
        "agent": {"name": "Stoker", "chatCount": 1},
        "messages": {"totalCount": 2, "nodes": [
            {"id": first.id, "role": "user", "content": "Shovel", "parts": None, "metadata": None,
                "authorUserId": world.owner.user_id,
             "author": {"id": world.owner.user_id}, "agent": None, "chat": {"id": chat.id},
             "createdAt": "2024-05-01T10:00:00Z"},
            {"id": second.id, "role": "assistant", "content": "Done", "parts": parts, "metadata": {"kind": "x"},
                "authorUserId": None,
             "author": None, "agent": {"slug": "stoker"}, "chat": {"id": chat.id}, "createdAt": "2024-05-01T10:01:00Z"},
        ]},
        "runs": {"nodes": [{"id": run.id, "status": "COMPLETED", "agent": {"id": agent.id}, "chat": {"id": chat.id}}]},
    }  # fmt: skip


async def test_a_deleted_agent_is_gone_and_its_slug_is_not(world: World) -> None:
    chat = await chat_of(world, await agent_of(world, slug="retired", deleted_at=now()))
    answer = await world.graphql(
        world.viewer, "query($id: ID!) { chat(id: $id) { agentId agentSlug agent { id } } }", {"id": chat.id}
    )
    assert answer["data"]["chat"] == {"agentId": chat.agent_id, "agentSlug": "retired", "agent": None}


async def test_lists(world: World) -> None:
    agent = await agent_of(world)
    one = await chat_of(world, agent, origin=ChatOrigin.WEBHOOK, last_activity_at=START, updated_at=START)
    two = await chat_of(
        world,
        agent,
        origin=ChatOrigin.WEBHOOK,
        last_activity_at=START + timedelta(days=1),
        updated_at=START - timedelta(days=1),
    )
    document = """query($ws: ID!, $agent: ID!) {
        chats(workspaceId: $ws, origin: WEBHOOK) { totalCount nodes { id } }
        agentChats(workspaceId: $ws, agentId: $agent) { id }
        agent(workspaceId: $ws, id: $agent) {
            chats(first: 1) { nodes { id } pageInfo { hasNextPage } } all: chats(origin: UI) { totalCount } }
        workspace(id: $ws) { chats(origin: WEBHOOK, offset: 1) { nodes { id } } }
    }"""
    data = (await world.graphql(world.viewer, document, {"agent": agent.id}))["data"]
    assert data["chats"] == {"totalCount": 2, "nodes": [{"id": one.id}, {"id": two.id}]}
    assert data["agentChats"] == [{"id": two.id}, {"id": one.id}]
    assert data["agent"] == {
        "chats": {"nodes": [{"id": two.id}], "pageInfo": {"hasNextPage": True}},
        "all": {"totalCount": 0},
    }
    assert data["workspace"] == {"chats": {"nodes": [{"id": two.id}]}}


async def test_messages_come_in_pages(world: World) -> None:
    chat = await chat_of(world)
    messages = [await said(world, chat, str(n), created_at=START + timedelta(seconds=n)) for n in range(60)]
    document = (
        "query($id: ID!, $after: String) { messages(chatId: $id, first: 25, after: $after) {"
        " totalCount nodes { id } pageInfo { endCursor hasNextPage } } }"
    )
    seen: list[str] = []
    after = None
    while True:
        page = (await world.graphql(world.viewer, document, {"id": chat.id, "after": after}))["data"]["messages"]
        assert page["totalCount"] == 60
        seen += [m["id"] for m in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == [m.id for m in messages]
    answer = await world.graphql(
        world.viewer, "query($id: ID!) { messages(chatId: $id) { nodes { id } } }", {"id": chat.id}
    )
    assert len(answer["data"]["messages"]["nodes"]) == 50
    nothing = await world.graphql(
        world.viewer,
        "query($id: ID!) { messages(chatId: $id) { totalCount nodes { id } } }",
        {"id": (await elsewhere(world)).id},
    )
    assert nothing["data"]["messages"] == {"totalCount": 0, "nodes": []}


async def test_unread_is_the_caller_s_own_in_every_chat_of_an_answer(world: World) -> None:
    agent = await agent_of(world)
    chats = [await chat_of(world, agent, last_activity_at=START - timedelta(days=n)) for n in range(3)]
    for chat in chats:
        for n in range(3):
            await said(world, chat, created_at=START + timedelta(seconds=n))
    mark = {"workspace_id": world.workspace.id, "chat_id": chats[1].id}
    await world.add(ChatReadCursor(user_id=world.viewer.user_id, last_read_seq=2, **mark))
    await world.add(ChatReadCursor(user_id=world.owner.user_id, last_read_seq=9, **mark))
    document = (
        "query($ws: ID!, $agent: ID!) { agent(workspaceId: $ws, id: $agent) { chats { nodes { unreadCount } } } }"
    )

    async def unread(name: str) -> list[int]:
        answer = await world.graphql(world.people[name], document, {"agent": agent.id})
        return [c["unreadCount"] for c in answer["data"]["agent"]["chats"]["nodes"]]

    assert (await unread("viewer"), await unread("owner"), await unread("member")) == ([3, 1, 3], [3, 0, 3], [3, 3, 3])


async def test_writes_answer_what_was_written(world: World) -> None:
    agent = await agent_of(world)
    create = (
        "mutation($ws: ID!, $i: CreateChatInput!) {"
        " createChat(workspaceId: $ws, input: $i) { id origin agent { id } unreadCount messages { totalCount } } }"
    )
    made = (await world.graphql(world.member, create, {"i": {"agentId": agent.id, "origin": "CLI"}}))["data"][
        "createChat"
    ]
    assert made == {
        "id": made["id"],
        "origin": "CLI",
        "agent": {"id": agent.id},
        "unreadCount": 0,
        "messages": {"totalCount": 0},
    }
    rename = "mutation($ws: ID!, $i: RenameChatInput!) { renameChat(workspaceId: $ws, input: $i) { id title } }"
    renamed = await world.graphql(
        world.member, rename, {"i": {"agentId": agent.id, "chatId": made["id"], "title": " New  title"}}
    )
    assert renamed["data"]["renameChat"] == {"id": made["id"], "title": "New title"}
    read = (
        "mutation($ws: ID!, $i: ChatOfAgentInput!) { markChatRead(workspaceId: $ws, input: $i) { chatId lastReadAt } }"
    )
    mark = (await world.graphql(world.member, read, {"i": {"agentId": agent.id, "chatId": made["id"]}}))["data"][
        "markChatRead"
    ]
    assert mark["chatId"] == made["id"]
    assert abs(datetime.fromisoformat(mark["lastReadAt"]) - now()) < timedelta(minutes=1)
    delete = "mutation($ws: ID!, $i: ChatOfAgentInput!) { deleteChat(workspaceId: $ws, input: $i) { id } }"
    assert (await world.graphql(world.member, delete, {"i": {"agentId": agent.id, "chatId": made["id"]}}))["data"][
        "deleteChat"
    ] == {"id": made["id"]}
    assert await rows(world, "SELECT 1 FROM chats WHERE id = $1", made["id"]) == []


async def test_a_key_makes_one_message_of_two_requests(world: World) -> None:
    chat = await chat_of(world)
    document = "mutation($i: SendMessageInput!) { sendMessage(input: $i) { runId messageId seq } }"
    answers = [
        await world.graphql(
            world.member, document, {"i": {"chatId": chat.id, "content": "Hello"}}, **{"idempotency-key": "once"}
        )
        for _ in range(2)
    ]
    assert answers[0]["data"] == answers[1]["data"]
    assert answers[0]["data"]["sendMessage"]["seq"] == 2
    assert (await row(world, "chats", chat.id))["last_seq"] == 2
    assert len(await rows(world, "SELECT 1 FROM messages WHERE chat_id = $1", chat.id)) == 1
