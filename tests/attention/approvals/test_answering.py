"""An approval inside its conversation: the run and the chat that it belongs to, and a verdict that has a type."""

from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind, ApprovalStatus, approval_id
from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatVisibility
from models.staff.crews import Crew
from models.staff.runs import NEVER, Run
from tests.world import World

pytestmark = pytest.mark.anyio
OF_CHAT = """query($id: ID!) { chat(id: $id) { pendingApprovals(first: 5) {
    totalCount nodes { id mode runId run { id status } chat { id } } } } }"""
ANSWER = """mutation($input: AnswerApprovalInput!, $ws: ID) {
    answerApproval(input: $input, workspaceId: $ws) { id status comment decidedBy chat { id } } }"""


class Talk:
    def __init__(self, world: World) -> None:
        here = {"workspace_id": world.workspace.id}
        self.crew = Crew(name="Deck", slug=new_id(), **here)
        self.agent = Agent(name="Ada", slug=new_id(), crew_id=self.crew.id, **here)
        chat = {"agent_id": self.agent.id, "created_by": world.owner.user_id, **here}
        self.chat, self.other = [Chat(visibility=ChatVisibility.private, **chat) for _ in range(2)]
        self.ids = [approval_id() for _ in range(3)]
        waits: dict[str, Any] = {"waits_for": self.ids[0], "leased_until": NEVER, "waits_since": NEVER}
        self.run = Run(agent_id=self.agent.id, chat_id=self.chat.id, **waits, **here)
        asked: dict[str, Any] = {"kind": ApprovalKind.tool_call, "reason": "May I?", "run_id": self.run.id, **here}
        self.pending = Approval(id=self.ids[0], **asked)
        self.decided = Approval(id=self.ids[1], status=ApprovalStatus.denied, **asked)
        self.elsewhere = Approval(id=self.ids[2], **(asked | {"run_id": ""}))

    @property
    def rows(self) -> list[Any]:
        approvals = [self.pending, self.decided, self.elsewhere]
        return [self.crew, self.agent, self.chat, self.other, self.run, *approvals]


@pytest.fixture
async def talk(world: World) -> Talk:
    made = Talk(world)
    await world.add(*made.rows)
    return made


async def test_a_chat_has_the_approvals_that_wait_in_it(world: World, talk: Talk) -> None:
    answer = await world.graphql(world.owner, OF_CHAT, {"id": talk.chat.id})
    assert answer["data"]["chat"]["pendingApprovals"] == {
        "totalCount": 1,
        "nodes": [
            {
                "id": talk.pending.id, "mode": "sync", "runId": talk.run.id,
                "run": {"id": talk.run.id, "status": "RUNNING"}, "chat": {"id": talk.chat.id},
            }
        ],
    }  # fmt: skip
    answer = await world.graphql(world.owner, OF_CHAT, {"id": talk.other.id})
    assert answer["data"]["chat"]["pendingApprovals"] == {"totalCount": 0, "nodes": []}


async def test_an_approval_leads_to_its_run_and_chat(world: World, talk: Talk) -> None:
    asked = "query($ws: ID, $id: ID!) { approval(id: $id, workspaceId: $ws) { runId chat { id } } }"
    for person in (world.owner, world.member):
        answer = await world.graphql(person, asked, {"id": talk.pending.id})
        assert answer["data"]["approval"] == {"runId": talk.run.id, "chat": {"id": talk.chat.id}}
    answer = await world.graphql(world.owner, asked, {"id": talk.elsewhere.id})
    assert answer["data"]["approval"] == {"runId": "", "chat": None}


async def test_a_verdict_answers_once(world: World, talk: Talk) -> None:
    asked = {"id": talk.pending.id, "verdict": "denied", "comment": "No"}
    refused = await world.graphql(world.member, ANSWER, {"input": asked})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    answer = await world.graphql(world.owner, ANSWER, {"input": asked})
    assert answer["data"]["answerApproval"] == {
        "id": talk.pending.id, "status": "denied", "comment": "No", "decidedBy": world.owner.user_id,
        "chat": {"id": talk.chat.id},
    }  # fmt: skip
    run = await world.database.fetchrow("SELECT waits_for, leased_until FROM runs WHERE id = $1", talk.run.id)
    assert run["waits_for"] is None
    assert run["leased_until"] is None or run["leased_until"] < NEVER
    told = [event for event in await world.events() if event["type"] == "approval.decided"]
    assert [event["payload"]["id"] for event in told] == [talk.pending.id]
    again = await world.graphql(world.owner, ANSWER, {"input": asked})
    assert again["errors"][0]["extensions"]["code"] == "CONFLICT"


async def test_a_verdict_is_one_of_two(world: World, talk: Talk) -> None:
    answer = await world.graphql(world.owner, ANSWER, {"input": {"id": talk.pending.id, "verdict": "timeout"}})
    assert answer["errors"]
    assert await world.database.fetchval("SELECT status FROM approvals WHERE id = $1", talk.pending.id) == "pending"
