"""Queued runs: batches at a rate, deferred and debounced starts, places, replays of many; what is refused when."""

import asyncio
from itertools import pairwise
from typing import Any

import orjson
import pytest

from models.people.workspaces import Role
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.declarations.operation import Answer
from resolvers.work import routine_runs
from resolvers.work.routine_runs.batches import MOST_ITEMS
from rest_compat.http.table import Request
from rest_compat.work.routine_runs import PendingRoutineRunJSON, StartedRoutineRunJSON, _started
from tests.every import each_of
from tests.work.routine_runs.yard import Counting, RoutineYard, http, leave, text

pytestmark = pytest.mark.anyio
NUMBER = [{"name": "n", "type": "integer", "required": True, "min": 1}]


def items(*numbers: Any) -> list[dict[str, Any]]:
    return [{"inputs": {"n": number}} for number in numbers]


async def batch(yard: RoutineYard, routine: Any, sent: list[dict[str, Any]], **more: Any) -> Any:
    return await yard.ask(routine_runs.run_routine_batch, {"slug": routine.slug, "items": sent, **more})


async def refused(asked: Any) -> Refusal:
    with pytest.raises(Refusal) as found:
        await asked
    return found.value


async def test_each_item_is_a_run_or_an_error(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.n }}"), inputs=NUMBER)
    sent = [*items(1, "two", 3), {"inputs": {"n": 4}, "tags": ["Own"], "metadata": {"why": "wind"}}]
    made = await batch(yard, routine, sent, tags=["All"], per_minute=6000)
    assert made["count"] == 4
    assert made["tag"] == f"batch:{made['batch_id']}"
    assert [result["index"] for result in made["results"]] == [0, 1, 2, 3]
    assert made["results"][1] == {"index": 1, "error": "n: must be of the type integer"}
    good = [result for result in made["results"] if "run_id" in result]
    assert [result["status"] for result in good] == ["QUEUED"] * 3
    rows = [await yard.ended(result["run_id"]) for result in good]
    assert [row["output"] for row in rows] == ["1", "3", "4"]
    assert rows[2]["run_metadata"] == {"why": "wind"}
    assert [row["tags"] for row in rows] == [[made["tag"], "all"]] * 2 + [[made["tag"], "all", "own"]]
    assert [row["invoking_user_id"] for row in rows] == [yard.estate.user_id] * 3
    progress = await yard.ask(routine_runs.get_routine_batch, {"batch_id": made["batch_id"]})
    assert (progress["count"], progress["completed"], progress["queued"]) == (3, 3, 0)
    log = await yard.found(
        "SELECT * FROM audit_logs WHERE action = 'routine.batch_started' AND entity_id = $1", routine.id
    )
    assert log is not None
    types = [type_ for type_, _ in await yard.events_of(good[0]["run_id"])]
    assert types[0] == "pipeline.run.started"
    assert types[-1] == "pipeline.run.completed"


async def test_runs_of_a_batch_begin_at_its_rate(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.n }}"), inputs=NUMBER)
    made = await batch(yard, routine, items(1, 2, 3), per_minute=120)
    rows = [await yard.ended(result["run_id"]) for result in made["results"]]
    for row in rows:
        assert row["started_at"] >= row["fire_at"]
    gaps = [(after["fire_at"] - before["fire_at"]).total_seconds() for before, after in pairwise(rows)]
    assert gaps == [0.5, 0.5]


async def test_a_cancelled_batch_stops_what_has_not_begun(yard: RoutineYard) -> None:
    server = Counting()
    async with server.listening() as url:
        routine = await yard.routine(http("a", url), inputs=NUMBER)
        made = await batch(yard, routine, items(1, 2, 3), per_minute=20)
        ids = [result["run_id"] for result in made["results"]]
        await yard.ended(ids[0])
        stopped = await yard.ask(routine_runs.cancel_routine_batch, {"batch_id": made["batch_id"]})
        assert stopped == {"batch_id": made["batch_id"], "cancelled": 2}
        assert [(await yard.row(id))["status"] for id in ids] == ["completed", "cancelled", "cancelled"]
        again = await yard.ask(routine_runs.cancel_routine_batch, {"batch_id": made["batch_id"]})
        assert again["cancelled"] == 0
        await asyncio.sleep(3.5)  # the time of the second has come
        assert server.paths.total() == 1
    assert [(await yard.row(id))["status"] for id in ids] == ["completed", "cancelled", "cancelled"]


async def test_a_batch_is_refused_as_a_whole(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "b"), inputs=NUMBER)
    for sent, more in (([], {}), (items(*range(1, MOST_ITEMS + 2)), {}), (items(1), {"per_minute": 0})):
        assert (await refused(batch(yard, routine, sent, **more))).code is Code.BAD_REQUEST
    script = await yard.routine({"id": "a", "type": "script", "script": {"path": "a.sh"}})
    assert (await refused(batch(yard, script, [{}]))).code is Code.UNPROCESSABLE
    needy = await yard.routine(text("a", "b"), credentials_required=[{"type": "API_KEY"}])
    assert (await refused(batch(yard, needy, [{}]))).extra == {"missing_credentials": ["API_KEY"]}
    await yard.estate.owner.execute("UPDATE routines SET status = 'proposed' WHERE id = $1", routine.id)
    assert (await refused(batch(yard, routine, items(1)))).code is Code.CONFLICT
    for each in (routine, script, needy):
        assert await yard.runs_of(each) == 0
    for operation in (routine_runs.get_routine_batch, routine_runs.cancel_routine_batch):
        assert (await refused(yard.ask(operation, {"batch_id": "batch_none"}))).code is Code.NOT_FOUND


async def test_what_a_start_asks_is_asked_when_a_run_begins(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.n }}"), inputs=NUMBER)
    made = await batch(yard, routine, items(1, 2), per_minute=30)
    ids = [result["run_id"] for result in made["results"]]
    await yard.ended(ids[0])
    await yard.estate.owner.execute("UPDATE routines SET status = 'disabled' WHERE id = $1", routine.id)
    row = await yard.ended(ids[1])
    assert (row["status"], row["error_message"]) == ("failed", "The routine is disabled")
    assert (await yard.events_of(ids[1]))[-1][0] == "pipeline.run.failed"


async def test_a_run_begins_with_the_definition_of_its_time(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "old"))
    made = await yard.ask(routine_runs.run_routine, {"slug": routine.slug, "delay_seconds": 1}, StartedRoutineRunJSON)
    other = await yard.routine(text("a", "new"))
    await yard.estate.owner.execute(
        "UPDATE routine_versions SET routine_id = $1, number = 2 WHERE routine_id = $2", routine.id, other.id
    )
    await yard.estate.owner.execute(
        "UPDATE routines SET head_version = 2, definition_hash = $2 WHERE id = $1", routine.id, other.definition_hash
    )
    row = await yard.ended(made["run_id"])
    assert (row["output"], row["definition_hash"]) == ("new", other.definition_hash)


async def test_runs_of_a_key_wait_for_a_place_in_their_order(yard: RoutineYard) -> None:
    server = Counting(pause=0.3)
    async with server.listening() as url:
        routine = await yard.routine(http("a", url, "{{ inputs.n }}"), inputs=NUMBER, concurrency_key="berth")
        made = await batch(yard, routine, items(1, 2, 3, 4), per_minute=6000)
        rows = [await yard.ended(result["run_id"]) for result in made["results"]]
    assert [row["status"] for row in rows] == ["completed"] * 4
    begun = sorted(rows, key=lambda row: row["started_at"])
    for before, after in pairwise(begun):
        assert after["started_at"] >= before["ended_at"], "one place, one run"


async def test_a_deferred_run_is_pending_until_it_begins(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.n }}"), inputs=NUMBER)
    raw = {"slug": routine.slug, "inputs": {"n": 1}, "delay_seconds": 600, "priority": 3}
    made = await yard.ask(routine_runs.run_routine, raw, StartedRoutineRunJSON)
    pending = await yard.ask(routine_runs.list_pending_routine_runs, {}, list[PendingRoutineRunJSON])
    [found] = [row for row in pending if row["run_id"] == made["run_id"]]
    assert (found["pipeline_slug"], found["priority"]) == (routine.slug, 3)
    assert found["id"] == made["pending_id"] == made["run_id"].replace("run_", "pnd_")
    cancelled = await yard.ask(routine_runs.cancel_pending_routine_run, {"pending_id": found["id"]})
    assert cancelled == {"ok": True, "cancelled": found["id"]}
    assert (await yard.row(made["run_id"]))["status"] == "cancelled"
    for id in (found["id"], "pnd_none"):
        answer = await refused(yard.ask(routine_runs.cancel_pending_routine_run, {"pending_id": id}))
        assert answer.code is Code.NOT_FOUND


async def test_rest_answers_when_a_deferred_run_begins(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "b"))
    raw: dict[str, Any] = {"slug": routine.slug, "debounce_key": "k", "delay_seconds": 600, "priority": 2}
    for caller, coalesced in ((yard.estate.caller, False), (yard.estate.caller, True), (Caller.nobody(), None)):
        begun = await yard.ask(routine_runs.run_routine, raw, StartedRoutineRunJSON)
        request = Request("POST", "/run", {}, {}, b"", caller, yard.estate.workspace.id)
        reply = await _started(request, Answer(orjson.dumps(begun)))
        told = orjson.loads(reply.body)
        assert (reply.status, told["status"], told["pending_id"]) == (202, "SCHEDULED", begun["pending_id"])
        if coalesced is not None:
            assert told.keys() == {"status", "pending_id", "fire_at", "coalesced", "priority"}
            assert (told["coalesced"], told["priority"]) == (coalesced, 2)


async def test_a_debounce_key_merges_starts(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.n }}"), inputs=NUMBER)
    raw: dict[str, Any] = {"slug": routine.slug, "debounce_key": "k", "debounce_window_seconds": 1}
    made = [
        await yard.ask(routine_runs.run_routine, raw | {"inputs": {"n": n}}, StartedRoutineRunJSON) for n in (1, 2, 3)
    ]
    assert len({each["run_id"] for each in made}) == 1
    row = await yard.ended(made[0]["run_id"])
    assert (row["output"], row["merges"]) == ("3", 2)
    assert (row["started_at"] - row["created_at"]).total_seconds() >= 1
    assert await yard.runs_of(routine) == 1


async def test_a_debounced_run_is_not_put_off_for_ever(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.n }}"), inputs=NUMBER)
    raw: dict[str, Any] = {"slug": routine.slug, "debounce_key": "k", "debounce_window_seconds": 600}
    raw |= {"debounce_max_seconds": 1, "inputs": {"n": 1}}
    await yard.ask(routine_runs.run_routine, raw, StartedRoutineRunJSON)
    made = await yard.ask(routine_runs.run_routine, raw, StartedRoutineRunJSON)
    row = await yard.ended(made["run_id"])
    assert (row["fire_at"] - row["created_at"]).total_seconds() <= 1


async def test_a_run_that_finds_no_place_expires(yard: RoutineYard) -> None:
    server = Counting(pause=4.0)
    async with server.listening() as url:
        routine = await yard.routine(http("a", url), concurrency_key="lock")
        busy = await yard.ask(routine_runs.run_routine, {"slug": routine.slug}, StartedRoutineRunJSON)
        raw = {"slug": routine.slug, "delay_seconds": 1, "ttl_seconds": 1}
        made = await yard.ask(routine_runs.run_routine, raw, StartedRoutineRunJSON)
        row = await yard.ended(made["run_id"])
        assert (row["status"], row["error_message"]) == ("cancelled", "the run did not begin within its ttl_seconds")
        assert (await yard.row(busy["run_id"]))["status"] == "running"
        assert (await yard.ended(busy["run_id"]))["status"] == "completed"
    assert server.paths.total() == 1


@each_of("late", [{"delay_seconds": -1}, {"delay_seconds": 2592001}, {"ttl_seconds": -1}, {"debounce_key": 7}])
async def test_a_deferral_out_of_range_is_refused(yard: RoutineYard, late: dict[str, Any]) -> None:
    routine = await yard.routine(text("a", "b"))
    asked = yard.ask(routine_runs.run_routine, {"slug": routine.slug} | late, StartedRoutineRunJSON)
    assert (await refused(asked)).code is Code.BAD_REQUEST
    assert await yard.runs_of(routine) == 0


async def test_queued_runs_of_a_person_who_leaves_do_not_begin(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "b"))
    caller = await yard.member(Role.MANAGER)
    raw = {"slug": routine.slug, "delay_seconds": 600}
    made = await yard.ask(routine_runs.run_routine, raw, StartedRoutineRunJSON, caller)
    user_id = (await yard.row(made["run_id"]))["invoking_user_id"]
    await leave(yard.caller, {"user_id": user_id})
    assert (await yard.ended(made["run_id"]))["status"] == "cancelled"


async def test_many_runs_are_started_again(yard: RoutineYard) -> None:
    server = Counting(lambda _, n: 500 if n <= 2 else 200)
    async with server.listening() as url:
        routine = await yard.routine(http("a", url, "{{ inputs.x }}"))
        raw = {"slug": routine.slug, "tags": ["t"], "metadata": {"m": 1}}
        ids = []
        for n in (1, 2):
            made = await yard.ask(routine_runs.run_routine, raw | {"inputs": {"x": f"n{n}"}}, StartedRoutineRunJSON)
            ids.append(made["run_id"])
            await yard.ended(made["run_id"])
        source = await yard.row(ids[0])
        fingerprint = source["error_fingerprint"]
        assert source["status"] == "failed"
        assert fingerprint
        gone = await yard.routine(text("a", "b"))
        off = await yard.start(gone)
        await yard.ended(off)
        await yard.estate.owner.execute("UPDATE routines SET status = 'disabled' WHERE id = $1", gone.id)
        sent = {"run_ids": ["run_none", off, ids[0], ids[0]], "fingerprint": fingerprint}
        made = await yard.ask(routine_runs.replay_routine_runs, sent)
        assert (made["requested"], made["replayed"]) == (4, 2)
        first, second, *again = made["results"]
        assert first == {"source_run_id": "run_none", "error": "Run not found"}
        assert second == {"source_run_id": off, "error": "The routine is disabled"}
        assert [each["source_run_id"] for each in again] == ids
        for each in again:
            row = await yard.ended(each["new_run_id"])
            source = await yard.row(each["source_run_id"])
            assert (row["status"], row["inputs"], row["output"]) == (
                "completed",
                source["inputs"],
                source["inputs"]["x"],
            )
            assert (row["replay_of"], row["triggered_by_id"], row["tags"]) == (source["id"], source["id"], ["t"])
            assert row["run_metadata"] == {"m": 1}
        limited = await yard.ask(routine_runs.replay_routine_runs, {"fingerprint": fingerprint, "limit": 1})
        assert limited["requested"] == 1
        assert limited["results"][0]["source_run_id"] == ids[1], "newest first"
    for nothing in ({}, {"fingerprint": "unknown"}, {"run_ids": []}):
        assert (await refused(yard.ask(routine_runs.replay_routine_runs, nothing))).code is Code.BAD_REQUEST
