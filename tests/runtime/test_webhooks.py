"""What the workspace is told of a run by a webhook while it goes on, and what is left of it."""

import pytest

from models.base import new_id
from models.staff.chats import Chat
from models.staff.runs import BY_WEBHOOK, Run, RunStatus
from resolvers.identity.caller import Caller
from resolvers.staff.runs import work
from resolvers.staff.runs.briefing import brief
from resolvers.staff.runs.finishing import finish_run
from resolvers.staff.runs.work import Batch
from tests.runtime.estate import Estate

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


async def hooked(estate: Estate, chat: Chat) -> Run:
    run = Run(
        id=new_id(), workspace_id=estate.workspace.id, agent_id=chat.agent_id, chat_id=chat.id, prompt="ping",
        trigger_type=BY_WEBHOOK, restricted=True, data={"event": "ping", "source": "", "trigger": BY_WEBHOOK},
    )  # fmt: skip
    await estate.add(run)
    return run


async def test_each_frame_is_told_and_the_run_keeps_what_was_sent(estate: Estate) -> None:
    chat = await estate.chat()
    runs = [await hooked(estate, chat) for _ in range(2)]
    claims = {claim.run_id: claim for claim in await work.claim("w", 100, seconds=30.0)}
    said = [{"type": "text", "content": "Hi"}, {"type": "text", "content": "x" * 200_000, "metadata": {"a": 1}}]
    assert await work.append(claims[runs[0].id], Batch(frames=said), 0)
    assert await work.append(claims[runs[1].id], Batch(frames=said[:1]), 0), "several of them are live in one chat"
    told = await estate.owner.fetch("SELECT payload FROM events WHERE type = 'agent.log' ORDER BY xid, seq")
    shown = [row["payload"] for row in told if row["payload"]["agent_id"] == chat.agent_id]
    assert [(len(one["content"]), one["event"], one["metadata"]) for one in shown] == [
        (2, "text", None), (100_000, "text", {"a": 1}), (2, "text", None),
    ]  # fmt: skip
    assert {*shown[0]} == {"ts", "level", "agent", "agent_id", "event", "content", "metadata"}

    system = Caller.service("runs", estate.workspace.id)
    briefed = await brief(system, {"id": runs[0].id})
    assert b'"timeout_seconds":600' in (briefed.body or b"")
    reply = {"content": "Hi", "parts": said[:1]}
    for run, status in zip(runs, ("COMPLETED", "FAILED"), strict=True):
        ending = {"status": status, "data": {"duration_ms": 5}, "reply": reply, "error_message": "No"}
        await finish_run(system, {"id": run.id, "lease": claims[run.id].lease, **ending})
    ended = [await estate.run(run.id) for run in runs]
    assert [(run.status, run.exit_code) for run in ended] == [(RunStatus.COMPLETED, 0), (RunStatus.FAILED, 1)]
    assert ended[0].data == {"event": "ping", "source": "", "trigger": BY_WEBHOOK}
    assert await estate.owner.fetchval("SELECT count(*) FROM messages WHERE chat_id = $1", chat.id) == 0
    assert await estate.owner.fetchval("SELECT message_count FROM chats WHERE id = $1", chat.id) == 0
