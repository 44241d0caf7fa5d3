"""What an agent does on an issue, on a task of a mission, or by its schedule is read by the id of its run: while it
works, and later.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from models.work.missions import MissionType
from resolvers.errors import Code, Refusal
from resolvers.identity.credentials import bearer
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.kernel.reader import Column, Nested, Shape
from resolvers.staff.runs.schedules import look
from resolvers.staff.runs.trace import list_spans_as_seen
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import E
from tests.runtime.estate import Estate
from tests.work.missions.harbour import Berth, Harbour
from tests.world import now

pytestmark = pytest.mark.anyio
SPAN = Shape(tuple(Column(name, name) for name in ("kind", "name", "status", "output")))
SHAPE = Shape((Nested("nodes", None, SPAN),), "connection")


async def spans(estate: Estate, run_id: str, caller: Any = None) -> list[tuple[str, ...]]:
    """As a member reads them."""
    answer = await list_spans_as_seen(caller or estate.caller, {"run_id": run_id}, SHAPE, place=estate.workspace.id)
    return [tuple(span.values()) for span in orjson.loads(answer.body or b"")["nodes"]]


async def by_issue(berth: Berth) -> None:
    await berth.start(await berth.issue())


async def by_mission(berth: Berth) -> None:
    mission = await berth.mission(mission_type=MissionType.orchestration)
    await berth.task(mission, "Hoist", 1, berth.worker)
    await berth.go(mission)


async def by_schedule(berth: Berth) -> None:
    due = datetime(2026, 1, 5, 9, tzinfo=UTC)
    sql = (
        "UPDATE agents SET schedule_enabled = true, schedule_cron = '0 9 * * 1', schedule_prompt = 'Look',"
        " schedule_next_run = $2 WHERE id = $1"
    )
    await berth.estate.owner.execute(sql, berth.worker.id, due)
    await look(across_workspaces, now())


@pytest.mark.parametrize("begin", [by_issue, by_mission, by_schedule])
async def test_its_calls_of_tools_are_read_by_its_run(harbour: Harbour, begin: Any) -> None:
    berth, at_work, go_on = await harbour.crew(), asyncio.Event(), asyncio.Event()
    run_ids = list[str]()

    async def looks(job: Job, sink: Sink) -> Outcome:
        async def calls() -> None:
            await sink.emit(E.tool_call, "look", {"tool_name": "look", "tool_id": "t", "input": {}})
            run_ids.append(job.run_id)
            at_work.set()
            await go_on.wait()
            await sink.emit(E.tool_result, "the sea", {"tool_use_id": "t"})

        await sink.step("1 tool", calls, acts=True)
        return Outcome()

    harbour.agents.acts[berth.worker.id] = looks
    await begin(berth)
    await asyncio.wait_for(at_work.wait(), 30)
    [id] = run_ids
    async with asyncio.timeout(30):
        while len(live := await spans(berth.estate, id)) < 2:
            await asyncio.sleep(0.05)
    assert [span[0] for span in live] == ["RUN", "TOOL_CALL"]
    assert live[1] == ("TOOL_CALL", "look", "RUNNING", None)
    go_on.set()
    await berth.estate.ended(id)
    async with asyncio.timeout(30):
        while (late := await spans(berth.estate, id))[-1][2] == "RUNNING":
            await asyncio.sleep(0.05)
    assert ("TOOL_CALL", "look", "COMPLETED", "the sea") in late
    stranger = bearer("crewship_cli_unknown")
    with pytest.raises(Refusal) as refused:
        await spans(berth.estate, id, stranger)
    assert refused.value.code is Code.UNAUTHENTICATED
