"""Missions and their tasks by hand, on both surfaces: states, dependencies, what is told, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from models.staff.agents import Agent
from models.staff.runs import Run
from models.work.missions import Assignment, AssignmentStatus, MissionStatus, TaskStatus
from tests.work.missions.desk import Desk

pytestmark = pytest.mark.anyio
CONTRACT = Path(__file__).parents[2] / "contract" / "files" / "missions.yaml"
STATES: dict[str, dict[str, list[str]]] = yaml.safe_load(CONTRACT.read_text())["states"]
UNKNOWN = "cnosuchrow00000000000"


async def test_a_mission_is_made_with_a_chat_and_told_of(desk: Desk) -> None:
    since = await desk.since()
    mission = await desk.made(description="To the south", workflow_template="sequential")
    assert mission["status"] == "PLANNING"
    assert mission["trace_id"].startswith("mission-c")
    assert "lead_agent_name" not in mission
    shown = await desk.shown(mission)
    assert (shown["lead_agent_name"], shown["task_stats"]["total"], "tasks" in shown) == (desk.lead.name, 0, False)
    chat = await desk.world.database.fetchrow("SELECT * FROM chats WHERE id = $1", mission["id"])
    assert (chat["agent_id"], chat["title"], chat["mode"]) == (desk.lead.id, "Mission: Sail", "MISSION")
    assert await desk.told(mission, since) == [
        ("crew", "mission.created", "Sail"), ("workspace", "mission.updated", "PLANNING"),
    ]  # fmt: skip
    assert await desk.jobs(mission) == 0


async def test_who_can_lead_is_the_lead_of_the_crew(desk: Desk) -> None:
    other, foreign = await Desk.of(desk.world), await Desk.of(desk.world, desk.world.other)
    missions = await desk.world.database.fetchval("SELECT count(*) FROM missions")
    for path, lead in [
        (desk.missions, desk.worker.id), (desk.missions, other.lead.id), (desk.missions, foreign.lead.id),
        (desk.missions, UNKNOWN), (desk.missions, ""), (foreign.missions, desk.lead.id),
        (foreign.missions, foreign.lead.id),
        (f"/api/v1/crews/{UNKNOWN}/missions", desk.lead.id),
    ]:  # fmt: skip
        await desk.refused("POST", path, {"title": "Sail", "lead_agent_id": lead})
    await desk.refused("POST", desk.missions, {"title": "", "lead_agent_id": desk.lead.id})
    await desk.world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", other.crew.id)
    await desk.refused("POST", other.missions, {"title": "Sail", "lead_agent_id": other.lead.id})
    assert await desk.world.database.fetchval("SELECT count(*) FROM missions") == missions


async def test_lists_have_issues_too_and_tasks_when_asked(desk: Desk) -> None:
    mission, issue = await desk.made(), await desk.create("Leak")
    await desk.task(mission)
    listed = await desk.read(desk.missions)
    assert [each["id"] for each in listed] == [issue["id"], mission["id"]]
    assert ("task_stats" in listed[0], listed[1]["task_stats"]["pending"]) == (False, 1)
    assert all("tasks" not in each for each in listed)
    for asked, shown in (("true", True), ("1", False), ("", False)):
        (found,) = [m for m in await desk.read("/api/v1/missions", include_tasks=asked) if m["id"] == mission["id"]]
        assert ("tasks" in found) is shown
    assert await desk.read(f"/api/v1/crews/{UNKNOWN}/missions") == []
    assert [m["id"] for m in await desk.read(desk.missions, status="PLANNING")] == [mission["id"]]
    assert await desk.read(desk.missions, status="PLANNING,BACKLOG") == []


async def test_a_mission_becomes_what_the_contract_lets_it_become(desk: Desk) -> None:
    """All pairs of states."""
    mission = await desk.made()
    ends = ("COMPLETED", "FAILED", "CANCELLED")
    for before in MissionStatus:
        for after in MissionStatus:
            await desk.put(mission, before)
            since = await desk.since()
            answer = await desk.ask("PATCH", desk.at(mission), {"status": after, "title": f"{before} {after}"})
            allowed = after in STATES["Mission"].get(before, [])
            assert answer.status_code == (200 if allowed else 400), (before, after, answer.text)
            row = await desk.row(mission)
            assert (row["status"], row["title"] == f"{before} {after}") == (after if allowed else before, allowed)
            assert not allowed or (row["completed_at"] is not None) is (after in ends)
            expected = [("mission", "mission.status", after), ("workspace", "mission.updated", after)]
            assert await desk.told(mission, since) == (expected if allowed else [])
    assert await desk.jobs(mission) == 0


async def test_a_task_becomes_what_the_contract_lets_it_become(desk: Desk) -> None:
    mission = await desk.made()
    task = await desk.task(mission)
    path = desk.at(mission, f"/tasks/{task['id']}")
    for before in TaskStatus:
        for after in [*TaskStatus, "nonsense", ""]:
            await desk.put_task(task, before, started_at=None, completed_at=None)
            answer = await desk.ask("PATCH", path, {"status": after, "output_path": f"{before}-{after}"})
            allowed = after in STATES["Task"].get(before, [])
            assert answer.status_code == (200 if allowed else 400), (before, after, answer.text)
            row = await desk.world.database.fetchrow("SELECT * FROM mission_tasks WHERE id = $1", task["id"])
            assert (row["status"], row["output_path"] == f"{before}-{after}") == (after if allowed else before, allowed)
            assert not allowed or (row["started_at"] is not None) is (after == "IN_PROGRESS")
            assert not allowed or (row["completed_at"] is not None) is (after in ("COMPLETED", "FAILED", "SKIPPED"))


async def test_tasks_wait_for_those_they_depend_on(desk: Desk) -> None:
    mission = await desk.made()
    hull = await desk.task(mission, "Hull")
    mast = await desk.task(mission, "Mast", depends_on=[])
    sail = await desk.task(mission, "Sail", depends_on=[hull["id"], mast["id"]], task_order=1)
    flag = await desk.task(mission, "Flag", depends_on=[mast["id"]], task_order=2)
    assert (hull["status"], sail["status"], sail["iteration"]) == ("PENDING", "BLOCKED", None)
    since = await desk.since()
    await desk.move(mission, mast, "IN_PROGRESS", "COMPLETED")
    assert await desk.states(mission) == {"Hull": "PENDING", "Mast": "COMPLETED", "Sail": "BLOCKED", "Flag": "PENDING"}
    assert ("workspace", "task.updated", "PENDING") in await desk.told(mission, since)
    await desk.move(mission, hull, "SKIPPED")
    assert (await desk.states(mission))["Sail"] == "BLOCKED"  # skipped is not done
    later = await desk.task(mission, "Late", depends_on=[mast["id"]])
    assert later["status"] == "PENDING"
    path = desk.at(mission, f"/tasks/{sail['id']}")
    assert (await desk.done("PATCH", path, {"depends_on": f'["{mast["id"]}"]'}))["status"] == "PENDING"
    assert (await desk.done("PATCH", path, {"depends_on": f'["{flag["id"]}"]'}))["status"] == "BLOCKED"
    cleared = await desk.done("PATCH", path, {"depends_on": "null"})
    assert (cleared["status"], cleared["depends_on"]) == ("PENDING", "[]")


async def test_what_a_task_refuses(desk: Desk) -> None:
    mission, other = await desk.made(), await desk.made()
    foreign = await Desk.of(desk.world, desk.world.other)
    task, strange = await desk.task(mission), await desk.task(other)
    tasks, path = desk.at(mission, "/tasks"), desk.at(mission, f"/tasks/{task['id']}")
    for body in (
        {"title": ""}, {"title": "x", "depends_on": [strange["id"]]}, {"title": "x", "depends_on": [UNKNOWN]},
        {"title": "x", "depends_on": "[]"}, {"title": "x", "max_iterations": 51}, {"title": "x", "max_iterations": -1},
        {"title": "x", "assigned_agent_id": foreign.worker.id}, {"title": "x", "assigned_agent_id": ""},
    ):  # fmt: skip
        await desk.refused("POST", tasks, body)
    for body in (
        {"depends_on": "not json"}, {"depends_on": "{}"}, {"depends_on": [task["id"]]}, {"depends_on": "[1]"},
        {"depends_on": f'["{task["id"]}"]'}, {"depends_on": f'["{strange["id"]}"]', "title": "kept out"},
        {"depends_on": "[]", "status": "IN_PROGRESS"}, {"assigned_agent_id": foreign.worker.id},
    ):  # fmt: skip
        await desk.refused("PATCH", path, body)
    await desk.move(mission, task, "IN_PROGRESS")
    for body in ({"title": "x"}, {"description": "x"}, {"depends_on": "[]"}):
        assert "IN_PROGRESS" in await desk.refused("PATCH", path, body)
    assert (await desk.shown(mission))["tasks"][0]["title"] == "Hoist"
    await desk.refused("PATCH", desk.at(other, f"/tasks/{task['id']}"), {"title": "x"}, 404)
    await desk.done("PATCH", desk.at(mission), {"status": "CANCELLED"})
    assert "CANCELLED" in await desk.refused("POST", tasks, {"title": 5})  # the state comes before the body


async def test_what_hangs_on_a_mission_goes_with_it(desk: Desk) -> None:
    mission = await desk.made()
    await desk.task(mission)
    await desk.done("PATCH", desk.at(mission), {"status": "IN_PROGRESS"})
    await desk.refused("DELETE", desk.at(mission))
    await desk.done("PATCH", desk.at(mission), {"status": "CANCELLED"})
    await desk.done("DELETE", desk.at(mission), status=204)
    await desk.refused("DELETE", desk.at(mission), status=404)
    for table, key in (("mission_tasks", "mission_id"), ("chats", "id"), ("missions", "id")):
        assert await desk.world.database.fetchval(f"SELECT count(*) FROM {table} WHERE {key} = $1", mission["id"]) == 0


async def test_cancelling_ends_the_runs_of_its_agents(desk: Desk) -> None:
    """One that waits for a worker at once; one that a worker has is asked for."""
    mission = await desk.made()
    tasks, runs = [await desk.task(mission, title) for title in ("One", "Two")], []
    for task, lease in zip(tasks, (0, 1), strict=True):
        assignment = Assignment(
            chat_id=mission["id"], assigned_by_id=desk.lead.id, assigned_to_id=desk.worker.id, task="x",
            status=AssignmentStatus.RUNNING, **desk.here,
        )  # fmt: skip
        runs.append(Run(agent_id=desk.worker.id, assignment_id=assignment.id, lease=lease, **desk.here))
        await desk.world.add(assignment, runs[-1])
        await desk.put_task(task, "IN_PROGRESS", assignment_id=assignment.id)
    await desk.world.database.execute("UPDATE runs SET leased_until = now() + interval '1 h' WHERE id = $1", runs[1].id)
    await desk.put(mission, "IN_PROGRESS")
    await desk.done("PATCH", desk.at(mission), {"status": "CANCELLED"})
    assert await desk.states(mission) == {"One": "CANCELLED", "Two": "CANCELLED"}
    found = [await desk.world.database.fetchrow("SELECT * FROM runs WHERE id = $1", run.id) for run in runs]
    assert [(row["status"], row["cancel_requested_at"] is not None) for row in found] == [
        ("CANCELLED", False), ("RUNNING", True),
    ]  # fmt: skip
    states = await desk.world.database.fetch("SELECT status FROM assignments WHERE chat_id = $1", mission["id"])
    assert [row["status"] for row in states] == ["CANCELLED"] * 2


async def test_metrics_count_what_ended_within_a_day(desk: Desk) -> None:
    before = await desk.read("/api/v1/mission-metrics")
    mission = await desk.made()
    spent = {"COMPLETED": 5, "FAILED": 7, "SKIPPED": 11}
    for status, tokens in spent.items():
        task = await desk.task(mission)
        cost = {"token_count": tokens, "estimated_cost": 0.5}
        await desk.done("PATCH", desk.at(mission, f"/tasks/{task['id']}"), cost)
        await desk.move(mission, task, *(["SKIPPED"] if status == "SKIPPED" else ["IN_PROGRESS", status]))
    after = await desk.read("/api/v1/mission-metrics")
    assert {name: after[name] - before[name] for name in after if name != "avg_completion_time_ms"} == {
        "total_missions": 1, "active_missions": 1, "completed_24h": 0, "failed_24h": 0, "total_tokens_24h": 23,
        "total_cost_24h": 1.5, "tasks_completed_24h": 1, "tasks_failed_24h": 1,
    }  # fmt: skip


async def test_one_document_draws_a_board(desk: Desk) -> None:
    """Missions, tasks, agents, assignments and runs; an issue is a mission here, and an issue there."""
    mission, issue = await desk.made(), await desk.create("Leak")
    task = await desk.task(mission, assigned_agent_id=desk.worker.id)
    assignment = Assignment(
        chat_id=mission["id"], assigned_by_id=desk.lead.id, assigned_to_id=desk.worker.id, task="x", **desk.here
    )
    run = Run(agent_id=desk.worker.id, assignment_id=assignment.id, **desk.here)
    await desk.world.add(assignment, run)
    await desk.put_task(task, "IN_PROGRESS", assignment_id=assignment.id)
    document = (
        "query($ws: ID, $crew: ID!) { crewMissions(workspaceId: $ws, crewId: $crew, first: 10) { nodes {"
        " __typename id missionType"
        " crew { id issues { nodes { __typename id } } } leadAgent { id } taskStats { total inProgress }"
        " tasks { nodes { id agent { id } mission { id }"
        " assignment { runs { nodes { id assignment"
        " { mission { __typename id } missionTask { id } } } } } } } } } }"
    )
    nodes = {each["id"]: each for each in (await desk.data(document, crew=desk.crew.id))["nodes"]}
    assert {each["__typename"] for each in nodes.values()} == {"Mission"}
    assert (nodes[issue["id"]]["missionType"], nodes[mission["id"]]["missionType"]) == ("issue", "orchestration")
    shown = nodes[mission["id"]]
    assert shown["crew"]["issues"]["nodes"] == [{"__typename": "Issue", "id": issue["id"]}]
    assert shown["taskStats"] == {"total": 1, "inProgress": 1}
    (drawn,) = shown["tasks"]["nodes"]
    assert (drawn["agent"], drawn["mission"]) == ({"id": desk.worker.id}, {"id": mission["id"]})
    assert drawn["assignment"]["runs"]["nodes"] == [
        {
            "id": run.id,
            "assignment": {
                "mission": {"__typename": "Mission", "id": mission["id"]},
                "missionTask": {"id": task["id"]},
            },
        }
    ]


async def test_too_many_tasks_are_refused(desk: Desk) -> None:
    mission = await desk.made()
    sql = (
        "INSERT INTO mission_tasks (id, workspace_id, mission_id, title, status, task_order, depends_on, version,"
        " needs_review, approval_required) SELECT 'c' || md5($1 || n), $2, $1, 'x', 'PENDING', n, '[]', 1, false, false"
        " FROM generate_series(1, 500) AS n"
    )
    await desk.world.database.execute(sql, mission["id"], desk.crew.workspace_id)
    assert "500" in await desk.refused("POST", desk.at(mission, "/tasks"), {"title": "One more"})


async def test_an_agent_of_another_crew_can_be_assigned(desk: Desk) -> None:
    """Whether the crews are connected is asked when the task is due."""
    other: Agent = (await Desk.of(desk.world)).worker
    task: Any = await desk.task(await desk.made(), assigned_agent_id=other.id)
    assert (task["assigned_agent_id"], "agent_name" in task) == (other.id, False)
