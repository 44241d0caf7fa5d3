"""The crew limit of a license, where somebody has configured one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.staff.crews import Crew
from tests.world import World, now, world_on

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def limited(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), max_crews=3) as made:
        yield made


async def test_the_limit_is_told_before_the_body_and_holds_against_a_crowd(limited: World) -> None:
    here = {"workspace_id": limited.workspace.id}
    await limited.add(
        Crew(name="One", slug="one", **here),
        Crew(name="Gone", slug="gone", deleted_at=now(), **here),
        Crew(name="Far", slug="far", workspace_id=limited.other.id),
    )
    bodies = [{"name": f"Crew {n}", "slug": f"crew-{n}"} for n in range(6)]
    answers = await asyncio.gather(*[limited.rest(limited.manager, "POST", "/api/v1/crews", body) for body in bodies])
    assert sorted(answer.status_code for answer in answers) == [201, 201, 402, 402, 402, 402]
    before = await limited.snapshot()
    async with limited.client(limited.manager) as client:
        answer = await client.post(f"/api/v1/crews?workspace_id={limited.workspace.id}", content=b"no JSON")
    assert (answer.status_code, answer.json()["error"]) == (
        402,
        "license limit reached: 3/3 crews (community edition).",
    )
    assert (await limited.rest(limited.member, "POST", "/api/v1/crews", {})).status_code == 403
    assert await limited.snapshot() == before
    assert (
        await limited.rest(limited.outsider, "POST", "/api/v1/crews", bodies[0], workspace="other")
    ).status_code == 201
