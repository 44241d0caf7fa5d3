"""Entries of what commands do: each is told by the command itself."""

from typing import Any

import pytest

from models.resources.costs import ModelCall
from models.staff.agents import AgentStatus
from models.staff.runs import Run
from tests.oversight.journal.test_journal import Log
from tests.world import World, now

pytestmark = pytest.mark.anyio


@pytest.fixture
async def log(world: World) -> Log:
    return await Log(world).begin()


async def test_a_policy_that_is_set_is_told(log: Log) -> None:
    world, token = log.world, "sk-ant-api03-" + "a1B2" * 20
    path = f"/api/v1/crews/{log.crew.id}/policy"
    body = {"autonomy_level": "full", "behavior_mode": "warn", "reason": f"with {token}"}
    assert (await world.rest(world.viewer, "PUT", path, body)).status_code == 403
    assert (await world.rest(world.owner, "PUT", path, body | {"behavior_mode": "block"})).status_code == 400
    assert await log.entries(entry_type="policy.changed") == []
    assert (await world.rest(world.owner, "PUT", path, body)).status_code == 200
    (entry,) = await log.entries(entry_type="policy.changed")
    assert entry["summary"] == "crew policy updated: full/warn"
    assert (entry["severity"], entry["actor_type"], entry["actor_id"]) == ("notice", "user", world.owner.user_id)
    assert entry["refs"] == {"crew_id": log.crew.id}
    assert (entry["payload"]["autonomy_level"], entry["payload"]["crew_id"]) == ("full", log.crew.id)
    assert entry["payload"]["reason"].startswith("with ")
    assert token not in str(entry)


async def test_a_change_of_the_configuration_of_memories_is_told_and_none_is_not(log: Log) -> None:
    world, path = log.world, "/api/v1/admin/memory/config"

    async def told() -> list[dict[str, Any]]:
        page = await log.page(entry_type="memory.config_updated")
        return page["entries"]  # type: ignore[no-any-return]

    before = len(await told())
    for days in (40, 40, 41):
        answer = await world.rest(world.admin, "PATCH", path, {"versions_retention_days": days, log.tag: 1})
        assert answer.status_code == 200, answer.text
    newest, first = (await told())[: len(await told()) - before]
    assert newest["payload"]["changes"] == {"versions_retention_days": {"from": 40, "to": 41}}
    assert newest["payload"]["workspace_id"] == world.workspace.id
    assert first["payload"]["changes"][log.tag] == {"from": None, "to": 1}
    assert (newest["severity"], newest["actor_id"]) == ("notice", world.admin.user_id)
    assert (await world.rest(world.admin, "PATCH", path, {"versions_retention_days": 0})).status_code == 400
    assert len(await told()) == before + 2


async def test_an_agents_status_is_told_when_it_changes(log: Log) -> None:
    set_to = "UPDATE agents SET status = $2, description = 'x' WHERE id = $1"
    for status in (AgentStatus.RUNNING, AgentStatus.RUNNING, AgentStatus.IDLE):
        await log.world.database.execute(set_to, log.ann.id, status)
    entries = await log.entries(entry_type="agent.status_change")
    assert [entry["payload"] for entry in entries] == [
        {"prev": "RUNNING", "status": "IDLE"}, {"prev": "IDLE", "status": "RUNNING"},
    ]  # fmt: skip
    assert {(entry["agent_id"], entry["crew_id"], entry["actor_type"]) for entry in entries} == {
        (log.ann.id, log.crew.id, "system")
    }


async def test_a_message_changes_the_status_of_its_agent(log: Log) -> None:
    document = """mutation($chat: ID!) { sendMessage(input: {chatId: $chat, content: "hoist"}) { runId } }"""
    answer = await log.world.graphql(log.world.owner, document, {"chat": log.chat.id})
    assert answer["data"]["sendMessage"]["runId"], answer
    types = [entry["entry_type"] for entry in await log.entries(agent_id=log.ann.id)]
    assert {"agent.status_change", "chat.user_message"} <= {*types}


async def test_each_call_of_a_model_is_told_and_its_run_does_not_repeat_it(log: Log) -> None:
    run = Run(agent_id=log.ann.id, chat_id=log.chat.id, started_at=now(), **log.here)
    made: dict[str, Any] = {
        "run_id": run.id, "agent_id": log.ann.id, "crew_id": log.crew.id, "provider": "Anthropic", "model": "small",
        **log.here,
    }  # fmt: skip
    await log.world.add(
        run, ModelCall(step="1 model", input_tokens=5, output_tokens=7, cost_micros=1500, **made),
        ModelCall(step="2 model", input_tokens=2, output_tokens=3, **made),
    )  # fmt: skip
    await log.world.database.execute(
        "UPDATE runs SET status = 'COMPLETED', finished_at = now(), data = $2::jsonb WHERE id = $1",
        run.id,
        {"usage": {"input_tokens": 7, "output_tokens": 10}, "total_cost_usd": 0.0015},
    )
    entries = await log.entries(trace_id=run.id)
    assert sorted(entry["entry_type"] for entry in entries) == [
        "cost.incurred", "llm.call", "llm.call", "run.completed", "run.started",
    ]  # fmt: skip
    calls = [entry for entry in entries if entry["entry_type"] == "llm.call"]
    assert sorted(call["payload"]["output_tokens"] for call in calls) == [3, 7]
    assert {call["payload"]["cost_usd"] for call in calls} == {0.0015, 0}
    (cost,) = [entry for entry in entries if entry["entry_type"] == "cost.incurred"]
    assert cost["summary"] == "Anthropic/small: $0.0015"
    ledger = await log.world.database.fetchval(
        "SELECT id FROM model_calls WHERE run_id = $1 AND cost_micros > 0", run.id
    )
    assert cost["payload"] == {"provider": "Anthropic", "model": "small", "cost_usd": 0.0015, "ledger_id": ledger}
    assert cost["refs"] == {"ledger_id": ledger}
    assert {(call["payload"]["billing_mode"], call["payload"]["cost_confidence"]) for call in calls} == {
        ("metered", "precise")
    }
    assert {(entry["crew_id"], entry["actor_type"]) for entry in calls} == {(log.crew.id, "system")}
