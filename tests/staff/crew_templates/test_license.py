"""The limits of the license, which hold for a crew of a template, too."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.staff.onboarding.first_runs import newcomer, rows
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
SMALL, LARGE = (f"/api/v1/crew-templates/{slug}/deploy" for slug in ("security-audit", "software-development"))


@pytest.fixture(scope="module")
async def limited(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    limits = {"max_crews": 1, "max_agents_per_crew": 3}
    async with world_on(module_database, tmp_path_factory.mktemp("data"), **limits) as made:
        yield made


async def test_crews_and_their_agents_are_limited(limited: World) -> None:
    person, workspace = await newcomer(limited, "licensed")
    for path, name, status in ((LARGE, "Large", 402), (SMALL, "Small", 201), (SMALL, "Second", 402)):
        answer = await limited.rest(person, "POST", path, {"crew_name": name}, workspace=workspace.id)
        assert answer.status_code == status, answer.text
    assert [crew["name"] for crew in await rows(limited, "crews", workspace)] == ["Small"]
    assert len(await rows(limited, "agents", workspace)) == 3
    setup = {"crew_template_slug": "software-development"}
    refused = await limited.rest(person, "POST", "/api/v1/onboarding/setup", setup, workspace=None)
    assert refused.status_code == 402
