"""Whether a first run is over, and how it is skipped."""

import pytest

from models.people.workspaces import Membership, Role
from models.staff.agents import Agent
from tests.staff.onboarding.first_runs import COMPLETE, NAMES, STATUS, completed, newcomer, set_up
from tests.world import Person, World

pytestmark = pytest.mark.anyio


async def marked(world: World, person: Person) -> bool:
    found: bool = await world.database.fetchval("SELECT onboarding_completed FROM users WHERE id = $1", person.user_id)
    return found


async def test_it_is_open_until_it_is_skipped(world: World) -> None:
    person, _ = await newcomer(world, "skipping")
    assert not await completed(world, person)
    assert not await marked(world, person)
    for _ in range(2):
        answer = await world.rest(person, "POST", COMPLETE, workspace=None)
        assert (answer.status_code, answer.json()) == (200, {"status": "completed"})
        assert await completed(world, person)
    assert (await set_up(world, person, **NAMES)).status_code == 409


async def test_to_skip_it_makes_nothing_and_concerns_nobody_else(world: World) -> None:
    person, _ = await newcomer(world, "alone")
    other, _ = await newcomer(world, "another")
    before = await world.snapshot()
    await world.rest(person, "POST", COMPLETE, workspace=None)
    after = await world.snapshot()
    assert {table for table in after if after[table] != before[table]} == {"security_logs", "users"}
    assert not await completed(world, other)
    await world.rest(person, "POST", COMPLETE, workspace=None)
    assert await world.snapshot() == after


async def test_an_agent_in_any_workspace_ends_it_for_good(world: World) -> None:
    person, _ = await newcomer(world, "hired")
    _, elsewhere = await newcomer(world, "employer")
    agent = Agent(name="Hand", slug="hand", workspace_id=elsewhere.id)
    await world.add(agent)
    assert not await completed(world, person), "somebody else's agent"
    await world.add(Membership(workspace_id=elsewhere.id, user_id=person.user_id, role=Role.VIEWER))
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", agent.id)
    assert not await completed(world, person), "a deleted agent"
    assert not await marked(world, person)
    await world.database.execute("UPDATE agents SET deleted_at = NULL WHERE id = $1", agent.id)
    assert await completed(world, person)
    assert await marked(world, person)
    await world.database.execute("DELETE FROM agents WHERE id = $1", agent.id)
    assert await completed(world, person)
    assert (await set_up(world, person, **NAMES)).status_code == 409


async def test_agents_of_a_deleted_workspace_do_not_count(world: World) -> None:
    person, workspace = await newcomer(world, "closed")
    await world.add(Agent(name="Hand", slug="hand", workspace_id=workspace.id))
    await world.database.execute("UPDATE workspaces SET deleted_at = now() WHERE id = $1", workspace.id)
    assert not await completed(world, person)
    await world.database.execute("UPDATE workspaces SET deleted_at = NULL WHERE id = $1", workspace.id)
    assert await completed(world, person)


async def test_a_status_that_changes_nothing_writes_nothing(world: World) -> None:
    person, _ = await newcomer(world, "watched")
    before = await world.snapshot()
    for _ in range(2):
        assert not await completed(world, person)
    assert await world.snapshot() == before


async def test_somebody_without_a_workspace_can_skip_it(world: World) -> None:
    person = await world.person("free", None)
    assert not await completed(world, person)
    assert (await world.rest(person, "POST", COMPLETE, workspace=None)).status_code == 200
    assert await completed(world, person)


async def test_nobody_has_no_first_run(world: World) -> None:
    for method, path in (("GET", STATUS), ("POST", COMPLETE)):
        answer = await world.rest(None, method, path, workspace=None)
        assert (answer.status_code, answer.json()["error"]) == (401, "no_credentials")
    assert (await world.rest(world.owner, "GET", COMPLETE, workspace=None)).status_code == 405


async def test_graphql_says_and_does_the_same(world: World) -> None:
    person, _ = await newcomer(world, "graph")
    asked = "mutation { refreshOnboardingStatus { completed } }"
    assert (await world.graphql(person, asked))["data"] == {"refreshOnboardingStatus": {"completed": False}}
    skipped = await world.graphql(person, "mutation { completeOnboarding { status } }")
    assert skipped["data"] == {"completeOnboarding": {"status": "completed"}}
    assert (await world.graphql(person, asked))["data"] == {"refreshOnboardingStatus": {"completed": True}}
