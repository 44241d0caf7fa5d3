"""Steps of the type `agent_run`: each attempt is a run of an agent of the author crew."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlmodel import col

from models.resources.costs import ModelCall
from models.staff.agents import Agent, LlmProvider
from models.staff.runs import Run
from models.work.routine_runs import RoutineRun, RoutineRunStep, RoutineStepState
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import Code, Context, Refusal, Topic
from resolvers.resources.costs.money import micros
from resolvers.rules.answering import IMPLIED
from resolvers.staff.runs.cancelling import ask_to_cancel
from resolvers.staff.runs.lifecycle import check_can_work, hold_starts, may_start, start_run
from resolvers.staff.runs.routine_steps import TRIGGER, agent_run_id

ADAPTERS: Final[dict[str, LlmProvider]] = {
    "claude": LlmProvider.ANTHROPIC,
    "codex": LlmProvider.OPENAI,
    "gemini": LlmProvider.GOOGLE,
    "cursor": LlmProvider.CURSOR,
    "droid": LlmProvider.FACTORY,
    "factory": LlmProvider.FACTORY,
    **{provider.lower(): provider for provider in LlmProvider},
}
"""Words before the colon in `model_override`; another one belongs to the name of the model."""
STEP_TYPE: Final = "agent_run"
NO_CREW: Final = "the routine has no author crew, whose agents it could ask"
NO_AGENT: Final = "the author crew has no agent {slug!r}"
OTHER_PROVIDER: Final = "the model {model!r} is not of the provider of the agent {slug!r}"
NO_MEMBER: Final = "the user who started the run is no member any more"


@dataclass(frozen=True, slots=True)
class AgentLimits:
    """`model`: in place of the agent's own; `most`: US dollars that it may spend."""

    model: str | None = None
    most: float | None = None


async def agent_of(ctx: Context, routine: SavedRoutine, slug: str) -> Agent:
    """The agent of the author crew that a step names. Raises a Refusal if there is none, or it may not work."""
    if routine.author_crew_id is None:
        raise Refusal(Code.CONFLICT, NO_CREW)
    of_crew = (col(Agent.crew_id) == routine.author_crew_id, col(Agent.slug) == slug)
    agent = await ctx.select(Agent, *of_crew).first()
    if agent is None:
        raise Refusal(Code.CONFLICT, NO_AGENT.format(slug=slug))
    check_can_work(agent)
    return agent


async def start_agent(
    ctx: Context,
    routine: SavedRoutine,
    run: RoutineRun,
    path: str,
    attempt: int,
    slug: str,
    prompt: str,
    limits: AgentLimits,
) -> None:
    """Starts the agent's run. Raises a Refusal with the reason if there is no such agent, or it may not work."""
    agent = await agent_of(ctx, routine, slug)
    if not await may_start(ctx, run.invoking_user_id):
        raise Refusal(Code.CONFLICT, NO_MEMBER)
    await hold_starts(ctx, agent.id)
    data: dict[str, Any] = {
        "cli_adapter": agent.cli_adapter,
        "crew_id": agent.crew_id,
        "agent_slug": agent.slug,
        "tags": ["routine"],
    }
    data |= {"routine_run_id": run.id, "step": path, "attempt": attempt}
    if limits.model is not None:
        data["model_override"] = _model_of(agent, limits.model)
    if limits.most is not None:
        data["max_cost_micros"] = max(micros(limits.most) or 0, 1)
    made = Run(
        id=agent_run_id(run.id, path, attempt),
        agent_id=agent.id,
        triggered_by=run.invoking_user_id,
        trigger_type=TRIGGER,
        restricted=run.restricted,
        prompt=prompt,
        data=data,
    )
    await start_run(ctx, made, conflict={})
    ctx.ring(Topic.queue)


def _model_of(agent: Agent, named: str) -> str:
    """The name of the model. Raises a Refusal if it is of another provider than the agent."""
    word, colon, model = named.partition(":")
    provider = ADAPTERS.get(word.strip().lower()) if colon else None
    if provider is None:
        return named
    if provider is not (agent.llm_provider or IMPLIED[agent.cli_adapter]):
        raise Refusal(Code.CONFLICT, OTHER_PROVIDER.format(model=named, slug=agent.slug))
    return model.strip()


async def costs_of(ctx: Context, run_id: str, steps: list[RoutineRunStep]) -> dict[str, float]:
    """US dollars that the agents of steps that wait for them have spent, by the path of the step."""
    ids = {agent_run_id(run_id, step.path, step.attempt): step.path for step in steps if is_asked(step)}
    if not ids:
        return {}
    calls = ctx.table(ModelCall)
    spent = (
        select(calls.c.run_id, func.sum(calls.c.cost_micros)).where(calls.c.run_id.in_(ids)).group_by(calls.c.run_id)
    )
    return {ids[row[0]]: float(row[1] or 0) / 1_000_000 for row in await ctx.report(spent)}


async def stop_agents(ctx: Context, run_id: str, path: str | None = None) -> list[RoutineRunStep]:
    """Asks the agents of a run, or of one step, to stop. Returns the steps that wait for them."""
    here = [col(RoutineRunStep.routine_run_id) == run_id, col(RoutineRunStep.state) == RoutineStepState.parked]
    here += [] if path is None else [col(RoutineRunStep.path) == path]
    parked = await ctx.select(RoutineRunStep, *here).order_by(col(RoutineRunStep.path)).all()
    asked = [step for step in parked if is_asked(step)]
    for step in asked:
        await ask_to_cancel(ctx, agent_run_id(run_id, step.path, step.attempt))
    return asked


def is_asked(step: RoutineRunStep) -> bool:
    """Returns true if the step waits for an agent, or for the routine to read the agent's answer."""
    return step.step_type == STEP_TYPE and step.state is RoutineStepState.parked
