"""The presence of agents, derived from their runs, and from what these wait for, when it is asked. Nothing is stored,
and nothing watches the time.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from sqlalchemy import func, select

from models.oversight.keeper import KeeperDecision, KeeperRequest
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationStatus
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from models.work.missions import MissionTask
from resolvers.kernel import Absent, Action, Code, Context, Id, Input, Output, constant, procedure

SILENT: Final = timedelta(minutes=5)
"""After so long without a run an agent counts as offline (contract: presence.behaviour)."""
IDLE: Final = "idle_timeout"
# spelled out: the indexes of live runs and of pending questions are partial ones
RUNNING: Any = constant(RunStatus.RUNNING)
PENDING: Any = constant(EscalationStatus.PENDING)
ASKED: Any = constant(KeeperDecision.PENDING)


class PresenceStatus(StrEnum):
    """The presence of an agent. `blocked`: its run waits for a decision. `offline`: idle for five minutes."""

    online = "online"
    busy = "busy"
    blocked = "blocked"
    offline = "offline"


class ReadRoster(Input):
    """`crew_id`: of the agents of one crew."""

    crew_id: Id | None = None


class RosterRow(Output):
    """The presence of an agent since a time.

    `details` of a busy agent: `started_at`, `current_mission_id` and `current_task_id`; of a blocked one
    `blocked_reason` (awaiting_approval, awaiting_keeper or awaiting_user_input) and `approval_id`; of one that is
    offline the `reason`.
    """

    agent_id: str
    crew_id: Annotated[str | None, Absent()] = None
    status: PresenceStatus
    since: datetime
    details: Annotated[dict[str, Any] | None, Absent()] = None


class Roster(Output):
    """The agents that have run at least once, by id."""

    rows: list[RosterRow]
    count: int


@procedure("presence.roster", Action.READ, errors=(Code.NOT_FOUND,))
async def read_roster(ctx: Context, data: ReadRoster) -> Roster:
    """List the presence of agents.

    An agent is busy while it runs, blocked while its run waits for a decision, and online until five minutes after its
    last run. Agents that have never run are left out.
    """
    if data.crew_id is not None:
        await ctx.get(Crew, data.crew_id, missing="Crew not found")
    now, live = await ctx.now(), await _live_runs(ctx)
    asked = await _questions(ctx) if live else {}
    rows = [
        _row(agent, live.get(agent["id"], ()), asked.get(agent["id"], ()), now) for agent in await _agents(ctx, data)
    ]
    found = [row for row in rows if row is not None]
    return Roster(rows=found, count=len(found))


async def _agents(ctx: Context, data: ReadRoster) -> Sequence[Any]:
    """Each agent, with the end of its last run. A few are looked at: the last one to begin may end first."""
    agents, runs = ctx.table(Agent), ctx.table(Run)
    own = select(runs.c.finished_at).where(runs.c.agent_id == agents.c.id)
    few = own.order_by(runs.c.began_at.desc(), runs.c.id.desc()).limit(5).correlate(agents).subquery()
    last = select(func.max(few.c.finished_at)).scalar_subquery()
    found = select(agents.c.id, agents.c.crew_id, last.label("ended_at"))
    if data.crew_id is not None:
        found = found.where(agents.c.crew_id == data.crew_id)
    return await ctx.report(found.order_by(agents.c.id))


async def _live_runs(ctx: Context) -> dict[str, list[Any]]:
    """The runs that have begun, by their agents, earliest first."""
    runs, tasks = ctx.table(Run), ctx.table(MissionTask)
    of_task = (tasks.c.assignment_id == runs.c.assignment_id) & runs.c.assignment_id.is_not(None)
    shown = [runs.c[name] for name in ("agent_id", "started_at", "waits_for", "waits_since", "mission_id")]
    found = select(*shown, tasks.c.id.label("task_id")).select_from(runs.outerjoin(tasks, of_task))
    begun = found.where(runs.c.status == RUNNING, runs.c.started_at.is_not(None))
    by_agent = defaultdict[str, list[Any]](list)
    for row in await ctx.report(begun.order_by(runs.c.started_at, runs.c.id)):
        by_agent[row["agent_id"]].append(row)
    return by_agent


async def _questions(ctx: Context) -> dict[str, list[tuple[datetime, str]]]:
    """When agents asked the keeper, or people, by agent; the questions are open."""
    keeper, people = ctx.table(KeeperRequest), ctx.table(Escalation)
    to_keeper = select(keeper.c.agent_id, keeper.c.created_at).where(keeper.c.decision == ASKED)
    to_people = select(people.c.from_agent_id, people.c.created_at).where(people.c.status == PENDING)
    by_agent = defaultdict[str, list[tuple[datetime, str]]](list)
    for statement, reason in ((to_keeper, "awaiting_keeper"), (to_people, "awaiting_user_input")):
        for agent_id, asked_at in await ctx.report(statement):
            by_agent[agent_id].append((asked_at, reason))
    return by_agent


def _row(agent: Any, live: Sequence[Any], asked: Sequence[tuple[datetime, str]], now: datetime) -> RosterRow | None:
    known: dict[str, Any] = {"agent_id": agent["id"], "crew_id": agent["crew_id"]}
    working = [run for run in live if run["waits_for"] is None or run["waits_since"] is None]
    if working:
        run = working[0]
        questions = [question for question in asked if question[0] >= run["started_at"]]
        if len(working) == 1 and questions:
            since, reason = max(questions)
            return RosterRow(**known, status=PresenceStatus.blocked, since=since, details={"blocked_reason": reason})
        told = {
            "current_task_id": run["task_id"],
            "current_mission_id": run["mission_id"],
            "started_at": run["started_at"],
        }
        details = {key: value for key, value in told.items() if value is not None}
        return RosterRow(**known, status=PresenceStatus.busy, since=run["started_at"], details=details)
    if live:
        run = max(live, key=lambda each: each["waits_since"])
        details = {"blocked_reason": "awaiting_approval", "approval_id": run["waits_for"]}
        return RosterRow(**known, status=PresenceStatus.blocked, since=run["waits_since"], details=details)
    if agent["ended_at"] is None:
        return None
    silent_at = agent["ended_at"] + SILENT
    if now < silent_at:
        return RosterRow(**known, status=PresenceStatus.online, since=agent["ended_at"])
    return RosterRow(**known, status=PresenceStatus.offline, since=silent_at, details={"reason": IDLE})
