"""Agents that spend money, and the budgets of routines that ask them."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from models.base import new_id
from models.resources.costs import ModelCall
from models.work.saved_routines import SavedRoutine
from resolvers.work import routine_budgets
from runtime.runs.job import Job, Outcome, Sink, over_budget
from tests.runtime.doubles import says
from tests.runtime.estate import Estate
from tests.work.routine_runs.yard import RoutineYard

MILLION = 1_000_000


@dataclass
class Purse:
    """`books`: a connection for the agents alone. `costs`: US dollars that a run of an agent spends, by its slug;
    `jobs`: what agents were asked. While the gate is closed, agents wait before they answer.
    """

    yard: RoutineYard
    books: Estate
    costs: dict[str, float] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    booking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    async def spend(self, job: Job, sink: Sink) -> Outcome:
        """The call is booked, and a limit of the run ends it, as in every adapter."""
        self.jobs.append(job)
        micros = round(self.costs.get(job.agent.slug, 0.0) * MILLION)
        of: dict[str, Any] = {"run_id": job.run_id, "agent_id": job.agent.id, "workspace_id": job.workspace_id}
        async with self.booking:
            await self.books.add(ModelCall(step="1", provider="TEST", model="m", cost_micros=micros, **of))
        await self.gate.wait()
        if job.max_cost is not None and micros > job.max_cost:
            return over_budget(job.max_cost)
        await says(sink, "rowed")
        return Outcome()

    async def agent(self, cost: float) -> dict[str, Any]:
        """A step that asks an agent of its own, which spends so much."""
        agent = await self.yard.estate.agent(crew_id=self.yard.crew.id)
        self.costs[agent.slug] = cost
        return {"id": f"ask-{new_id()}", "type": "agent_run", "agent_slug": agent.slug, "prompt": "Row"}

    def jobs_of(self, *steps: dict[str, Any]) -> list[Job]:
        slugs = {step["agent_slug"] for step in steps}
        return [job for job in self.jobs if job.agent.slug in slugs]

    async def limit(self, routine: SavedRoutine, usd: float, *, hard: bool = True) -> Any:
        sent = {"slug": routine.slug, "monthly_budget_usd": usd, "hard_stop": hard}
        return await self.yard.ask(routine_budgets.set_routine_budget, sent)

    async def budget(self, routine: SavedRoutine) -> Any:
        return await self.yard.ask(routine_budgets.get_routine_budget, {"slug": routine.slug})
