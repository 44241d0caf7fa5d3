"""What a template becomes, what it is refused for, and what is not there then."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.people.workspaces import Workspace
from models.resources.credentials import Credential, CredentialScope, CredentialStatus, CredentialType
from models.staff.agents import Agent
from resolvers.staff.crew_templates.deployment import slug_of
from tests.every import each_of
from tests.sealing import sealed_before
from tests.staff.onboarding.first_runs import newcomer, rows
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/crew-templates/security-audit/deploy"
TABLES = ("crews", "agents", "agent_credentials", "journal_entries")


async def deploy(world: World, person: Person, workspace: Workspace, path: str = PATH, **body: Any) -> Any:
    return await world.rest(person, "POST", path, body, workspace=workspace.id)


async def counts(world: World, workspace: Workspace) -> list[int]:
    return [len(await rows(world, table, workspace)) for table in TABLES]


async def key(world: World, workspace: Workspace, name: str, age: int, **values: Any) -> Credential:
    given = {"type": CredentialType.API_KEY, "provider": "ANTHROPIC", "workspace_id": workspace.id} | values
    made = Credential(name=name, created_at=now() - timedelta(minutes=age), **given)
    made.value = sealed_before("sk-ant", table=Credential, column="value", row_id=made.id)
    await world.add(made)
    return made


async def test_a_crew_with_its_agents_is_made(world: World) -> None:
    person, workspace = await newcomer(world, "deploying")
    events, audit = await world.events(), await world.audit()
    answer = await deploy(world, person, workspace, crew_name="  Sec Team! ")
    assert answer.status_code == 201, answer.text
    (crew,), agents = await rows(world, "crews", workspace), await rows(world, "agents", workspace)
    by_id = {agent["id"]: agent for agent in agents}
    made = answer.json()
    assert made == {
        "crew_id": crew["id"],
        "crew_name": "Sec Team!",
        "crew_slug": "sec-team",
        "agent_count": 3,
        "agent_ids": made["agent_ids"],
    }
    template = (await world.rest(person, "GET", PATH.removesuffix("/deploy"), workspace=workspace.id)).json()
    assert [by_id[id]["slug"] for id in made["agent_ids"]] == [f"{a['slug']}-sec-team" for a in template["agents"]]
    for id, described in zip(made["agent_ids"], template["agents"], strict=True):
        stored = by_id[id]
        assert {name: stored[name] for name in described if name != "slug"} == {
            name: value for name, value in described.items() if name != "slug"
        }
        assert (stored["crew_id"], stored["status"]) == (crew["id"], "IDLE")
        assert stored["created_by_user_id"] == person.user_id
        assert (stored["timeout_seconds"], stored["memory_enabled"]) == (1800, True)
        assert stored["lead_mode"] == ("active" if described["agent_role"] == "LEAD" else None)
    assert len({agent["webhook_secret"] for agent in agents}) == 3
    assert (crew["icon"], crew["color"], crew["network_mode"]) == ("shield", "rose", "restricted")
    assert (crew["description"], crew["created_by"]) == (None, person.user_id)
    assert await rows(world, "crew_members", workspace) == []
    assert [event["type"] for event in (await world.events())[len(events) :]] == ["crew.deployed"]
    (entry,) = (await world.audit())[len(audit) :]
    assert (entry["action"], entry["entity_type"], entry["entity_id"]) == ("crew.deployed", "CREW", crew["id"])


async def test_the_keys_of_the_workspace_are_assigned_the_oldest_first(world: World) -> None:
    person, workspace = await newcomer(world, "with-keys")
    _, elsewhere = await newcomer(world, "key-elsewhere")
    new = await key(world, workspace, "new-key", 1, type=CredentialType.AI_CLI_TOKEN)
    old = await key(world, workspace, "o" * 255, 9)
    await key(world, workspace, "a secret", 9, type=CredentialType.SECRET)
    await key(world, workspace, "pending", 9, status=CredentialStatus.PENDING)
    await key(world, workspace, "of-openai", 9, provider="OPENAI")
    await key(world, workspace, "of-a-crew", 9, scope=CredentialScope.CREW.value)
    await key(world, workspace, "deleted", 9, deleted_at=now())
    await key(world, elsewhere, "foreign", 9)
    made = (await deploy(world, person, workspace, crew_name="Keyed")).json()
    ties = await rows(world, "agent_credentials", workspace)
    for id in made["agent_ids"]:
        own = sorted((tie for tie in ties if tie["agent_id"] == id), key=lambda tie: tie["priority"])
        assert [(tie["credential_id"], tie["env_var_name"]) for tie in own] == [(old.id, old.name), (new.id, new.name)]
    assert len({tie["id"] for tie in ties}) == len(ties) == 6
    assert await rows(world, "journal_entries", workspace) == []


async def test_the_journal_tells_of_agents_without_a_key(world: World) -> None:
    person, workspace = await newcomer(world, "keyless")
    made = (await deploy(world, person, workspace, crew_name="Keyless")).json()
    told = (await world.rest(person, "GET", "/api/v1/journal", workspace=workspace.id)).json()["entries"]
    told = [entry for entry in told if entry["entry_type"] == "credential.auto_assign_empty"]
    assert {entry["agent_id"] for entry in told} == set(made["agent_ids"])
    for entry in told:
        assert (entry["severity"], entry["actor_type"]) == ("warn", "system")
        assert entry["payload"] == {"workspace_id": workspace.id, "agent_id": entry["agent_id"]}


@each_of(
    ("body", "status"),
    [
        ({}, 400),
        ({"crew_name": "  "}, 400),
        ({"crew_name": 1}, 400),
        ({"crew_name": "x" * 201}, 400),
        ({"crew_name": "Ok", "crew_slug": "x" * 201}, 400),
        ({"crew_name": "!!!"}, 409),
        ({"crew_name": "Ok", "crew_slug": "!!"}, 409),
        ({"crew_name": "Third", "crew_slug": "Taken Crew"}, 409),
        ({"crew_name": "Led"}, 409),
    ],
)
async def test_a_refusal_writes_nothing(world: World, body: dict[str, Any], status: int) -> None:
    person, workspace = await newcomer(world, new_id())
    assert (await deploy(world, person, workspace, crew_name="Taken Crew")).status_code == 201
    await world.add(Agent(name="Other", slug="code-auditor-led", workspace_id=workspace.id))
    before = await world.snapshot()
    answer = await deploy(world, person, workspace, **body)
    assert answer.status_code == status, answer.text
    assert await world.snapshot() == before


async def test_what_is_unknown_is_not_found(world: World) -> None:
    person, workspace = await newcomer(world, "unknowing")
    before = await world.snapshot()
    answer = await deploy(world, person, workspace, PATH.replace("security-audit", "nope"), crew_name="Z")
    assert answer.status_code == 404
    assert await world.snapshot() == before


@pytest.mark.parametrize(("name", "slug"), [("X", "x"), ("L" * 120, "l" * 120), ("é Crew -- 9", "crew-9")])
async def test_names_of_other_lengths_than_crews_have_elsewhere(world: World, name: str, slug: str) -> None:
    person, workspace = await newcomer(world, f"length-{len(name)}")
    made = (await deploy(world, person, workspace, crew_name=name)).json()
    assert (made["crew_name"], made["crew_slug"]) == (name, slug)
    agent = (await world.rest(person, "GET", f"/api/v1/agents/{made['agent_ids'][1]}", workspace=workspace.id)).json()
    assert agent["slug"] == f"code-auditor-{slug}"


async def test_the_slug_of_a_deleted_crew_is_free_when_its_agents_are_gone(world: World) -> None:
    person, workspace = await newcomer(world, "again")
    made = (await deploy(world, person, workspace, crew_name="Twice")).json()
    await world.rest(person, "DELETE", f"/api/v1/crews/{made['crew_id']}", workspace=workspace.id)
    live = [agent for agent in await rows(world, "agents", workspace) if agent["deleted_at"] is None]
    assert (await deploy(world, person, workspace, crew_name="Twice")).status_code == (409 if live else 201)
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE workspace_id = $1", workspace.id)
    await world.database.execute("UPDATE crews SET deleted_at = now() WHERE workspace_id = $1", workspace.id)
    assert (await deploy(world, person, workspace, crew_name="Twice")).status_code == 201


async def test_of_many_at_once_one_takes_the_name(world: World) -> None:
    person, workspace = await newcomer(world, "crowd")
    answers = await asyncio.gather(*(deploy(world, person, workspace, crew_name="Same") for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert await counts(world, workspace) == [1, 3, 0, 3]


async def test_graphql_makes_the_same(world: World) -> None:
    person, workspace = await newcomer(world, "graphic-deploy")
    document = (
        "mutation($ws: ID, $in: DeployCrewTemplateInput!) { deployCrewTemplate(workspaceId: $ws, input: $in)"
        " { crewId crewSlug agentCount agentIds } }"
    )
    given = {"slug": "security-audit", "crewName": "Graph"}
    made = (await world.graphql(person, document, {"in": given, "ws": workspace.id}))["data"]["deployCrewTemplate"]
    assert (made["crewSlug"], made["agentCount"], len(made["agentIds"])) == ("graph", 3, 3)
    again = await world.graphql(person, document, {"in": given, "ws": workspace.id})
    assert again["errors"][0]["extensions"]["code"] == "CONFLICT"
    assert await counts(world, workspace) == [1, 3, 0, 3]


@each_of(
    ("text", "slug"),
    [(" Sec  Team! ", "sec-team"), ("A_b", "ab"), ("--a--b--", "a-b"), ("日本", ""), ("ÄB 1", "b-1")],
)
def test_the_slug_of_a_crew(text: str, slug: str) -> None:
    assert slug_of(text) == slug
