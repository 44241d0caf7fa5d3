"""The tree of a run, its log, its failures among others, its files and its metadata."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.people.workspaces import Role
from models.staff.crews import Crew
from models.work.routine_runs import RoutineRun
from resolvers.errors import Code, Refusal
from resolvers.work import routine_runs
from resolvers.work.routine_runs import failing, tracing
from rest_compat.work.routine_runs import StartedRoutineRunJSON
from tests.every import each_of
from tests.work.routine_runs.yard import RoutineYard, text

pytestmark = pytest.mark.anyio
GATE = {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail?"}}
NOW = datetime.now(UTC)


async def stored(yard: RoutineYard, routine: Any, **more: Any) -> str:
    """A run that has ended, without having been carried out."""
    given: dict[str, Any] = {"status": "completed", "ended_at": NOW} | more
    made = RoutineRun(
        routine_id=routine.id,
        definition_hash=routine.definition_hash,
        workspace_id=yard.estate.workspace.id,
        **given,
    )
    await yard.estate.add(made)
    return made.id


async def replayed(yard: RoutineYard, run_id: str) -> str:
    made = await yard.ask(routine_runs.replay_routine_run, {"id": run_id}, StartedRoutineRunJSON)
    await yard.ended(made["run_id"])
    return str(made["run_id"])


async def nodes(yard: RoutineYard, run_id: str) -> list[dict[str, Any]]:
    return list((await yard.ask(routine_runs.get_routine_run_tree, {"id": run_id}))["nodes"])


# ---- the tree --------------------------------------------------------------------------------------------------------


async def test_a_tree_has_the_runs_that_a_run_caused(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "b"))
    root = await yard.started(routine)
    await yard.ended(root)
    replay = await replayed(yard, root)
    again = await replayed(yard, replay)
    await yard.ended(await yard.started(routine))
    found = await nodes(yard, root)
    assert [(node["id"], node.get("parent_id")) for node in found] == [
        (root, None), (replay, root), (again, replay)
    ]  # fmt: skip
    assert found[0] == {
        "id": root, "pipeline_slug": routine.slug, "status": "completed", "triggered_via": "manual", "cost_usd": 0
    }  # fmt: skip
    assert [node["id"] for node in await nodes(yard, again)] == [again]
    with pytest.raises(Refusal) as refused:
        await nodes(yard, "run_nope")
    assert refused.value.code is Code.NOT_FOUND


async def test_a_tree_ends(yard: RoutineYard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers name the cause of a run: they can make a circle, and many children."""
    routine = await yard.routine(text("a", "b"))
    first = await stored(yard, routine, id="run_circle1", triggered_by_id="run_circle2")
    second = await stored(yard, routine, id="run_circle2", triggered_by_id=first)
    assert {node["id"] for node in await nodes(yard, first)} == {first, second}
    monkeypatch.setattr(tracing, "MOST_NODES", 3)
    for _ in range(5):
        await stored(yard, routine, triggered_by_id=second)
    found = await nodes(yard, first)
    assert len(found) == 3
    assert {first, second} < {node["id"] for node in found}


# ---- the log ---------------------------------------------------------------------------------------------------------


async def log_of(yard: RoutineYard, run_id: str, **raw: Any) -> list[tuple[str, str, str | None]]:
    rows = await yard.ask(routine_runs.get_routine_run_log, {"id": run_id, **raw})
    assert rows == sorted(rows, key=lambda row: datetime.fromisoformat(row["ts"]))
    return [(row["level"], row["message"], row.get("type")) for row in rows]


async def test_a_log_says_what_happened(yard: RoutineYard) -> None:
    skipped = text("b", "x", **{"if": "{{ inputs.x }}"})
    routine = await yard.routine(text("a", "7"), skipped, GATE, text("c", "x", ".field"))
    run_id = await yard.started(routine)
    await yard.reached(run_id, "waiting")
    named = f"Pipeline {routine.slug}"
    begun = [
        ("info", f"{named} started", "pipeline.run.started"),
        ("info", f"{named} step a started", "pipeline.step.started"),
        ("info", f"{named} step a completed", "pipeline.step.completed"),
        ("info", f"{named} step b skipped", "pipeline.step.skipped"),
        ("info", f"{named} step gate started", "pipeline.step.started"),
        ("info", f"{named} step gate waits for an approval", None),
    ]
    assert sorted(await log_of(yard, run_id), key=str) == sorted(begun, key=str)
    sent = {"token": await yard.token(run_id), "approved": True}
    await yard.ask(routine_runs.decide_waitpoint, sent)
    row = await yard.ended(run_id)
    rest = (await log_of(yard, run_id))[len(begun) :]
    assert sorted(rest, key=str) == sorted([
        ("info", f"{named} step gate was approved", "waitpoint.decided"),
        ("info", f"{named} step gate completed", "pipeline.step.completed"),
        ("info", f"{named} step c started", "pipeline.step.started"),
        ("error", f"{named} step c failed: {row['error_message']}", "pipeline.step.failed"),
        ("error", f"{named} failed: {row['error_message']}", "pipeline.run.failed"),
    ], key=str)  # fmt: skip


async def test_a_log_has_no_more_lines_than_asked(yard: RoutineYard) -> None:
    body = text("say", "{{ inputs.item }}")
    loop = {"id": "each", "type": "foreach", "foreach": {"items": "{{ inputs.l }}", "steps": [body]}}
    routine = await yard.routine(loop, inputs=[{"name": "l", "type": "array"}])
    run_id = await yard.started(routine, inputs={"l": [*range(120)]})
    await yard.ended(run_id)
    for limit, lines in ((5, 5), (0, 200), (1001, 200), ("x", 200), (1000, 244)):
        assert len(await log_of(yard, run_id, limit=limit)) == lines


# ---- failures --------------------------------------------------------------------------------------------------------


async def test_failures_are_grouped_by_their_cause(yard: RoutineYard, monkeypatch: pytest.MonkeyPatch) -> None:
    await yard.estate.owner.execute("UPDATE routines SET deleted_at = now()")
    one, two = [await yard.routine(text("a", "x", ".b")) for _ in range(2)]
    runs = [await yard.started(routine) for routine in (one, one, two)]
    rows = [await yard.ended(run_id) for run_id in runs]
    at = {"status": "failed", "error_message": "tide 7", "failed_at_step": "z", "error_fingerprint": "f" * 16}
    early = await stored(yard, one, **at, started_at=NOW - timedelta(days=1))
    await stored(yard, one, **at | {"status": "cancelled"})
    gone = await yard.routine(text("a", "b"))
    await stored(yard, gone, **at | {"error_fingerprint": "e" * 16})
    await yard.estate.owner.execute("UPDATE routines SET deleted_at = now() WHERE id = $1", gone.id)
    groups = (await yard.ask(routine_runs.list_routine_failures, {}))["groups"]
    assert groups == [
        {
            "fingerprint": rows[0]["error_fingerprint"], "count": 3, "pipeline_slug": two.slug, "failed_at_step": "a",
            "sample_error": rows[2]["error_message"], "run_ids": runs[::-1],
        },
        {
            "fingerprint": "f" * 16, "count": 1, "pipeline_slug": one.slug, "failed_at_step": "z",
            "sample_error": "tide 7", "run_ids": [early],
        },
    ]  # fmt: skip
    for limit, number in ((1, 1), (0, 2), (201, 2), ("x", 2)):
        found = await yard.ask(routine_runs.list_routine_failures, {"limit": limit})
        assert len(found["groups"]) == number
    monkeypatch.setattr(failing, "MOST_RUNS", 2)
    [first, _] = (await yard.ask(routine_runs.list_routine_failures, {}))["groups"]
    assert (first["count"], first["run_ids"]) == (3, runs[:0:-1])
    monkeypatch.setattr(failing, "LOOKED_AT", 3)  # one is of the deleted routine
    [only] = (await yard.ask(routine_runs.list_routine_failures, {}))["groups"]
    assert only["count"] == 2


# ---- files -----------------------------------------------------------------------------------------------------------


async def test_files_are_those_of_the_time_of_the_run(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "b"))
    crew = Crew(name="Hold", slug="hold", workspace_id=yard.estate.workspace.id)
    await yard.estate.add(crew)
    base = yard.estate.settings.data_dir
    began = NOW - timedelta(hours=2)
    times = {"started_at": began, "ended_at": NOW - timedelta(hours=1)}
    run_id = await stored(yard, routine, invoking_crew_id=crew.id, **times)
    live = await stored(yard, routine, invoking_crew_id=crew.id, started_at=began, ended_at=None, status="waiting")
    assert await yard.ask(routine_runs.list_routine_run_files, {"id": run_id}) == {"crew_id": crew.id, "files": []}
    folder = await folder_of(yard, crew.id)
    assert folder.is_relative_to(base)
    for name, ago in (("before.txt", 3), ("within.txt", 1.5), ("after.txt", 0.5)):
        path = folder / "mate" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("tide")
        time = (NOW - timedelta(hours=ago)).timestamp()
        os.utime(path, (time, time))
    shown = await yard.ask(routine_runs.list_routine_run_files, {"id": run_id})
    [file] = shown["files"]
    assert (shown["crew_id"], file["name"], file["size"]) == (crew.id, "within.txt", 4)
    assert file["path"] == f"{crew.id}/mate/within.txt"
    shown = await yard.ask(routine_runs.list_routine_run_files, {"id": live})
    assert [each["name"] for each in shown["files"]] == ["after.txt", "within.txt"]


async def folder_of(yard: RoutineYard, crew_id: str) -> Any:
    """The folder of the crew, which the first file makes."""
    from resolvers.staff.crews import files

    await yard.ask(files.save_crew_file, {"crew_id": crew_id, "path": "first.txt", "content": "x"})
    [found] = [path for path in yard.estate.settings.data_dir.rglob("first.txt") if crew_id in str(path)]
    found.unlink()
    return found.parent


async def test_a_run_without_a_crew_or_a_repository_has_no_differences(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "b"))
    with_crew = await stored(yard, routine)
    await yard.estate.owner.execute("UPDATE routines SET author_crew_id = NULL WHERE id = $1", routine.id)
    without = await stored(yard, routine)
    for run_id in (with_crew, without):
        assert await yard.ask(routine_runs.get_routine_run_changes, {"id": run_id}) == {"is_repo": False}
    assert await yard.ask(routine_runs.list_routine_run_files, {"id": without}) == {"crew_id": "", "files": []}


# ---- metadata --------------------------------------------------------------------------------------------------------


async def changed(yard: RoutineYard, run_id: str, **raw: Any) -> Any:
    return (await yard.ask(routine_runs.update_routine_run_metadata, {"id": run_id, **raw}))["metadata"]


async def test_metadata_is_set_incremented_and_appended(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "b"))
    run_id = await yard.started(routine, metadata={"n": 1, "word": "sea", "list": [1]})
    await yard.ended(run_id)
    amounts = {"n": 2.5, "word": 1, "other": 3}
    made = await changed(
        yard, run_id, set={"new": None, "n": 4}, increment=amounts, append={"list": [2], "new": "x"}
    )  # fmt: skip
    assert made == {"n": 6.5, "word": 1, "list": [1, [2]], "new": ["x"], "other": 3}
    run = await yard.row(run_id)
    assert (run["run_metadata"], run["started_metadata"]) == (made, None)
    log = await yard.found("SELECT action FROM audit_logs WHERE entity_id = $1 ORDER BY seq DESC LIMIT 1", run_id)
    assert log["action"] == "routine_run.updated"


async def test_a_run_under_way_keeps_its_metadata(yard: RoutineYard) -> None:
    routine = await yard.routine(GATE, text("a", "{{ run.metadata.k }}"))
    run_id = await yard.started(routine, metadata={"k": "began"})
    await yard.reached(run_id, "waiting")
    for value in ("changed", "again"):
        assert await changed(yard, run_id, set={"k": value}) == {"k": value}
    sent = {"token": await yard.token(run_id), "approved": True}
    await yard.ask(routine_runs.decide_waitpoint, sent)
    row = await yard.ended(run_id)
    assert (row["output"], row["run_metadata"]) == ("began", {"k": "again"})


@each_of(
    "raw, code",
    [
        ({}, Code.BAD_REQUEST),
        ({"set": {}, "append": {}}, Code.BAD_REQUEST),
        ({"increment": {"n": "1"}}, Code.BAD_REQUEST),
        ({"increment": {"n": True}}, Code.BAD_REQUEST),
        ({"increment": {"n": 1e308}}, Code.BAD_REQUEST),
        ({"set": {"k": "x" * (200 << 10)}}, Code.TOO_LARGE),
        ({"id": "run_nope", "set": {"k": 1}}, Code.NOT_FOUND),
    ],
)
async def test_bad_changes_of_metadata_are_refused(yard: RoutineYard, raw: dict[str, Any], code: Code) -> None:
    before = {"n": 1, "long": "y" * (100 << 10)}
    run_id = await stored(yard, await yard.routine(text("a", "b")), run_metadata=before)
    with pytest.raises(Refusal) as refused:
        await changed(yard, run_id, **raw)
    assert refused.value.code is code
    assert (await yard.row(run_id))["run_metadata"] == before


async def test_members_do_not_change_metadata(yard: RoutineYard) -> None:
    run_id = await stored(yard, await yard.routine(text("a", "b")))
    sent, member = {"id": run_id, "set": {"k": 1}}, await yard.member(Role.MEMBER)
    with pytest.raises(Refusal) as refused:
        await yard.ask(routine_runs.update_routine_run_metadata, sent, None, member)
    assert refused.value.code is Code.FORBIDDEN
