"""The readiness of an agent, by the rules that the start of a run asks."""

from collections.abc import AsyncIterator, Sequence
from enum import StrEnum

from sqlmodel import col

from models.attention.approvals import ApprovalMode
from models.resources.credentials import Credential, CredentialStatus, CredentialType
from models.staff.agents import Agent, LlmProvider
from models.staff.crews import Crew
from models.workers import Worker
from resolvers.attention.approvals import gates_on
from resolvers.instance.ports import NotRun
from resolvers.instance.running import instance
from resolvers.kernel import GRAPHQL_ONLY, Action, Context, Id, Input, Output, Subject, procedure
from resolvers.resources.costs.reserving import budgets_of, states
from resolvers.resources.credentials.delivery import delivered_to
from resolvers.rules.answering import (
    IMPLIED,
    KEYS,
    Lack,
    LackReason,
    Way,
    environment_of,
    is_asked_for,
    local_model_installed,
    model_for,
    needs_coding_agent,
    no_key,
    not_run_here,
    not_usable,
    way_for,
)
from resolvers.rules.coding_agents import merged
from resolvers.rules.consent import ConsentGate, waiting
from resolvers.rules.workers import alive
from resolvers.staff.crews.building import waits_for_image
from resolvers.staff.crews.containers import NOT_BUILT, needs_container
from resolvers.staff.runs.lifecycle import why_idle
from resolvers.staff.runs.pauses import pauses_of

AGENT = Subject(Agent, "agent_id")
MOST_WORKERS = 100
NO_WORKER = "No process executes runs. Start one, or set CREWSHIP_ROLE to all."
NO_ENGINE = "The container engine does not answer: {}"
IDLE_ON = "Work on {} is paused: the last runs there made no progress."
ASKS = "Calls of {} wait for an approval."
ASKS_ALWAYS = "Every call of a tool waits for an approval."
MOST_HOLDS = 20
SPENT = "The budget of the {} is spent, or reserved for active runs."


class AgentToAsk(Input):
    """An agent of the workspace."""

    agent_id: Id


class AgentLack(Output):
    """Something that an agent needs to answer and does not have, and how to mend it."""

    reason: LackReason
    message: str


class HoldReason(StrEnum):
    """The decision of a person that the work of an agent waits for."""

    work_pause = "work_pause"
    approval = "approval"


class AgentHold(Output):
    """Work of an agent that waits for a person: on a mission where it is paused, or before calls of a tool.

    `mission_id`: the mission of paused work.
    """

    reason: HoldReason
    message: str
    mission_id: str | None


class AgentReadiness(Output):
    """`ready`: the agent can answer; otherwise `lacks` says what is missing. `holds`: what will stop it at work."""

    ready: bool
    lacks: list[AgentLack]
    holds: list[AgentHold]


@procedure("runs.readiness", Action.READ, subject=AGENT, surfaces=GRAPHQL_ONLY, late=True)
async def agent_readiness(ctx: Context, agent: Agent, data: AgentToAsk) -> AgentReadiness:
    """Get what an agent lacks to answer.

    Asks the checks of the start of a run: approval and time of a hire, a worker, the image of the crew, a key for the
    provider, a model, the coding agent, and budgets; the container engine, if the crew needs one. Does not call the
    provider. `holds` lists paused work, and approval gates whose calls wait.
    """
    lacks = [lack async for lack in _lacks(ctx, agent)]
    told = [AgentLack(reason=lack.reason, message=lack.text) for lack in lacks]
    return AgentReadiness(ready=not told, lacks=told, holds=await _holds(ctx, agent))


async def _lacks(ctx: Context, agent: Agent) -> AsyncIterator[Lack]:
    if (refusal := why_idle(agent)) is not None:
        yield Lack(LackReason.review if agent.expired_at is None else LackReason.hire, refusal.detail)
    workers = await ctx.select(Worker, alive()).limit(MOST_WORKERS).all()
    if not workers:
        yield Lack(LackReason.worker, NO_WORKER)
    crew = None if agent.crew_id is None else await ctx.select(Crew, col(Crew.id) == agent.crew_id).first()
    if crew is not None and waits_for_image(crew, await ctx.now()):
        yield Lack(LackReason.image, NOT_BUILT)
    if crew is not None and (engine := await _engine(ctx, crew)) is not None:
        yield engine
    async for lack in _means(ctx, agent, workers):
        yield lack
    for state in await states(ctx, budgets_of(agent), lock=False):
        if state.is_spent:
            yield Lack(LackReason.budget, SPENT.format(state.budget.scope.value))


async def _engine(ctx: Context, crew: Crew) -> Lack | None:
    """Asks the engine of containers, if a run of the crew would need it."""
    if instance.containers is None or not needs_container(crew):
        return None
    try:
        await (ctx.outside.containers or instance.containers).images()
    except NotRun as refused:
        return Lack(LackReason.engine, NO_ENGINE.format(refused))
    return None


async def _holds(ctx: Context, agent: Agent) -> list[AgentHold]:
    paused = [
        AgentHold(reason=HoldReason.work_pause, message=IDLE_ON.format(mission), mission_id=pause.mission_id)
        for pause, mission in await pauses_of(ctx, agent.id, MOST_HOLDS)
    ]
    gates = [ConsentGate(gate["pattern"], ApprovalMode(gate["mode"])) for gate in await gates_on(ctx, agent.id)]
    asks = [ASKS_ALWAYS if pattern == "*" else ASKS.format(pattern) for pattern in waiting(gates)]
    return paused + [AgentHold(reason=HoldReason.approval, message=ask, mission_id=None) for ask in asks]


async def _means(ctx: Context, agent: Agent, workers: Sequence[Worker]) -> AsyncIterator[Lack]:
    """The provider, its key, the model, and the coding agent."""
    settings, provider = instance.settings, agent.llm_provider or IMPLIED[agent.cli_adapter]
    types = await _credential_types(ctx, agent, provider)
    key = bool(types & KEYS) or any(environment_of(settings).get(provider, ()))
    if is_asked_for(settings):
        told = merged(worker.coding_agents or () for worker in workers)
        found = next((each for each in told if each.adapter == agent.cli_adapter), None)
        opened = key or CredentialType.AI_CLI_TOKEN.value in types
        if found is not None and found.installed and opened:
            return
        if needs_coding_agent(settings, provider):
            if found is None and workers:
                yield Lack(LackReason.coding_agent, not_run_here(agent.cli_adapter))
            elif found is not None and not found.installed:
                yield Lack(LackReason.coding_agent, not_usable(found.name, found.missing or ""))
            if not opened:
                yield Lack(LackReason.key, no_key(provider))
            return
    way = way_for(settings, provider, key=key, local=local_model_installed)
    if isinstance(way, Lack):
        yield way
    elif way is Way.native and isinstance(model := model_for(provider, agent.llm_model), Lack):
        yield model


async def _credential_types(ctx: Context, agent: Agent, provider: LlmProvider) -> set[str]:
    """The types of the agent's valid credentials for the provider, whether the caller sees them or not."""
    ids = [each.row["id"] for each in (await delivered_to(agent.workspace_id, agent.id))[0]]
    valid = (
        col(Credential.id).in_(ids),
        col(Credential.status) == CredentialStatus.ACTIVE,
        col(Credential.provider) == provider.value,
    )
    return (
        {each.type.value for each in await ctx.select(Credential, *valid, including_hidden=True).all()}
        if ids
        else set()
    )
