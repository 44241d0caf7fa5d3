"""Trials: a walk through a definition or a saved routine that executes nothing, and one step by itself."""

import asyncio
import time
from dataclasses import replace
from typing import Annotated, Any, Final

from pydantic import Field
from sqlmodel import col

from models.bounds import ERROR, ID, PAYLOAD, cut
from models.staff.crews import Crew, NetworkMode
from models.work.routine_runs import new_run_id
from models.work.saved_routines import RoutineStepOverride, SavedRoutine
from resolvers.instance.ports import NotRun, RoutineTrial, WalkedRoutine
from resolvers.kernel import (
    ENDS,
    NO_SURFACE,
    Absent,
    Action,
    Code,
    Context,
    Emptied,
    Id,
    Input,
    Output,
    Refusal,
    Text,
    command,
    forbidden,
    instance,
    invalid,
    procedure,
    within,
)
from resolvers.work.routine_runs.agent_trials import answer_of
from resolvers.work.routine_runs.agents import STEP_TYPE
from resolvers.work.routine_runs.needs import check_needs
from resolvers.work.routine_runs.starting import NOT_EXECUTED, check_active, version_of
from resolvers.work.routine_state import read_state
from resolvers.work.routines.definitions import DefinitionText, RoutineDefinition, read_definition
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug
from resolvers.work.routines.save_tokens import issue_save_token

NO_RUNNER: Final = "This process tries no routines"
OTHER_CREW: Final = "author_crew_id must name a crew of the workspace"
PASSED, FAILED = "DRY_RUN_OK", "FAILED"
TRIED: Final = frozenset({"http", "transform", "agent_run"})
UNTRIED: Final = frozenset({"script"})
NO_STEP: Final = "Step not found"
STEP_FAILED: Final = "The step failed"
GivenInputs = Annotated[dict[str, Any], within(PAYLOAD), ENDS]


class WouldExecute(Output):
    """A step that a run would execute. `would_pass`: the text for an agent, with its values."""

    step_id: str
    step_type: str
    would_call_agent: Annotated[str | None, Absent()] = None
    would_call_pipeline: Annotated[str | None, Absent()] = None
    would_pass: str
    estimated_cost_usd: Annotated[float | None, Absent()] = None


class RoutineTested(Output):
    """The result of a walk: DRY_RUN_OK, or FAILED with the step whose texts cannot be rendered. `save_token` lets the
    same user save the same definition within five minutes.
    """

    run_id: str
    pipeline_id: str
    pipeline_slug: str
    status: str
    output: str
    step_outputs: dict[str, str]
    would_execute: list[WouldExecute]
    duration_ms: int
    cost_usd: float = 0
    failed_at_step: Annotated[str | None, Absent()] = None
    error_message: Annotated[str | None, Absent()] = None
    save_token: Annotated[str | None, Absent()] = None


class RoutineDryRun(Output):
    """The result of a walk: DRY_RUN_OK, or FAILED with the step whose texts cannot be rendered."""

    run_id: str
    pipeline_id: str
    pipeline_slug: str
    status: str
    output: str
    step_outputs: dict[str, str]
    would_execute: list[WouldExecute]
    duration_ms: int
    cost_usd: float = 0
    failed_at_step: Annotated[str | None, Absent()] = None
    error_message: Annotated[str | None, Absent()] = None
    manifest: dict[str, Any]


class RoutineStepRun(Output):
    """The outcome of one step. `warnings` names outputs of other steps that it uses and that were not given."""

    step_id: str
    step_type: str
    adapter: str = ""
    model: str = ""
    rendered_prompt: str = ""
    output: str
    valid: bool = True
    cost_usd: float = 0
    tokens_in: int = 0
    tokens_out: int = 0
    duration_ms: int
    simulated: bool = True
    warnings: Annotated[list[str] | None, Absent()] = None


class RoutineStepTried(Output):
    """The step that is executed next."""

    step_id: str


class RunRoutineTest(Input):
    """`author_crew_id`: the crew whose integrations and credentials a run would use."""

    definition: DefinitionText
    author_crew_id: Emptied[Id] = None
    sample_inputs: GivenInputs = {}


class RunRoutineDry(ByRoutineSlug):
    """`inputs` are not checked."""

    inputs: GivenInputs = {}


class RunRoutineStep(ByRoutineSlug):
    """`step_id`: a step of the top level. `step_outputs`: the outputs of other steps that its texts use."""

    step_id: Annotated[Text, Field(min_length=1)]
    inputs: GivenInputs = {}
    step_outputs: Annotated[dict[str, str], within(PAYLOAD), ENDS] = {}


class RoutineStepToTry(ByRoutineSlug):
    step_id: Text
    step_type: Text


@procedure(
    "routines.test_run",
    Action.CREATE,
    errors=(Code.UNPROCESSABLE, Code.FORBIDDEN, Code.UNAVAILABLE),
    late=True,
)
async def test_run_routine(ctx: Context, data: RunRoutineTest) -> RoutineTested:
    """Test a definition without executing it.

    Its conditions are judged and its texts rendered with `sample_inputs`; no step is executed, nothing is stored, and
    nothing is spent. Refused are definitions with faults, and those whose integrations or credentials the crew lacks.
    Agents and called routines are looked up when it is saved.
    """
    definition = await _tested(ctx, data.definition, data.author_crew_id)
    return await tested(ctx, definition, data.author_crew_id, data.sample_inputs, ctx.user_id)


async def tested(
    ctx: Context, definition: RoutineDefinition, crew_id: str | None, inputs: dict[str, Any], author_id: str
) -> RoutineTested:
    """The walk through a definition that is read, with a token for its author if it passed."""
    run_id, began = new_run_id(), time.monotonic()
    env = {"author_crew_id": crew_id or "", "run_id": run_id, "pipeline_slug": definition.routine.name}
    trial = RoutineTrial(definition.source, run_id, _merged(definition.routine, inputs), env)
    walked = await _walked(trial)
    token = None
    if not walked.failed_at:
        token = issue_save_token(ctx.workspace_id or "", definition.hash, author_id)
    named = {"pipeline_id": f"draft-{run_id}", "pipeline_slug": definition.routine.name}
    return RoutineTested(**named, **_told(trial, walked, began), save_token=token)


async def _tested(ctx: Context, source: str, crew_id: str | None) -> RoutineDefinition:
    """contract: routines.test_run, order_of_refusals"""
    check_runner()
    definition = await read_definition(source)
    if crew_id is not None and not await ctx.select(Crew, col(Crew.id) == crew_id).exists():
        raise forbidden(OTHER_CREW)
    from models.work.routines.preparing import credentials_of, integrations_of

    routine = definition.routine
    await check_needs(ctx, crew_id, integrations_of(routine), credentials_of(routine))
    return definition


@procedure(
    "routines.dry_run",
    Action.CREATE,
    subject=ROUTINE,
    errors=(Code.UNPROCESSABLE, Code.UNAVAILABLE),
    late=True,
)
async def dry_run_routine(ctx: Context, routine: SavedRoutine, data: RunRoutineDry) -> RoutineDryRun:
    """Test a routine without executing it.

    Lists the steps that a run with these inputs would execute: conditions are judged and texts rendered, with a
    placeholder as the output of each step. No step is executed, nothing is stored, and nothing is spent. Also for a
    routine that is proposed or disabled.
    """
    check_runner()
    version = await version_of(ctx, routine, routine.head_version)
    definition = await read_definition(version.source)
    began = time.monotonic()
    trial = await _trial(ctx, routine, definition, _merged(definition.routine, data.inputs))
    walked = await _walked(replace(trial, state=await read_state(ctx, routine.id, "")))
    named = {"pipeline_id": routine.id, "pipeline_slug": routine.slug}
    return RoutineDryRun(**named, **_told(trial, walked, began), manifest=definition.manifest)


@command(
    "routines.step_try",
    Action.CREATE,
    subject=ROUTINE,
    audit="routine.step_executed",
    errors=(Code.CONFLICT,),
    surfaces=NO_SURFACE,
)
async def record_step_try(ctx: Context, routine: SavedRoutine, data: RoutineStepToTry) -> RoutineStepTried:
    """Record that a step is executed by itself.

    In a transaction of its own, before the step reaches out.
    """
    check_active(routine)
    ctx.audit("ROUTINE", routine.id, step_id=data.step_id, step_type=data.step_type)
    return RoutineStepTried(step_id=data.step_id)


@command(
    "routines.step_run",
    Action.CREATE,
    subject=ROUTINE,
    audit="routine.step_executed",
    errors=(Code.CONFLICT, Code.UNPROCESSABLE, Code.BAD_GATEWAY, Code.UNAVAILABLE),
    late=True,
)
async def run_routine_step(ctx: Context, routine: SavedRoutine, data: RunRoutineStep) -> RoutineStepRun:
    """Run one step of a routine by itself.

    The step reaches out as in a run, within the network of the crew and the routine's targets, but once, without its
    condition, hooks and retries; its state is not written, and no run is recorded. The log records who executed which
    step, before it begins. Steps of the types `agent_run`, `http` and `transform` can be executed so. The agent of a
    step works as in a run, for at most 300 seconds, and what it spends is spent. BAD_GATEWAY has the reason if the step
    fails.
    """
    check_runner()
    check_active(routine)
    version = await version_of(ctx, routine, routine.head_version)
    definition = await read_definition(version.source)
    step_type, warnings = await asyncio.to_thread(_examined, definition, data)
    trial = await _trial(ctx, routine, definition, data.inputs)
    named = {"slug": routine.slug, "step_id": data.step_id, "step_type": step_type}
    if step_type != STEP_TYPE:
        await record_step_try(ctx.caller, named, place=ctx.request.place)
    began = time.monotonic()
    try:
        tried = await _trials().attempt(replace(trial, outputs=data.step_outputs), data.step_id)
    except NotRun as error:
        raise Refusal(Code.UNAVAILABLE, str(error)) from None
    told: dict[str, Any] = {"output": tried.output}
    if not tried.error and step_type == STEP_TYPE:
        step = next(each for each in definition.routine.steps if each.id == data.step_id)
        told = await answer_of(ctx, named, tried.prompt, step)
    failure = told.pop("error", "") or tried.error
    if failure:
        raise Refusal(Code.BAD_GATEWAY, STEP_FAILED, extra={"detail": cut(failure, ERROR)})
    await ctx.begin()
    return RoutineStepRun(
        step_id=data.step_id,
        step_type=step_type,
        **told,
        duration_ms=int((time.monotonic() - began) * 1000),
        warnings=warnings or None,
    )


def _examined(definition: RoutineDefinition, data: RunRoutineStep) -> tuple[str, list[str]]:
    """The type of the step, and a warning for each output that it uses and that was not given. Raises a Refusal."""
    from models.work.routines.preparing import unsupported_in
    from models.work.routines.sites import sites
    from models.work.routines.templates import references

    step = next((each for each in definition.routine.steps if each.id == data.step_id), None)
    if step is None:
        raise Refusal(Code.NOT_FOUND, NO_STEP)
    if step.type not in TRIED | UNTRIED:
        raise invalid("step_id", f"steps of the type {step.type} are not executed by themselves")
    parts = list(unsupported_in(step)) or ([f"steps of the type {step.type} by themselves"] * (step.type in UNTRIED))
    if parts:
        raise Refusal(Code.UNPROCESSABLE, NOT_EXECUTED.format(parts=", ".join(parts)))
    named = [name for site in sites(step) if not site.after for name in references(site.text)]
    used = dict.fromkeys(name.split(".")[1] for name in named if name.startswith("steps."))
    missing = [id for id in used if id not in data.step_outputs]
    return step.type, [f"the output of {cut(id, ID)!r} was not given" for id in missing]


async def _trial(
    ctx: Context, routine: SavedRoutine, definition: RoutineDefinition, inputs: dict[str, Any]
) -> RoutineTrial:
    run_id, crew = new_run_id(), None
    if routine.author_crew_id is not None:
        crew = await ctx.select(Crew, col(Crew.id) == routine.author_crew_id).first()
    mode = NetworkMode.restricted if routine.author_crew_id else None  # of a deleted crew, too
    overrides = await ctx.select(RoutineStepOverride, col(RoutineStepOverride.routine_id) == routine.id).all()
    return RoutineTrial(
        source=definition.source,
        run_id=run_id,
        inputs=inputs,
        env={"author_crew_id": routine.author_crew_id or "", "run_id": run_id, "pipeline_slug": routine.slug},
        prompts={each.step_id: each.prompt for each in overrides if each.prompt},
        network=mode if crew is None else crew.network_mode,
        domains=() if crew is None else tuple(crew.allowed_domains),
    )


def _merged(routine: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """With defaults; a walk checks no inputs (contract: routines-dsl.inputs_at_run)."""
    from models.work.routines.inputs import merge_inputs

    return merge_inputs(routine, inputs, checked=False)


def check_runner() -> None:
    _trials()


def _trials() -> Any:
    if instance.trials is None:
        raise Refusal(Code.UNAVAILABLE, NO_RUNNER)
    return instance.trials


async def _walked(trial: RoutineTrial) -> WalkedRoutine:
    try:
        walked: WalkedRoutine = await _trials().walk(trial)
    except NotRun as error:
        raise Refusal(Code.UNAVAILABLE, str(error)) from None
    return walked


def _told(trial: RoutineTrial, walked: WalkedRoutine, began: float) -> dict[str, Any]:
    return {
        "run_id": trial.run_id,
        "status": FAILED if walked.failed_at else PASSED,
        "output": walked.output,
        "step_outputs": dict(walked.outputs),
        "would_execute": [
            WouldExecute(
                step_id=step.id,
                step_type=step.type,
                would_call_agent=step.agent,
                would_call_pipeline=step.routine,
                would_pass=step.prompt,
                estimated_cost_usd=step.cost_usd,
            )
            for step in walked.steps
        ],
        "duration_ms": int((time.monotonic() - began) * 1000),
        "failed_at_step": walked.failed_at or None,
        "error_message": walked.error or None,
    }
