"""An agent with credentials, a keeper that is on, and a model that says what a test wants."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from models.resources.credentials import AgentCredential, Credential, CredentialType
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.completions import Completed, CompletionRequest, Model
from resolvers.kernel import instance
from tests.sealing import sealed_before
from tests.world import World, world_on

TOKEN = {"X-Internal-Token": "ef" * 32}
REQUEST, EXECUTE = "/api/v1/internal/keeper/request", "/api/v1/internal/keeper/execute"
INTENT = "List the open pull requests of the project"
SECRET = "s3cr3t-Of-The-Harbour-42"


def verdict(decision: str, reason: str = "It fits", risk: Any = 3) -> str:
    return f'{{"decision": "{decision}", "reason": "{reason}", "risk": {risk}}}'


@dataclass
class ScriptedModel:
    """Answers as it is told, and keeps what it was asked."""

    answer: str | Exception | Callable[[CompletionRequest], str] = field(default_factory=lambda: verdict("DENY"))
    asked: list[CompletionRequest] = field(default_factory=list)
    hangs: bool = False

    async def complete(self, model: Model, question: CompletionRequest) -> Completed:
        self.asked.append(question)
        if self.hangs:
            await asyncio.sleep(3600)
        if isinstance(self.answer, Exception):
            raise self.answer
        text = self.answer if isinstance(self.answer, str) else self.answer(question)
        return Completed(text, 100, 20)


@pytest.fixture(scope="module")
async def world(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    settings = {"keeper_switch": True, "keeper_model": "judge", "keeper_address": "http://127.0.0.1:9"}
    directory: Path = tmp_path_factory.mktemp("data")
    async with world_on(module_database, directory, row_level_security=True, **settings) as made:
        yield made


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted, instance.completions = ScriptedModel(), (before := instance.completions)
    instance.completions = scripted
    yield scripted
    instance.completions = before


@dataclass
class Ship:
    """A crew with an agent, who holds credentials of every level, and one of another kind."""

    world: World
    crew: Crew
    agent: Agent
    credentials: dict[str, Credential]

    async def ask(self, path: str = REQUEST, credential: str = "low", **more: Any) -> Any:
        body = {
            "workspace_id": self.world.workspace.id,
            "requesting_agent_id": self.agent.id,
            "requesting_crew_id": self.crew.id,
            "credential_id": self.credentials[credential].id,
            "intent": INTENT,
        } | more
        async with self.world.client(None, **TOKEN) as client:
            return await client.post(path, json={name: value for name, value in body.items() if value is not None})

    async def decided(self, path: str = REQUEST, credential: str = "low", **more: Any) -> dict[str, Any]:
        answer = await self.ask(path, credential, **more)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    @property
    def output(self) -> Path:
        """The folder that the agents of the crew share, as it is stored."""
        place = ("workspaces", self.world.workspace.id, "crews", self.crew.id, "output")
        return self.world.settings.storage_path.joinpath(*place)

    async def row(self, id: str) -> Any:
        return await self.world.database.fetchrow("SELECT * FROM keeper_requests WHERE id = $1", id)


@pytest.fixture
async def ship(world: World) -> Ship:
    for table in ("keeper_requests", "inbox_items", "agent_credentials", "credentials"):
        await world.database.execute(f"DELETE FROM {table}")
    number = await world.database.fetchval("SELECT count(*) FROM crews")
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Deck", slug=f"deck-{number}", **here)
    agent = Agent(name="Ada", slug=f"ada-{number}", crew_id=crew.id, **here)
    await world.add(crew, agent)
    made = dict[str, Credential]()
    for name, level, type_ in (
        ("low", 1, CredentialType.SECRET),
        ("mid", 2, CredentialType.SECRET),
        ("high", 3, CredentialType.SECRET),
        ("api", 1, CredentialType.API_KEY),
    ):
        credential = Credential(name=name, type=type_, security_level=level, **here)
        credential.value = sealed_before(SECRET, table=Credential, column="value", row_id=credential.id)
        made[name] = credential
        named = {"env_var_name": f"K_{name.upper()}", **here}
        await world.add(credential, AgentCredential(agent_id=agent.id, credential_id=credential.id, **named))
    return Ship(world, crew, agent, made)


@pytest.fixture
async def evaluators(ship: Ship, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> Ship:
    slots = ("curator", "behavior", "memory_health", "negative")
    changes = {f"aux_{slot}_provider": "ollama" for slot in slots} | {f"aux_{slot}_model": "small" for slot in slots}
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update=changes))
    await ship.world.database.execute("UPDATE crews SET autonomy_level = 'guided', behavior_mode = 'warn'")
    return ship
