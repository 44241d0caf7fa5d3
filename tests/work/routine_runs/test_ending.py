"""Callers who wait for the end of a run, and others who decide by a token alone."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.kernel.declarations.operation import Answer
from resolvers.work import routine_runs
from resolvers.work.routine_runs import ending
from rest_compat.http.table import Request
from rest_compat.work.routine_runs import (
    ActiveRoutineRunJSON,
    RoutineRunRecordJSON,
    StartedRoutineRunJSON,
    at_its_end,
    patience_of,
)
from tests.every import each_of
from tests.work.routine_runs.yard import Counting, RoutineYard, http, text

pytestmark = pytest.mark.anyio
GATE = {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail?"}}
NOBODY = Caller.nobody()


async def started(yard: RoutineYard, *steps: dict[str, Any]) -> dict[str, Any]:
    sent = {"slug": (await yard.routine(*steps)).slug}
    return await yard.ask(routine_runs.run_routine, sent, StartedRoutineRunJSON)  # type: ignore[no-any-return]


async def result(yard: RoutineYard, begun: dict[str, Any], prefer: str = "", caller: Caller | None = None) -> Any:
    headers = {b"prefer": prefer.encode()} if prefer else {}
    request = Request("POST", "/run", {}, headers, b"", caller or yard.estate.caller, yard.estate.workspace.id)
    reply = await at_its_end(request, Answer(orjson.dumps(begun), replayed=True))
    assert reply.status == 200
    assert (b"idempotent-replayed", b"true") in reply.headers
    return orjson.loads(reply.body)


async def test_a_caller_waits_for_the_end(yard: RoutineYard) -> None:
    begun = await started(yard, text("a", "7"), text("b", "{{ steps.a.output }}"))
    assert begun["status"] == "RUNNING"
    since = time.monotonic()
    made = await result(yard, begun)
    assert time.monotonic() - since < 4, "it looks when the end is announced, and not every five seconds"
    assert (made["status"], made["output"], made["step_outputs"]) == ("COMPLETED", "7", {"a": "7", "b": "7"})
    assert made["run_id"] == begun["run_id"]


async def test_a_failure_is_a_result(yard: RoutineYard) -> None:
    made = await result(yard, await started(yard, text("a", "x", ".b")))
    assert (made["status"], made["failed_at_step"]) == ("FAILED", "a")


async def test_a_run_that_waits_for_a_person_is_not_waited_for(yard: RoutineYard) -> None:
    begun = await started(yard, GATE)
    made = await result(yard, begun)
    token = await yard.token(begun["run_id"])
    assert (made["status"], made["current_step"], made["waitpoint_token"]) == ("WAITING", "gate", token)


async def test_a_caller_waits_no_longer_than_it_likes(yard: RoutineYard) -> None:
    server = Counting(pause=3.0)
    async with server.listening() as url:
        begun = await started(yard, http("a", f"{url}/slow"))
        since = time.monotonic()
        assert (await result(yard, begun, "respond-async")) == begun
        assert time.monotonic() - since < 0.5
        assert (await result(yard, begun, "wait=1"))["status"] == "RUNNING"
        assert 0.9 < time.monotonic() - since < 2.9
        assert (await result(yard, begun, "handling=lenient, wait=60"))["status"] == "COMPLETED"


async def test_a_caller_has_so_many_waits(yard: RoutineYard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "MOST_WAITS", 2)
    server = Counting(pause=2.0)
    async with server.listening() as url:
        begun = await started(yard, http("a", f"{url}/slow"))
        first, second = (asyncio.create_task(result(yard, begun)) for _ in range(2))
        await asyncio.sleep(0.2)
        assert await result(yard, begun) == begun
        assert [(await each)["status"] for each in (first, second)] == ["COMPLETED"] * 2
    assert (await result(yard, begun))["status"] == "COMPLETED"
    assert not ending._waits


async def test_machines_of_workspaces_wait_apart(yard: RoutineYard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their tokens have one credential."""
    monkeypatch.setattr(ending, "MOST_WAITS", 1)
    here, there = (Caller(CredentialKind.INTERNAL, "internal", bound=id, workspace=id) for id in ("a", "b"))
    ending._waits["internal", "a"] = 1
    try:
        assert await ending.wait_for_end(here, b"{}", None, None, 0) == b"{}"
        with pytest.raises(KeyError, match="run_id"):  # it looks for its run
            await ending.wait_for_end(there, b"{}", None, None, 0)
    finally:
        ending._waits.clear()


async def test_a_caller_who_may_not_read_runs_is_answered_at_once(yard: RoutineYard) -> None:
    begun = await started(yard, text("a", "7"))
    assert await result(yard, begun, caller=NOBODY) == begun


@each_of(
    ("prefer", "seconds"),
    [
        ("", 300), ("wait=5", 5), ("Wait = 5", 5), ("wait=9999", 300), ("wait=0", 0), ("respond-async, wait=5", 0),
        ("wait=x", 300), ("await=5", 300), ("wait=99999999", 300),
    ],
)  # fmt: skip
def test_preferences_are_read(prefer: str, seconds: float) -> None:
    assert patience_of(prefer.encode()) == seconds


async def complete(token: str, **more: Any) -> Any:
    answer = await routine_runs.complete_waitpoint(NOBODY, {"token": token} | more)
    return orjson.loads(answer.body or b"null")


async def decided(yard: RoutineYard, run_id: str) -> Any:
    return await yard.found("SELECT * FROM routine_waitpoints WHERE routine_run_id = $1", run_id)


async def test_who_has_the_token_decides_once(yard: RoutineYard) -> None:
    begun = await result(yard, await started(yard, GATE, text("a", "{{ steps.gate.output }}")))
    run_id, token = begun["run_id"], begun["waitpoint_token"]
    with pytest.raises(Refusal) as refused:
        await complete(token, payload="x" * 2001)
    assert refused.value.code is Code.BAD_REQUEST
    item = await yard.item(run_id)
    for unknown in (item["source_id"], "0" * 32):
        with pytest.raises(Refusal) as refused:
            await complete(unknown)
        assert refused.value.code is Code.CONFLICT
    assert (await decided(yard, run_id))["status"] == "pending"
    assert await complete(token, payload={"by": "harbour"}) == {"ok": True, "approved": True}
    row = await yard.ended(run_id)
    assert (row["status"], row["output"]) == ("completed", "waited:approval:approved")
    waitpoint = await decided(yard, run_id)
    assert (waitpoint["comment"], waitpoint["decided_by_user_id"]) == ('{"by":"harbour"}', None)
    assert (await yard.item(run_id))["resolved_action"] == "approved"
    [audited] = await yard.estate.owner.fetch(
        "SELECT * FROM audit_logs WHERE action = 'waitpoint.decided' AND workspace_id = $1 AND user_id IS NULL",
        yard.estate.workspace.id,
    )
    assert token not in str(dict(audited))
    with pytest.raises(Refusal) as refused:
        await complete(token)
    assert refused.value.code is Code.CONFLICT


async def test_a_token_denies(yard: RoutineYard) -> None:
    begun = await result(yard, await started(yard, GATE))
    assert await complete(begun["waitpoint_token"], approved=False) == {"ok": True, "approved": False}
    assert (await yard.ended(begun["run_id"]))["status"] == "failed"


async def test_runs_that_are_executed_are_listed(yard: RoutineYard) -> None:
    server = Counting(pause=1.0)
    async with server.listening() as url:
        routine = await yard.routine(http("a", f"{url}/slow"), concurrency_key="tides")
        begun = await yard.ask(routine_runs.run_routine, {"slug": routine.slug}, StartedRoutineRunJSON)
        waiting = await result(yard, await started(yard, GATE))
        listed = await yard.ask(routine_runs.list_active_routine_runs, {}, list[ActiveRoutineRunJSON])
        assert waiting["run_id"] not in [row["run_id"] for row in listed]
        [shown] = [row for row in listed if row["run_id"] == begun["run_id"]]
        assert (shown["pipeline_slug"], shown["concurrency_key"]) == (routine.slug, "tides")
        assert shown["cancel_requested"] is False
        await result(yard, begun)
    listed = await yard.ask(routine_runs.list_active_routine_runs, {}, list[ActiveRoutineRunJSON])
    assert begun["run_id"] not in [row["run_id"] for row in listed]


async def test_runs_of_one_routine_are_listed_by_status_and_tag(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.x }}", ".b"))
    other = await result(yard, await started(yard, text("a", "7")))
    made = []
    for x, tag in (("plain", "calm"), ('{"b": 1}', "storm")):
        sent = {"slug": routine.slug, "inputs": {"x": x}, "tags": [tag]}
        made.append(await result(yard, await yard.ask(routine_runs.run_routine, sent, StartedRoutineRunJSON)))

    async def listed(**filters: Any) -> list[dict[str, Any]]:
        sent = {"slug": routine.slug} | filters
        return await yard.ask(routine_runs.list_routine_run_records, sent, list[RoutineRunRecordJSON])  # type: ignore[no-any-return]

    failed, completed = (run["run_id"] for run in made)
    rows = await listed()
    assert [row["id"] for row in rows] == [completed, failed]
    assert other["run_id"] not in [row["id"] for row in rows]
    assert [row["id"] for row in await listed(status="failed")] == [failed]
    assert [row["id"] for row in await listed(tag="storm")] == [completed]
    assert await listed(status="failed", tag="storm") == []
    assert rows[1]["failed_at_step"] == "a"
    assert "error_message" not in rows[0]
