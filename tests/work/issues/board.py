"""Crews that can have issues, and ways to create them, to change them, and to see what came of it."""

import secrets
from dataclasses import dataclass
from typing import Any

import httpx2

from models.people.workspaces import Workspace
from models.staff.agents import Agent, AgentRole
from models.staff.crews import Crew
from models.work.labels import Label
from models.work.missions import Mission, MissionStatus, MissionType
from models.work.projects import Milestone, Project
from tests.world import Person, World

ISSUES = "/api/v1/issues"
UNKNOWN = "cnosuchrow00000000000"


def word() -> str:
    return f"w{secrets.token_hex(6)}"


@dataclass
class Board:
    world: World
    crew: Crew
    lead: Agent
    worker: Agent
    person: Person

    @classmethod
    async def of(cls, world: World, workspace: Workspace | None = None, **crew: Any) -> "Board":
        """In the world's workspace, worked on by its manager; in the other one by the outsider."""
        here: dict[str, Any] = {"workspace_id": (workspace or world.workspace).id}
        slug = crew.pop("slug", word())
        made = Crew(slug=slug, **{"name": f"Crew {slug}", "issue_prefix": slug.upper()} | crew, **here)
        lead = Agent(crew_id=made.id, name=f"Lead {slug}", slug=f"lead-{slug}", agent_role=AgentRole.LEAD, **here)
        worker = Agent(crew_id=made.id, name=f"Worker {slug}", slug=f"worker-{slug}", **here)
        await world.add(made, lead, worker)
        return cls(world, made, lead, worker, world.outsider if workspace is world.other else world.manager)

    @property
    def path(self) -> str:
        return f"/api/v1/crews/{self.crew.id}/issues"

    @property
    def here(self) -> dict[str, Any]:
        return {"workspace_id": self.crew.workspace_id}

    async def ask(
        self, method: str, path: str, body: Any = None, person: Person | None = None, **headers: str
    ) -> httpx2.Response:
        return await self.world.rest(
            person or self.person, method, path, body, workspace=self.crew.workspace_id, **headers
        )

    async def read(self, path: str, **query: Any) -> Any:
        async with self.world.client(self.person) as client:
            answer = await client.get(path, params={"workspace_id": self.crew.workspace_id, **query})
        assert answer.status_code == 200, answer.text[:300]
        return answer.json()

    async def create(self, title: str = "Leak", *, person: Person | None = None, **fields: Any) -> dict[str, Any]:
        answer = await self.ask("POST", self.path, {"title": title, **fields}, person)
        assert answer.status_code == 201, answer.text[:300]
        made: dict[str, Any] = answer.json()
        return made

    async def patch(self, issue: dict[str, Any], **fields: Any) -> httpx2.Response:
        return await self.ask("PATCH", self.of_issue(issue), fields)

    async def change(self, issue: dict[str, Any], **fields: Any) -> dict[str, Any]:
        answer = await self.patch(issue, **fields)
        assert answer.status_code == 200, answer.text[:300]
        made: dict[str, Any] = answer.json()
        return made

    async def get(self, issue: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = await self.read(f"{ISSUES}/{issue['identifier']}")
        return made

    def of_issue(self, issue: dict[str, Any], part: str = "") -> str:
        return f"{self.path}/{issue['identifier']}{part}"

    async def activity(self, issue: dict[str, Any]) -> list[tuple[str, str, str | None]]:
        """(who, what, details), the oldest first."""
        rows = await self.read(self.of_issue(issue, "/activity"))
        return [(row["actor_id"], row["action"], row["details"]) for row in reversed(rows)]

    async def in_state(self, status: MissionStatus, **fields: Any) -> dict[str, Any]:
        """An issue that came into this state without any operation."""
        issue = await self.create(**fields)
        await self.world.database.execute("UPDATE missions SET status = $1 WHERE id = $2", status, issue["id"])
        return issue

    async def row(self, issue: dict[str, Any]) -> dict[str, Any]:
        return dict(await self.world.database.fetchrow("SELECT * FROM missions WHERE id = $1", issue["id"]))

    async def label(self, name: str = "", **fields: Any) -> Label:
        made = Label(name=name or word(), color="red", **fields, **self.here)
        await self.world.add(made)
        return made

    async def project(self, **fields: Any) -> Project:
        slug = word()
        made = Project(name=fields.pop("name", slug), slug=slug, **fields, **self.here)
        await self.world.add(made)
        return made

    async def milestone(self, project: Project, **fields: Any) -> Milestone:
        made = Milestone(project_id=project.id, name=fields.pop("name", word()), **fields, **self.here)
        await self.world.add(made)
        return made

    async def mission(self, **fields: Any) -> Mission:
        """A mission that is no issue."""
        values = {
            "crew_id": self.crew.id,
            "lead_agent_id": self.lead.id,
            "trace_id": word(),
            "title": "Sail",
            "mission_type": MissionType.orchestration,
        }
        made = Mission(**values | fields, **self.here)
        await self.world.add(made)
        return made

    async def data(self, document: str, person: Person | None = None, /, **variables: Any) -> Any:
        """What GraphQL answers in its one field."""
        answer = await self.world.graphql(person or self.person, document, {"ws": self.crew.workspace_id} | variables)
        assert "errors" not in answer, str(answer)[:300]
        return next(iter(answer["data"].values()))

    async def code(self, document: str, person: Person | None = None, /, **variables: Any) -> tuple[str, str]:
        """The code and the text of a refusal."""
        answer = await self.world.graphql(person or self.person, document, {"ws": self.crew.workspace_id} | variables)
        error = answer["errors"][0]
        return error["extensions"]["code"], error["message"]

    async def since(self) -> int:
        """Where the outbox ends."""
        return await self.world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events")  # type: ignore[no-any-return]

    async def events(self, since: int) -> list[tuple[str, dict[str, Any]]]:
        """(type, payload) of what the workspace was told since."""
        channel = f"workspace:{self.crew.workspace_id}"
        return [
            (event["type"], event["payload"]) for event in await self.world.events(since) if event["channel"] == channel
        ]
