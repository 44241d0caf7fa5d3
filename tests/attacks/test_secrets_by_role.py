"""Configuration texts may hold passwords and tokens: who reads them, on which way."""

import json
from typing import Any

import orjson
import pytest

from models.base import table_of
from models.people.workspaces import Membership, Role
from models.staff.agents import Agent
from models.staff.crews import Crew, CrewMember
from models.work.routine_runs import Waitpoint
from resolvers.identity.caller import Caller
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.kernel.reader.graph import CONFIDENTIAL
from resolvers.staff.crews.crews import get_crew
from tests.every import each_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio
SECRET = "hunter2-of-the-tests"
SERVICES = json.dumps([{"name": "db", "image": "postgres:18", "env": {"POSTGRES_PASSWORD": SECRET}}])
MCP = json.dumps({"mcpServers": {"a": {"command": "x", "args": ["--token", SECRET], "env": {"TOKEN": SECRET}}}})
MISE = f'[env]\nTOKEN = "{SECRET}"\n'
DEVCONTAINER = json.dumps({"image": "debian", "containerEnv": {"TOKEN": SECRET}})
TEXTS = {"mcp_config_json": MCP, "devcontainer_config": DEVCONTAINER, "mise_config": MISE, "services_json": SERVICES}
KEYS = "mcpConfigJson devcontainerConfig miseConfig servicesJson"
MANAGERS, OTHERS = ("owner", "admin", "manager"), ("member", "viewer")
READS = [
    f"{{ crews(workspaceId: $ws) {{ nodes {{ {KEYS} agents {{ nodes {{ mcpConfigJson }} }} }} }} }}",
    f"{{ crew(workspaceId: $ws, id: $crew) {{ {KEYS} agents {{ nodes {{ mcpConfigJson }} }} }} }}",
    f"{{ agents(workspaceId: $ws) {{ nodes {{ mcpConfigJson crew {{ {KEYS} }} }} }} }}",
    f"{{ agent(workspaceId: $ws, id: $agent) {{ mcpConfigJson crew {{ {KEYS} }} }} }}",
    f"{{ workspace(id: $ws) {{ crews {{ nodes {{ {KEYS} agents {{ nodes {{ mcpConfigJson }} }} }} }} }} }}",
    f"{{ viewer {{ workspaces {{ crews {{ nodes {{ {KEYS} agents {{ nodes {{ mcpConfigJson }} }} }} }} }} }} }}",
    (
        "{ viewer { memberships { workspace {"
        f" crews {{ nodes {{ {KEYS} agents {{ nodes {{ mcpConfigJson }} }} }} }} }} }} }} }}"
    ),
    (
        "{ a: crews(workspaceId: $ws) { edges {"
        f" node {{ b: servicesJson {KEYS} agents(first: 5) {{ edges {{ node {{ mcpConfigJson }} }} }} }} }} }} }}"
    ),
]


def test_the_texts_that_may_hold_secrets_are_these() -> None:
    assert {(model, name) for model, names in CONFIDENTIAL.items() for name in names} == {
        (Agent, "mcp_config_json"),
        (Waitpoint, "token"),
    } | {(Crew, name) for name in TEXTS}
    for model in (Agent, Crew):
        texts = {name for name in table_of(model).c.keys() if name.endswith(("_json", "_config"))}  # noqa: SIM118
        assert texts - {"escalation_config"} == set(CONFIDENTIAL[model]), (
            "a new configuration text is confidential, or is known to be numbers"
        )


@pytest.fixture(scope="module")
async def rows(world: World) -> tuple[Crew, Agent]:
    crew = Crew(workspace_id=world.workspace.id, name="Engine", slug="engine", **TEXTS)
    agent = Agent(
        workspace_id=world.workspace.id,
        crew_id=crew.id,
        name="Ada",
        slug="ada",
        mcp_config_json=MCP,
        created_by_user_id=world.manager.user_id,
    )
    await world.add(crew, agent)
    for name in OTHERS:  # a role in the crew is none in the workspace
        await world.add(
            CrewMember(
                workspace_id=world.workspace.id, crew_id=crew.id, user_id=world.people[name].user_id, role=Role.ADMIN
            )
        )
    return crew, agent


async def read(world: World, person: Person, selection: str, rows: tuple[Crew, Agent]) -> dict[str, Any]:
    variables = {"crew": rows[0].id, "agent": rows[1].id}
    used = [f"${name}: ID!" for name in ("ws", "crew", "agent") if f"${name}" in selection]
    return await world.graphql(
        person,
        f"query{'(' + ', '.join(used) + ')' if used else ''} {selection}",
        {n: v for n, v in variables.items() if f"${n}" in selection},
    )


@each_of("selection", READS)
async def test_no_path_of_the_graph_shows_them_below_manager(
    world: World, rows: tuple[Crew, Agent], selection: str
) -> None:
    expected = (await read(world, world.owner, selection, rows))["data"]
    assert orjson.dumps(expected).count(SECRET.encode()) >= 5
    for name in MANAGERS:
        assert (await read(world, world.people[name], selection, rows))["data"] == expected, name
    for name in OTHERS:
        answer = await read(world, world.people[name], selection, rows)
        assert "errors" not in answer
        assert SECRET not in str(answer), name
        assert str(answer["data"]).count("None") >= 5, "the keys are there"


@pytest.mark.parametrize("path", ["/api/v1/crews", "/api/v1/crews/{crew}", "/api/v1/agents", "/api/v1/agents/{agent}"])
async def test_no_rest_answer_shows_them_below_manager(world: World, rows: tuple[Crew, Agent], path: str) -> None:
    path = path.format(crew=rows[0].id, agent=rows[1].id)
    full: Any = (await world.rest(world.manager, "GET", path)).json()
    assert SECRET in str(full)
    for name in OTHERS:
        answer = await world.rest(world.people[name], "GET", path)
        assert (answer.status_code, SECRET in answer.text) == (200, False)
        shown: Any = answer.json()
        one, whole = (shown[0], full[0]) if isinstance(shown, list) else (shown, full)
        assert {key: value for key, value in one.items() if value is not None} == {
            key: value for key, value in whole.items() if value is not None and key not in TEXTS
        }


async def test_who_leads_here_and_looks_on_there_reads_each_place_by_its_role(
    world: World, rows: tuple[Crew, Agent]
) -> None:
    """Of a call over several workspaces no one role is judged."""
    await world.add(Crew(workspace_id=world.other.id, name="Theirs", slug="theirs", services_json=SERVICES))
    await world.add(Membership(workspace_id=world.other.id, user_id=world.viewer.user_id, role=Role.MANAGER))
    answer = await world.graphql(world.viewer, "{ viewer { workspaces { slug crews { nodes { servicesJson } } } } }")
    assert "errors" not in answer, answer
    shown = {w["slug"]: w["crews"]["nodes"][0]["servicesJson"] for w in answer["data"]["viewer"]["workspaces"]}
    assert shown == {"workspace": None, "other": SERVICES}


async def test_the_answers_of_writes_are_held_to_it_too(world: World, rows: tuple[Crew, Agent]) -> None:
    """A member with a role in the crew makes agents there; the answer may walk to the crew."""
    document = f"""mutation($ws: ID!, $crew: ID!) {{
      createAgent(workspaceId: $ws, input: {{name: "Made", slug: "SLUG", crewId: $crew}}) {{
          id mcpConfigJson crew {{ {KEYS} }} }}
    }}"""
    for name, sees in (("member", False), ("manager", True)):
        answer = await world.graphql(
            world.people[name], document.replace("SLUG", f"made-by-{name}"), {"crew": rows[0].id}
        )
        assert "errors" not in answer, answer
        assert (SECRET in str(answer)) is sees
    changed = await world.rest(world.admin, "PATCH", f"/api/v1/crews/{rows[0].id}", {"description": "Changed"})
    assert changed.status_code == 200
    assert SECRET not in str({k: v for k, v in changed.json().items() if k not in TEXTS})


async def test_no_event_and_no_audit_row_holds_them(world: World, rows: tuple[Crew, Agent]) -> None:
    await world.rest(
        world.admin, "PATCH", f"/api/v1/crews/{rows[0].id}", {"services_json": SERVICES, "mcp_config_json": MCP}
    )
    await world.rest(world.admin, "PATCH", f"/api/v1/agents/{rows[1].id}", {"mcp_config_json": MCP})
    assert SECRET not in str(await world.events())
    assert SECRET not in str(await world.audit())


async def test_the_server_itself_reads_them(world: World, rows: tuple[Crew, Agent]) -> None:

    shape = intern(Shape((Column("services", "services_json"),)))
    answer = await get_crew(Caller.service("test", world.workspace.id), {"id": rows[0].id}, shape)
    assert orjson.loads(answer.body or b"") == {"services": SERVICES}
