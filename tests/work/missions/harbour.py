"""Crews whose agents work on issues, in a workspace with a worker of its own: what tests of missions stand on."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlmodel import SQLModel

from models.staff.agents import Agent, AgentRole
from models.staff.crews import Crew
from models.work.missions import Mission, MissionStatus, MissionTask, MissionType
from resolvers.kernel.reader import Column, Shape
from resolvers.work.issues import start_issue, stop_issue
from resolvers.work.missions import start_mission
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import Does, Wardrobe, says
from tests.runtime.estate import Estate
from tests.runtime.shop import QUICK

RHYTHM = Rhythm(sweep=0.2, patience=0.5, measure=0.5, retry=0.1)


@dataclass
class Agents:
    """An adapter for all of them: each does what the test has said of it, else it says that it is done."""

    acts: dict[str, Does] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        self.jobs.append(job)
        if job.agent.id in self.acts:
            return await self.acts[job.agent.id](job, sink)
        await says(sink, f"Done by {job.agent.name}")
        return Outcome()

    def of(self, agent: Agent) -> list[Job]:
        return [job for job in self.jobs if job.agent.id == agent.id]


@dataclass
class Harbour:
    estate: Estate
    agents: Agents

    async def crew(self, **lead: Any) -> "Berth":
        slug = f"w{secrets.token_hex(6)}"
        crew = Crew(name=slug, slug=slug, issue_prefix=slug.upper(), workspace_id=self.estate.workspace.id)
        await self.estate.add(crew)
        leads = await self.estate.agent(crew_id=crew.id, agent_role=AgentRole.LEAD, name=f"Lead {slug}", **lead)
        return Berth(self, crew, leads, await self.estate.agent(crew_id=crew.id, name=f"Worker {slug}"))


def shape_of(operation: Any) -> Shape | None:
    """Of rows nothing but the id is shown."""
    rows = isinstance(operation.returns, type) and issubclass(operation.returns, SQLModel)
    return Shape((Column("id", "id"),)) if rows else None


@dataclass
class Berth:
    """A crew with a lead and a worker."""

    harbour: Harbour
    crew: Crew
    lead: Agent
    worker: Agent
    issues: int = 0

    @property
    def estate(self) -> Estate:
        return self.harbour.estate

    async def issue(self, assignee: Agent | None = None, **fields: Any) -> Mission:
        self.issues += 1
        number, agent = self.issues, assignee or self.worker
        given = {
            "title": "Leak",
            "status": MissionStatus.BACKLOG,
            "assignee_type": "agent",
            "assignee_id": agent.id,
            "number": number,
        }
        given |= {
            "identifier": f"{self.crew.issue_prefix}-{number}",
            "trace_id": secrets.token_hex(8),
            "mission_type": MissionType.issue,
        }
        made = Mission(
            crew_id=self.crew.id, lead_agent_id=self.lead.id, workspace_id=self.estate.workspace.id, **given | fields
        )
        await self.estate.add(made)
        return made

    async def mission(self, **fields: Any) -> Mission:
        """One that is no issue, in PLANNING."""
        given: dict[str, Any] = {"crew_id": self.crew.id, "lead_agent_id": self.lead.id, "title": "Sail"}
        made = Mission(trace_id=secrets.token_hex(8), workspace_id=self.estate.workspace.id, **given | fields)
        await self.estate.add(made)
        return made

    async def go(self, mission: Mission, operation: Any = start_mission, **data: Any) -> dict[str, Any]:
        """An operation on a mission of the crew: its start, where nothing is said."""
        raw = {"crew_id": self.crew.id, "id": mission.id} | data
        answer = await operation(self.estate.caller, raw, shape_of(operation), place=self.estate.workspace.id)
        made: dict[str, Any] = orjson.loads(answer.body or b"{}")
        return made

    async def task(
        self, issue: Mission, title: str, order: int, agent: Agent | None = None, *after: MissionTask, **fields: Any
    ) -> MissionTask:
        made = MissionTask(
            mission_id=issue.id, title=title, task_order=order, workspace_id=self.estate.workspace.id, **fields
        )
        made.assigned_agent_id, made.depends_on = agent.id if agent else None, [task.id for task in after]
        await self.estate.add(made)
        return made

    def _named(self, issue: Mission) -> dict[str, Any]:
        return {"crew_id": self.crew.id, "identifier": issue.identifier}

    async def start(self, issue: Mission) -> None:
        answer = await start_issue(self.estate.caller, self._named(issue), place=self.estate.workspace.id)
        assert orjson.loads(answer.body or b"")["status"] == "IN_PROGRESS"

    async def stop(self, issue: Mission) -> None:
        await stop_issue(self.estate.caller, self._named(issue), place=self.estate.workspace.id)

    async def again(self, issue: Mission) -> None:
        """Opened and started once more."""
        await self.estate.owner.execute("UPDATE missions SET status = 'TODO' WHERE id = $1", issue.id)
        await self.start(issue)

    # ---- what came of it -----------------------------------------------------------------------------------------

    async def row(self, issue: Mission) -> Mission:
        return Mission(**dict(await self.estate.owner.fetchrow("SELECT * FROM missions WHERE id = $1", issue.id)))

    async def ended(self, issue: Mission, seconds: float = 30.0) -> Mission:
        async with asyncio.timeout(seconds):
            while (row := await self.row(issue)).status == MissionStatus.IN_PROGRESS:
                await asyncio.sleep(0.02)
        return row

    async def of(self, table: str, issue: Mission, order: str = "created_at, id") -> list[dict[str, Any]]:
        key = {"assignments": "chat_id", "missions": "id"}.get(table, "mission_id")
        return [
            dict(row)
            for row in await self.estate.owner.fetch(
                f"SELECT * FROM {table} WHERE {key} = $1 ORDER BY {order}", issue.id
            )
        ]

    async def tasks(self, issue: Mission) -> list[dict[str, Any]]:
        return await self.of("mission_tasks", issue, "task_order, id")

    async def inbox(self, issue: Mission) -> list[dict[str, Any]]:
        rows = await self.estate.owner.fetch(
            "SELECT * FROM inbox_items WHERE source_id = $1", f"issue_review_{issue.id}"
        )
        return [dict(row) for row in rows]

    async def failures(self, issue: Mission) -> list[dict[str, Any]]:
        rows = await self.estate.owner.fetch(
            "SELECT * FROM inbox_items WHERE kind = 'failed_run' AND payload->>'mission_id' = $1 ORDER BY created_at",
            issue.id,
        )
        return [dict(row) for row in rows]

    async def told(self, issue: Mission) -> list[tuple[str, str]]:
        """(type, status) of what the workspace heard of the issue and its tasks, in order."""
        found = await self.estate.events(f"workspace:{self.estate.workspace.id}")
        return [
            (type, payload.get("status", ""))
            for type, payload in found
            if issue.id in (payload.get("id"), payload.get("mission_id"))
        ]

    async def waiting(self, issue: Mission, name: str) -> int:
        """Jobs about the issue that have not ended; one that is carried out has nothing of it but its partition."""
        sql = (
            "SELECT count(*) FROM dbos.workflow_status WHERE name = $2 AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
            " AND concat(workflow_uuid, deduplication_id, queue_partition_key) LIKE '%' || $1 || '%'"
        )
        count: int = await self.estate.owner.fetchval(sql, issue.id, name)
        return count

    async def quiet(self, issue: Mission, seconds: float = 30.0) -> None:
        """Until nobody is to look at the issue any more."""
        async with asyncio.timeout(seconds):
            while await self.waiting(issue, "missions.drive"):
                await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def working(estate: Estate, agents: Agents) -> AsyncIterator[None]:
    """This process does the work of the workspace, while the block runs."""
    runtime = Runtime(estate.settings, Wardrobe(agents), timing=QUICK, jobs=carried(), rhythm=RHYTHM)
    await runtime.start()
    try:
        yield
    finally:
        await runtime.stop()
