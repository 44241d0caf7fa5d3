"""Cases of runs of routines, for the tests that are made for every operation."""

import hashlib
import json
from datetime import timedelta
from typing import Any

from models.work.routine_runs import (
    RoutineRun,
    RoutineRunStatus,
    RoutineRunStep,
    RoutineStepState,
    RoutineTrigger,
    SignalStatus,
    SignalWait,
    Waitpoint,
    WaitpointStatus,
)
from models.work.saved_routines import RoutineVersion, SavedRoutine
from resolvers.work.routines.save_tokens import issue_save_token
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.reader.oracle import Asker, Listing, Row, Store, ordered
from tests.reader.words import Arguments, Order, by, found, named_by_slug, tenants
from tests.world import now

HASH, RUNNABLE = "0" * 64, "1" * 64
DOCUMENT = {"name": "neap", "steps": [{"id": "a", "type": "transform", "transform": {"input": "7", "expression": "."}}]}


def _run(plot: Plot, **changes: Any) -> RoutineRun:
    given: dict[str, Any] = {
        "routine_id": plot["routine"].id,
        "definition_hash": HASH,
        "invoking_user_id": plot.owner.user_id,
        "inputs": {"x": "high"},
        "tags": ["daily"],
    }
    return RoutineRun(**(given | changes), **plot.here)


@entity
def runnable_routine(plot: Plot) -> SavedRoutine:
    authors = {"author_agent_id": plot["agent"].id, "author_user_id": plot.owner.user_id}
    return SavedRoutine(slug="neap", name="Neap", definition_hash=RUNNABLE, manifest={}, **authors, **plot.here)


@entity
def runnable_version(plot: Plot) -> RoutineVersion:
    said: dict[str, Any] = {"definition_hash": RUNNABLE, "source": json.dumps(DOCUMENT), "definition": DOCUMENT}
    return RoutineVersion(
        routine_id=plot["runnable_routine"].id, number=1, author_id=plot.owner.user_id, **said, **plot.here
    )


@entity
def routine_run(plot: Plot) -> RoutineRun:
    """It waits for an approval and an event."""
    return _run(
        plot,
        status=RoutineRunStatus.waiting,
        current_step_id="gate",
        invoking_crew_id=plot["crew"].id,
        invoking_agent_id=plot["agent"].id,
        triggered_via=RoutineTrigger.issue,
        triggered_by_id="OPS-1",
    )


@entity
def ended_routine_run(plot: Plot) -> RoutineRun:
    return _run(
        plot,
        routine_id=plot["runnable_routine"].id,
        status=RoutineRunStatus.failed,
        current_step_id="a",
        concurrency_key="tides",
        output="",
        error_message="the tide is out",
        error_fingerprint="0123456789abcdef",
        failed_at_step="a",
        ended_at=now(),
        stopping_at=now(),
        replay_of=plot["routine_run"].id,
        triggered_by_id=plot["routine_run"].id,
    )


@entity
def running_routine_run(plot: Plot) -> RoutineRun:
    return _run(plot, routine_id=plot["runnable_routine"].id, current_step_id="a")


@entity
def queued_routine_run(plot: Plot) -> RoutineRun:
    """It waits for its time, as a part of a batch."""
    return _run(
        plot,
        routine_id=plot["runnable_routine"].id,
        status=RoutineRunStatus.queued,
        fire_at=now() + timedelta(days=1),
        expires_at=now() + timedelta(days=2),
        debounce_key="k",
        batch_id="batch_c0ffee",
    )


@entity
def routine_run_step(plot: Plot) -> RoutineRunStep:
    return RoutineRunStep(
        routine_run_id=plot["routine_run"].id,
        path="a",
        step_type="transform",
        state=RoutineStepState.completed,
        output="Ahoy",
        error="once",
        ended_at=now(),
        due_at=now(),
        **plot.here,
    )


@entity
def waitpoint(plot: Plot) -> Waitpoint:
    run_id = plot["routine_run"].id
    return Waitpoint(routine_run_id=run_id, path="gate", prompt="Sail?", timeout_at=now(), **plot.here)


@entity
def decided_waitpoint(plot: Plot) -> Waitpoint:
    return Waitpoint(
        routine_run_id=plot["ended_routine_run"].id,
        path="gate",
        prompt="Sail?",
        status=WaitpointStatus.denied,
        timeout_at=now(),
        decided_at=now(),
        decided_by_user_id=plot.owner.user_id,
        comment="not today",
        **plot.here,
    )


@entity
def signal_wait(plot: Plot) -> SignalWait:
    run_id = plot["routine_run"].id
    return SignalWait(routine_run_id=run_id, path="event", event_type="docked", **plot.here)


@entity
def taken_signal_wait(plot: Plot) -> SignalWait:
    run_id = plot["ended_routine_run"].id
    taken: dict[str, Any] = {"status": SignalStatus.consumed, "payload": "pier 4"}
    return SignalWait(routine_run_id=run_id, path="event", event_type="docked", **taken, **plot.here)


def _neap(**values: Any) -> Recipe:
    named = {"slug": lambda world: world.home["runnable_routine"].slug}
    return Recipe(values | named, chosen=frozenset({"step_id"}))


def _token(world: Any) -> str:
    """As the test run of the crew gives it."""
    hash_ = hashlib.sha256(DEFINITION.encode()).hexdigest()
    return issue_save_token(world.home.workspace.id, hash_, world.home["crew"].id)


DEFINITION = json.dumps(DOCUMENT)
BATCH = {"batch_id": lambda world: world.home["queued_routine_run"].batch_id}
ANONYMOUS = frozenset({"waitpoints.complete"})
IDS = {"routine_run_id": "routine_run"}
STEP = frozenset({"step_id"})
"""Steps are parts of a document."""
RECIPES = {
    "routines.run": Recipe(
        {"slug": lambda world: world.home["runnable_routine"].slug, "inputs": {}}, chosen=frozenset({"triggered_by_id"})
    ),
    "routines.overrides": Recipe({"slug": lambda world: world.home["runnable_routine"].slug}),
    "routines.override_set": Recipe(
        {"slug": lambda world: world.home["runnable_routine"].slug, "step_id": "a", "model_override": "fast"},
        chosen=STEP,
    ),
    "routines.override_clear": Recipe({"slug": lambda world: world.home["routine"].slug, "step_id": "a"}, chosen=STEP),
    **{f"routine_runs.{name}": Recipe(ids={"id": "routine_run"}) for name in ("tree", "logs", "changes", "files")},
    "routine_runs.metadata": Recipe({"set": {"pier": 4}}, ids={"id": "routine_run"}),
    "routines.cancel_run": Recipe(ids={"id": "routine_run"}),
    "routine_runs.get": Recipe(ids={"id": "routine_run"}),
    "routines.replay_run": Recipe(ids={"id": "ended_routine_run"}),
    "signals.send": Recipe({"event_type": "docked"}),
    "routines.test_run": Recipe({"definition": DEFINITION}),
    "routines.dry_run": _neap(),
    "routines.step_run": _neap(step_id="a"),
    "routines.step_try": _neap(step_id="a", step_type="transform"),
    "routines.step_ask": _neap(
        step_id="a", step_type="agent_run", agent_slug=lambda world: world.home["agent"].slug, prompt="Hoist"
    ),
    "routines.run_batch": _neap(items=[{"inputs": {"x": "low"}}]),
    "routines.batch": Recipe(BATCH, chosen=frozenset({"batch_id"})),
    "routines.cancel_batch": Recipe(BATCH, chosen=frozenset({"batch_id"})),
    "routines.bulk_replay": Recipe(
        {"run_ids": lambda world: [world.home["ended_routine_run"].id]}, chosen=frozenset({"run_ids"})
    ),
    "routines.pending_cancel": Recipe(
        {"pending_id": lambda world: world.home["queued_routine_run"].id}, chosen=frozenset({"pending_id"})
    ),
    "internal.pipelines.test_run": Recipe({"definition": DEFINITION}, ids={"author_crew_id": "crew"}),
    "internal.pipelines.save": Recipe(
        {
            "slug": "nip",
            "definition": DEFINITION,
            "save_token": _token,
            "author_crew_id": lambda world: world.home["crew"].id,
        },
        chosen=frozenset({"author_chat_id", "author_run_id"}),
    ),
    "internal.pipelines.run": _neap(inputs={}),
    "internal.pipelines.run_result": Recipe(ids={"id": "routine_run"}),
    "routine_runs.signal": Recipe({"event_type": "docked"}, ids={"id": "routine_run"}),
    "routines.run_records": Recipe({"slug": lambda world: world.home["runnable_routine"].slug}),
    "waitpoints.complete": Recipe({"token": lambda world: world.home["waitpoint"].token, "approved": True}),
    "waitpoints.approve": Recipe({"token": lambda world: world.home["waitpoint"].token, "approved": True}),
}

NEWEST: Order = by("-started_at", "-id")
NEWEST_WAITPOINT: Order = by("-created_at", "-id")
LIVE = ("queued", "running", "waiting")


def routine_runs(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    status = arguments.get("status")
    chosen = LIVE if status == "active" else (status,)
    rows = [
        row
        for row in tenants(store, asker, "RoutineRun")
        if (status is None or row["status"] in chosen)
        and (arguments.get("since") is None or row["started_at"] >= arguments["since"])
    ]
    return Listing("RoutineRun", ordered(rows, NEWEST), NEWEST, (50, 200), clamped=False)


def active(store: Store, asker: Asker, _: Arguments) -> Listing:
    rows = [row for row in tenants(store, asker, "RoutineRun") if row["status"] == "running"]
    return Listing("RoutineRun", ordered(rows, NEWEST)[:500])


def records(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    routine = named_by_slug("SavedRoutine")(store, asker, arguments)
    status, tag = arguments.get("status"), arguments.get("tag")
    rows = [
        row
        for row in tenants(store, asker, "RoutineRun")
        if row["routine_id"] == routine.row["id"]
        and (status is None or row["status"] == status)
        and (tag is None or tag in row["tags"])
    ]
    return Listing("RoutineRun", ordered(rows, NEWEST), NEWEST, (50, 500), clamped=False)


def _pending(store: Store, asker: Asker) -> list[Row]:
    rows = [row for row in tenants(store, asker, "Waitpoint") if row["status"] == "pending"]
    return ordered(rows, NEWEST_WAITPOINT)


def _queued(store: Store, asker: Asker, _: Arguments) -> Listing:
    rows = [row for row in tenants(store, asker, "RoutineRun") if row["status"] == "queued"]
    return Listing("RoutineRun", ordered(rows, by("fire_at", "id"))[:100])


ADDED = {
    "routines.batch": "the progress of a batch, whose runs begin after its answer",
    "routines.cancel_batch": "the runs of a batch that have not begun are cancelled together",
}
READS = {
    "pendingRoutineRuns": _queued,
    "routineRuns": routine_runs,
    "routineRun": found("RoutineRun"),
    "activeRoutineRuns": active,
    "routineRunRecords": records,
    "waitpoints": lambda store, asker, _: Listing("Waitpoint", _pending(store, asker)[:200]),
    "findWaitpoints": lambda store, asker, _: Listing("Waitpoint", _pending(store, asker), NEWEST_WAITPOINT, (50, 100)),
}
