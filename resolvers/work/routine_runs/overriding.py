"""Overrides of steps: another prompt or model for all later runs, without a new version of the definition."""

import asyncio
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models.bounds import LINE, PAYLOAD, PROMPT
from models.work.saved_routines import LONGEST_SLUG, RoutineStepOverride, RoutineVersion, SavedRoutine
from resolvers.kernel import (
    Absent,
    Action,
    Code,
    Context,
    Output,
    Refusal,
    command,
    procedure,
)
from resolvers.work.routine_trust import end_trust
from resolvers.work.routines.definitions import refused_for
from resolvers.work.routines.graph import BY_STEP, ROUTINE, ByRoutineSlug

MOST_OVERRIDES: Final = 500
"""As many as a definition has steps."""
LARGEST: Final = PAYLOAD // 2
"""Bytes of all overrides of a routine: a run has a copy of them."""
NOTHING: Final = "prompt or model_override is required"
NO_STEP: Final = "The routine has no such step"
MANY: Final = f"A routine has at most {MOST_OVERRIDES} overrides of {LARGEST:,} bytes in all"
OVERRIDDEN: Final = "a step was overridden"


class ByRoutineStep(ByRoutineSlug):
    """A step of a routine by its id."""

    step_id: Annotated[str, Field(strict=True, max_length=LONGEST_SLUG)]


class SetStepOverride(ByRoutineStep):
    """`model_override`: a model, or an adapter and its model (`claude:claude-sonnet-4-6`), or a complexity (trivial,
    fast, moderate, smart), which stands for a model.
    """

    prompt: Annotated[str, Field(strict=True, max_length=PROMPT)] = ""
    model_override: Annotated[str, Field(strict=True, max_length=LINE)] = ""


class StepOverride(Output):
    """Another prompt or model of a step."""

    step_id: str
    prompt: Annotated[str | None, Absent()]
    model_override: Annotated[str | None, Absent()]


class StepOverrides(Output):
    """The overrides of a routine, by step."""

    overrides: list[StepOverride]


class StepOverrideChanged(Output):
    """Later runs execute the step so."""

    ok: bool = True
    step_id: str


@procedure("routines.overrides", Action.READ, subject=ROUTINE)
async def list_step_overrides(ctx: Context, routine: SavedRoutine, data: ByRoutineSlug) -> StepOverrides:
    """List overrides of the steps of a routine.

    Later runs of any version use them.
    """
    found = await _of(ctx, routine.id)
    return StepOverrides(
        overrides=[
            StepOverride(step_id=each.step_id, prompt=each.prompt, model_override=each.model_override) for each in found
        ]
    )


async def _of(ctx: Context, routine_id: str) -> list[RoutineStepOverride]:
    of_routine = col(RoutineStepOverride.routine_id) == routine_id
    return await ctx.select(RoutineStepOverride, of_routine).order_by(*BY_STEP).all()


async def overrides_of(ctx: Context, routine_id: str) -> dict[str, Any]:
    """The overrides as a run keeps them, by step."""
    return {
        each.step_id: {
            name: value
            for name, value in (("prompt", each.prompt), ("model_override", each.model_override))
            if value is not None
        }
        for each in await _of(ctx, routine_id)
    }


@command(
    "routines.override_set",
    Action.CREATE,
    subject=ROUTINE,
    audit="routine.step_overridden",
    errors=(Code.UNPROCESSABLE,),
    late=True,
)
async def set_step_override(ctx: Context, routine: SavedRoutine, data: SetStepOverride) -> StepOverrideChanged:
    """Set the override of a step of a routine.

    Replaces the prompt and the model of a step that asks an agent, in later runs of any version; a run under way
    continues as it began. An absent part is the definition's own. The prompt is checked as in a definition:
    UNPROCESSABLE with its faults. Standing approvals of the routine end. NOT_FOUND if its definition has no such step.
    """
    if not (data.prompt.strip() or data.model_override.strip()):
        raise Refusal(Code.BAD_REQUEST, NOTHING)
    head = (
        col(RoutineVersion.routine_id) == routine.id,
        col(RoutineVersion.definition_hash) == routine.definition_hash,
    )
    version = await ctx.select(RoutineVersion, *head).one()
    await _check(version.definition, data)
    await ctx.begin()
    await ctx.lock(f"overrides of {routine.id}")
    entry = RoutineStepOverride(
        routine_id=routine.id,
        step_id=data.step_id,
        prompt=data.prompt if data.prompt.strip() else None,
        model_override=data.model_override.strip() or None,
    )
    await ctx.upsert(entry, "workspace_id", "routine_id", "step_id")
    kept = await overrides_of(ctx, routine.id)
    if len(kept) > MOST_OVERRIDES or len(orjson.dumps(kept)) > LARGEST:
        raise Refusal(Code.UNPROCESSABLE, MANY)
    await end_trust(ctx, routine.id, OVERRIDDEN)
    ctx.audit("ROUTINE", routine.id, step_id=data.step_id, model_override=entry.model_override)
    return StepOverrideChanged(step_id=data.step_id)


async def _check(definition: dict[str, Any], data: SetStepOverride) -> None:
    """Reads the definition as it would be with the prompt."""
    steps = definition.get("steps", [])
    place = next((n for n, step in enumerate(steps) if step.get("id") == data.step_id), None)
    if place is None:
        raise Refusal(Code.NOT_FOUND, NO_STEP)
    if not data.prompt.strip() or steps[place].get("type") != "agent_run":
        return
    changed = [*steps[:place], steps[place] | {"prompt": data.prompt}, *steps[place + 1 :]]
    faults = await asyncio.to_thread(_faults_of, definition | {"steps": changed})
    if faults:
        raise refused_for(faults)


def _faults_of(definition: dict[str, Any]) -> Any:
    """A large document takes tenths of a second, in a thread."""
    from models.work.routines.faults import RefusedRoutine  # a process that reads no routine does not load it
    from models.work.routines.reading import read_value

    try:
        read_value(definition)
    except RefusedRoutine as refusal:
        return refusal.faults
    return ()


@command("routines.override_clear", Action.CREATE, subject=ROUTINE, audit="routine.step_override_cleared")
async def clear_step_override(ctx: Context, routine: SavedRoutine, data: ByRoutineStep) -> StepOverrideChanged:
    """Remove the override of a step of a routine.

    Later runs execute the step as the definition says, and standing approvals of the routine end. An absent override is
    no error.
    """
    of_step = (col(RoutineStepOverride.routine_id) == routine.id, col(RoutineStepOverride.step_id) == data.step_id)
    if await ctx.delete_where(RoutineStepOverride, *of_step):
        await end_trust(ctx, routine.id, OVERRIDDEN)
        ctx.audit("ROUTINE", routine.id, step_id=data.step_id)
    return StepOverrideChanged(step_id=data.step_id)
