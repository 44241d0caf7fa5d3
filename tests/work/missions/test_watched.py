"""A mission as people see it, from its plan to its end: the board over a subscription, the inbox, the approval, the
costs; and the same end when a worker is killed each second.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from resolvers.work.missions import driving
from tests.faults.workers import Workers
from tests.live.graphql import Talk, talking
from tests.work.missions.desk import Desk
from tests.work.missions.fleet import CALL, RHYTHM, TIMING
from tests.work.missions.sailing import script
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
TASKS, HELD = 20, 9
UNSURE = "\n---HANDOFF---\nsummary: Maybe\nconfidence: low\n---END HANDOFF---"
SECONDS = 240.0
WATCH = """
subscription Watch($id: ID!) { missionEvents(missionId: $id) { __typename
  ... on MissionStartedEvent { begun: status }
  ... on MissionStatusChangedEvent { status }
  ... on TaskStatusChangedEvent { id state: status } } }
"""
BOARD = (Path(__file__).parents[3] / "bench" / "board.graphql").read_text()


@pytest.fixture
async def world(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> AsyncIterator[World]:
    monkeypatch.setattr(driving, "FIRST_LOOK", timedelta(0))
    async with world_on(database, tmp_path / "data", row_level_security=True) as made:
        yield made


class Watched:
    """A mission of twenty tasks, three side by side. Of the tenth its agent is not sure: nothing behind it begins
    before a person has approved it.
    """

    def __init__(self, desk: Desk, mission: dict[str, Any], tasks: list[dict[str, Any]], talk: Talk) -> None:
        self.desk, self.mission, self.tasks, self._talk = desk, mission, tasks, talk
        self.heard: list[tuple[str, str]] = []  # title, or nothing for the mission, and status
        self._titles = {task["id"]: task["title"] for task in tasks}

    @classmethod
    async def of(cls, desk: Desk, talk: Talk, seconds: float) -> "Watched":
        mission, tasks = await desk.made("Sail"), list[dict[str, Any]]()
        agents = itertools.cycle([desk.worker.id, desk.lead.id])
        for n in range(TASKS):
            before = [tasks[HELD]] if n > HELD else tasks[max(0, n - 3) : max(0, n - 2)]
            said = f"Task {n} is done" + UNSURE * (n == HELD)
            steps: tuple[dict[str, Any], ...] = ({"call": CALL}, {"text": said})
            given = {"description": script(f"{mission['id']}-{n}", *steps, seconds=seconds), "task_order": n}
            given |= {"assigned_agent_id": next(agents)}
            tasks.append(await desk.task(mission, f"Task {n}", depends_on=[task["id"] for task in before], **given))
        await talk.listen("board", WATCH, id=mission["id"])
        return cls(desk, mission, tasks, talk)

    async def hear(self, *last: str) -> None:
        """Until this is heard: a title, or nothing, and a status."""
        while not self.heard or self.heard[-1] != last:
            try:
                event = (await self._talk.next("board"))["missionEvents"]
            except TimeoutError:  # a busy machine may kill workers as fast as it starts them
                continue
            status = event.get("begun") or event.get("state") or event["status"]
            self.heard.append((self._titles.get(event.get("id"), ""), status))

    async def board(self) -> Any:
        given = {"ws": self.desk.world.workspace.id, "crew": self.desk.crew.id, "id": self.mission["id"]}
        answer = await self.desk.world.graphql(self.desk.person, BOARD, given)
        assert "errors" not in answer, answer
        return answer["data"]["mission"]

    async def asked(self, state: str) -> list[dict[str, Any]]:
        items = (await self.desk.read("/api/v1/inbox", kind="waitpoint", state=state))["rows"]
        return [item for item in items if item["payload"]["mission_id"] == self.mission["id"]]


async def _sail(watched: Watched) -> None:
    desk, mission, tasks = watched.desk, watched.mission, watched.tasks
    await desk.done("POST", desk.at(mission, "/start"))
    await watched.hear(f"Task {HELD}", "AWAITING_APPROVAL")
    async with asyncio.timeout(60):
        while {task["status"] for task in (await watched.board())["tasks"]["nodes"][:HELD]} != {"COMPLETED"}:
            await asyncio.sleep(0.05)
    states = [task["status"] for task in (await watched.board())["tasks"]["nodes"]]
    assert states == ["COMPLETED"] * HELD + ["AWAITING_APPROVAL"] + ["BLOCKED"] * (TASKS - HELD - 1)
    [item] = await watched.asked("active")
    assert (item["title"], item["blocking"]) == (f"Task {HELD} waits for approval", True)
    path = f"/api/v1/missions/{mission['id']}/tasks/{tasks[HELD]['id']}/decide"
    await desk.done("POST", path, {"decision": "approve"})
    await watched.hear("", "REVIEW")


async def _is_whole(watched: Watched) -> None:
    """The end, whatever happened on the way to it."""
    heard, board = watched.heard, await watched.board()
    assert heard[:2] == [("", "STARTED"), ("", "IN_PROGRESS")]
    assert heard[-1] == ("", "REVIEW")
    of_task = {f"Task {n}": [status for title, status in heard if title == f"Task {n}"] for n in range(TASKS)}
    for n, states in enumerate(of_task.values()):
        begins = ["PENDING", "IN_PROGRESS"] if n > 2 else ["IN_PROGRESS"]
        assert states == [*begins, *["AWAITING_APPROVAL"] * (n == HELD), "COMPLETED"]
    place = {told: n for n, told in enumerate(heard)}
    titles = {task["id"]: task["title"] for task in watched.tasks}
    for task in watched.tasks:
        for before in json.loads(task["depends_on"]):
            assert place[titles[before], "COMPLETED"] < place[task["title"], "IN_PROGRESS"]
    assert (board["status"], board["taskStats"]["completed"]) == ("REVIEW", TASKS)
    assert round(board["totalEstimatedCost"], 6) == round(TASKS * CALL["cost_usd"], 6)
    for task in board["tasks"]["nodes"]:
        [run] = task["assignment"]["runs"]["nodes"]
        assert (run["status"], task["tokenCount"]) == ("COMPLETED", 100)
        assert [call["costUsd"] for call in run["modelCalls"]] == [CALL["cost_usd"]]
    [item] = await watched.asked("resolved")
    assert item["resolved_action"] == "approved"
    assert await watched.asked("active") == []


async def _kill(workers: Workers, pids: list[int], killed: Counter[str]) -> None:
    """One each second, for which another one comes."""
    for n in itertools.count():
        await asyncio.sleep(1.0)
        workers.kill(pids[n % len(pids)])
        pids[n % len(pids)] = workers.start()
        killed["workers"] += 1


@pytest.mark.slow
@pytest.mark.parametrize("kills", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["as it is", "with kills"])
async def test_a_mission_as_people_see_it(world: World, database: Any, tmp_path: Path, kills: bool) -> None:
    (tmp_path / "marks").mkdir()
    given: dict[str, Any] = {"directory": str(tmp_path / "data"), "marks": str(tmp_path / "marks"), "slots": 4}
    workers = Workers(module="tests.work.missions.sailing", url=database.url, timing=TIMING, rhythm=RHYTHM, **given)
    killed = Counter[str]()
    try:
        pids = [workers.start() for _ in range(4 if kills else 1)]
        desk = await Desk.of(world, escalation_config='{"require_approval_below": 0.5}')
        async with talking(world, desk.person) as talk:
            watched = await Watched.of(desk, talk, seconds=0.15 if kills else 0.0)
            killing = asyncio.create_task(_kill(workers, pids, killed)) if kills else None
            async with asyncio.timeout(SECONDS):
                await _sail(watched)
            if killing is not None:
                killing.cancel()
            await _is_whole(watched)
        marks = Counter(path.name.partition(".")[0] for path in (tmp_path / "marks").iterdir() if "." in path.name)
        assert marks == {f"{watched.mission['id']}-{n}": 1 for n in range(TASKS)}
    finally:
        workers.close()
    print(f"{killed['workers']} workers killed")
    assert kills == (killed["workers"] > 0)
