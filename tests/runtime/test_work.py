"""What a worker does to the rows of runs: every run is held once, and nobody writes for a run that another holds."""

import asyncio
import secrets
from typing import Any

import orjson
import pytest

from models.staff.chats import ChatVisibility
from models.staff.runs import Run
from resolvers.errors import Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.database import database
from resolvers.staff.chats.steering import steer_chat
from resolvers.staff.runs import work
from resolvers.staff.runs.briefing import brief
from resolvers.staff.runs.finishing import GENERAL, NO_OUTPUT, SERVER_RESTART, finish_run
from resolvers.staff.runs.work import Batch, RunClaim
from tests.runtime.estate import Estate

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


async def take(run: Run, *, seconds: float = 30.0) -> RunClaim:
    [claim] = [claim for claim in await work.claim("worker", 100, seconds=seconds) if claim.run_id == run.id]
    return claim


async def lose(estate: Estate, run: Run) -> None:
    await estate.owner.execute("UPDATE runs SET leased_until = now() - interval '1 second' WHERE id = $1", run.id)


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


# ---- leases ----------------------------------------------------------------------------------------------------------


async def test_a_claim_takes_the_oldest_and_marks_them(estate: Estate) -> None:
    runs = [await estate.ask() for _ in range(3)]
    claims = await work.claim("w1", 2, seconds=30.0)
    assert [c.run_id for c in claims] == [runs[0].id, runs[1].id]
    taken, left = await estate.run(runs[0].id), await estate.run(runs[2].id)
    assert (taken.lease, taken.worker, taken.started_at is None) == (1, "w1", False)
    assert claims[0] == RunClaim(runs[0].id, estate.workspace.id, runs[0].chat_id, 1, 0.0, False)
    assert (left.lease, left.worker, left.started_at, left.leased_until) == (0, None, None, None)


async def test_thirty_at_once_take_each_run_once(estate: Estate) -> None:
    runs = [await estate.ask() for _ in range(30)]
    taken = await asyncio.gather(*[work.claim(f"w{n}", 3, seconds=30.0) for n in range(30)])
    ids = [claim.run_id for claims in taken for claim in claims]
    # who was locked for a moment is skipped, and comes next
    ids += [claim.run_id for claim in await work.claim("last", 100, seconds=30.0)]
    assert sorted(ids) == sorted(run.id for run in runs)


async def test_a_run_is_taken_over_when_its_lease_has_ended(estate: Estate) -> None:
    run = await estate.ask()
    first = await take(run)
    assert await work.claim("w2", 100, seconds=30.0) == []
    await lose(estate, run)
    second = await take(run)
    assert (first.lease, first.age, second.lease) == (1, 0.0, 2)
    assert 0 < second.age < 60


async def test_an_extension_tells_what_is_lost_and_what_is_to_be_cancelled(estate: Estate) -> None:
    kept, asked, lost, ended = [await estate.ask() for _ in range(4)]
    claims = await work.claim("w", 4, seconds=1.0)
    await estate.cancel(str(asked.chat_id))
    await lose(estate, lost)
    await take(lost)
    await estate.owner.execute("UPDATE runs SET status = 'CANCELLED' WHERE id = $1", ended.id)
    assert await work.extend(claims, seconds=100.0) == {kept.id: False, asked.id: True}
    assert await estate.owner.fetchval(
        "SELECT leased_until > now() + interval '90 seconds' FROM runs WHERE id = $1", kept.id
    )


async def test_a_released_run_can_be_taken_at_once(estate: Estate) -> None:
    rung: list[str] = []
    off = bus.on(Topic.queue, rung.append)
    run = await estate.ask()
    claim = await take(run)
    rung.clear()
    await work.release([claim])
    assert rung == [""]
    assert (await take(run)).lease == 2
    await work.release([claim])  # it is somebody else's by now
    assert await work.claim("w", 100, seconds=30.0) == []
    off()


async def test_runs_that_are_to_be_cancelled_can_be_taken_alone(estate: Estate) -> None:
    waiting, asked = await estate.ask(), await estate.ask()
    await work.claim("w", 100, seconds=30.0)
    await estate.cancel(str(asked.chat_id))
    await lose(estate, asked)
    await lose(estate, waiting)
    [claim] = await work.claim("w", 100, seconds=30.0, cancelled=True)
    assert (claim.run_id, claim.cancelled) == (asked.id, True)


async def test_what_nobody_goes_on_with_is_counted(estate: Estate) -> None:
    run = await estate.ask()
    await take(run)
    await estate.ask()
    assert await work.stranded() == 0
    assert {state: work.UNFINISHED.labels(state)._value.get() for state in ("queued", "running", "waiting")} == {
        "queued": 1,
        "running": 1,
        "waiting": 0,
    }
    await estate.owner.execute("UPDATE runs SET leased_until = now() - interval '61 seconds' WHERE id = $1", run.id)
    assert await work.stranded() == 1
    assert work.STRANDED._value.get() == 1
    await take(run)
    assert await work.stranded() == 0


async def test_the_systems_sight_does_not_stay_on_a_connection(estate: Estate) -> None:
    await estate.ask()
    async with database.lease() as conn:
        conn.sees("")
    for _ in range(3):  # with the statement prepared, and not
        assert await work.claim("w", 100, seconds=0.0)
        async with database.lease() as conn:
            assert await conn.fetchval("SELECT count(*) FROM runs") == 0


# ---- frames and steps ------------------------------------------------------------------------------------------------


async def test_frames_follow_those_of_the_chat(estate: Estate) -> None:
    rung: list[str] = []
    off = bus.on(Topic.frames, rung.append)
    run = await estate.ask("hi")
    claim = await take(run)
    rung.clear()
    assert await work.append(claim, Batch(frames=[text("a"), text("b")]), 0)
    assert await work.append(claim, Batch(frames=[text("c")]), 2)
    off()
    assert rung == [f"{run.workspace_id}/{run.chat_id}"] * 2
    frames = await estate.frames(str(run.chat_id))
    assert [(f["seq"], f["type"], f.get("content")) for f in frames] == [
        (1, "run_begin", None),
        (2, "user_message", "hi"),
        (3, "text", "a"),
        (4, "text", "b"),
        (5, "text", "c"),
    ]
    assert await work.frames(claim) == [{k: v for k, v in f.items() if k != "seq"} for f in frames[1:]]
    assert (await estate.stored_chat(str(run.chat_id))).last_seq == 5


async def test_frames_of_others_come_in_between(estate: Estate) -> None:
    """In a group users go on talking while the agent answers; a batch is no less new for it."""
    agent = await estate.agent()
    chat = await estate.chat(agent, visibility=ChatVisibility.group)
    run = await estate.ask(f"@{agent.slug} hi", chat)
    claim = await take(run)
    assert await work.append(claim, Batch(frames=[text("a")]), 0)
    await estate.say(await estate.colleague(), chat.id, "meanwhile")
    assert await work.append(claim, Batch(frames=[text("b")]), 1)
    assert [f.get("content") for f in await estate.answer(chat.id)] == ["a", "b"]
    assert await work.written(claim) == 2


async def test_a_batch_that_is_sent_twice_is_stored_once(estate: Estate) -> None:
    run = await estate.ask()
    claim = await take(run)
    batch = Batch(frames=[text("a")], announced=["s"])
    answers = await asyncio.gather(*[work.append(claim, batch, 0) for _ in range(5)])
    assert sorted(answers) == [False] * 4 + [True]
    assert [f.get("content") for f in await estate.answer(str(run.chat_id))] == ["a"]
    assert await work.written(claim) == 1


async def test_a_worker_believed_dead_writes_nothing(estate: Estate) -> None:
    run = await estate.ask()
    old = await take(run)
    await lose(estate, run)
    new = await take(run)
    before = await estate.owner.fetchrow("SELECT * FROM chats WHERE id = $1", run.chat_id)
    batches = [
        Batch(frames=[text("x")]),
        Batch(announced=["s"]),
        Batch(finished={"s": 1}),
        Batch(frames=[text("x")], finished={"s": 1}),
    ]
    assert [await work.append(old, batch, 0) for batch in batches] == [False] * 4
    assert await work.written(old) is None
    assert await work.extend([old], seconds=30.0) == {}
    await work.release([old])
    await work.give_up(old, "no")
    with pytest.raises(Refusal, match="taken over the run"):
        await finish(old, status="COMPLETED")
    assert await estate.owner.fetchrow("SELECT * FROM chats WHERE id = $1", run.chat_id) == before
    assert await work.steps(new) == {}
    assert (await estate.run(run.id)).status == "RUNNING"
    assert await work.append(new, Batch(frames=[text("mine")]), 0)


async def test_the_fence_holds_against_a_write_that_was_under_way(estate: Estate) -> None:
    """The claim waits until the batch is stored, or the batch finds the claim: never both."""
    for _ in range(20):
        run = await estate.ask()
        old = await take(run)
        await lose(estate, run)
        stored, claims = await asyncio.gather(
            work.append(old, Batch(frames=[text("late")]), 0), work.claim("w2", 100, seconds=30.0)
        )
        if claims:  # else the row was locked by the batch, and is claimed at the next look
            counted = await estate.owner.fetchval("SELECT frames FROM runs WHERE id = $1", run.id)
            assert counted == (1 if stored else 0)
        else:
            assert stored


async def test_users_can_write_while_batches_are_stored(estate: Estate) -> None:
    """Chat before run, everywhere: who sends into a busy chat and who stores a batch never wait for each other."""
    run = await estate.ask()
    claim, chat_id = await take(run), str(run.chat_id)

    async def batches() -> None:
        for n in range(60):
            assert await work.append(claim, Batch(frames=[text(str(n))]), n)

    async def sends() -> None:
        for _ in range(60):
            with pytest.raises(Refusal, match="still being answered"):
                await estate.say(estate.caller, chat_id, "again")

    await asyncio.gather(batches(), sends(), sends())
    assert [f["content"] for f in await estate.answer(chat_id)] == [str(n) for n in range(60)]


async def test_steps_are_announced_then_finished(estate: Estate) -> None:
    run = await estate.ask()
    claim = await take(run)
    assert await work.append(claim, Batch(frames=[text("a")], announced=["model 1"]), 0)
    assert await work.append(claim, Batch(announced=["tool 1"]), 1)
    assert await work.append(claim, Batch(frames=[text("b")], finished={"model 1": {"text": ["ä", None, 1.5]}}), 1)
    assert await work.append(claim, Batch(finished={"quiet": None, "many": [1, [2]], "other": [{"a": 1}]}), 2)
    found = await work.steps(claim)
    assert {name: (step.finished, step.outcome) for name, step in found.items()} == {
        "model 1": (True, {"text": ["ä", None, 1.5]}),
        "tool 1": (False, None),
        "quiet": (True, None),
        "many": (True, [1, [2]]),
        "other": (True, [{"a": 1}]),
    }
    # what is finished stays as it is
    assert await work.append(claim, Batch(announced=["model 1"], finished={"model 1": "other"}), 2)
    assert (await work.steps(claim))["model 1"].outcome == {"text": ["ä", None, 1.5]}


async def test_a_run_without_a_chat_stores_steps_and_no_frames(estate: Estate) -> None:
    run = Run(agent_id=(await estate.agent()).id, workspace_id=estate.workspace.id, prompt="p", trigger_type="WEBHOOK")
    await estate.add(run)
    claim = await take(run)
    assert await work.append(claim, Batch(frames=[text("a")], finished={"s": 1}), 0)
    assert set(await work.steps(claim)) == {"s"}
    assert await work.frames(claim) == []
    await finish(claim, status="COMPLETED", reply={"content": "a", "parts": [text("a")]})
    assert (await estate.run(run.id)).status == "COMPLETED"


async def test_no_other_workspace_is_written_to(estate: Estate) -> None:
    """The workspace of a claim is part of every fence; row-level security would refuse the rest."""
    run = await estate.ask()
    claim = await take(run)
    astray = RunClaim(claim.run_id, "c" + secrets.token_hex(12), claim.chat_id, claim.lease, claim.age, False)
    assert not await work.append(astray, Batch(frames=[text("a")], finished={"s": 1}), 0)
    assert await work.written(astray) is None
    assert await work.frames(astray) == []
    assert await estate.answer(str(run.chat_id)) == []


# ---- what the worker is told -----------------------------------------------------------------------------------------


async def told(claim: RunClaim) -> dict[str, Any]:
    answer = await brief(Caller.service("runtime", claim.workspace_id), {"id": claim.run_id})
    made: dict[str, Any] = orjson.loads(answer.body or b"")
    return made


async def test_a_briefing_has_the_turns_before_this_one(estate: Estate) -> None:
    agent = await estate.agent(system_prompt="Be brief.", llm_model="m-1", timeout_seconds=60)
    chat = await estate.chat(agent)
    first = await take(await estate.ask("one", chat))
    await finish(first, status="COMPLETED", reply={"content": "answer", "parts": [text("answer")]})
    run = await estate.ask("two", chat, max_turns=7)
    made = await told(await take(run))
    assert made["history"] == [{"role": "user", "content": "one"}, {"role": "assistant", "content": "answer"}]
    assert (made["prompt"], made["max_turns"], made["trigger_type"]) == ("two", 7, "USER")
    assert made["agent"] == {
        "id": agent.id, "slug": agent.slug, "name": agent.name, "crew_id": None, "crew_slug": None,
        "system_prompt": "Be brief.", "persona": "",
        "cli_adapter": "CLAUDE_CODE", "llm_provider": None, "llm_model": "m-1", "tool_profile": "CODING",
        "timeout_seconds": 60, "deleted": False,
    }  # fmt: skip


async def test_what_is_said_during_the_run_is_for_the_next_one(estate: Estate) -> None:
    chat = await estate.chat()
    claim = await take(await estate.ask("one", chat))
    await steer_chat(estate.caller, {"chat_id": chat.id, "message": "and quickly"}, place=estate.workspace.id)
    assert (await told(claim))["history"] == []
    await finish(claim, status="COMPLETED", reply={"content": "a", "parts": [text("a")]})
    again = await told(await take(await estate.ask("two", chat)))
    assert [turn["content"] for turn in again["history"]] == ["one", "and quickly", "a"]


# ---- how a run ends --------------------------------------------------------------------------------------------------


async def finish(claim: RunClaim, **fields: Any) -> dict[str, Any]:
    answer = await finish_run(
        Caller.service("runtime", claim.workspace_id), {"id": claim.run_id, "lease": claim.lease} | fields
    )
    made: dict[str, Any] = orjson.loads(answer.body or b"")
    return made


SAID = {"content": "hello", "parts": [text("hello")], "tool_summary": "[tool: Bash]"}
ERROR = {"type": "error", "content": "it broke"}
FINAL = {"type": "error", "content": GENERAL}
DONE = {"type": "done", "content": ""}
NOTHING_SAID = {"content": "", "parts": []}


@pytest.mark.parametrize(
    ("fields", "status", "agent_status", "frames", "counted", "stored"),
    [
        (
            {"status": "COMPLETED", "exit_code": 0, "reply": SAID},
            "COMPLETED",
            "IDLE",
            [DONE],
            2,
            ("assistant", "hello", SAID["parts"]),
        ),
        (
            {"status": "FAILED", "reason": "no_output", "error_message": NO_OUTPUT},
            "FAILED",
            "ERROR",
            [{"type": "error", "content": NO_OUTPUT, "metadata": {"reason": "no_output"}}, DONE],
            2,
            ("system", NO_OUTPUT, [{"type": "error", "content": NO_OUTPUT}]),
        ),
        (
            {"status": "FAILED", "error_message": "it broke", "reply": SAID},
            "FAILED",
            "ERROR",
            [ERROR, FINAL, DONE],
            0,
            None,
        ),
        (
            {"status": "TIMEOUT", "error_message": "it broke", "reply": SAID},
            "TIMEOUT",
            "ERROR",
            [ERROR, FINAL, DONE],
            0,
            None,
        ),
        (
            {"status": "CANCELLED", "error_message": "cancelled", "reply": SAID},
            "CANCELLED",
            "IDLE",
            [DONE],
            2,
            ("assistant", "hello", SAID["parts"]),
        ),
        (
            {"status": "CANCELLED", "error_message": "cancelled", "reply": NOTHING_SAID},
            "CANCELLED",
            "IDLE",
            [DONE],
            1,
            None,
        ),
        (
            {"status": "CANCELLED", "reason": "server_restart", "error_message": "server_restart", "reply": SAID},
            "CANCELLED",
            "IDLE",
            [DONE],
            1,
            ("system", SERVER_RESTART, [{"type": "error", "content": SERVER_RESTART}]),
        ),
    ],
    ids=["said", "no output", "failure", "timeout", "cancelled halfway", "cancelled", "server restart"],
)
async def test_every_end(
    estate: Estate,
    fields: dict[str, Any],
    status: str,
    agent_status: str,
    frames: list[Any],
    counted: int,
    stored: tuple[str, str, Any] | None,
) -> None:
    run = await estate.ask()
    chat_id = str(run.chat_id)
    claim = await take(run)
    before = await estate.stored_chat(chat_id)
    rung: list[str] = []
    off = bus.on(Topic.frames, rung.append)
    assert await finish(claim, data={"duration_ms": 5}, model="m-1", **fields) == {"id": run.id, "status": status}
    off()
    ended, chat, messages = (
        await estate.run(run.id),
        await estate.stored_chat(chat_id),
        (await estate.messages(chat_id))[1:],
    )
    assert (ended.status, ended.error_message, ended.exit_code, ended.model) == (
        status,
        fields.get("error_message"),
        fields.get("exit_code"),
        "m-1",
    )
    assert ended.data == (run.data or {}) | {"duration_ms": 5}
    assert ended.finished_at is not None
    assert await estate.agent_status(run) == agent_status
    assert await estate.answer(chat_id) == frames
    assert rung == [f"{estate.workspace.id}/{chat_id}"]
    assert chat.message_count == before.message_count + counted
    assert (chat.last_activity_at > before.last_activity_at) is (stored is not None)
    assert [(m["role"], m["content"], m["parts"]) for m in messages] == ([stored] if stored else [])
    assert all(m["agent_id"] == run.agent_id for m in messages)
    name = "run.completed" if status == "COMPLETED" else "run.failed"
    told = [
        (type, payload)
        for type, payload in await estate.events(f"workspace:{estate.workspace.id}")
        if payload["agent_id"] == run.agent_id
    ]
    assert [(type, payload["status"]) for type, payload in told][-2:] == [
        (name, status),
        ("agent.status", agent_status),
    ]
    restart = fields.get("reason") == "server_restart"
    notice = {"type": "error", "content": SERVER_RESTART, "metadata": {"reason": "server_restart", "run_id": run.id}}
    assert await estate.events(f"session:{estate.workspace.id}/{chat_id}") == (
        [("chat_event", notice)] if restart else []
    )
    assert not restart or messages[0]["id"] == f"msg_recovery_{run.id}"
    assert not (stored and stored[0] == "assistant") or messages[0]["tool_summary"] == "[tool: Bash]"


async def test_the_first_end_wins(estate: Estate) -> None:
    run = await estate.ask()
    claim = await take(run)
    await finish(claim, status="COMPLETED", reply=SAID)
    before = await estate.owner.fetchval("SELECT count(*) FROM events")
    assert await finish(claim, status="FAILED", error_message="late") == {"id": run.id, "status": "COMPLETED"}
    assert len(await estate.messages(str(run.chat_id))) == 2
    assert await estate.answer(str(run.chat_id)) == [DONE]
    assert await estate.owner.fetchval("SELECT count(*) FROM events") == before


async def test_a_run_whose_workspace_is_gone_can_be_given_up(estate: Estate) -> None:
    run = await estate.ask()
    claim = await take(run)
    await estate.owner.execute("UPDATE workspaces SET deleted_at = now() WHERE id = $1", claim.workspace_id)
    try:
        with pytest.raises(Refusal):
            await finish(claim, status="COMPLETED", reply=SAID)
        await work.give_up(claim, "gone")
    finally:
        await estate.owner.execute("UPDATE workspaces SET deleted_at = NULL WHERE id = $1", claim.workspace_id)
    ended = await estate.run(run.id)
    assert (ended.status, ended.error_message, ended.finished_at is not None) == ("FAILED", "gone", True)


async def test_a_chat_that_is_gone_keeps_no_run_from_ending(estate: Estate) -> None:
    run = await estate.ask()
    claim = await take(run)
    await estate.owner.execute("DELETE FROM chats WHERE id = $1", run.chat_id)
    assert not await work.append(claim, Batch(frames=[text("a")]), 0)
    assert await work.written(claim) == 0
    await finish(claim, status="COMPLETED", reply=SAID)
    assert (await estate.run(run.id)).status == "COMPLETED"
