"""The record of a run, one transaction a step. Each of them holds the run's row: it refuses to write for a run that
has ended or is to stop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import DESCRIPTION, ERROR, LINE, cut
from models.people.workspaces import Role
from models.work.routine_runs import (
    WAITPOINT_STATES,
    RoutineRun,
    RoutineRunStatus,
    RoutineRunStep,
    RoutineStepState,
    SignalWait,
    Waitpoint,
    WaitpointStatus,
)
from models.work.saved_routines import RoutineTrustGrant, SavedRoutine
from resolvers.attention.inbox.putting import put, settle
from resolvers.kernel import Context, Event
from resolvers.kernel.ground.inputs import INT32
from resolvers.work.routine_budgets import month_of, tell_of_costs
from resolvers.work.routine_runs.advancing import PREVIEW, keys_of
from resolvers.work.routine_runs.events import (
    RoutineStepCompleted,
    RoutineStepRetrying,
    RoutineStepSkipped,
    RoutineStepStarted,
)
from resolvers.work.routine_trust import offer_of, use_trust

MOST_WARNINGS: Final = 50
TITLE: Final = 80
"""Characters of the title of an inbox item (contract: waitpoints.behaviour)."""
TRUNCATED: Final = "...(truncated)"
_KEYS: Final = ("workspace_id", "routine_run_id", "path")


@dataclass(frozen=True, slots=True)
class StepPlace:
    """Names a step within a run: `top` is the step of the document that it belongs to, and `index` its number."""

    path: str
    type: str
    top: str
    index: int
    condition: str = ""
    attempts: int = 1

    @property
    def id(self) -> str:
        """Steps of loops send events under their own ids (contract: routines-dsl.foreach)."""
        return self.path.rpartition("].")[2]


class RunStoppedError(Exception):
    """The run has ended, or was cancelled: nothing more is recorded."""


async def held_run(ctx: Context, run_id: str) -> RoutineRun:
    """The run, locked. Raises RunStoppedError if nothing more may be written for it."""
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).locked().first()
    if run is None or run.status is not RoutineRunStatus.running or run.stopping_at is not None:
        raise RunStoppedError(run_id)
    return run


async def record(
    ctx: Context,
    routine: SavedRoutine,
    run_id: str,
    place: StepPlace,
    changes: Mapping[str, Any],
    *,
    now: datetime,
    cost: float = 0,
) -> None:
    """Writes a step as it is now, and sends its event."""
    run = await held_run(ctx, run_id)
    here = (col(RoutineRunStep.routine_run_id) == run_id, col(RoutineRunStep.path) == place.path)
    step = await ctx.select(RoutineRunStep, *here).first()
    if changes.get("error") is not None:
        changes = {**changes, "error": cut(changes["error"], ERROR)}
    await ctx.update(RoutineRun, run_id, current_step_id=place.top, cost_usd=run.cost_usd + cost)
    if cost > 0:
        await tell_of_costs(ctx, routine.id, month_of(run.started_at))
    event = _event_of(keys_of(run, routine), place, changes, step, now, cost)
    if event is not None:
        ctx.emit(event)
    if step is None:
        named: dict[str, Any] = {"routine_run_id": run_id, "path": place.path, "step_type": place.type}
        await ctx.insert(RoutineRunStep(**named, cost_usd=cost, **changes))
    else:
        await ctx.update(RoutineRunStep, step.id, cost_usd=step.cost_usd + cost, **changes)


def _event_of(
    keys: dict[str, str],
    place: StepPlace,
    changes: Mapping[str, Any],
    step: RoutineRunStep | None,
    now: datetime,
    cost: float,
) -> Event | None:
    """A failed step has no event of its own: the event of the run names it (contract: routines.run_events)."""
    match changes["state"]:
        case RoutineStepState.started | RoutineStepState.parked if step is None:
            named: dict[str, Any] = {"step_index": place.index, "step_type": place.type}
            return RoutineStepStarted(**keys, step_id=place.id, **named, tier_adapter="", tier_model="")
        case RoutineStepState.skipped:
            return RoutineStepSkipped(**keys, step_id=place.id, condition=cut(place.condition, PREVIEW))
        case RoutineStepState.completed:
            began = now if step is None else step.started_at
            spent = max((now - began).total_seconds(), 0) * 1000
            total = cost + (0 if step is None else step.cost_usd)
            shown = preview_of(changes["output"])
            return RoutineStepCompleted(
                **keys, step_id=place.id, output_preview=shown, duration_ms=min(int(spent), INT32), cost_usd=total
            )
        case RoutineStepState.retrying:
            attempt = 1 if step is None else step.attempt
            pause = max((changes["due_at"] - now).total_seconds(), 0) * 1000
            shown = cut(changes["error"] or "", PREVIEW)
            told: dict[str, Any] = {"max": place.attempts, "error_message_preview": shown, "sleep_ms": int(pause)}
            return RoutineStepRetrying(**keys, step_id=place.id, attempt=attempt, **told)
    return None


def preview_of(output: str) -> str:
    """At most 500 bytes of an output."""
    whole = output.encode()
    return output if len(whole) <= PREVIEW else whole[:PREVIEW].decode(errors="ignore") + TRUNCATED


async def forget_failures(ctx: Context, run_id: str, path: str) -> None:
    """The failed steps of a loop that is repeated begin anew."""
    below = (
        col(RoutineRunStep.routine_run_id) == run_id,
        col(RoutineRunStep.path).startswith(f"{path}[", autoescape=True),
        col(RoutineRunStep.state) == RoutineStepState.failed,
    )
    await ctx.delete_where(RoutineRunStep, *below)


async def await_decision(
    ctx: Context, routine: SavedRoutine, run: RoutineRun, path: str, prompt: str, until: datetime
) -> bool:
    """Asks managers in the inbox; or returns true if a standing approval decides. The item names the approval by its
    id, because all members receive its event, and the token alone decides.
    """
    if (grant := await use_trust(ctx, routine, run, path)) is not None:
        await ctx.upsert(_approved_by(grant, run, path, prompt, until, await ctx.now()), *_KEYS)
        return True
    made = await ctx.upsert(Waitpoint(routine_run_id=run.id, path=path, prompt=prompt, timeout_at=until), *_KEYS)
    payload = {
        "pipeline_run_id": run.id,
        "step_id": path,
        "invoking_crew_id": run.invoking_crew_id or "",
        "timeout_at": until.isoformat(timespec="seconds"),
        "trust_offer": await offer_of(ctx, routine, run, path),
    }
    await put(
        ctx,
        InboxKind.waitpoint,
        made.id,
        subject=None,
        target_role=Role.MANAGER,
        title=cut(" ".join(prompt.split()), TITLE) or "Approval required",
        body_md=cut(prompt, DESCRIPTION),
        sender_type=SenderType.pipeline,
        sender_name=cut(routine.name or routine.slug, LINE),
        priority=InboxPriority.high,
        blocking=True,
        payload=payload,
    )
    return False


def _approved_by(
    grant: RoutineTrustGrant, run: RoutineRun, path: str, prompt: str, until: datetime, now: datetime
) -> Waitpoint:
    """contract: routine_trust.behaviour.use"""
    told = {
        "auto_approved": True,
        "grant_id": grant.id,
        "granted_by_user_id": grant.granted_by_user_id,
        "grant_uses": grant.uses,
        "definition_hash": grant.definition_hash,
    }
    return Waitpoint(
        routine_run_id=run.id,
        path=path,
        prompt=prompt,
        timeout_at=until,
        status=WaitpointStatus.approved,
        decided_at=now,
        decided_by_user_id=grant.granted_by_user_id,
        comment=orjson.dumps(told).decode(),
        grant_id=grant.id,
    )


async def await_signal(ctx: Context, run_id: str, path: str, event_type: str) -> None:
    await ctx.upsert(SignalWait(routine_run_id=run_id, path=path, event_type=event_type), *_KEYS)


async def time_out(ctx: Context, run_id: str, path: str) -> WaitpointStatus | None:
    """The status of an approval whose time is over: a decision that came first counts. None if it waits for an event,
    which no longer does.
    """
    await held_run(ctx, run_id)
    here = (col(Waitpoint.routine_run_id) == run_id, col(Waitpoint.path) == path)
    waitpoint = await ctx.select(Waitpoint, *here).locked().first()
    if waitpoint is None:
        await ctx.delete_where(SignalWait, col(SignalWait.routine_run_id) == run_id, col(SignalWait.path) == path)
        return None
    if waitpoint.status is WaitpointStatus.pending:
        await ctx.move(WAITPOINT_STATES, waitpoint, WaitpointStatus.timed_out)
        await settle(ctx, InboxKind.waitpoint, waitpoint.id, "timed_out")
        return WaitpointStatus.timed_out
    return waitpoint.status


async def warn(ctx: Context, run_id: str, stage: str, message: str) -> None:
    """A warning on the run; of very many the first ones are kept."""
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).locked().first()
    if run is None or len(run.warnings) >= MOST_WARNINGS:
        return
    now = await ctx.now()
    warning: dict[str, Any] = {"stage": stage, "message": cut(message, 1000), "at": now.isoformat()}
    await ctx.update(RoutineRun, run_id, warnings=[*run.warnings, warning])
