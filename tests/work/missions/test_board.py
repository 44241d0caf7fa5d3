"""A board of missions: tasks, their agents, what carries them out, and its costs, by one document and one statement."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.scale.plans import explain, listening
from tests.scale.population import Population
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
BOARD = (Path(__file__).parents[3] / "bench" / "board.graphql").read_text()
TASKS, CALLS = 20, 2
CREW, LEAD = "ccrew0board", "cagentboard"


class Boards:
    """Missions of twenty tasks, each carried out once by one of five agents, with two calls of a model."""

    def __init__(self, world: World, superuser: Any) -> None:
        self.world, self.superuser, self.missions = world, superuser, 0
        self.rows = Population(superuser, world.workspace.id, world.owner.user_id, world.owner.user_id)

    async def grow(self, missions: int) -> None:
        fill, first, last = self.rows.fill, self.missions, missions - 1
        await self.superuser.execute("SET session_replication_role = replica")
        if not first:
            await fill("crews", 0, 0, id=f"'{CREW}'", name="'Board'", slug="'board'")
            agent = {"name": "'Agent ' || i", "slug": "'board-' || i", "crew_id": f"'{CREW}'"}
            await fill("agents", 0, 4, id=f"'{LEAD}' || i", **agent)
        of = {"crew_id": f"'{CREW}'", "lead_agent_id": f"'{LEAD}0'", "status": "'IN_PROGRESS'", "title": "'M ' || i"}
        await fill("missions", first, last, id="'cmission' || i", trace_id="'board-' || i", **of)
        first, last = first * TASKS, (last + 1) * TASKS - 1
        done = {"assigned_to_id": f"'{LEAD}' || i % 5", "assigned_by_id": f"'{LEAD}0'", "status": "'COMPLETED'"}
        mission = f"'cmission' || i / {TASKS}"
        await fill("assignments", first, last, id="'m_' || i", chat_id=mission, task="'Do'", **done)
        task = {"assignment_id": "'m_' || i", "assigned_agent_id": f"'{LEAD}' || i % 5", "task_order": "i"}
        task |= {"status": "'COMPLETED'", "estimated_cost": "0.02", "token_count": "200", "title": "'Task ' || i"}
        await fill("mission_tasks", first, last, id="'ctask' || i", mission_id=mission, **task)
        run = {"agent_id": f"'{LEAD}' || i % 5", "assignment_id": "'m_' || i", "status": "'COMPLETED'"}
        await fill("runs", first, last, id="'msg_' || i", started_at="now()", model="'m'", **run)
        call = {"run_id": f"'msg_' || i / {CALLS}", "step": f"'call ' || i % {CALLS}", "agent_id": f"'{LEAD}0'"}
        call |= {"mission_id": f"'cmission' || i / {TASKS * CALLS}", "model": "'m'", "provider": "'p'"}
        used = {"input_tokens": "90", "output_tokens": "10", "cost_micros": "10000"}
        await fill("model_calls", first * CALLS, (last + 1) * CALLS - 1, id="'ccall' || i", **call, **used)
        await self.superuser.execute("ANALYZE")
        self.missions = missions

    async def ask(self, mission: str) -> Any:
        given = {"ws": self.world.workspace.id, "crew": CREW, "id": mission}
        answer = await self.world.graphql(self.world.owner, BOARD, given)
        assert "errors" not in answer, answer
        return answer["data"]["mission"]

    async def statements(self, mission: str) -> list[tuple[str, list[Any]]]:
        for _ in range(3):  # it is planned, and known
            await self.ask(mission)
        with listening() as heard:
            await self.ask(mission)
        return heard


@pytest.fixture(scope="module")
async def world(module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Any:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), row_level_security=True) as made:
        yield made


@pytest.mark.slow
async def test_a_board_is_one_statement_and_costs_its_mission(world: World, module_database: Any) -> None:
    superuser = await asyncpg.connect(module_database.server.dsn("postgres", module_database.name))
    boards = Boards(world, superuser)
    buffers = []
    for missions in (5, 300):
        await boards.grow(missions)
        [(sql, values)] = await boards.statements("cmission3")
        plan = await explain(sql, values)
        assert plan is not None
        buffers.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    print(f"pages read: {buffers[0]} of 5 missions, {buffers[1]} of 300")
    assert buffers[1] < 2 * buffers[0]

    shown = await boards.ask("cmission3")
    tasks = shown["tasks"]["nodes"]
    assert [task["title"] for task in tasks] == [f"Task {n}" for n in range(60, 80)]
    assert shown["taskStats"]["completed"] == TASKS
    for n, task in enumerate(tasks, 60):
        [run] = task["assignment"]["runs"]["nodes"]
        assert (task["agent"]["name"], run["id"], run["status"]) == (f"Agent {n % 5}", f"msg_{n}", "COMPLETED")
        assert [call["costUsd"] for call in run["modelCalls"]] == [0.01] * CALLS
    await superuser.close()
