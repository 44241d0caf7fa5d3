"""Occurrences of schedules: they start runs once, are caught up, skipped or held, and disable what keeps failing."""

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from models.people.workspaces import Role
from resolvers.errors import Code, Refusal
from resolvers.work import routine_runs, routine_schedules
from rest_compat.work.routine_runs import StartedRoutineRunJSON
from tests.every import each_of
from tests.work.routine_runs.yard import RoutineYard, leave, text
from tests.work.routine_schedules.timetable import changed, due, fired, item, made, row, runs, ticks, until
from tests.world import now

pytestmark = pytest.mark.anyio
BROKEN = text("a", "no", ".x")
FUTURE = "2999-01-01"


async def test_a_due_schedule_starts_one_run_of_its_inputs(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "n={{ inputs.n }}"), inputs=[{"name": "n", "type": "integer"}])
    schedule = await made(yard, routine, inputs={"n": 3}, cron_expr="0 0 1 1 *")
    await due(yard, schedule["id"])
    await ticks()
    await ticks()
    after = await fired(yard, schedule["id"])
    [run] = await runs(yard, schedule["id"])
    assert (run["status"], run["output"], run["triggered_via"]) == ("completed", "n=3", "schedule")
    assert (run["schedule_id"], run["invoking_user_id"]) == (schedule["id"], yard.estate.user_id)
    assert (after["last_status"], after["last_run_id"], after["last_run_at"]) == (
        "COMPLETED", run["id"], run["started_at"],
    )  # fmt: skip
    assert after["next_run_at"].isoformat().endswith("-01-01T00:00:00+00:00")
    assert (after["current_run_id"], after["consecutive_failures"], after["version"]) == (None, 0, 1)
    told = await yard.estate.events(f"workspace:{yard.estate.workspace.id}")
    assert ("pipeline.trigger.changed", {"id": schedule["id"]}) in told


async def test_a_schedule_has_state_of_its_own(yard: RoutineYard) -> None:
    step = text("a", "{{ routine.state.n }}+", state_write={"n": "{{ steps.a.output }}"})
    routine = await yard.routine(step)
    schedule, other = await made(yard, routine), await made(yard, routine, name="other")
    for expected in ("+", "++"):
        await due(yard, schedule["id"])
        await fired(yard, schedule["id"], lambda row: row["current_run_id"] is None and row["next_run_at"] > now())
        assert (await runs(yard, schedule["id"]))[-1]["output"] == expected
    await due(yard, other["id"])
    await fired(yard, other["id"])
    assert [run["output"] for run in await runs(yard, other["id"])] == ["+"]


async def test_a_pinned_version_runs_and_a_missing_one_fails(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "old"))
    schedule = await made(yard, routine, target_pipeline_version=1)
    gone = await made(yard, routine, target_pipeline_version=77)
    await _new_head(yard, routine, text("a", "new"))
    for each in (schedule, gone):
        await due(yard, each["id"])
        await fired(yard, each["id"])
    assert [run["output"] for run in await runs(yard, schedule["id"])] == ["old"]
    after = await row(yard, gone["id"])
    assert (after["last_status"], after["last_run_id"], await runs(yard, gone["id"])) == ("FAILED", None, [])
    assert after["last_error"] == "The routine has no version 77"
    with pytest.raises(Refusal) as refused:
        await yard.ask(routine_schedules.run_routine_schedule, {"id": gone["id"]}, StartedRoutineRunJSON)
    assert refused.value.code is Code.CONFLICT


def has_failed(times: int) -> Callable[[Any], bool]:
    return lambda row: bool(row["consecutive_failures"] == times)


async def _new_head(yard: RoutineYard, routine: Any, *steps: dict[str, Any]) -> None:
    said = json.dumps({"name": "tides", "steps": list(steps)})
    sql = """INSERT INTO routine_versions (workspace_id, id, routine_id, number, definition_hash, dsl_version, source,
        is_json, definition, author_type, author_id) VALUES ($1, $2, $3, 2, $2, '1.0', $4, true, $5, 'user', '')"""
    values = (yard.estate.workspace.id, f"{routine.id}v2", routine.id, said, said)
    await yard.estate.owner.execute(sql, *values)
    sql = "UPDATE routines SET head_version = 2, definition_hash = $2 WHERE id = $1"
    await yard.estate.owner.execute(sql, routine.id, f"{routine.id}v2")


async def test_failures_are_told_and_disable_the_schedule(yard: RoutineYard) -> None:
    routine = await yard.routine(BROKEN)
    schedule = await made(yard, routine, max_consecutive_failures=2)
    for failures in (1, 2):
        await due(yard, schedule["id"])
        after = await fired(yard, schedule["id"], has_failed(failures))
        assert after["last_status"] == "FAILED"
    [_, run] = await runs(yard, schedule["id"])
    failed = await item(yard, "failed_run", run["id"])
    assert (failed["title"], failed["target_role"]) == (f"Scheduled routine failed: {routine.slug}", "MANAGER")
    assert failed["payload"] == {
        "schedule_id": schedule["id"], "pipeline_id": routine.id, "run_id": run["id"],
    }  # fmt: skip
    assert (after["enabled"], after["disabled_reason"]) == (False, "circuit_breaker")
    tripped = await item(yard, "schedule_circuit_breaker_tripped", schedule["id"])
    assert tripped["payload"] == {"schedule_id": schedule["id"], "consecutive_failures": 2}
    entry = await _entry(yard, "pipeline.schedule.circuit_breaker_tripped", schedule["id"])
    assert (entry["severity"], entry["payload"]["max_consecutive_failures"]) == ("error", 2)
    await due(yard, schedule["id"])
    await ticks()
    enabled = await changed(yard, schedule["id"], enabled=True)
    assert (enabled["consecutive_failures"], "disabled_reason" in enabled) == (0, False)
    assert (await item(yard, "schedule_circuit_breaker_tripped", schedule["id"]))["state"] == "resolved"
    assert len(await runs(yard, schedule["id"])) == 2


async def _entry(yard: RoutineYard, type_: str, id: str) -> Any:
    return await yard.found("SELECT * FROM journal_entries WHERE entry_type = $1 AND actor_id = $2", type_, id)


async def test_a_success_clears_failures(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "fine"))
    schedule = await made(yard, routine)
    await yard.estate.owner.execute("UPDATE routine_schedules SET consecutive_failures = 3")
    await due(yard, schedule["id"])
    assert (await fired(yard, schedule["id"]))["consecutive_failures"] == 0


@each_of("policy, expected", [("once", 1), ("all", 4), ("skip", 0)])
async def test_missed_occurrences_are_caught_up(yard: RoutineYard, policy: str, expected: int) -> None:
    routine = await yard.routine(text("a", "fine"))
    schedule = await made(yard, routine, cron_expr="@every 1h", catchup_policy=policy)
    at = await due(yard, schedule["id"], now() - timedelta(hours=3, minutes=5))
    await ticks()
    after = await until(yard, schedule["id"], lambda row: row["next_run_at"] > now() and row["current_run_id"] is None)
    started = await runs(yard, schedule["id"])
    assert (len(started), after["catchup_left"]) == (expected, 0)
    assert after["next_run_at"] == at + timedelta(hours=4)
    assert all(one["ended_at"] <= other["started_at"] for one, other in pairwise(started))
    entry = await _entry(yard, "pipeline.schedule.missed_occurrences", schedule["id"])
    payload = entry["payload"]
    assert (entry["severity"], payload["missed_count"]) == ("warn", 3)
    assert payload["window_start"] == f"{at:%Y-%m-%dT%H:%M:%SZ}"
    missed = await item(yard, "schedule_missed", schedule["id"])
    told = {"once": 3, "skip": 4, "all": 0}[policy]
    assert (after["last_missed_count"], missed is None) == (told, policy == "all")
    if missed is not None:
        assert (missed["source_id"], missed["title"]) == (
            f"{schedule['id']}:{at:%Y-%m-%dT%H:%M:%SZ}", "Schedule missed 3 occurrence(s): tides",
        )  # fmt: skip
    assert after["last_status"] == ("SKIPPED" if policy == "skip" else "COMPLETED")
    assert (after["last_run_at"] is None) == (policy == "skip")


async def test_at_most_21_occurrences_are_caught_up(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "fine"))
    schedule = await made(yard, routine, cron_expr="@every 1h", catchup_policy="all")
    await due(yard, schedule["id"], now() - timedelta(hours=1500, minutes=5))
    await ticks()
    await until(
        yard, schedule["id"], lambda row: row["next_run_at"] > now() and row["current_run_id"] is None, seconds=60
    )
    assert len(await runs(yard, schedule["id"])) == 21


async def test_an_occurrence_waits_for_the_run_before(yard: RoutineYard) -> None:
    routine = await yard.routine(
        {"id": "w", "type": "wait", "wait": {"kind": "datetime", "until": f"{FUTURE}T00:00:00Z"}}
    )
    schedule = await made(yard, routine)
    await due(yard, schedule["id"])
    await fired(yard, schedule["id"], lambda row: row["current_run_id"] is not None)
    await due(yard, schedule["id"])
    await ticks()
    [run] = await runs(yard, schedule["id"])
    assert (await row(yard, schedule["id"]))["next_run_at"] <= now()
    await yard.ask(routine_runs.cancel_routine_run, {"id": run["id"]})
    after = await until(yard, schedule["id"], lambda row: row["current_run_id"] not in (None, run["id"]))
    assert (after["last_status"], after["consecutive_failures"]) == ("SKIPPED", 0)
    assert len(await runs(yard, schedule["id"])) == 2
    await changed(yard, schedule["id"], enabled=False)


async def test_a_run_that_waits_for_a_person_holds_nothing_back(yard: RoutineYard) -> None:
    gate = {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail?"}}
    schedule = await made(yard, await yard.routine(gate))
    await due(yard, schedule["id"])
    after = await fired(yard, schedule["id"])
    assert (after["last_status"], after["consecutive_failures"]) == ("WAITING", 0)
    await due(yard, schedule["id"])
    await fired(yard, schedule["id"], lambda row: row["last_run_id"] != after["last_run_id"])
    assert len(await runs(yard, schedule["id"])) == 2


@each_of("state", ["proposed", "disabled"])
async def test_a_routine_that_is_not_active_is_skipped(yard: RoutineYard, state: str) -> None:
    routine = await yard.routine(text("a", "fine"))
    schedule = await made(yard, routine)
    await yard.estate.owner.execute("UPDATE routines SET status = $2 WHERE id = $1", routine.id, state)
    await due(yard, schedule["id"])
    after = await fired(yard, schedule["id"])
    assert (after["last_status"], after["consecutive_failures"]) == ("SKIPPED", 0)
    assert await runs(yard, schedule["id"]) == []
    with pytest.raises(Refusal) as refused:
        await yard.ask(routine_schedules.run_routine_schedule, {"id": schedule["id"]}, StartedRoutineRunJSON)
    assert (refused.value.code, (refused.value.extra or {})["status"]) == (Code.CONFLICT, state)


async def test_a_deleted_routine_fails(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "fine"))
    schedule = await made(yard, routine)
    await yard.estate.owner.execute("UPDATE routines SET deleted_at = now() WHERE id = $1", routine.id)
    await due(yard, schedule["id"])
    after = await fired(yard, schedule["id"])
    assert (after["last_status"], after["consecutive_failures"]) == ("FAILED", 1)
    assert (await item(yard, "failed_run", schedule["id"]))["payload"]["run_id"] == ""
    with pytest.raises(Refusal) as refused:
        await yard.ask(routine_schedules.run_routine_schedule, {"id": schedule["id"]}, StartedRoutineRunJSON)
    assert refused.value.code is Code.NOT_FOUND


async def test_inputs_are_checked_at_each_occurrence(yard: RoutineYard) -> None:
    routine = await yard.routine(
        text("a", "{{ inputs.n }}"), inputs=[{"name": "n", "type": "integer", "required": True}]
    )
    schedule = await made(yard, routine, inputs={"n": 1})
    await yard.estate.owner.execute(
        'UPDATE routine_schedules SET inputs = \'{"n": "one"}\' WHERE id = $1', schedule["id"]
    )
    await due(yard, schedule["id"])
    after = await fired(yard, schedule["id"])
    assert (after["last_status"], after["last_error"]) == ("FAILED", "n: must be of the type integer")
    assert await runs(yard, schedule["id"]) == []


async def test_a_full_concurrency_key_leaves_the_occurrence_out(yard: RoutineYard) -> None:
    wait = {"id": "w", "type": "wait", "wait": {"kind": "datetime", "until": f"{FUTURE}T00:00:00Z"}}
    routine = await yard.routine(wait, concurrency_key="tide")
    schedule = await made(yard, routine)
    begun = await yard.ask(routine_runs.run_routine, {"slug": routine.slug}, StartedRoutineRunJSON)
    await due(yard, schedule["id"])
    after = await fired(yard, schedule["id"])
    assert (after["last_status"], await runs(yard, schedule["id"])) == ("SKIPPED", [])
    await yard.ask(routine_runs.cancel_routine_run, {"id": begun["run_id"]})
    await yard.ended(begun["run_id"])


async def test_a_member_who_left_or_lost_the_right_starts_nothing(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "fine"))
    manager = await yard.member(Role.MANAGER)
    first, second = await made(yard, routine, manager), await made(yard, routine, manager)
    user_id = (await row(yard, first["id"]))["run_as_id"]
    assert user_id not in (None, yard.estate.user_id)
    await yard.estate.owner.execute("UPDATE memberships SET role = 'MEMBER' WHERE user_id = $1", user_id)
    await due(yard, first["id"])
    assert (await fired(yard, first["id"]))[
        "last_error"
    ] == "The member in whose name it runs may no longer run routines"
    await yard.estate.owner.execute("DELETE FROM memberships WHERE user_id = $1", user_id)
    await leave(yard.caller, {"user_id": user_id})
    await due(yard, second["id"])
    assert (await fired(yard, second["id"]))["last_error"] == "The member in whose name it runs has left the workspace"
    assert [*await runs(yard, first["id"]), *await runs(yard, second["id"])] == []
    await yard.estate.owner.execute("DELETE FROM users WHERE id = $1", user_id)
    await due(yard, second["id"])
    assert (await fired(yard, second["id"], lambda row: row["consecutive_failures"] == 2))["run_as_id"] is None
    await changed(yard, second["id"], name="mine")
    await due(yard, second["id"])
    assert (await fired(yard, second["id"], lambda row: row["last_status"] == "COMPLETED"))["last_error"] is None


async def test_a_run_by_hand_moves_nothing(yard: RoutineYard) -> None:
    schedule = await made(yard, await yard.routine(text("a", "fine")), enabled=False)
    before = await row(yard, schedule["id"])
    begun = await yard.ask(routine_schedules.run_routine_schedule, {"id": schedule["id"]}, StartedRoutineRunJSON)
    run = await yard.ended(begun["run_id"])
    assert (run["triggered_via"], run["triggered_by_id"]) == ("schedule", schedule["id"])
    await _settled(yard)
    assert dict(await row(yard, schedule["id"])) == dict(before)


async def _settled(yard: RoutineYard) -> None:
    """Waits for the jobs that run."""
    import asyncio

    sql = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
    async with asyncio.timeout(20):
        while await yard.estate.owner.fetchval(sql):
            await asyncio.sleep(0.05)


async def test_a_schedule_that_can_no_longer_be_read_is_disabled(yard: RoutineYard) -> None:
    schedule = await made(yard, await yard.routine(text("a", "fine")))
    await yard.estate.owner.execute("UPDATE routine_schedules SET cron_expr = 'never' WHERE id = $1", schedule["id"])
    await due(yard, schedule["id"])
    after = await fired(yard, schedule["id"], lambda row: not row["enabled"])
    assert (after["last_status"], await runs(yard, schedule["id"])) == (None, [])


async def test_jitter_delays_a_run_always_by_the_same(yard: RoutineYard) -> None:
    from resolvers.work.routine_schedules.timing import delay_of

    delays = [delay_of(f"psched_{n}", 60) for n in range(200)]
    assert delays == [delay_of(f"psched_{n}", 60) for n in range(200)]
    assert (min(delays) >= 0, max(delays) <= 60, len(set(delays)) > 40) == (True, True, True)
    schedule = await made(yard, await yard.routine(text("a", "fine")), jitter_seconds=3600, enabled=False)
    assert schedule["jitter_seconds"] == 3600
    delay = timedelta(seconds=delay_of(schedule["id"], 3600))
    await due(yard, schedule["id"], now() - delay + timedelta(seconds=30))
    await yard.estate.owner.execute("UPDATE routine_schedules SET enabled = true WHERE id = $1", schedule["id"])
    await ticks()
    sql = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'DELAYED' AND deduplication_id LIKE '%' || $1"
    assert await yard.estate.owner.fetchval(sql, schedule["id"]) == 1
    await changed(yard, schedule["id"], enabled=False)


# ---- the wake check --------------------------------------------------------------------------------------------------

PROBE = {"id": "p", "type": "code", "code": {"runtime": "cel", "code": "inputs.go == true"}}


async def _gated(yard: RoutineYard, **raw: Any) -> dict[str, Any]:
    probe = await yard.routine(PROBE, agentless=True, inputs=[{"name": "go", "type": "boolean"}])
    return await made(yard, await yard.routine(text("a", "fine")), wake_pipeline_id=probe.id, **raw)


@each_of(
    "raw, expected",
    [
        ({"wake_inputs": {"go": True}}, ("WOKE", 1, "COMPLETED")),
        ({"wake_inputs": {"go": False}}, ("SKIPPED", 0, None)),
        ({}, ("ERROR", 1, "COMPLETED")),
        ({"wake_fail_closed": True}, ("HELD", 0, None)),
    ],
)
async def test_a_wake_check_decides(yard: RoutineYard, raw: dict[str, Any], expected: Any) -> None:
    schedule = await _gated(yard, **raw)
    await due(yard, schedule["id"])
    outcome, fires, status = expected
    after = await fired(yard, schedule["id"], lambda row: row["last_wake_status"] and row["last_status"] == status)
    assert (after["last_wake_status"], after["wake_check_count"], after["wake_fire_count"]) == (outcome, 1, fires)
    assert (after["wake_run_id"], after["last_run_at"] is None) == (None, status is None)
    started = await runs(yard, schedule["id"])
    assert [run["triggered_via"] for run in started] == ["wake_check", "schedule"][: 1 + fires]
    assert all(run["schedule_id"] == schedule["id"] for run in started)


async def test_a_check_that_is_refused_or_waits_has_failed(yard: RoutineYard) -> None:
    gate = {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail?"}}
    probe = await yard.routine(gate, agentless=True)
    schedule = await made(yard, await yard.routine(text("a", "fine")), wake_pipeline_id=probe.id, wake_fail_closed=True)
    await due(yard, schedule["id"])
    await fired(yard, schedule["id"], lambda row: row["last_wake_status"] == "HELD")
    await yard.estate.owner.execute("UPDATE routines SET status = 'disabled' WHERE id = $1", probe.id)
    await changed(yard, schedule["id"], wake_fail_closed=False)
    await due(yard, schedule["id"])
    after = await fired(yard, schedule["id"])
    assert (after["last_wake_status"], after["last_status"], after["wake_check_count"]) == ("ERROR", "COMPLETED", 2)
