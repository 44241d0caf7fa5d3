"""A crew with an agent whose memory is empty, and a model that says what a test wants."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import instance
from tests.oversight.keeper.conftest import ScriptedModel
from tests.world import Person, World

MEMORY = "/api/v1/memory"
TABLES = ("memory_versions", "memory_texts", "memory_proposals", "inbox_items")


@dataclass
class Bridge:
    """A crew with one agent."""

    world: World
    crew: Crew
    agent: Agent

    @property
    def output(self) -> Path:
        """The folder that the agents of the crew share, as it is stored."""
        place = ("workspaces", self.world.workspace.id, "crews", self.crew.id, "output")
        return self.world.settings.storage_path.joinpath(*place)

    @property
    def own(self) -> Path:
        """The memory of the agent."""
        return self.output / self.agent.slug / ".memory"

    @property
    def shared(self) -> Path:
        return self.output / ".memory"

    async def ask(
        self, method: str, place: str, person: Person | None = None, /, *, body: Any = None, **query: Any
    ) -> httpx2.Response:
        async with self.world.client(person or self.world.admin) as client:
            asked = {"workspace_id": self.world.workspace.id} | query
            content = {} if body is None else {"json": body}
            return await client.request(method, place, params=asked, **content)

    async def import_documents(self, *documents: dict[str, Any], agent: bool = True, **more: Any) -> Any:
        body = {"crew_id": self.crew.id, "documents": list(documents)} | more
        if agent:
            body["agent_slug"] = self.agent.slug
        answer = await self.ask("POST", f"{MEMORY}/import", body=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def export(self, agent: bool = True) -> Any:
        slug = {"agent_slug": self.agent.slug} if agent else {}
        answer = await self.ask("GET", f"{MEMORY}/export", crew_id=self.crew.id, **slug)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def versions(self, path: str, **query: Any) -> Any:
        answer = await self.ask("GET", f"{MEMORY}/versions", self.world.viewer, path=path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()


def document(path: str, body: str, tier: str = "agent", **more: Any) -> dict[str, Any]:
    return {"path": path, "tier": tier, "body": body} | more


@pytest.fixture
async def bridge(world: World) -> Bridge:
    for table in TABLES:
        await world.database.execute(f"DELETE FROM {table}")
    number = await world.database.fetchval("SELECT count(*) FROM crews")
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Bridge", slug=f"bridge-{number}", **here)
    agent = Agent(name="Ada", slug=f"ada-{number}", crew_id=crew.id, **here)
    await world.add(crew, agent)
    return Bridge(world, crew, agent)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted, before = ScriptedModel(), instance.completions
    instance.completions = scripted
    yield scripted
    instance.completions = before
