"""The clock of agents' schedules: a run of `schedule_prompt` at each time of `schedule_cron`, in UTC (contract: agents,
background).

A tick enqueues a job for each agent that is due, in portions. The job starts the run and moves `schedule_next_run` in
one transaction, under the agent's lock: a second job finds that the agent is no longer due.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import col

from models.staff.agents import Agent
from models.staff.runs import BY_SCHEDULE, Run, RunStatus
from resolvers.kernel import AcrossWorkspaces, Context, Id, Input, Topic, clock, job, log
from resolvers.kernel.background.clocks import Write, each_due
from resolvers.rules.cron import next_run
from resolvers.staff.runs.events import RUN_STARTS
from resolvers.staff.runs.lifecycle import hold_starts, start_run, why_idle

MOST_TURNS: Final = 20


class OfScheduledAgent(Input):
    agent_id: Id


LOOK = clock("agents.due", every=timedelta(seconds=30))
START = job("agents.start_scheduled", OfScheduledAgent, unique="{agent_id}", emits=RUN_STARTS)


async def look(write: Write, now: datetime) -> None:
    """A job for each agent that is due, the oldest first."""

    def enqueue(rows: AcrossWorkspaces, row: Any) -> None:
        rows.enqueue(START, row["workspace_id"], agent_id=row["id"])

    await each_due(write, now, Agent, "schedule_next_run", enqueue=enqueue)


async def start_scheduled(ctx: Context, agent_id: str, now: datetime) -> None:
    """Starts the run of an agent that is due, and sets the next time. Missed times count as one; a time during the
    previous run is skipped. An expression that cannot be read has no next time.
    """
    await hold_starts(ctx, agent_id)
    agent = await ctx.select(Agent, col(Agent.id) == agent_id).locked().first()
    if agent is None or agent.schedule_next_run is None or agent.schedule_next_run > now:
        return
    expression = agent.schedule_cron if agent.schedule_enabled else None
    # a clock that runs behind the one that found the agent due does not see it due twice
    following = next_run(expression, max(now, agent.schedule_next_run)) if expression else None
    changes: dict[str, Any] = {"schedule_next_run": following}
    if following is not None and await _may_start(ctx, agent):
        run = Run(
            agent_id=agent.id,
            trigger_type=BY_SCHEDULE,
            prompt=agent.schedule_prompt or "",
            max_turns=MOST_TURNS,
            data={"cli_adapter": agent.cli_adapter, "crew_id": agent.crew_id, "agent_slug": agent.slug},
        )
        await start_run(ctx, run, conflict={})
        ctx.ring(Topic.queue)
        changes["schedule_last_run"] = now
    await ctx.update(Agent, agent.id, **changes)


async def _may_start(ctx: Context, agent: Agent) -> bool:
    goes_on = (
        col(Run.agent_id) == agent.id,
        col(Run.status) == RunStatus.RUNNING,
        col(Run.trigger_type) == BY_SCHEDULE,
    )
    refused = why_idle(agent)
    if refused is None and not agent.schedule_prompt:
        log.warning("a schedule has no prompt", agent_id=agent.id)
        return False
    return refused is None and not await ctx.select(Run, *goes_on).exists()
