"""Operations of agents on routines, over the internal API. The workspace is in body or query; a token may be bound to
one.
"""

from typing import Annotated, Any, Final

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.routine_runs import RoutineRun, RoutineTrigger
from models.work.saved_routines import RoutineAuthorType, RoutineOrigin, SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    NO_SURFACE,
    Action,
    Auth,
    ById,
    Code,
    Context,
    Description,
    Emptied,
    Id,
    Input,
    Page,
    QueryScope,
    Ref,
    Refusal,
    Row,
    Text,
    command,
    forbidden,
    procedure,
    query,
)
from resolvers.work.routine_runs.chains import (
    CYCLE,
    DEEPEST,
    OWN,
    chains_of,
    check_no_cycle,
    is_restricted,
    refuse_depth,
)
from resolvers.work.routine_runs.events import ChainDepthExceeded, RoutineRunStarted
from resolvers.work.routine_runs.graph import RUN
from resolvers.work.routine_runs.needs import check_needs
from resolvers.work.routine_runs.starting import check_active, start, version_of
from resolvers.work.routine_runs.trials import OTHER_CREW, GivenInputs, RoutineTested, check_runner, tested
from resolvers.work.routines.catalogue import ListRoutines, list_routines
from resolvers.work.routines.definitions import DefinitionText, read_definition
from resolvers.work.routines.events import RoutinesChanged
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug
from resolvers.work.routines.save_tokens import is_save_token
from resolvers.work.routines.saving import BAD_TOKEN, ChangeSummary, RoutineName, RoutineSlug
from resolvers.work.routines.storing import Wanted, drafted, stored

UNTESTED: Final = "Saving requires a save_token of the last five minutes for this definition and crew"
WorkspaceId = Annotated[Id, Field(min_length=1)]


class TestAgentRoutine(Input):
    """`author_crew_id`: the crew of the agent, whose integrations a run would use."""

    workspace_id: WorkspaceId
    definition: DefinitionText
    author_crew_id: Annotated[Id, Field(min_length=1)]
    sample_inputs: GivenInputs = {}


class SaveAgentRoutine(Input):
    """`save_token`: from a test run of the same definition and crew. `author_agent_id`: the agent that saves, of the
    author crew.
    """

    workspace_id: WorkspaceId
    slug: RoutineSlug
    definition: DefinitionText
    name: RoutineName | None = None
    description: Description | None = None
    author_crew_id: Annotated[Emptied[Id], Ref(Crew)] = None
    author_agent_id: Annotated[Emptied[Id], Ref(Agent)] = None
    author_chat_id: Annotated[str, Field(strict=True, max_length=bounds.ID)] = ""
    author_run_id: Annotated[str, Field(strict=True, max_length=bounds.ID)] = ""
    save_token: Text = ""
    change_summary: ChangeSummary = ""


class RunAgentRoutine(ByRoutineSlug):
    """`invoking_agent_id`: the agent that starts the run."""

    workspace_id: WorkspaceId
    inputs: GivenInputs = {}
    invoking_crew_id: Annotated[Emptied[Id], Ref(Crew)] = None
    invoking_agent_id: Annotated[Emptied[Id], Ref(Agent)] = None


@query("internal.pipelines.list", Action.NONE, auth=Auth.INTERNAL)
def list_agent_routines(scope: QueryScope, data: ListRoutines) -> Page[SavedRoutine]:
    """List routines (for agents).

    Most invoked first by default.
    """
    return list_routines.within(scope, data)


@procedure(
    "internal.pipelines.test_run",
    Action.NONE,
    auth=Auth.INTERNAL,
    errors=(Code.UNPROCESSABLE, Code.FORBIDDEN, Code.UNAVAILABLE),
    late=True,
)
async def test_agent_routine(ctx: Context, data: TestAgentRoutine) -> RoutineTested:
    """Test a definition without executing it (for agents).

    As a person's test run, except that credentials are not looked up. The token is good for the crew, and for no user.
    """
    check_runner()
    definition = await read_definition(data.definition)
    if not await ctx.select(Crew, col(Crew.id) == data.author_crew_id).exists():
        raise forbidden(OTHER_CREW)
    from models.work.routines.preparing import integrations_of

    await check_needs(ctx, data.author_crew_id, integrations_of(definition.routine), ())
    return await tested(ctx, definition, data.author_crew_id, data.sample_inputs, data.author_crew_id)


@command(
    "internal.pipelines.save",
    Action.NONE,
    audit="routine.saved",
    auth=Auth.INTERNAL,
    emits=(RoutinesChanged, InboxItemUpdated),
    errors=(Code.CONFLICT, Code.UNPROCESSABLE),
    late=True,
)
async def save_agent_routine(ctx: Context, data: SaveAgentRoutine) -> SavedRoutine:
    """Save a routine (for agents).

    As a person's save, after a test run of the same definition and crew. A definition that can reach out, by addresses,
    code, credentials or integrations that the crew lacks, is `proposed` each time, until a person approves it. An agent
    that works for a run cannot change the routines of its chain: CONFLICT.
    """
    definition = await read_definition(data.definition)
    await ctx.begin()
    draft = await drafted(ctx, _wanted(data, definition))
    if not data.save_token:
        raise Refusal(Code.UNPROCESSABLE, UNTESTED)
    author = data.author_crew_id or ""
    if not author or not is_save_token(data.save_token, ctx.workspace_id or "", definition.hash, author):
        raise Refusal(Code.UNPROCESSABLE, BAD_TOKEN)
    if draft.live is not None:
        check_no_cycle(await chains_of(ctx, data.author_agent_id, draft.crew_id), draft.live, OWN)
    return await stored(ctx, draft)


def _wanted(data: SaveAgentRoutine, definition: Any) -> Wanted:
    return Wanted(
        slug=data.slug,
        definition=definition,
        name=data.name,
        description=data.description,
        author_crew_id=data.author_crew_id,
        author_agent_id=data.author_agent_id,
        change_summary=data.change_summary,
        origin=RoutineOrigin.agent_tool_call,
        author_type=RoutineAuthorType.agent,
        author_id=data.author_agent_id or data.author_crew_id or "",
    )


@command(
    "internal.pipelines.run",
    Action.NONE,
    subject=ROUTINE,
    audit="routine_run.started",
    auth=Auth.INTERNAL,
    emits=(RoutineRunStarted, ChainDepthExceeded),
    errors=(Code.CONFLICT, Code.UNPROCESSABLE, Code.RATE_LIMITED),
    late=True,
    writes_on_refusal=True,
)
async def run_agent_routine(ctx: Context, routine: SavedRoutine, data: RunAgentRoutine) -> RoutineRun:
    """Start a run of a routine (for agents).

    As a person's start. The run of an agent that works for another run is a part of its chain: at most 8 levels deep,
    and never of a routine that already runs in it. Both are CONFLICT. It is restricted if a run of the agent is.
    """
    check_active(routine)
    chains = await chains_of(ctx, data.invoking_agent_id, data.invoking_crew_id)
    check_no_cycle(chains, routine, CYCLE)
    cause: dict[str, Any] = {
        "triggered_via": RoutineTrigger.call_pipeline,
        "invoking_crew_id": data.invoking_crew_id,
        "invoking_agent_id": data.invoking_agent_id,
        "restricted": await is_restricted(ctx, data.invoking_agent_id, data.invoking_crew_id),
    }
    if chains:
        chain = chains[0]
        if chain.depth >= DEEPEST:
            await ctx.begin()
            raise refuse_depth(ctx, chain)
        cause |= {"triggered_by_id": chain.runs[0].id, "chain_depth": chain.depth + 1}
        cause |= {"invoking_user_id": chain.runs[0].invoking_user_id}
    return await start(ctx, routine, await version_of(ctx, routine, routine.head_version), data.inputs, cause)


@query("internal.pipelines.run_result", Action.NONE, auth=Auth.INTERNAL, subject=RUN, surfaces=NO_SURFACE)
def get_agent_routine_run(scope: QueryScope, run: Row[RoutineRun], data: ById) -> Row[RoutineRun]:
    """Get the result of a run (for agents)."""
    return run
