"""Start, restart, resume and clone; plans that cannot be worked on; checkpoints; what leads do by the internal API."""

import asyncio
from typing import Any

import pytest

from models.work.missions import MissionStatus
from tests.work.missions.desk import Desk
from tests.world import World

pytestmark = pytest.mark.anyio
UNKNOWN = "cnosuchrow00000000000"
INTERNAL = "/api/v1/internal/missions"


async def planned(desk: Desk) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A mission of three tasks, each behind the one before."""
    mission, tasks = await desk.made(), list[dict[str, Any]]()
    for n, title in enumerate(("One", "Two", "Three")):
        tasks.append(await desk.task(mission, title, task_order=n, depends_on=[task["id"] for task in tasks[-1:]]))
    return mission, tasks


async def test_a_start_is_told_of_and_looked_at_later(desk: Desk) -> None:
    mission, _ = await planned(desk)
    since = await desk.since()
    assert await desk.done("POST", desk.at(mission, "/start")) == {"id": mission["id"], "status": "IN_PROGRESS"}
    assert await desk.told(mission, since) == [
        ("mission", "mission.status", "STARTED"), ("workspace", "mission.updated", "STARTED"),
        ("mission", "mission.updated", "IN_PROGRESS"), ("workspace", "mission.updated", "IN_PROGRESS"),
    ]  # fmt: skip
    assert [await desk.jobs(mission, f"missions.{name}") for name in ("drive", "expire")] == [1, 1]
    await desk.refused("POST", desk.at(mission, "/start"))
    assert await desk.jobs(mission) == 1


async def test_of_starts_at_once_one_is_one(desk: Desk) -> None:
    mission, _ = await planned(desk)
    answers = await asyncio.gather(*[desk.ask("POST", desk.at(mission, "/start")) for _ in range(8)])
    codes = sorted(answer.status_code for answer in answers)
    assert codes[0] == 200
    assert {*codes[1:]} <= {400, 409}
    assert [await desk.jobs(mission, f"missions.{name}") for name in ("drive", "expire")] == [1, 1]


async def test_what_cannot_be_worked_on_is_not_started(desk: Desk) -> None:
    mission, (one, two, three) = await planned(desk)
    await desk.done("PATCH", desk.at(mission, f"/tasks/{one['id']}"), {"depends_on": f'["{three["id"]}"]'})
    since = await desk.since()
    told = await desk.refused("POST", desk.at(mission, "/start"))
    assert all(repr(task["title"]) in told for task in (one, two, three))
    await desk.put_task(one, "PENDING", depends_on=[UNKNOWN])
    assert "'One'" in await desk.refused("POST", desk.at(mission, "/start"))
    await desk.put(mission, "FAILED")
    await desk.put_task(two, "FAILED")
    await desk.refused("POST", desk.at(mission, "/resume"))
    assert (await desk.row(mission))["status"] == "FAILED"
    assert await desk.told(mission, since) == []
    assert await desk.jobs(mission) == 0


@pytest.mark.parametrize("action", ["start", "restart", "resume"])
async def test_an_action_has_its_states(desk: Desk, action: str) -> None:
    mission, (one, *_) = await planned(desk)
    well = {"start": {"PLANNING"}, "restart": {"COMPLETED", "FAILED", "CANCELLED"}, "resume": {"FAILED"}}[action]
    for status in MissionStatus:
        await desk.put(mission, status)
        await desk.put_task(one, "FAILED")
        answer = await desk.ask("POST", desk.at(mission, f"/{action}"))
        assert answer.status_code == (200 if status in well else 400 if action == "start" else 409), status
        assert status in well or (await desk.row(mission))["status"] == status


async def test_a_restart_leaves_what_is_done(desk: Desk) -> None:
    mission, (one, two, three) = await planned(desk)
    await desk.put_task(one, "COMPLETED", result_summary="Done", iteration=2)
    await desk.put_task(two, "FAILED", error_message="boom", approved_by=None, duration_ms=5, token_count=7)
    await desk.put_task(three, "CANCELLED")
    await desk.put(mission, "FAILED")
    assert (await desk.done("POST", desk.at(mission, "/restart")))["status"] == "PLANNING"
    shown = await desk.shown(mission)
    assert shown["completed_at"] is None
    found = [(t["status"], t["iteration"], t["result_summary"], t["error_message"]) for t in shown["tasks"]]
    assert found == [("COMPLETED", 2, "Done", None), ("PENDING", 2, None, None), ("BLOCKED", 2, None, None)]
    assert (shown["tasks"][1]["duration_ms"], shown["tasks"][1]["token_count"]) == (None, 7)
    assert await desk.jobs(mission) == 0


async def test_a_resume_begins_anew_what_is_stuck_and_behind_it(desk: Desk) -> None:
    mission, (one, two, three) = await planned(desk)
    other = await desk.task(mission, "Other", task_order=9)
    for task, status in ((one, "COMPLETED"), (two, "FAILED"), (three, "COMPLETED"), (other, "SKIPPED")):
        await desk.put_task(task, status, result_summary="Was")
    await desk.put(mission, "FAILED")
    since = await desk.since()
    answer = await desk.done("POST", desk.at(mission, "/resume"))
    assert answer == {"id": mission["id"], "status": "IN_PROGRESS", "reset_tasks": 2}
    shown = await desk.shown(mission)
    assert [(t["title"], t["status"], t["iteration"], t["result_summary"]) for t in shown["tasks"]] == [
        ("One", "COMPLETED", 1, "Was"), ("Two", "PENDING", 2, None), ("Three", "BLOCKED", 2, None),
        ("Other", "SKIPPED", 1, "Was"),
    ]  # fmt: skip
    told = await desk.told(mission, since)
    assert [status for _, type, status in told if type == "task.updated"] == ["PENDING", "BLOCKED"]
    assert ("workspace", "mission.updated", "STARTED") in told
    assert await desk.jobs(mission) == 1
    await desk.refused("POST", desk.at(mission, "/resume"), status=409)
    await desk.put(mission, "FAILED")
    for task in (two, three):
        await desk.put_task(task, "COMPLETED")
    await desk.refused("POST", desk.at(mission, "/resume"))
    assert (await desk.row(mission))["status"] == "FAILED"


async def test_a_clone_has_the_tasks_and_nothing_that_came_of_them(desk: Desk) -> None:
    mission, (one, two, _) = await planned(desk)
    await desk.put_task(one, "COMPLETED", result_summary="Done", iteration=3, max_iterations=5)
    await desk.put_task(two, "IN_PROGRESS", depends_on=[one["id"], UNKNOWN])
    since = await desk.since()
    copy = await desk.done("POST", desk.at(mission, "/clone"), {"title": "ignored"}, 201)
    shown = await desk.shown(copy)
    assert (shown["title"], shown["status"], shown["lead_agent_id"]) == ("Sail (copy)", "PLANNING", desk.lead.id)
    tasks = {task["title"]: task for task in shown["tasks"]}
    assert [tasks[title]["status"] for title in ("One", "Two", "Three")] == ["PENDING", "BLOCKED", "BLOCKED"]
    assert (tasks["One"]["max_iterations"], tasks["One"]["iteration"], tasks["One"]["result_summary"]) == (5, 1, None)
    assert tasks["Two"]["depends_on"] == f'["{tasks["One"]["id"]}"]'
    assert await desk.told(copy, since) == [("workspace", "mission.created", "PLANNING")]
    title = await desk.world.database.fetchval("SELECT title FROM chats WHERE id = $1", copy["id"])
    assert title == "Mission: Sail (clone)"
    issue = await desk.create("Leak")
    of_issue = await desk.done("POST", desk.at(issue, "/clone"), status=201)
    assert (await desk.row(of_issue))["mission_type"] == "orchestration"


async def test_whoever_may_not_and_whatever_is_elsewhere(desk: Desk) -> None:
    mission, (one, *_) = await planned(desk)
    other, foreign = await Desk.of(desk.world), await Desk.of(desk.world, desk.world.other)
    for action in ("start", "restart", "resume", "clone"):
        await desk.refused("POST", other.at(mission, f"/{action}"), status=404)
        await desk.refused("POST", desk.at({"id": UNKNOWN}, f"/{action}"), status=404)
        assert (await desk.ask("POST", desk.at(mission, f"/{action}"), person=desk.world.member)).status_code == 403
        assert (await foreign.ask("POST", desk.at(mission, f"/{action}"))).status_code == 404
    decide = f"/api/v1/missions/{mission['id']}/tasks/{one['id']}/decide"
    assert (await foreign.ask("POST", decide, {"decision": "approve"})).status_code == 404
    assert (await desk.ask("POST", decide, {"decision": "approve"}, desk.world.member)).status_code == 403
    assert (await desk.row(mission))["status"] == "PLANNING"


# ---- approvals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_a_held_task_is_decided_once(desk: Desk, decision: str) -> None:
    mission, (one, two, three) = await planned(desk)
    path = f"/api/v1/missions/{mission['id']}/tasks/{one['id']}/decide"
    await desk.put_task(one, "AWAITING_APPROVAL")
    await desk.refused("POST", path, {"decision": decision}, 409)  # nobody works on the mission
    await desk.done("POST", desk.at(mission, "/start"))
    await desk.refused("POST", path, {"decision": "perhaps"})
    since = await desk.since()
    task = await desk.done("POST", path, {"decision": decision, "notes": "Seen"})
    well = decision == "approve"
    assert (task["status"], task["approval_status"]) == (("COMPLETED", "APPROVED") if well else ("FAILED", "REJECTED"))
    assert (task["approved_by"], task["evaluation_notes"], task["approved_at"] is None) == (
        desk.person.user_id, "Seen", False,
    )  # fmt: skip
    states = await desk.states(mission)
    assert (states["Two"], states["Three"]) == (("PENDING", "BLOCKED") if well else ("FAILED", "FAILED"))
    told = [event["payload"] for event in await desk.world.events(since) if event["type"] == "approval.resolved"]
    assert told == [{"task_id": one["id"], "mission_id": mission["id"], "action": task["approval_status"]}]
    assert await desk.jobs(mission) == 1
    await desk.refused("POST", path, {"decision": decision}, 409)
    assert {two["id"], three["id"]} == {t["id"] for t in (await desk.shown(mission))["tasks"]} - {one["id"]}


async def test_of_decisions_at_once_one_counts(desk: Desk) -> None:
    mission, (one, *_) = await planned(desk)
    await desk.done("POST", desk.at(mission, "/start"))
    await desk.put_task(one, "AWAITING_APPROVAL")
    path, since = f"/api/v1/missions/{mission['id']}/tasks/{one['id']}/decide", await desk.since()
    answers = await asyncio.gather(
        *[desk.ask("POST", path, {"decision": ("approve", "reject")[n % 2]}) for n in range(6)]
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    assert len([e for e in await desk.world.events(since) if e["type"] == "approval.resolved"]) == 1


# ---- checkpoints -----------------------------------------------------------------------------------------------------


async def test_a_checkpoint_says_what_was_open_and_what_happened_since(desk: Desk) -> None:
    issue = await desk.create("Leak")
    path = f"/api/v1/missions/{issue['id']}/checkpoints"
    quiet = await desk.made()
    await desk.refused("POST", f"/api/v1/missions/{quiet['id']}/checkpoints", status=409)
    await desk.change(issue, status="TODO")
    made = await desk.done("POST", path, {"label": "First"}, 201)
    assert (made["label"], made["state"]["pending_tasks"], "fork_of" in made) == ("First", [], False)
    assert made["created_at"][-8:-1].isdecimal() or "." in made["created_at"]
    second = await desk.done("POST", path, status=201)
    assert second["journal_cursor"] != made["journal_cursor"]
    listed = await desk.read(path)
    assert ([c["id"] for c in listed["checkpoints"]], listed["count"], listed["mission_id"]) == (
        [second["id"], made["id"]], 2, issue["id"],
    )  # fmt: skip
    restored = await desk.done("POST", f"/api/v1/checkpoints/{made['id']}/restore")
    assert (restored["checkpoint"], restored["journal_cursor"]) == (made, made["journal_cursor"])
    assert len(restored["warn_divergence"]) == 2  # both checkpoints
    again = await desk.done("POST", f"/api/v1/checkpoints/{made['id']}/restore")
    assert len(again["warn_divergence"]) == 3
    await desk.refused("POST", path, [], 400)


async def test_a_fork_goes_on_from_what_is_there(desk: Desk) -> None:
    issue = await desk.create("Leak")
    await desk.change(issue, status="IN_PROGRESS")
    one = await desk.task(issue, "One", max_iterations=3)
    await desk.task(issue, "Two", depends_on=[one["id"]], task_order=1)
    await desk.move(issue, one, "IN_PROGRESS", "COMPLETED")
    made = await desk.done("POST", f"/api/v1/missions/{issue['id']}/checkpoints", {"label": "First"}, 201)
    fork = await desk.done("POST", f"/api/v1/checkpoints/{made['id']}/fork", {"label": "branch"}, 201)
    shown = await desk.shown({"id": fork["new_mission_id"]})
    assert (shown["title"], shown["status"]) == ("Fork: Leak", "PLANNING")
    assert [(t["title"], t["status"], t["max_iterations"]) for t in shown["tasks"]] == [
        ("One", "COMPLETED", None), ("Two", "PENDING", None),
    ]  # fmt: skip
    checkpoint = await desk.read(f"/api/v1/checkpoints/{fork['new_checkpoint_id']}")
    assert (checkpoint["fork_of"], checkpoint["label"], checkpoint["journal_cursor"]) == (
        made["id"], "branch", made["journal_cursor"],
    )  # fmt: skip
    assert checkpoint["state"]["pending_tasks"] == [shown["tasks"][1]["id"]]
    await desk.done("DELETE", f"/api/v1/checkpoints/{made['id']}", status=204)
    assert "fork_of" not in await desk.read(f"/api/v1/checkpoints/{fork['new_checkpoint_id']}")
    await desk.done("DELETE", desk.at({"id": fork["new_mission_id"]}), status=204)
    await desk.refused("GET", f"/api/v1/checkpoints/{fork['new_checkpoint_id']}", status=404)


# ---- the internal API ------------------------------------------------------------------------------------------------


async def ask(world: World, method: str, path: str, body: Any = None, **query: str) -> Any:
    assert world.settings.internal_token is not None
    token = world.settings.internal_token.get_secret_value()
    sent = {} if body is None else {"json": body}
    async with world.client(None, **{"x-internal-token": token}) as client:
        return await client.request(method, path, params=query, **sent)


async def test_a_lead_makes_a_plan_and_starts_it(desk: Desk) -> None:
    body = {
        "workspace_id": desk.crew.workspace_id, "crew_id": desk.crew.id, "lead_agent_id": desk.worker.id,
        "title": "Sail", "plan": "Hoist",
        "tasks": [
            {"title": "Two", "task_order": 2, "depends_on": ["1"], "assigned_agent_id": desk.worker.id},
            {"title": "One", "task_order": 1}, {"title": "Three", "task_order": 3, "depends_on": [1, "2"]},
        ],
    }  # fmt: skip
    answer = await ask(desk.world, "POST", INTERNAL, body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["status"], sorted(made["tasks"])) == ("PLANNING", ["1", "2", "3"])
    of = {"workspace_id": desk.crew.workspace_id, "crew_id": desk.crew.id}
    shown = (await ask(desk.world, "GET", f"{INTERNAL}/{made['id']}", **of)).json()
    assert (shown["mission"]["title"], [t["title"] for t in shown["tasks"]]) == ("Sail", ["One", "Two", "Three"])
    assert [task["status"] for task in shown["tasks"]] == ["PENDING", "BLOCKED", "BLOCKED"]
    assert shown["tasks"][2]["depends_on"] == f'["{made["tasks"]["1"]}","{made["tasks"]["2"]}"]'
    since = await desk.since()
    started = await ask(desk.world, "POST", f"{INTERNAL}/{made['id']}/start", **of)
    assert started.json() == {"id": made["id"], "status": "IN_PROGRESS"}
    assert [status for *_, status in await desk.told(made, since)] == ["STARTED", "STARTED"]
    assert (await ask(desk.world, "POST", f"{INTERNAL}/{made['id']}/start", **of)).status_code == 400
    other = await Desk.of(desk.world)
    for wrong in ({"crew_id": other.crew.id}, {"crew_id": UNKNOWN}):
        assert (await ask(desk.world, "GET", f"{INTERNAL}/{made['id']}", **of | wrong)).status_code == 404
        assert (await ask(desk.world, "POST", f"{INTERNAL}/{made['id']}/start", **of | wrong)).status_code == 404


async def test_a_bad_plan_writes_nothing(desk: Desk) -> None:
    foreign = await Desk.of(desk.world, desk.world.other)
    here = {
        "workspace_id": desk.crew.workspace_id, "crew_id": desk.crew.id, "lead_agent_id": desk.lead.id, "title": "Sail"
    }  # fmt: skip
    task = {"title": "One", "task_order": 1}
    before = await desk.world.database.fetchval("SELECT count(*) FROM missions")
    for wrong in (
        {"title": ""}, {"lead_agent_id": foreign.lead.id}, {"crew_id": foreign.crew.id}, {"crew_id": ""},
        {"tasks": [{"task_order": 1}]}, {"tasks": [task | {"max_iterations": 51}]}, {"tasks": {}},
        {"tasks": [task | {"assigned_agent_id": foreign.worker.id}]}, {"tasks": [task | {"depends_on": [2]}]},
        {"tasks": [task, task, {"title": "Two", "task_order": 2, "depends_on": [1]}]},
        {"tasks": [task | {"depends_on": ["x"]}]}, {"tasks": [task] * 501},
    ):  # fmt: skip
        answer = await ask(desk.world, "POST", INTERNAL, here | wrong)
        assert answer.status_code == 400, (wrong, answer.text)
    assert await desk.world.database.fetchval("SELECT count(*) FROM missions") == before
    loop = {"tasks": [task | {"depends_on": [2]}, {"title": "Two", "task_order": 2, "depends_on": [1]}]}
    made = (await ask(desk.world, "POST", INTERNAL, here | loop)).json()
    started = await ask(desk.world, "POST", f"{INTERNAL}/{made['id']}/start", workspace_id=desk.crew.workspace_id)
    assert started.status_code == 400
    assert (await desk.row(made))["status"] == "PLANNING"
