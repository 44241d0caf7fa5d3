"""Runs of routines in a worker: records of steps, requests, waits that hold nothing, decisions, and cancellations."""

from datetime import UTC, datetime, timedelta

import pytest

from models.work.routine_runs import RoutineStepState
from resolvers.errors import Refusal
from tests.work.routine_runs import yard as acts
from tests.work.routine_runs.yard import Counting, RoutineYard, http, text

pytestmark = pytest.mark.anyio
GATE = {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail, {{ inputs.x }}?"}}


async def test_steps_are_recorded_with_their_outputs(yard: RoutineYard) -> None:
    code = {"id": "sum", "type": "code", "code": {"runtime": "cel", "code": "inputs.x + 1.5"}}
    compared = {"id": "high", "type": "code", "code": {"runtime": "expr", "code": "{{ steps.sum.output }} > 3"}}
    steps = (text("a", '{"b": 7}', ".b", state_write={"k": "{{ steps.a.output }}"}), code, compared)
    row = await yard.run(*steps, inputs={"x": 2})
    assert (row["status"], row["output"], row["error_message"]) == ("completed", "true", None)
    assert {path: step["output"] for path, step in (await yard.steps(row["id"])).items()} == {
        "a": "7", "sum": "3.5", "high": "true"
    }  # fmt: skip
    assert row["ended_at"] is not None
    state = await yard.estate.owner.fetch("SELECT key, value FROM routine_state")
    assert [tuple(each) for each in state] == [("k", "7")]
    counted = await yard.found("SELECT * FROM routines WHERE id = $1", row["routine_id"])
    assert (counted["invocation_count"], counted["last_invocation_status"]) == (1, "COMPLETED")


async def test_a_request_is_retried_under_one_key(yard: RoutineYard) -> None:
    server = Counting(lambda path, n: 503 if n < 3 else 200)
    async with server.listening() as url:
        retry = {"max_attempts": 3, "backoff": {"min_ms": 2500, "max_ms": 2500, "jitter": False}}
        row = await yard.run(http("a", f"{url}/{{{{ inputs.x }}}}", '{"n": 1}', retry=retry), inputs={"x": "deck"})
    assert (row["status"], row["output"]) == ("completed", '{"n": 1}')
    assert server.paths == {"/deck": 3}
    assert server.keys == {f"{row['id']}/a": 3}
    _, _, headers, body = server.got[0]
    assert (headers["content-type"], body) == ("application/json", '{"n": 1}')
    assert (await yard.steps(row["id"]))["a"]["attempt"] == 3


async def test_a_failure_ends_the_run(yard: RoutineYard) -> None:
    async with Counting(lambda path, n: 404).listening() as url:
        row = await yard.run(http("a", url), text("b", "x"))
    assert (row["status"], row["failed_at_step"]) == ("failed", "a")
    assert row["error_message"].startswith("POST 127.0.0.1 got HTTP 404")
    assert len(row["error_fingerprint"]) == 16
    assert list(await yard.steps(row["id"])) == ["a"]


async def test_hosts_that_are_not_permitted_are_not_called(yard: RoutineYard) -> None:
    server = Counting(lambda path, n: 307)
    async with server.listening() as url:
        outside = url.replace("127.0.0.1", "127.0.0.2")
        row = await yard.run(http("a", outside))
        assert (row["status"], row["error_message"]) == (
            "failed",
            "127.0.0.2 is not among the routine's egress_targets",
        )
        row = await yard.run(http("a", "ftp://127.0.0.1/"))
        assert row["error_message"] == "the URL must begin with http:// or https://, and name a host"
        assert server.got == []
        row = await yard.run(http("a", url))
        assert row["error_message"] == "the request was redirected more than 10 times"
    assert len(server.got) == 11
    assert set(server.keys) == {f"{row['id']}/a"}


async def test_an_approval_holds_no_job_until_its_time(yard: RoutineYard) -> None:
    run_id = await yard.start(await yard.routine(GATE, text("a", "{{ steps.gate.output }}")), inputs={"x": "now"})
    row = await yard.reached(run_id, "waiting")
    assert row["current_step_id"] == "gate"
    asked = await yard.found("SELECT * FROM routine_waitpoints WHERE routine_run_id = $1", run_id)
    assert (asked["prompt"], asked["status"], len(asked["token"])) == ("Sail, now?", "pending", 32)
    assert timedelta(hours=23) < asked["timeout_at"] - datetime.now(UTC) < timedelta(hours=25)
    await acts.decide(yard.caller, {"token": asked["token"], "approved": True})
    row = await yard.ended(run_id)
    assert (row["status"], row["output"]) == ("completed", "waited:approval:approved")
    with pytest.raises(Refusal):
        await acts.decide(yard.caller, {"token": asked["token"], "approved": False})


async def test_a_denial_fails_the_run(yard: RoutineYard) -> None:
    run_id = await yard.start(await yard.routine(GATE, text("a", "x")))
    await yard.reached(run_id, "waiting")
    await acts.decide(yard.caller, {"token": await yard.token(run_id), "approved": False})
    row = await yard.ended(run_id)
    assert (row["status"], row["failed_at_step"], row["error_message"]) == ("failed", "gate", "the approval was denied")


async def test_an_approval_times_out(yard: RoutineYard) -> None:
    row = await yard.run(GATE | {"timeout_seconds": 1}, text("a", "x"))
    assert (row["status"], row["error_message"]) == ("failed", "the approval timed out")
    status = await yard.estate.owner.fetchval(
        "SELECT status FROM routine_waitpoints WHERE routine_run_id = $1", row["id"]
    )
    assert status == "timed_out"


async def test_events_and_times(yard: RoutineYard) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    at = {"id": "at", "type": "wait", "wait": {"kind": "datetime", "until": soon}}
    event = {"id": "event", "type": "wait", "wait": {"kind": "event", "event_type": "docked"}}
    run_id = await yard.start(await yard.routine(at, event))
    await yard.reached(run_id, "waiting")
    assert datetime.now(UTC).isoformat() >= soon
    with pytest.raises(Refusal):
        await acts.send_signal(yard.caller, {"run_id": run_id, "event_type": "sailed", "payload": "x"})
    await acts.send_signal(yard.caller, {"run_id": run_id, "event_type": "docked", "payload": "pier 4"})
    row = await yard.ended(run_id)
    assert (row["status"], row["output"]) == ("completed", "pier 4")
    assert await yard.estate.owner.fetchval("SELECT status FROM routine_signal_waits") == "consumed"


async def test_a_waiting_run_is_cancelled_at_once_and_a_running_one_at_its_next_step(yard: RoutineYard) -> None:
    run_id = await yard.start(await yard.routine(GATE))
    await yard.reached(run_id, "waiting")
    await acts.cancel(yard.caller, {"run_id": run_id})
    row = await yard.row(run_id)
    assert (row["status"], row["error_message"], row["failed_at_step"]) == ("cancelled", "context canceled", "gate")
    with pytest.raises(Refusal):
        await acts.cancel(yard.caller, {"run_id": run_id})
    server = Counting(pause=1.0)
    async with server.listening() as url:
        run_id = await yard.start(await yard.routine(http("a", url), http("b", f"{url}/b")))
        while not server.got:
            await yard.row(run_id)
        await acts.cancel(yard.caller, {"run_id": run_id})
        row = await yard.ended(run_id)
    assert (row["status"], row["failed_at_step"]) == ("cancelled", "a")
    assert "/b" not in server.paths


async def test_a_changed_definition_interrupts_a_run_that_waits(yard: RoutineYard) -> None:
    routine = await yard.routine(GATE, text("a", "x"))
    run_id, pinned = await yard.start(routine), await yard.start(routine, pinned=True)
    for each in (run_id, pinned):
        await yard.reached(each, "waiting")
    await yard.estate.owner.execute("UPDATE routines SET definition_hash = 'new' WHERE id = $1", routine.id)
    for each in (run_id, pinned):
        await acts.decide(yard.caller, {"token": await yard.token(each), "approved": True})
    assert (await yard.ended(run_id))["status"] == "interrupted"
    assert (await yard.ended(pinned))["status"] == "completed"


async def test_a_loop_records_each_element(yard: RoutineYard) -> None:
    server = Counting()
    async with server.listening() as url:
        body = [
            http("get", f"{url}/{{{{ inputs.el }}}}", '{"p": {{ inputs.el }}}'),
            text("p", "{{ steps.get.output }}", ".p"),
        ]
        loop = {"id": "each", "type": "foreach", "foreach": {"items": "{{ inputs.x }}", "as": "el", "steps": body}}
        row = await yard.run(loop, inputs={"x": [1, 2, 3]})
    assert (row["status"], row["output"]) == ("completed", "[1,2,3]")
    steps = await yard.steps(row["id"])
    assert {step["state"] for step in steps.values()} == {RoutineStepState.completed}
    assert set(steps) == {"each", *[f"each[{n}].{id}" for n in range(3) for id in ("get", "p")]}
    assert server.keys == {f"{row['id']}/each[{n}].get": 1 for n in range(3)}


async def test_a_type_without_an_executor_fails_the_run(yard: RoutineYard) -> None:
    row = await yard.run({"id": "a", "type": "script", "script": {"path": "a.sh"}})
    assert (row["status"], row["error_message"]) == ("failed", "steps of the type script are not supported")
