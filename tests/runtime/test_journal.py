"""What a turn does is told in the journal: its commands, how they ended, and its calls of models."""

from typing import Any

import orjson
import pytest

from resolvers.staff.runs.booking import Charge
from tests.runtime.doubles import E
from tests.runtime.turns import Turn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


async def entries(turn: Turn, type: str) -> list[dict[str, Any]]:
    rows = await turn.estate.owner.fetch(
        "SELECT e.payload::text, l.severity, l.agent_id FROM journal l JOIN journal_entries e ON e.id = l.row_id"
        " WHERE l.trace_id = $1 AND l.entry_type = $2 ORDER BY l.at, l.id",
        turn.run.id,
        type,
    )
    return [{**orjson.loads(row["payload"]), "severity": row["severity"], "agent": row["agent_id"]} for row in rows]


async def test_a_command_is_told_when_it_begins_and_when_it_ends(turn: Turn) -> None:
    sink = await turn.sink()

    async def body() -> None:
        for id, command, said, more in (
            ("t1", "ls", "Exit code 0\nREADME.md", {}),
            ("t2", "cat none", "Exit code 1\nno such file", {"is_error": True}),
        ):
            call = {"tool_name": "Bash", "tool_id": id, "input": {"command": command}}
            await sink.emit(E.tool_call, "Bash", call)
            await sink.emit(E.tool_result, said, {"tool_use_id": id, **more})
        await sink.emit(E.tool_call, "Read", {"tool_name": "Read", "tool_id": "t3", "input": {"path": "x"}})
        await sink.emit(E.tool_result, "text", {"tool_use_id": "t3"})

    await sink.step("1 tool", body)
    told = await entries(turn, "exec.command")
    assert {entry["agent"] for entry in told} == {turn.run.agent_id}
    ends = {entry["cmd"]: entry for entry in told if entry["phase"] == "end"}
    assert {entry["cmd"] for entry in told if entry["phase"] == "start"} == {*ends} == {"ls", "cat none"}
    assert (ends["ls"]["exit_code"], ends["ls"]["severity"]) == (0, "info")
    assert (ends["cat none"]["exit_code"], ends["cat none"]["severity"]) == (1, "warn")
    assert "no such file" in ends["cat none"]["error"]
    assert "error" not in ends["ls"]
    assert all(entry["duration_ms"] >= 0 for entry in ends.values())


async def test_a_call_of_a_model_is_told_with_its_step(turn: Turn) -> None:
    sink = await turn.sink()

    async def body() -> None:
        sink.charge(Charge("Anthropic", "claude", 100, 20, 7, 3, 1_500))

    await sink.step("1 model", body)
    rows = await turn.estate.owner.fetch(
        "SELECT entry_type, agent_id FROM journal WHERE trace_id = $1 AND kind IN ('mc', 'mp') ORDER BY 1", turn.run.id
    )
    assert [tuple(row) for row in rows] == [("cost.incurred", turn.run.agent_id), ("llm.call", turn.run.agent_id)]
