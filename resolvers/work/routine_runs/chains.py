"""Chains of runs: an agent that works for a run starts another routine, whose agents start others."""

from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import col

from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.staff.runs import Run, RunStatus
from models.work.routine_runs import RoutineRun, RoutineTrigger
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import Code, Context, Refusal
from resolvers.staff.runs.routine_steps import TRIGGER
from resolvers.work.routine_runs.events import ChainDepthExceeded

DEEPEST: Final = 8
"""contract: routines-dsl.chain"""
MOST_RUNS: Final = 50
EDGE: Final = "agent"
TOO_DEEP: Final = f"Agents start routines from runs at most {DEEPEST} levels deep; this one would be a level deeper"
CYCLE: Final = "The routine {slug!r} already runs in this chain: an agent in it cannot start it again"
OWN: Final = "The routine {slug!r} runs this agent, which cannot change it meanwhile"


@dataclass(frozen=True, slots=True)
class Chain:
    """The run that an agent works for, with those that led to it, this one first."""

    runs: tuple[RoutineRun, ...]

    @property
    def depth(self) -> int:
        return self.runs[0].chain_depth

    @property
    def origin(self) -> str:
        return self.runs[-1].id


async def chains_of(ctx: Context, agent_id: str | None, crew_id: str | None) -> list[Chain]:
    """The chains that an agent works for now, deepest first; without an agent, of any agent of the crew."""
    if agent_id is None and crew_id is None:
        return []
    of_routines = col(Run.trigger_type) == TRIGGER
    runs = await ctx.select(Run, *_live(agent_id, crew_id), of_routines, including_hidden=True).limit(MOST_RUNS).all()
    named = {(run.data or {}).get("routine_run_id") for run in runs}
    ids = sorted(id for id in named if isinstance(id, str))
    chains = [await _chain(ctx, id) for id in ids]
    return sorted((chain for chain in chains if chain.runs), key=lambda chain: chain.depth, reverse=True)


async def is_restricted(ctx: Context, agent_id: str | None, crew_id: str | None) -> bool:
    """Returns true if a run that an agent works on now came from outside: runs that it starts are restricted, too."""
    if agent_id is None and crew_id is None:
        return False
    return await ctx.select(Run, *_live(agent_id, crew_id), col(Run.restricted), including_hidden=True).exists()


def _live(agent_id: str | None, crew_id: str | None) -> tuple[Any, Any]:
    whose = col(Run.agent_id) == agent_id if agent_id is not None else col(Run.crew_id) == crew_id
    return whose, col(Run.status) == RunStatus.RUNNING


async def _chain(ctx: Context, run_id: str | None) -> Chain:
    found = list[RoutineRun]()
    while run_id is not None and len(found) <= DEEPEST:
        run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).first()
        if run is None:
            break
        found.append(run)
        is_called = run.triggered_via is RoutineTrigger.call_pipeline and run.chain_depth > 0
        run_id = run.triggered_by_id if is_called else None
    return Chain(tuple(found))


def check_no_cycle(chains: list[Chain], routine: SavedRoutine, text: str) -> None:
    if any(run.routine_id == routine.id for chain in chains for run in chain.runs):
        raise Refusal(Code.CONFLICT, text.format(slug=routine.slug))


def refuse_depth(ctx: Context, chain: Chain) -> Refusal:
    """The refusal of a run that would be too deep, with its record in the journal."""
    told: dict[str, Any] = {
        "chain_depth": chain.depth + 1,
        "max_chain_depth": DEEPEST,
        "chain_origin": chain.origin,
        "edge": EDGE,
    }
    ctx.record(
        JournalEntry(
            entry_type="automation.depth_exceeded",
            severity=Severity.error,
            actor_type=JournalActor.system,
            summary=TOO_DEEP,
            payload=told,
        )
    )
    ctx.emit(ChainDepthExceeded(**told))
    return Refusal(Code.CONFLICT, TOO_DEEP, commit=True)
