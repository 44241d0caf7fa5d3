"""The limit of agents in a crew, where one is configured. A server of its own: a process serves one instance."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.staff.crews import Crew
from tests.conftest import Database
from tests.world import world_on

pytestmark = pytest.mark.anyio


async def test_a_configured_limit_holds_also_for_callers_at_once(
    database: Database, tmp_path: Path, anyio_backend: str
) -> None:
    async with world_on(database, tmp_path, max_agents_per_crew=2) as world:
        crew, other = [Crew(workspace_id=world.workspace.id, name="Crew", slug=slug) for slug in ("one", "two")]
        await world.add(crew, other)

        async def create(**body: Any) -> Any:
            return await world.rest(
                world.owner, "POST", "/api/v1/agents", {"name": "Agent", "slug": new_id(), "crew_id": crew.id} | body
            )

        answers = await asyncio.gather(*[create() for _ in range(5)])
        assert sorted(answer.status_code for answer in answers) == [201, 201, 402, 402, 402]
        refusal = await create(tool_profile="SOME")  # told before the rest of the body
        assert (refusal.status_code, refusal.json()["error"]) == (
            402,
            "license limit reached: 2/2 agents (community edition).",
        )
        assert (await create(slug="x")).status_code == 400
        assert (await create(crew_id=other.id)).status_code == 201
        assert (await create(crew_id=None)).status_code == 201
        assert (await world.rest(world.member, "POST", "/api/v1/agents", {"crew_id": crew.id})).status_code == 403
