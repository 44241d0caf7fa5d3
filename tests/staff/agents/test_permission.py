"""Who may create and edit agents: workspace role x role in the crew x creator, by hand (contract: rbac.notes)."""

import pytest

from models.base import new_id
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.crews import Crew, CrewMember
from tests.every import each_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio

NOT_IN_CREW = "-"
INHERITS = None  # in the crew, without a role of its own
CREW_ROLES = (NOT_IN_CREW, INHERITS, *Role)

CREATES_ANYWHERE = {"owner", "admin", "manager"}
CREATES_IN_CREW_AS = {"OWNER", "ADMIN", "MANAGER"}
EDITS_ANY = {"owner", "admin"}
EDITS_IN_CREW_AS = {"OWNER", "ADMIN"}  # and only as a MANAGER of the workspace


async def new_crew(world: World, person: Person, role: str | None) -> Crew:
    """A crew in which the person has the role."""
    crew = Crew(workspace_id=world.workspace.id, name="Crew", slug=new_id())
    await world.add(crew)
    if role != NOT_IN_CREW:
        await world.add(CrewMember(workspace_id=world.workspace.id, crew_id=crew.id, user_id=person.user_id, role=role))
    return crew


async def new_agent(world: World, crew: Crew | None, creator: Person | None) -> Agent:
    agent = Agent(
        workspace_id=world.workspace.id,
        name="Agent",
        slug=new_id(),
        crew_id=crew.id if crew else None,
        created_by_user_id=creator.user_id if creator else None,
    )
    await world.add(agent)
    return agent


async def attempt(
    world: World, person: Person, allowed: bool, method: str, path: str, body: dict[str, object] | None, done: int
) -> None:
    """Done, or refused without a trace."""
    before = await world.snapshot()
    answer = await world.rest(person, method, path, body)
    assert answer.status_code == (done if allowed else 403)
    assert (await world.snapshot() == before) is not allowed


@each_of("crew_role", CREW_ROLES)
@each_of("name", ["owner", "admin", "manager", "member", "viewer"])
async def test_create_in_a_crew(world: World, name: str, crew_role: str | None) -> None:
    person = world.people[name]
    crew = await new_crew(world, person, crew_role)
    allowed = name in CREATES_ANYWHERE or crew_role in CREATES_IN_CREW_AS
    await attempt(
        world, person, allowed, "POST", "/api/v1/agents", {"name": "Agent", "slug": new_id(), "crew_id": crew.id}, 201
    )


@each_of("name", ["owner", "admin", "manager", "member", "viewer"])
async def test_create_without_a_crew(world: World, name: str) -> None:
    person = world.people[name]
    await new_crew(world, person, "OWNER")  # a role there says nothing here
    await attempt(
        world, person, name in CREATES_ANYWHERE, "POST", "/api/v1/agents", {"name": "Agent", "slug": new_id()}, 201
    )


@pytest.mark.slow
@each_of("crew_role", CREW_ROLES)
@each_of("name", ["owner", "admin", "manager", "member", "viewer"])
@each_of("own", [True, False], ids=["own", "foreign"])
async def test_edit(world: World, name: str, crew_role: str | None, own: bool) -> None:
    person = world.people[name]
    crew = await new_crew(world, person, crew_role)
    agent = await new_agent(world, crew, person if own else world.owner if name != "owner" else None)
    allowed = name in EDITS_ANY or (name == "manager" and (own or crew_role in EDITS_IN_CREW_AS))
    await attempt(world, person, allowed, "PATCH", f"/api/v1/agents/{agent.id}", {"name": "Renamed"}, 200)
    await attempt(world, person, allowed, "DELETE", f"/api/v1/agents/{agent.id}", None, 200)


@pytest.mark.parametrize("own", [True, False], ids=["own", "foreign"])
async def test_a_manager_and_an_agent_without_a_crew(world: World, own: bool) -> None:
    await new_crew(world, world.manager, "ADMIN")
    agent = await new_agent(world, None, world.manager if own else None)
    await attempt(world, world.manager, own, "PATCH", f"/api/v1/agents/{agent.id}", {"name": "Renamed"}, 200)


@each_of(("name", "status"), [("owner", 404), ("admin", 404), ("manager", 403), ("member", 403), ("viewer", 403)])
@each_of("method", ["PATCH", "DELETE"])
async def test_an_unknown_agent_and_one_of_elsewhere_look_the_same(
    world: World, method: str, name: str, status: int
) -> None:
    elsewhere = Agent(
        workspace_id=world.other.id, name="Agent", slug=new_id(), created_by_user_id=world.people[name].user_id
    )
    await world.add(elsewhere)
    body = {"name": 5} if method == "PATCH" else None  # neither is the body judged before
    for id in (new_id(), elsewhere.id):
        assert (await world.rest(world.people[name], method, f"/api/v1/agents/{id}", body)).status_code == status


async def test_a_crew_role_of_another_workspace_does_not_count(world: World) -> None:
    crew = Crew(workspace_id=world.other.id, name="Crew", slug=new_id())
    await world.add(
        crew, CrewMember(workspace_id=world.other.id, crew_id=crew.id, user_id=world.member.user_id, role=Role.OWNER)
    )
    await attempt(
        world,
        world.member,
        False,
        "POST",
        "/api/v1/agents",
        {"name": "Agent", "slug": new_id(), "crew_id": crew.id},
        201,
    )


async def test_an_unreadable_body_is_told_before_the_role(world: World) -> None:
    async with world.client(world.viewer) as client:
        answer = await client.post("/api/v1/agents", params={"workspace_id": world.workspace.id}, content=b"{")
    assert (answer.status_code, answer.json()["error"]) == (400, "Invalid JSON body")
