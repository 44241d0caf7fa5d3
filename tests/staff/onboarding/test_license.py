"""The crew limit of the license, which holds for a first run, too."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.people.workspaces import Role
from models.staff.crews import Crew
from tests.staff.onboarding.first_runs import NAMES, NOTHING, completed, counts, kept, newcomer, rows, set_up
from tests.world import World, world_on

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def limited(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), max_crews=2) as made:
        yield made


async def test_a_full_workspace_gets_no_crew_and_the_run_stays_open(limited: World) -> None:
    person, workspace = await newcomer(limited, "full")
    crews = [Crew(name=f"Other {n}", slug=f"other-{n}", workspace_id=workspace.id) for n in range(2)]
    await limited.add(*crews)
    answer = await set_up(limited, person, **NAMES, preferred_language="Czech")
    assert answer.status_code == 402, answer.text
    assert answer.json()["error"] == "license limit reached: 2/2 crews (community edition)."
    assert await counts(limited, workspace) == NOTHING | {"crews": 2}
    assert await kept(limited, workspace, "preferred_language") == "Czech"
    assert not await completed(limited, person)
    await limited.database.execute("DELETE FROM crews WHERE id = $1", crews[0].id)
    assert (await set_up(limited, person, **NAMES)).status_code == 201


async def test_the_last_place_is_taken_once(limited: World) -> None:
    person, workspace = await newcomer(limited, "narrow")
    await limited.add(Crew(name="Other", slug="other", workspace_id=workspace.id))
    people = [person, *[await limited.person(f"narrow-{n}", Role.ADMIN, workspace) for n in range(3)]]
    answers = await asyncio.gather(
        *(set_up(limited, p, crew_name=f"Crew of {p.name}", agent_name=f"Agent of {p.name}") for p in people)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 402, 402, 402]
    assert len(await rows(limited, "crews", workspace)) == 2
