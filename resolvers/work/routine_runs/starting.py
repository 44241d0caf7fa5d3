"""The start of a run: its inputs are checked, and what it needs, before anything is stored."""

import asyncio
from collections.abc import Mapping, Set
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models.bounds import ERROR, PAYLOAD, cut
from models.people.workspaces import Capability
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.routine_runs import LARGEST_INPUTS, RoutineRun, RoutineRunStatus, RoutineTrigger
from models.work.saved_routines import RoutineStatus, RoutineVersion, SavedRoutine
from resolvers.kernel import (
    ENDS,
    Action,
    ById,
    Code,
    Context,
    Id,
    Int,
    Notes,
    Ref,
    Refusal,
    Text,
    at_most,
    command,
    invalid,
    within,
)
from resolvers.work.routine_budgets import ends_runs, month_of, reserve, wish_of
from resolvers.work.routine_runs.advancing import ADVANCE, begun_of
from resolvers.work.routine_runs.events import RoutineRunsQueued, RoutineRunStarted
from resolvers.work.routine_runs.graph import RUN
from resolvers.work.routine_runs.needs import check_needs
from resolvers.work.routine_runs.overriding import overrides_of
from resolvers.work.routine_runs.queueing import find_debounced, merge, queued_run, taken_over, told_of
from resolvers.work.routine_runs.states import bucket_of
from resolvers.work.routine_state import read_state
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug

if TYPE_CHECKING:
    from models.work.routines.preparing import PreparedRun

MOST_TAGS: Final = 10
LONGEST_TAG: Final = 128
"""contract: routines.run, tags"""
LATEST: Final = 30 * 24 * 3600
BY_CALLERS: Final = frozenset(RoutineTrigger) - {RoutineTrigger.wake_check, RoutineTrigger.automation}
NOT_EXECUTED: Final = "This server does not execute {parts} yet; the run was not started"
CHANGED: Final = "The routine was changed meanwhile; try again"
FULL: Final = "As many runs as the routine allows for this concurrency key are running; try again later"
NO_KEY: Final = "concurrency_key is empty with these inputs"
LARGE: Final = "must have at most 1 MiB together with its defaults"
LARGE_STATE: Final = "The state of the routine has more than 1 MiB"
DEBOUNCE: Final = 30
"""Seconds (contract: routines.run, debounce_window_seconds)."""


Seconds = Annotated[Int, Field(ge=0, le=LATEST)]


class RunRoutine(ByRoutineSlug):
    """`inputs`: values of the routine's inputs; the others have their defaults. `triggered_via`: manual, schedule,
    webhook, call_pipeline or issue; any other word means manual. `triggered_by_id` names the cause, such as an issue.
    `tags` are trimmed and in lower case. `metadata` is `run.metadata` in the routine.

    `delay_seconds` above 0 and `debounce_key` defer the run. A later start with the same `debounce_key` gives the
    queued run its inputs, and moves it to the end of a new window (`debounce_window_seconds`, 30 by default), but not
    further than `debounce_max_seconds` behind the first start. A deferred run is cancelled if it has not begun
    `ttl_seconds` after its time; runs of a higher `priority` get a free place first.
    """

    inputs: Annotated[dict[str, Any], within(PAYLOAD), ENDS] = {}
    triggered_via: Text = RoutineTrigger.manual.value
    triggered_by_id: Id | None = None
    tags: Annotated[list[Text], at_most(100)] = []
    metadata: Notes = {}
    invoking_crew_id: Annotated[Id, Ref(Crew)] | None = None
    invoking_agent_id: Annotated[Id, Ref(Agent)] | None = None
    delay_seconds: Seconds = 0
    debounce_key: Text | None = None
    debounce_window_seconds: Seconds = DEBOUNCE
    debounce_max_seconds: Seconds = 0
    ttl_seconds: Seconds = 0
    priority: Int = 0


class ReplayRoutineRun(ById):
    """`pinned_version`: the number of the version to execute."""

    pinned_version: Annotated[Int, Field(ge=1)] | None = None


@command(
    "routines.run",
    Action.CREATE,
    or_capability=Capability.routine_run,
    subject=ROUTINE,
    audit="routine_run.started",
    emits=(RoutineRunStarted, RoutineRunsQueued),
    errors=(Code.CONFLICT, Code.UNPROCESSABLE, Code.RATE_LIMITED),
    late=True,
)
async def run_routine(ctx: Context, routine: SavedRoutine, data: RunRoutine) -> RoutineRun:
    """Start a run of a routine.

    Answers when the run is stored: it continues without the caller, also after a restart of the server. Refused are
    routines that are not active, inputs that the routine does not take, missing integrations and credentials, runs for
    which nothing is left of a monthly budget with a hard stop, and definitions with parts that this server does not
    execute yet: steps of the types `call_pipeline`, `script` and `crewship`, agents in loops and their `validation` and
    `outcomes`, code other than `expr` and `cel`, `credential_ref` and `secrets`. A deferred run is checked now, and
    again when it begins.
    """
    check_active(routine)
    cause: dict[str, Any] = {
        "run_metadata": data.metadata,
        "tags": tags_of(data.tags),
        "triggered_via": _trigger_of(data.triggered_via),
        "triggered_by_id": data.triggered_by_id,
        "invoking_crew_id": data.invoking_crew_id,
        "invoking_agent_id": data.invoking_agent_id,
    }
    version = await version_of(ctx, routine, routine.head_version)
    if data.delay_seconds or data.debounce_key:
        return await _defer(ctx, routine, version, data, cause)
    return await start(ctx, routine, version, data.inputs, cause)


@command(
    "routines.replay_run",
    Action.CREATE,
    subject=RUN,
    audit="routine_run.replayed",
    emits=RoutineRunStarted,
    errors=(Code.CONFLICT, Code.UNPROCESSABLE, Code.RATE_LIMITED),
    late=True,
)
async def replay_routine_run(ctx: Context, run: RoutineRun, data: ReplayRoutineRun) -> RoutineRun:
    """Start a run again.

    With the inputs, tags and metadata of the run, and the routine's current definition, or `pinned_version`. It is
    refused as any other start.
    """
    routine = await ctx.select(SavedRoutine, col(SavedRoutine.id) == run.routine_id).one(ROUTINE.missing)
    check_active(routine)
    pinned = data.pinned_version is not None
    version = await version_of(ctx, routine, data.pinned_version if pinned else routine.head_version)
    cause = taken_over(run) | {"pinned": pinned}
    return await start(ctx, routine, version, run.inputs, cause, **limits_of(run.inputs, restricted=run.restricted))


async def version_of(ctx: Context, routine: SavedRoutine, number: int | None) -> RoutineVersion:
    same = (col(RoutineVersion.routine_id) == routine.id, col(RoutineVersion.number) == number)
    version = await ctx.select(RoutineVersion, *same).first()
    if version is None:
        raise Refusal(Code.CONFLICT, f"The routine has no version {number}")
    return version


async def start(
    ctx: Context,
    routine: SavedRoutine,
    version: RoutineVersion,
    inputs: Mapping[str, Any],
    cause: dict[str, Any],
    **limits: Any,
) -> RoutineRun:
    """Checks the definition outside the transaction, and in it that the routine is still the same. `limits` are those
    of `prepared_run`.
    """
    prepared = await prepared_run(ctx, routine, version, inputs, **limits)
    await check_needs(ctx, routine.author_crew_id, prepared.integrations, prepared.credentials)
    await ctx.begin()
    return await store_run(ctx, version, prepared, {"invoking_user_id": ctx.user_id or None} | cause)


async def store_run(
    ctx: Context, version: RoutineVersion, prepared: "PreparedRun", cause: dict[str, Any]
) -> RoutineRun:
    """Stores a run in the transaction of the caller: every trigger starts runs by it. Raises a Refusal."""
    current = await admitted(ctx, version, pinned=bool(cause.get("pinned")))
    if not await takes_place(ctx, prepared):
        raise Refusal(Code.RATE_LIMITED, FULL, extra={"retry_after": 5})
    run = RoutineRun(
        routine_id=version.routine_id,
        definition_hash=version.definition_hash,
        inputs=prepared.inputs,
        overrides=dict(prepared.overrides),
        concurrency_key=prepared.key,
        **cause,
    )
    run.state = await state_for(ctx, run)
    run.reserved_usd = await reserved_for(ctx, current, version)
    ctx.emit(RoutineRunStarted(**begun_of(run, current), step_count=prepared.steps))
    ctx.enqueue(ADVANCE, run_id=run.id)
    return await ctx.insert(run)


async def admitted(ctx: Context, version: RoutineVersion, *, pinned: bool = False) -> SavedRoutine:
    """The routine, locked. Every start passes here, of a queued run when it begins. Raises a Refusal if the routine is
    not active, or has another definition than the one that was checked.
    """
    current = await ctx.select(SavedRoutine, col(SavedRoutine.id) == version.routine_id).locked().one(ROUTINE.missing)
    check_active(current)
    if current.definition_hash != version.definition_hash and not pinned:
        raise Refusal(Code.CONFLICT, CHANGED)
    return current


async def _defer(
    ctx: Context, routine: SavedRoutine, version: RoutineVersion, data: RunRoutine, cause: dict[str, Any]
) -> RoutineRun:
    """A queued run, checked as one that begins at once; or the one of the debounce key, with these inputs."""
    prepared = await prepared_run(ctx, routine, version, data.inputs)
    await check_needs(ctx, routine.author_crew_id, prepared.integrations, prepared.credentials)
    await ctx.begin()
    current, now = await admitted(ctx, version), await ctx.now()
    seconds = max(data.delay_seconds, data.debounce_window_seconds if data.debounce_key else 0)
    fire_at = now + timedelta(seconds=seconds)
    given: dict[str, Any] = {"inputs": data.inputs, "priority": data.priority}
    if data.ttl_seconds:
        given["expires_at"] = fire_at + timedelta(seconds=data.ttl_seconds)
    if data.debounce_key and (waiting := await find_debounced(ctx, routine.id, data.debounce_key)) is not None:
        most = timedelta(seconds=data.debounce_max_seconds)
        kept = {name: cause[name] for name in ("run_metadata", "tags")}
        return await merge(ctx, waiting, waiting.created_at + most if most else None, fire_at, **given, **kept)
    run = queued_run(
        current, fire_at, debounce_key=data.debounce_key or None, invoking_user_id=ctx.user_id or None, **given, **cause
    )
    ctx.enqueue(ADVANCE, at=fire_at, run_id=run.id)
    ctx.emit(told_of(current, 1, None))
    return await ctx.insert(run)


def _trigger_of(word: str) -> RoutineTrigger:
    """Another word means manual (contract: routines.run)."""
    return RoutineTrigger(word) if word in BY_CALLERS else RoutineTrigger.manual


def check_active(routine: SavedRoutine) -> None:
    if routine.status is not RoutineStatus.active:
        hint = "approve it first" if routine.status is RoutineStatus.proposed else "enable it first"
        told = {"status": routine.status.value, "hint": hint}
        raise Refusal(Code.CONFLICT, f"The routine is {routine.status.value}", extra=told)


def tags_of(given: list[str]) -> list[str]:
    tags = list(dict.fromkeys(tag.strip().lower() for tag in given if tag.strip()))
    if len(tags) > MOST_TAGS or any(len(tag) > LONGEST_TAG for tag in tags):
        raise invalid("tags", f"a run has at most {MOST_TAGS} tags of {LONGEST_TAG} characters")
    return tags


def limits_of(inputs: Mapping[str, Any], *, restricted: bool) -> dict[str, Any]:
    """The limits of inputs that a run has, or gets from a delivery. A delivery may bring more bytes than a caller
    sends, and its event without JSON is text, for an input of any type.
    """
    raw = inputs.get("raw")
    is_text = restricted and isinstance(raw, str) and raw != "" and inputs.get("event") == raw
    return {"most": LARGEST_INPUTS if restricted else PAYLOAD, "untyped": frozenset({"event"} if is_text else ())}


async def prepared_run(
    ctx: Context,
    routine: SavedRoutine,
    version: RoutineVersion,
    inputs: Mapping[str, Any],
    *,
    most: int = PAYLOAD,
    untyped: Set[str] = frozenset(),
) -> "PreparedRun":
    """The needs of a definition, changed by the overrides of the routine. Raises a Refusal as `prepared_of` does."""
    overrides = await overrides_of(ctx, routine.id)
    return await prepared_of(version.source, inputs, overrides, most=most, untyped=untyped)


async def prepared_of(
    source: str,
    inputs: Mapping[str, Any],
    overrides: Mapping[str, Any],
    *,
    most: int = PAYLOAD,
    untyped: Set[str] = frozenset(),
) -> "PreparedRun":
    """The needs of a definition with these inputs, of at most so many bytes. Raises a Refusal: BAD_REQUEST for inputs,
    UNPROCESSABLE for the definition.
    """
    # A process that starts no run does not load the language; the first start loads it beside the event loop.
    await asyncio.to_thread(import_module, "models.work.routines.preparing")
    from models.work.routines.faults import RefusedRoutine
    from models.work.routines.inputs import RefusedInputs
    from models.work.routines.preparing import prepare
    from models.work.routines.templates import RenderedTooLargeError

    try:
        prepared = await asyncio.to_thread(prepare, source, inputs, overrides, untyped)
    except RefusedRoutine as refusal:
        raise Refusal(Code.UNPROCESSABLE, cut(str(refusal), ERROR)) from None
    except RefusedInputs as refusal:
        fields = {cut(fault.pointer.removeprefix("/"), ERROR // 10): fault.text for fault in refusal.faults}
        name, text = next(iter(fields.items()))
        raise Refusal(Code.BAD_REQUEST, f"{name}: {text}", fields=fields) from None
    except RenderedTooLargeError:
        raise invalid("inputs", LARGE) from None
    if prepared.unsupported:
        raise Refusal(Code.UNPROCESSABLE, NOT_EXECUTED.format(parts=", ".join(prepared.unsupported)))
    if prepared.key == "":
        raise Refusal(Code.UNPROCESSABLE, NO_KEY)
    if len(orjson.dumps(prepared.inputs)) > most:
        raise invalid("inputs", LARGE)
    return prepared


async def takes_place(ctx: Context, prepared: "PreparedRun") -> bool:
    """Returns false if as many runs of the key run as may. Runs that wait hold no place."""
    if prepared.key is None:
        return True
    await ctx.lock(f"routine key {ctx.workspace_id}/{prepared.key}")
    same = (col(RoutineRun.concurrency_key) == prepared.key, col(RoutineRun.status) == RoutineRunStatus.running)
    return await ctx.select(RoutineRun, *same).count() < prepared.most


async def state_for(ctx: Context, run: RoutineRun) -> dict[str, str]:
    """The state that the run reads, as it is now."""
    state = await read_state(ctx, run.routine_id, bucket_of(run))
    if len(orjson.dumps(state)) > PAYLOAD:
        raise Refusal(Code.UNPROCESSABLE, LARGE_STATE)
    return state


async def reserved_for(ctx: Context, routine: SavedRoutine, version: RoutineVersion) -> float:
    """US dollars of the routine's monthly budget for the run. Refuses it if nothing is left."""
    if not ends_runs(routine):
        return 0.0
    portion = await reserve(ctx, routine, month_of(await ctx.now()), wish_of(version.definition))
    if portion.refusal is not None:
        raise portion.refusal
    return portion.most
