"""REST: what a crew offers to the author of a routine."""

import pytest

from models.base import new_id
from models.resources.integrations import CrewIntegration, ToolBinding
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.rules import inventory
from resolvers.rules.routine_language import routine_language
from tests.world import World, now

pytestmark = pytest.mark.anyio


async def offering_crew(world: World) -> tuple[Crew, CrewIntegration, CrewIntegration]:
    """A crew that offers much, beside what is off, gone or another crew's; its GitHub, and its charts without tools."""
    here = {"workspace_id": world.workspace.id}
    crew = Crew(
        name="Engine", slug="engine",
        devcontainer_config='{"image": "i", "features": {"ghcr.io/devcontainers/features/github-cli:1": {}}}',
        mise_config='{"tools": {"terraform": "1.9"}}',
        services_json='[{"name": "db", "image": "postgres:18", "ports": ["5432/tcp"]}]', **here,
    )  # fmt: skip
    other = Crew(name="Deck", slug="deck", **here)
    of_crew = {"crew_id": crew.id, **here}
    github = CrewIntegration(name="github", display_name="GitHub", **of_crew)
    charts = CrewIntegration(name="charts", display_name="", **of_crew)
    hidden = [
        CrewIntegration(name="off", display_name="Off", enabled=False, **of_crew),
        CrewIntegration(name="gone", display_name="Gone", deleted_at=now(), **of_crew),
        CrewIntegration(name="far", display_name="Far", crew_id=other.id, **here),
    ]
    tools = [(github, "search", True), (github, "clone", True), (github, "drop", False), (hidden[0], "none", True)]
    await world.add(
        crew, other, github, charts, *hidden,
        *[ToolBinding(crew_integration_id=server.id, tool_name=name, enabled=on, **here) for server, name, on in tools],
        Agent(name="Zed", slug="zed", **of_crew), Agent(name="Amy", slug="amy", **of_crew),
        Agent(name="Gone", slug="gone", deleted_at=now(), **of_crew),
        Agent(name="Far", slug="far", crew_id=other.id, **here),
    )  # fmt: skip
    return crew, github, charts


CAPABILITIES = """query($ws: ID, $crew: ID!) { crewCapabilities(workspaceId: $ws, crewId: $crew) {
    crewId crewSlug container { datastores { port } tools { name } } integrations { name displayName tools }
    agents { slug } runtimes { code { wired reservedUnwired } scriptInterpreters } schema
} }"""


async def test_a_crew_tells_all_it_offers(world: World) -> None:
    crew, github, charts = await offering_crew(world)
    answer = await world.rest(world.viewer, "GET", f"/api/v1/crews/{crew.id}/capabilities")
    assert answer.json() == {
        "crew_id": crew.id,
        "crew_slug": "engine",
        "container": {
            "datastores": [{"type": "postgres", "name": "db", "host": "db", "port": "5432"}],
            "tools": [{"type": "gh", "name": "gh"}, {"type": "terraform", "name": "terraform"}],
        },
        "integrations": [
            {"id": charts.id, "name": "charts", "tools": []},
            {"id": github.id, "name": "github", "display_name": "GitHub", "tools": ["clone", "search"]},
        ],
        "agents": [{"slug": "amy", "name": "Amy"}, {"slug": "zed", "name": "Zed"}],
        "runtimes": inventory.runtimes(),
        "schema": await routine_language(),
    }
    shown = (await world.graphql(world.viewer, CAPABILITIES, {"crew": crew.id}))["data"]["crewCapabilities"]
    assert shown == {
        "crewId": crew.id,
        "crewSlug": "engine",
        "container": {"datastores": [{"port": "5432"}], "tools": [{"name": "gh"}, {"name": "terraform"}]},
        "integrations": [
            {"name": "charts", "displayName": None, "tools": []},
            {"name": "github", "displayName": "GitHub", "tools": ["clone", "search"]},
        ],
        "agents": [{"slug": "amy"}, {"slug": "zed"}],
        "runtimes": {
            "code": {"wired": ["cel", "expr"], "reservedUnwired": ["bash", "go", "python"]},
            "scriptInterpreters": dict(inventory.SCRIPT_INTERPRETERS),
        },
        "schema": await routine_language(),
    }


async def test_a_malformed_configuration_offers_nothing(world: World) -> None:
    crew = Crew(
        name="Broken",
        slug="broken",
        devcontainer_config="{",
        mise_config="{",
        services_json="{",
        workspace_id=world.workspace.id,
    )
    await world.add(crew)
    answer = await world.rest(world.viewer, "GET", f"/api/v1/crews/{crew.id}/capabilities")
    assert (answer.status_code, answer.json()["container"], answer.json()["integrations"]) == (
        200,
        {"datastores": [], "tools": []},
        [],
    )


async def test_an_unknown_crew_has_no_capabilities(world: World) -> None:
    crew, gone = (
        Crew(name="Here", slug="here", workspace_id=world.workspace.id),
        Crew(name="Gone", slug="gone", deleted_at=now(), workspace_id=world.workspace.id),
    )
    await world.add(crew, gone)
    for id, person, workspace in (
        (new_id(), world.viewer, world.workspace.id),
        (gone.id, world.viewer, world.workspace.id),
        (crew.id, world.outsider, world.other.id),
    ):
        answer = await world.rest(person, "GET", f"/api/v1/crews/{id}/capabilities", workspace=workspace)
        assert (answer.status_code, answer.json()["error"]) == (404, "Crew not found")
