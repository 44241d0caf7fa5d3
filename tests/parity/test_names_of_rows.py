"""GraphQL finds crews, agents and projects by slug, and issues by an identifier in any case; REST does not."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.missions import Mission, MissionStatus, MissionType
from models.work.projects import Project
from tests.world import Person, World

pytestmark = pytest.mark.anyio
KINDS: dict[str, type[Crew] | type[Agent] | type[Project]] = {"crew": Crew, "agent": Agent, "project": Project}
NOBODY_HERE = "cnosuchrow00000000000"


async def row(world: World, model: Any, slug: str, workspace_id: str) -> Any:
    made = model(name=slug, slug=slug, workspace_id=workspace_id)
    await world.add(made)
    return made


async def asked(world: World, kind: str, name: str, person: Person | None = None, **where: str) -> Any:
    """The id of the row, or the text and the code of the refusal."""
    document = f"query($ws: ID, $name: ID!) {{ {kind}(workspaceId: $ws, id: $name) {{ id }} }}"
    answer = await world.graphql(person or world.viewer, document, {"name": name, **where})
    if "errors" in answer:
        return answer["errors"][0]["message"], answer["errors"][0]["extensions"]["code"]
    return answer["data"][kind]["id"]


async def test_a_row_is_found_by_id_and_by_slug(world: World) -> None:
    for kind, model in KINDS.items():
        made = await row(world, model, f"found-{kind}", world.workspace.id)
        assert [await asked(world, kind, name) for name in (made.id, made.slug)] == [made.id] * 2
        for unknown in (NOBODY_HERE, f"found-{kind}-not", made.slug.upper(), made.name[:-1], "\0", "x" * 500, ""):
            fault = await asked(world, kind, unknown)
            assert fault in [(f"{model.__name__} not found", "NOT_FOUND"), await asked(world, kind, unknown)]
        assert await asked(world, kind, f"found-{kind}-not") == await asked(world, kind, NOBODY_HERE)


async def test_a_slug_is_of_the_own_workspace(world: World) -> None:
    for kind, model in KINDS.items():
        here = await row(world, model, f"both-{kind}", world.workspace.id)
        there = await row(world, model, f"both-{kind}", world.other.id)
        away = await row(world, model, f"away-{kind}", world.other.id)
        missing = (f"{model.__name__} not found", "NOT_FOUND")
        assert await asked(world, kind, f"both-{kind}") == here.id
        assert await asked(world, kind, f"both-{kind}", world.outsider, ws=world.other.id) == there.id
        assert [await asked(world, kind, name) for name in (away.slug, away.id, there.id)] == [missing] * 3
        for name in (here.slug, here.id, away.slug):
            refused = await asked(world, kind, name, world.outsider, ws=world.workspace.id)
            assert refused[1] == "FORBIDDEN", refused


async def test_one_document_asks_by_both(world: World) -> None:
    crew = await row(world, Crew, "in-one", world.workspace.id)
    document = """query($ws: ID, $a: ID!, $b: ID!) {
        a: crew(workspaceId: $ws, id: $a) { id }
        b: crew(workspaceId: $ws, id: $b) { id }
    }"""
    for _ in range(4):  # after a few times it is one statement
        answer = await world.graphql(world.viewer, document, {"a": crew.id, "b": crew.slug})
        assert answer["data"] == {"a": {"id": crew.id}, "b": {"id": crew.id}}
        answer = await world.graphql(world.viewer, document, {"a": crew.slug, "b": "no-such-crew"})
        assert answer["data"] == {"a": {"id": crew.id}, "b": None}


async def test_rest_takes_ids_alone(world: World) -> None:
    for model, path in ((Crew, "crews"), (Agent, "agents"), (Project, "projects")):
        made = await row(world, model, f"rest-{path}", world.workspace.id)
        assert (await world.rest(world.viewer, "GET", f"/api/v1/{path}/{made.id}")).status_code == 200
        assert (await world.rest(world.viewer, "GET", f"/api/v1/{path}/{made.slug}")).status_code == 404


async def issue(world: World, crew: Crew, identifier: str) -> str:
    lead = await row(world, Agent, f"lead-{new_id()}", crew.workspace_id)
    made = Mission(
        crew_id=crew.id, lead_agent_id=lead.id, title=identifier, identifier=identifier, number=1, trace_id=new_id(),
        mission_type=MissionType.issue, status=MissionStatus.BACKLOG, workspace_id=crew.workspace_id,
    )  # fmt: skip
    await world.add(made)
    return made.id


async def test_an_identifier_is_found_in_any_case(world: World) -> None:
    document = "query($ws: ID, $name: String!) { issue(workspaceId: $ws, identifier: $name) { id } }"
    crew = await row(world, Crew, "cases", world.workspace.id)
    away = await row(world, Crew, "cases-away", world.other.id)
    capitals, small, other = [await issue(world, crew, name) for name in ("CAS-1", "cas-1", "CAS-2")]
    await issue(world, away, "cas-2")
    await issue(world, away, "CAS-3")

    async def found(name: str) -> Any:
        answer = await world.graphql(world.viewer, document, {"name": name})
        return answer["errors"][0]["message"] if "errors" in answer else answer["data"]["issue"]["id"]

    assert [await found(name) for name in ("CAS-1", "cas-1", "Cas-1")] == [capitals, small, capitals]
    assert [await found(name) for name in ("CAS-2", "cas-2", "cAs-2")] == [other] * 3
    assert [await found(name) for name in ("CAS-3", "cas-3", "CAS-", "")] == ["Issue not found"] * 4
    assert (await world.rest(world.viewer, "GET", "/api/v1/issues/CAS-2")).status_code == 200
    assert (await world.rest(world.viewer, "GET", "/api/v1/issues/cas-2")).status_code == 404
