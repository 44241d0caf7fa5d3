"""Schedules themselves: list, create, update, delete, and a run at once."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field
from sqlmodel import col

from models import bounds
from models.attention.inbox import InboxKind
from models.people.workspaces import Capability
from models.work.recurring_issues import LONGEST_CRON
from models.work.routine_runs import RoutineRun, RoutineTrigger
from models.work.routine_schedules import CatchupPolicy, RoutineSchedule
from models.work.saved_routines import SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import settle
from resolvers.kernel import (
    GRAPHQL_ONLY,
    Action,
    Bool,
    ById,
    Code,
    Context,
    Deleted,
    Id,
    Input,
    Int,
    Page,
    Paging,
    Patch,
    QueryScope,
    Refusal,
    Row,
    command,
    instance,
    invalid,
    query,
)
from resolvers.work.routine_runs.events import RoutineRunStarted
from resolvers.work.routine_runs.starting import store_run
from resolvers.work.routine_runs.triggering import (
    OptionalId,
    OptionalSlug,
    PinnedVersion,
    RoutineSlug,
    TriggerInputs,
    TriggerName,
    check_inputs,
    definition_of,
    ready_run,
    routine_named,
)
from resolvers.work.routine_schedules.events import (
    RoutineScheduleCreated,
    RoutineScheduleDeleted,
    RoutineScheduleUpdated,
)
from resolvers.work.routine_schedules.graph import NEXT_FIRST, SCHEDULE
from resolvers.work.routine_schedules.timing import first_of

MOST_FAILURES: Final = 5
LONGEST_JITTER: Final = 3600
"""Seconds."""
MOST_LISTED: Final = 500
MOST_SCHEDULES: Final = 1_000
ITSELF: Final = "must not be the routine that the schedule runs"
MODELS: Final = "must be a routine that declares `agentless`: true, because a check costs nothing"
STRICT_CREW: Final = "The crew of the agent that created the schedule may not run it any more"
GONE: Final = "The routine of the schedule was deleted"
TOO_MANY: Final = f"A workspace has at most {MOST_SCHEDULES:,} schedules"


def _failures(sent: Any) -> Any:
    return sent if not isinstance(sent, int) or isinstance(sent, bool) or sent >= 1 else MOST_FAILURES


Cron = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_CRON)]
ZoneName = Annotated[str, Field(strict=True, max_length=bounds.NAME)]
Failures = Annotated[Int, BeforeValidator(_failures)]
Jitter = Annotated[Int, Field(ge=0, le=LONGEST_JITTER)]


class ListRoutineSchedules(Paging):
    """A page of schedules."""

    page_default: ClassVar[int] = MOST_LISTED
    page_maximum: ClassVar[int] = MOST_LISTED


class CreateRoutineSchedule(Input):
    """A pipeline is a routine: `target_pipeline_slug` or `target_pipeline_id`, which counts more.
    `target_pipeline_version` pins a version; it need not exist yet.

    `cron_expr`: five fields of numbers or names, or @hourly, @daily, @weekly, @monthly, @yearly, or `@every 1h30m` with
    at least one minute. It applies in `timezone`, a name such as Europe/Berlin; by default UTC. `jitter_seconds`: each
    run starts by up to so many seconds later, always by the same.

    `catchup_policy`: the effect of missed occurrences. `skip` runs none, `once` one, and `all` a run for each, at most
    21, one after the other.

    `wake_pipeline_slug` or `wake_pipeline_id`: another routine, without a model, that runs first; without a true output
    the occurrence is left out. `wake_fail_closed`: also if the check fails.

    `max_consecutive_failures`: the schedule is disabled after so many; below 1, after 5.
    """

    target_pipeline_slug: OptionalSlug = None
    target_pipeline_id: OptionalId = None
    target_pipeline_version: PinnedVersion | None = None
    cron_expr: Cron
    timezone: ZoneName = "UTC"
    name: TriggerName = ""
    inputs: TriggerInputs = {}
    enabled: Bool = True
    jitter_seconds: Jitter = 0
    catchup_policy: CatchupPolicy = CatchupPolicy.once
    max_consecutive_failures: Failures = MOST_FAILURES
    wake_pipeline_slug: OptionalSlug = None
    wake_pipeline_id: OptionalId = None
    wake_inputs: TriggerInputs | None = None
    wake_fail_closed: Bool = False


class UpdateRoutineSchedule(Patch, ById):
    """As for creating one. A null `target_pipeline_version` follows the head again. An empty `wake_pipeline_slug` or
    `wake_pipeline_id` removes the check.
    """

    target_pipeline_slug: RoutineSlug
    target_pipeline_id: Id
    target_pipeline_version: PinnedVersion | None
    cron_expr: Cron
    timezone: ZoneName
    name: TriggerName
    inputs: TriggerInputs
    enabled: Bool
    jitter_seconds: Jitter
    catchup_policy: CatchupPolicy
    max_consecutive_failures: Failures
    wake_pipeline_slug: RoutineSlug
    wake_pipeline_id: Id
    wake_inputs: TriggerInputs
    wake_fail_closed: Bool


@dataclass(frozen=True, slots=True)
class Checked:
    """The routines of a schedule, as they were found."""

    target: SavedRoutine | None
    wake: SavedRoutine | None


@query("schedules.list", Action.READ, tickets=False)
def list_routine_schedules(scope: QueryScope, data: ListRoutineSchedules) -> Page[RoutineSchedule]:
    """List schedules of routines.

    Sorted by the time of the next run, then by id. Includes disabled schedules, and schedules of deleted
    routines.
    """
    return scope.select(RoutineSchedule).order_by(*NEXT_FIRST).page(data)


@query("schedules.get", Action.READ, subject=SCHEDULE, surfaces=GRAPHQL_ONLY, tickets=False)
def get_routine_schedule(scope: QueryScope, schedule: Row[RoutineSchedule], data: ById) -> Row[RoutineSchedule]:
    """Get a schedule of a routine."""
    return schedule


@command(
    "schedules.create",
    Action.CREATE,
    or_capability=Capability.routine_create,
    audit="routine_schedule.created",
    emits=RoutineScheduleCreated,
    errors=(Code.UNPROCESSABLE,),
    late=True,
)
async def create_routine_schedule(ctx: Context, data: CreateRoutineSchedule) -> RoutineSchedule:
    """Create a schedule of a routine.

    Runs start in the name of the caller, whose right to create schedules is checked again at each occurrence. Inputs
    are checked now and at each occurrence. A target that is proposed or disabled is taken; its occurrences are skipped.
    Times follow daylight saving: a skipped time runs as much later, a repeated time runs once. A workspace has at most
    1,000 schedules.
    """
    return await make_schedule(ctx, data, run_as_id=ctx.user_id or None)


async def make_schedule(ctx: Context, data: CreateRoutineSchedule, **more: Any) -> RoutineSchedule:
    """Stores a new schedule; begins the transaction of the command."""
    target = await routine_named(ctx, data.target_pipeline_id, data.target_pipeline_slug, key="target_pipeline")
    wake = await _wake_routine(ctx, data.wake_pipeline_id, data.wake_pipeline_slug, target.id)
    first = first_of(data.cron_expr, data.timezone, instance.clock.now())
    await check_inputs(await definition_of(ctx, target, data.target_pipeline_version), data.inputs, field="inputs")
    if wake is not None:
        await check_inputs(await definition_of(ctx, wake, None), data.wake_inputs or {}, field="wake_inputs")
    await ctx.begin()
    await ctx.lock(f"schedules of {ctx.workspace_id}")
    if await ctx.select(RoutineSchedule).count() >= MOST_SCHEDULES:
        raise Refusal(Code.UNPROCESSABLE, TOO_MANY)
    kept = {"cron_expr", "timezone", "inputs", "enabled", "jitter_seconds", "catchup_policy"}
    made = RoutineSchedule(
        routine_id=target.id,
        routine_version=data.target_pipeline_version,
        name=data.name.strip() or target.slug,
        max_consecutive_failures=data.max_consecutive_failures,
        wake_routine_id=None if wake is None else wake.id,
        wake_inputs=None if wake is None else data.wake_inputs,
        wake_fail_closed=wake is not None and data.wake_fail_closed,
        next_run_at=first,
        **data.model_dump(include=kept),
        **more,
    )
    ctx.emit(RoutineScheduleCreated(id=made.id))
    return await ctx.insert(made)


async def _wake_routine(ctx: Context, id: str | None, slug: str | None, target_id: str) -> SavedRoutine | None:
    """The routine of the check; BAD_REQUEST for the target itself, and for one that may call a model."""
    if id is None and slug is None:
        return None
    field = "wake_pipeline_slug" if id is None else "wake_pipeline_id"
    wake = await routine_named(ctx, id, slug, key="wake_pipeline")
    if wake.id == target_id:
        raise invalid(field, ITSELF)
    version = await definition_of(ctx, wake, None)
    if version is None or version.definition.get("agentless") is not True:
        raise invalid(field, MODELS)
    return wake


@command(
    "schedules.update",
    Action.MANAGE,
    subject=SCHEDULE,
    audit="routine_schedule.updated",
    emits=(RoutineScheduleUpdated, InboxItemUpdated),
    versioned=RoutineSchedule,
    late=True,
)
async def update_routine_schedule(
    ctx: Context, schedule: RoutineSchedule, data: UpdateRoutineSchedule
) -> RoutineSchedule:
    """Update a schedule of a routine.

    Its runs start in the name of the caller from then on. Enabling it clears its failures. The time of the next run is
    set anew, but one that has come stays with an unchanged expression and time zone, so that it is caught up.
    """
    sent = data.sent()
    if not sent:
        await ctx.begin()
        return await ctx.unchanged(RoutineSchedule, schedule.id)
    routines = await _checked(ctx, schedule, sent)
    await ctx.begin()
    current = await ctx.get(RoutineSchedule, schedule.id, lock=True)
    changes = _changes(current, sent, routines) | {"run_as_id": ctx.user_id or None, "by_agent": False}
    if changes.get("enabled") and not current.enabled:
        changes |= {"consecutive_failures": 0, "disabled_reason": None}
        await settle(ctx, InboxKind.schedule_circuit_breaker_tripped, current.id, "enabled")
    ctx.emit(RoutineScheduleUpdated(id=current.id))
    return await ctx.edit(current, **changes)


async def _checked(ctx: Context, schedule: RoutineSchedule, sent: dict[str, Any]) -> Checked:
    """Checks what the schedule would be with the changes."""
    target = None
    if id_or_slug := _named(sent, "target_pipeline"):
        target = await routine_named(ctx, *id_or_slug, key="target_pipeline")
    target_id = schedule.routine_id if target is None else target.id
    wake, named = None, _named(sent, "wake_pipeline")
    if named:
        wake = await _wake_routine(ctx, *named, target_id)
    elif not _removes_wake(sent) and schedule.wake_routine_id == target_id:
        raise invalid("target_pipeline_id" if "target_pipeline_id" in sent else "target_pipeline_slug", ITSELF)
    first_of(sent.get("cron_expr", schedule.cron_expr), sent.get("timezone", schedule.timezone), instance.clock.now())
    if target is not None or sent.keys() & {"inputs", "target_pipeline_version"}:
        routine = target or await ctx.select(SavedRoutine, col(SavedRoutine.id) == schedule.routine_id).first()
        number = sent.get("target_pipeline_version", schedule.routine_version)
        if routine is not None:
            version = await definition_of(ctx, routine, number)
            await check_inputs(version, sent.get("inputs", schedule.inputs), field="inputs")
    gate = None if _removes_wake(sent) else schedule.wake_routine_id if wake is None else wake.id
    if gate is not None and (wake is not None or "wake_inputs" in sent):
        routine = wake or await ctx.select(SavedRoutine, col(SavedRoutine.id) == gate).first()
        if routine is not None:
            given = sent.get("wake_inputs", schedule.wake_inputs) or {}
            await check_inputs(await definition_of(ctx, routine, None), given, field="wake_inputs")
    return Checked(target, wake)


def _named(sent: dict[str, Any], key: str) -> tuple[str | None, str | None] | None:
    """The id and the slug of a routine, if the body names one."""
    id, slug = sent.get(f"{key}_id") or None, sent.get(f"{key}_slug") or None
    return None if id is None and slug is None else (id, slug)


def _removes_wake(sent: dict[str, Any]) -> bool:
    keys = [key for key in ("wake_pipeline_id", "wake_pipeline_slug") if key in sent]
    return bool(keys) and _named(sent, "wake_pipeline") is None


def _changes(current: RoutineSchedule, sent: dict[str, Any], routines: Checked) -> dict[str, Any]:
    same = {
        "cron_expr", "timezone", "inputs", "enabled", "jitter_seconds", "catchup_policy", "max_consecutive_failures",
    }  # fmt: skip
    changes = {name: value for name, value in sent.items() if name in same}
    if routines.target is not None:
        changes["routine_id"] = routines.target.id
    if "target_pipeline_version" in sent:
        changes["routine_version"] = sent["target_pipeline_version"]
    if name := sent.get("name", "").strip():
        changes["name"] = name
    if _removes_wake(sent):
        changes |= {"wake_routine_id": None, "wake_inputs": None, "wake_fail_closed": False, "wake_run_id": None}
    else:
        changes |= {} if routines.wake is None else {"wake_routine_id": routines.wake.id}
        gated = routines.wake is not None or current.wake_routine_id is not None
        changes |= {name: sent[name] for name in ("wake_inputs", "wake_fail_closed") if gated and name in sent}
    now = instance.clock.now()
    cron, zone = changes.get("cron_expr", current.cron_expr), changes.get("timezone", current.timezone)
    is_kept = (cron, zone) == (current.cron_expr, current.timezone) and current.next_run_at <= now
    if not is_kept:
        changes |= {"next_run_at": first_of(cron, zone, now), "catchup_left": 0}
    return changes


@command(
    "schedules.delete",
    Action.MANAGE,
    subject=SCHEDULE,
    audit="routine_schedule.deleted",
    emits=(RoutineScheduleDeleted, InboxItemUpdated),
    versioned=RoutineSchedule,
)
async def delete_routine_schedule(ctx: Context, schedule: RoutineSchedule, data: ById) -> Deleted:
    """Delete a schedule of a routine.

    A run in progress continues, and the state of its runs stays.
    """
    await ctx.update(RoutineSchedule, schedule.id, enabled=False)
    await settle(ctx, InboxKind.schedule_circuit_breaker_tripped, schedule.id, "deleted")
    await ctx.delete(RoutineSchedule, schedule.id)
    ctx.emit(RoutineScheduleDeleted(id=schedule.id))
    return Deleted(id=schedule.id)


@command(
    "schedules.run",
    Action.CREATE,
    subject=SCHEDULE,
    audit="routine_run.started",
    emits=RoutineRunStarted,
    errors=(Code.CONFLICT, Code.UNPROCESSABLE, Code.RATE_LIMITED),
    late=True,
)
async def run_routine_schedule(ctx: Context, schedule: RoutineSchedule, data: ById) -> RoutineRun:
    """Run a schedule now.

    With the inputs, the version and the state of the schedule, and in the name of the caller; also if it is disabled,
    and without the wake check. Counters and times of the schedule stay. It is refused as any other start.
    """
    ready = await ready_run(ctx, schedule.routine_id, schedule.routine_version, schedule.inputs)
    if ready is None:
        raise Refusal(Code.NOT_FOUND, GONE)
    await ctx.begin()
    cause = cause_of(schedule, RoutineTrigger.schedule) | {"invoking_user_id": ctx.user_id or None}
    return await store_run(ctx, ready.version, ready.prepared, cause | {"pinned": ready.pinned})


def cause_of(schedule: RoutineSchedule, trigger: RoutineTrigger) -> dict[str, Any]:
    """The columns of a run that name its schedule."""
    return {"triggered_via": trigger, "triggered_by_id": schedule.id, "schedule_id": schedule.id}
