"""Ends loops: an agent whose runs on a mission make no progress is paused there until a user resumes it.

A run of an assignment makes no progress if it fails or times out, or if its result equals the previous one word for
word. Two tasks may have equal answers: if the previous task is a dependency, the runs belonged to different tasks. A
cancelled run does not count.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from sqlalchemy import exists, select
from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import ERROR, LINE, cut
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment, Mission, MissionTask
from models.work.work_pauses import WorkPause
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put, settle
from resolvers.kernel import (
    EVERYONE,
    NOW,
    Action,
    ById,
    Code,
    Context,
    Filter,
    Id,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Subject,
    command,
    derived,
    extend,
    graph,
    many,
    of_parent,
    one,
    query,
)
from resolvers.staff.runs.events import WorkPaused, WorkResumed

MOST = 5
"""Runs in a row without progress."""
PAUSED = "Work on this is paused because the agent's last runs made no progress; a manager can resume it"
GOES_WRONG = (RunStatus.FAILED, RunStatus.TIMEOUT)
COUNTED = (RunStatus.COMPLETED, *GOES_WRONG)
PAUSE = Subject(WorkPause, "id", called="Work pause")
NEWEST_FIRST = (col(WorkPause.created_at).desc(), col(WorkPause.id).desc())


class ListWorkPauses(Paging):
    """Filters are combined with AND; values match exactly."""

    mission_id: Annotated[Id | None, Filter(WorkPause.mission_id, leads=True)] = None
    agent_id: Annotated[Id | None, Filter(WorkPause.agent_id, leads=True)] = None


graph(
    WorkPause,
    gate=Action.READ,
    scope="runs:read",
    visible=EVERYONE,
    active=derived(bool, lambda pause, scope: pause.resumed_at.is_(None)),
    agent_name=of_parent(Agent, "agent_id", "name"),
    mission_title=of_parent(Mission, "mission_id", "title"),
    agent=one(Agent, "agent_id"),
    mission=one(Mission, "mission_id"),
)


class PageOfPauses(Paging):
    """Paused work of agents on the mission, newest first."""


extend(Mission, work_pauses=many(WorkPause, "mission_id", order_by=NEWEST_FIRST, input=PageOfPauses))


@query("work_pauses.list", Action.READ)
def list_work_pauses(scope: QueryScope, data: ListWorkPauses) -> Page[WorkPause]:
    """List paused work of agents.

    Newest first, including resumed work; ties by id, descending.
    """
    return scope.select(WorkPause).matching(data).order_by(*NEWEST_FIRST).page(data)


@command(
    "work_pauses.resume",
    Action.CREATE,
    subject=PAUSE,
    locked=True,
    audit="work_pause.resumed",
    emits=(WorkResumed, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def resume_work(ctx: Context, pause: WorkPause, data: ById) -> WorkPause:
    """Resume paused work of an agent.

    The agent can work on the mission again. CONFLICT if it was already resumed.
    """
    if pause.resumed_at is not None:
        raise Refusal(Code.CONFLICT, "The work was already resumed")
    ctx.audit("WORK_PAUSE", pause.id, agent_id=pause.agent_id, mission_id=pause.mission_id)
    ctx.emit(WorkResumed(id=pause.id, agent_id=pause.agent_id, mission_id=pause.mission_id))
    await settle(ctx, InboxKind.message, _source_of(pause), "resumed")
    return await ctx.update(WorkPause, pause.id, resumed_at=NOW, resumed_by_user_id=ctx.user_id or None)


async def is_paused(ctx: Context, agent_id: str, mission_id: str) -> bool:
    there = (col(WorkPause.agent_id) == agent_id, col(WorkPause.mission_id) == mission_id)
    return await ctx.select(WorkPause, *there, col(WorkPause.resumed_at).is_(None)).exists()


async def pauses_of(ctx: Context, agent_id: str, most: int) -> Sequence[tuple[WorkPause, str]]:
    """The agent's paused work, newest first, each with the name of its mission."""
    own = (col(WorkPause.agent_id) == agent_id, col(WorkPause.resumed_at).is_(None))
    found = await ctx.select(WorkPause, *own).order_by(*NEWEST_FIRST).limit(most).all()
    ids = [pause.mission_id for pause in found]
    missions = await ctx.select(Mission, col(Mission.id).in_(ids), including_deleted=True).all() if ids else ()
    names = {mission.id: mission.identifier or mission.title for mission in missions}
    return [(pause, names.get(pause.mission_id, "")) for pause in found]


async def paused_on(ctx: Context, mission_id: str) -> set[str]:
    """The agents whose work on the mission is paused."""
    there = (col(WorkPause.mission_id) == mission_id, col(WorkPause.resumed_at).is_(None))
    return {pause.agent_id for pause in await ctx.select(WorkPause, *there).all()}


async def break_loop(ctx: Context, run: Run, assignment: Assignment) -> None:
    """With the end of a run of an assignment, if that is of a mission. Declare WorkPaused."""
    mission = await ctx.select(Mission, col(Mission.id) == assignment.chat_id).first()
    if mission is None or run.status not in COUNTED:
        return
    ended = await _ended(ctx, run.agent_id, mission.id)
    pairs = zip(ended[:MOST], [*ended[1:], None], strict=False)
    if len(ended) < MOST or not all(_got_nowhere(each, before) for each, before in pairs):
        return
    if await is_paused(ctx, run.agent_id, mission.id):
        return
    agent = await ctx.select(Agent, col(Agent.id) == run.agent_id, including_deleted=True).one()
    error = None if run.error_message is None else cut(run.error_message, ERROR)
    pause = WorkPause(agent_id=agent.id, mission_id=mission.id, runs=MOST, last_error=error)
    ctx.record(pause)
    await _tell(ctx, pause, agent, mission)
    ctx.emit(WorkPaused(id=pause.id, agent_id=agent.id, mission_id=mission.id))


async def _ended(ctx: Context, agent_id: str, mission_id: str) -> list[Any]:
    """Its runs there, newest first: of those that ended since its work was resumed."""
    there = (col(WorkPause.agent_id) == agent_id, col(WorkPause.mission_id) == mission_id)
    last = await ctx.select(WorkPause, *there).order_by(*NEWEST_FIRST).first()
    runs, tasks, stands_on = ctx.table(Run), ctx.table(Assignment), ctx.table(MissionTask).c.assignment_id
    since = () if last is None or last.resumed_at is None else (runs.c.finished_at > last.resumed_at,)
    stands = exists().where(stands_on == tasks.c.id).label("stands")
    made = select(runs.c.status, tasks.c.result_summary, stands).join(tasks, tasks.c.id == runs.c.assignment_id)
    own = (tasks.c.chat_id == mission_id, tasks.c.assigned_to_id == agent_id, runs.c.status.in_(COUNTED))
    newest = made.where(*own, *since).order_by(runs.c.finished_at.desc(), runs.c.id.desc()).limit(MOST + 1)
    return await ctx.report(newest)


def _got_nowhere(run: Any, before: Any) -> bool:
    if run["status"] in GOES_WRONG:
        return True
    return before is not None and not before["stands"] and run["result_summary"] == before["result_summary"]


async def _tell(ctx: Context, pause: WorkPause, agent: Agent, mission: Mission) -> None:
    await put(
        ctx,
        InboxKind.message,
        _source_of(pause),
        subject=pause,
        target_role=Role.MANAGER,
        title=cut(f"{agent.name} makes no progress on {mission.identifier or mission.title}", LINE * 3),
        body_md=f"{pause.runs} runs in a row made no progress. The work is paused until a manager resumes it.",
        sender_type=SenderType.agent,
        sender_id=agent.id,
        sender_name=agent.name,
        avatar_seed=agent.avatar_seed,
        avatar_style=agent.avatar_style,
        priority=InboxPriority.high,
        blocking=True,
        payload={"work_pause_id": pause.id, "agent_id": agent.id, "mission_id": mission.id},
    )


def _source_of(pause: WorkPause) -> str:
    return f"work_pause_{pause.id}"
