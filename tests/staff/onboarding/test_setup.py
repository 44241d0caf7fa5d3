"""The first crew, agent and credential: what is made, what is refused, and what stays then."""

import asyncio
from typing import Any

import orjson
import pytest

from models.base import new_id
from models.people.workspaces import Membership, Role, Workspace
from models.resources.credentials import Credential, CredentialType
from models.sealed import MARK, Sealed
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import instance
from resolvers.staff.onboarding import slug_of
from tests.every import each_of
from tests.sealing import sealed_before
from tests.staff.onboarding.first_runs import (
    COMPLETE,
    EVERYTHING,
    MADE,
    NAMES,
    NOTHING,
    SETUP,
    TOKEN,
    completed,
    counts,
    fact,
    kept,
    newcomer,
    rows,
    set_up,
)
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_everything_is_made_and_the_run_is_over(world: World) -> None:
    person, workspace = await newcomer(world, "whole")
    events, audit = await world.events(), await world.audit()
    answer = await set_up(
        world,
        person,
        **NAMES,
        workspace_name="Strange Harbour",
        llm_provider="OpenAI",
        llm_model="gpt-x",
        credential_name="OPENAI_API_KEY",
        credential_value="  sk-secret-of-openai \n",
        pairing_mode=True,
    )
    assert answer.status_code == 201, answer.text
    (crew,), (member,), (agent,), (credential,), (bound,) = [await rows(world, table, workspace) for table in MADE]
    assert answer.json() == {
        "workspace_id": workspace.id,
        "crew_id": crew["id"],
        "agent_id": agent["id"],
        "credential_id": credential["id"],
    }
    assert await kept(world, workspace, "name") == "Strange Harbour"
    assert (crew["name"], crew["slug"], crew["network_mode"]) == ("Deck  Crew #1!", "deck-crew-1", "restricted")
    assert (crew["created_by"], crew["allowed_domains"]) == (person.user_id, [])
    assert (member["crew_id"], member["user_id"], member["role"]) == (crew["id"], person.user_id, None)
    assert (agent["name"], agent["slug"], agent["crew_id"]) == ("Ann Agent", "ann-agent", crew["id"])
    assert (agent["cli_adapter"], agent["llm_provider"], agent["llm_model"]) == ("CLAUDE_CODE", "OPENAI", "gpt-x")
    assert (agent["timeout_seconds"], agent["memory_enabled"], agent["lead_mode"]) == (1800, False, None)
    assert agent["created_by_user_id"] == person.user_id
    assert agent["webhook_secret"].startswith(MARK)
    assert {key: credential[key] for key in ("name", "type", "provider", "status", "scope")} == {
        "name": "OPENAI_API_KEY",
        "type": "AI_CLI_TOKEN",
        "provider": "OPENAI",
        "status": "ACTIVE",
        "scope": "WORKSPACE",
    }
    assert (credential["created_by_actor_type"], credential["created_by_actor_id"]) == ("user", None)
    assert (bound["agent_id"], bound["credential_id"]) == (agent["id"], credential["id"])
    assert (bound["env_var_name"], bound["priority"]) == ("OPENAI_API_KEY", 0)
    assert await completed(world, person)
    assert [event["type"] for event in (await world.events())[len(events) :]] == ["workspace.set_up"]
    (row,) = [row for row in await world.audit() if row not in audit]
    assert (row["action"], row["entity_id"], row["workspace_id"]) == ("workspace.set_up", workspace.id, workspace.id)
    assert row["data"] == {"crew_id": crew["id"], "agent_id": agent["id"], "credential_id": credential["id"]}
    assert row["changes"]["name"]["after"] == "Strange Harbour"
    assert "sk-secret-of-openai" not in str(row)


async def test_the_secret_is_sealed_for_its_row_and_stands_nowhere_in_plain_text(world: World) -> None:
    person, workspace = await newcomer(world, "sealed")
    assert (await set_up(world, person, **NAMES, credential_value=f" {TOKEN} ")).status_code == 201
    (credential,) = await rows(world, "credentials", workspace)
    sealed, place = Sealed(credential["value"]), {"table": Credential, "column": "value"}
    assert TOKEN.encode() not in sealed
    assert (await instance.vault.open(sealed, **place, row_id=credential["id"])).reveal() == TOKEN  # type: ignore[arg-type]
    for (table,) in await world.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        held = await world.database.fetch(f'SELECT to_jsonb(t)::text FROM "{table}" t')
        assert not [row for row in held if TOKEN in row[0]], table
    assert credential["name"] == "API Key"


@each_of(
    ("provider", "variable"),
    [
        ("", "ANTHROPIC_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("OPENAI", "OPENAI_API_KEY"),
        ("google", "GOOGLE_API_KEY"),
        ("Cursor", "CURSOR_API_KEY"),
        ("FACTORY", "FACTORY_API_KEY"),
        ("OLLAMA", ""),
    ],
)
async def test_the_credential_is_bound_under_the_variable_of_its_provider(
    world: World, provider: str, variable: str
) -> None:
    person, workspace = await newcomer(world, f"of-{provider.lower() or 'nobody'}")
    answer = await set_up(world, person, **NAMES, llm_provider=provider, credential_value=TOKEN)
    assert answer.status_code == 201, answer.text
    assert [bound["env_var_name"] for bound in await rows(world, "agent_credentials", workspace)] == [variable]
    assert [agent["llm_provider"] for agent in await rows(world, "agents", workspace)] == [
        provider.upper() or "ANTHROPIC"
    ]


async def test_without_a_credential_none_is_made(world: World) -> None:
    person, workspace = await newcomer(world, "keyless")
    answer = await set_up(
        world, person, **NAMES, workspace_name="", llm_model="", credential_name="X", credential_value="  "
    )
    assert (answer.status_code, answer.json()["credential_id"]) == (201, "")
    assert await counts(world, workspace) == EVERYTHING | {"credentials": 0, "agent_credentials": 0}
    assert await kept(world, workspace, "name") == workspace.name
    assert [agent["llm_model"] for agent in await rows(world, "agents", workspace)] == [None]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "crew_name"),
    ({"crew_name": "Crew"}, "agent_name"),
    ({"crew_name": "", "agent_name": "Ann"}, "crew_name"),
    ({"crew_name": "Crew", "agent_name": None}, "agent_name"),
    ({"crew_name": "C", "agent_name": "Ann"}, "crew_name"),
    ({"crew_name": "x" * 101, "agent_name": "Ann"}, "crew_name"),
    ({"crew_name": 1, "agent_name": "Ann"}, "crew_name"),
    (NAMES | {"llm_provider": "MISTRAL"}, "llm_provider"),
    (NAMES | {"cli_adapter": "EMACS"}, "cli_adapter"),
    (NAMES | {"telemetry_opt_in": "yes"}, "telemetry_opt_in"),
    (NAMES | {"workspace_name": "W"}, "workspace_name"),
    (NAMES | {"credential_value": "x" * 64_001}, "credential_value"),
    (NAMES | {"credential_value": "sk-ant-api03-key"}, "claude setup-token"),
    (NAMES | {"credential_value": "key"}, "sk-ant-oat"),
    (NAMES | {"crew_template_slug": "no-such"}, "template"),
    ({"crew_template_slug": "no-such"}, "template"),
]


@each_of(("body", "told"), REFUSED, ids=lambda value: str(value)[:60])
async def test_a_bad_body_is_refused_and_makes_nothing(world: World, body: dict[str, Any], told: str) -> None:
    person, workspace = await newcomer(world, new_id())
    before = await world.snapshot()
    answer = await set_up(world, person, **body)
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["error"]
    assert await world.snapshot() == before
    assert await counts(world, workspace) == NOTHING
    assert not await completed(world, person)


@pytest.mark.parametrize("body", ["", "{", "[]", "null"])
async def test_what_is_no_body_is_refused(world: World, body: str) -> None:
    async with world.client(world.owner) as client:
        answer = await client.post(SETUP, content=body)
    assert answer.status_code == 400, answer.text


async def test_the_first_of_several_faults_is_told(world: World) -> None:
    person, _ = await newcomer(world, "faulty")
    steps = [
        ({"credential_value": "key", "crew_template_slug": "x", "llm_provider": "anthropic"}, "sk-ant-oat"),
        ({"crew_template_slug": "x", "llm_provider": "MISTRAL", "credential_value": "key"}, "template"),
        ({"llm_provider": "MISTRAL"}, "crew_name"),
        (NAMES | {"llm_provider": "MISTRAL"}, "llm_provider"),
    ]
    for body, told in steps:
        assert told in (await set_up(world, person, **body)).json()["error"], body
    await world.database.execute("UPDATE users SET onboarding_completed = true WHERE id = $1", person.user_id)
    assert (await set_up(world, person, **NAMES, llm_provider="MISTRAL")).status_code == 400
    assert (await set_up(world, person, **NAMES)).status_code == 409


async def test_no_fault_repeats_the_secret(world: World) -> None:
    person, _ = await newcomer(world, "discreet")
    for value in ("sk-ant-api-my-own-secret", "my-own-secret", {"my-own-secret": 1}):
        answer = await set_up(world, person, **NAMES, credential_value=value)
        assert answer.status_code == 400
        assert "my-own-secret" not in answer.text


async def test_language_and_telemetry_stay_whatever_becomes_of_the_rest(world: World) -> None:
    person, workspace = await newcomer(world, "polyglot")
    answer = await set_up(world, person, preferred_language=" Czech ", telemetry_opt_in=True)
    assert answer.status_code == 400
    assert (await kept(world, workspace, "preferred_language"), await fact(world, "telemetry")) == ("Czech", "on")
    install_id = await fact(world, "install_id")
    assert install_id is not None
    assert len(install_id) == 32
    assert await counts(world, workspace) == NOTHING
    assert (await set_up(world, person, preferred_language="  ")).status_code == 400
    assert await kept(world, workspace, "preferred_language") == "Czech"
    assert await fact(world, "telemetry") == "on"
    answer = await set_up(world, person, **NAMES, preferred_language="Klingon", telemetry_opt_in=False)
    assert answer.status_code == 201
    assert (await kept(world, workspace, "preferred_language"), await fact(world, "telemetry")) == ("Klingon", "off")
    assert (await set_up(world, person, preferred_language="German", telemetry_opt_in=True, **NAMES)).status_code == 409
    assert (await kept(world, workspace, "preferred_language"), await fact(world, "telemetry")) == ("German", "on")
    assert await fact(world, "install_id") == install_id
    assert await counts(world, workspace) == EVERYTHING | {"credentials": 0, "agent_credentials": 0}


async def test_a_bad_body_stores_no_preference(world: World) -> None:
    person, workspace = await newcomer(world, "garbled")
    before = await fact(world, "telemetry")
    for fault in ({"crew_name": 1}, {"pairing_mode": "x"}, {"preferred_language": "x" * 201}):
        body = {"preferred_language": "Czech", "telemetry_opt_in": before != "on"} | fault
        assert (await set_up(world, person, **body)).status_code == 400
    assert (await kept(world, workspace, "preferred_language"), await fact(world, "telemetry")) == (None, before)


async def taken_by_a_crew(workspace: Workspace) -> Crew:
    return Crew(name="Other", slug="deck-crew-1", workspace_id=workspace.id)


async def taken_by_an_agent(workspace: Workspace) -> Agent:
    return Agent(name="Other", slug="ann-agent", workspace_id=workspace.id)


async def taken_by_a_credential(workspace: Workspace) -> Credential:
    made = Credential(name="API Key", type=CredentialType.SECRET, workspace_id=workspace.id)
    made.value = sealed_before("other", table=Credential, column="value", row_id=made.id)
    return made


@pytest.mark.parametrize("take", [taken_by_a_crew, taken_by_an_agent, taken_by_a_credential])
async def test_a_name_that_is_taken_is_a_conflict_and_the_run_stays_open(world: World, take: Any) -> None:
    person, workspace = await newcomer(world, take.__name__.replace("_", "-"))
    row = await take(workspace)
    await world.add(row)
    before = await counts(world, workspace)
    body = NAMES | {"credential_value": TOKEN, "workspace_name": "New Name", "preferred_language": "Czech"}
    answer = await set_up(world, person, **body)
    assert answer.status_code == 409, answer.text
    assert await counts(world, workspace) == before
    assert await kept(world, workspace, "name") == workspace.name
    assert await kept(world, workspace, "preferred_language") == "Czech"
    assert not await world.database.fetchval("SELECT onboarding_completed FROM users WHERE id = $1", person.user_id)
    await world.database.execute(f"DELETE FROM {row.__tablename__} WHERE id = $1", row.id)
    assert (await set_up(world, person, **body)).status_code == 201


async def test_two_runs_at_once_make_one_crew(world: World) -> None:
    person, workspace = await newcomer(world, "hasty")
    bodies = [{"crew_name": f"Crew {n}", "agent_name": f"Agent {n}", "credential_value": TOKEN} for n in range(6)]
    answers = await asyncio.gather(*(set_up(world, person, **body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert await counts(world, workspace) == EVERYTHING


async def test_two_people_of_one_workspace_at_once_make_one_crew_of_a_name(world: World) -> None:
    """Also where the index says so: the loser is told as if it had come later, and keeps its language."""
    one, workspace = await newcomer(world, "brisk")
    others = [await world.person(f"brisk-{n}", Role.ADMIN, workspace) for n in range(4)]
    answers = await asyncio.gather(
        *(set_up(world, p, crew_name="Crew", agent_name=f"Agent of {p.name}") for p in (one, *others))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert await counts(world, workspace) == EVERYTHING | {"credentials": 0, "agent_credentials": 0}
    done = [await world.database.fetchval("SELECT onboarding_completed FROM users WHERE id = $1", p.user_id)
            for p in (one, *others)]  # fmt: skip
    assert done.count(True) == 1


async def test_the_oldest_live_workspace_is_set_up_whatever_is_named(world: World) -> None:
    person, first = await newcomer(world, "settled")
    second = Workspace(name="Second", slug="second-home")
    gone = Workspace(name="Gone", slug="gone-home")
    await world.add(
        second,
        gone,
        Membership(workspace_id=second.id, user_id=person.user_id, role=Role.OWNER),
        Membership(workspace_id=gone.id, user_id=person.user_id, role=Role.OWNER),
    )
    await world.database.execute(
        "UPDATE memberships SET created_at = created_at - interval '1 day' WHERE workspace_id = $1", gone.id
    )
    await world.database.execute("UPDATE workspaces SET deleted_at = now() WHERE id = $1", gone.id)
    answer = await world.rest(person, "POST", SETUP, NAMES, workspace=second.id)
    assert (answer.status_code, answer.json()["workspace_id"]) == (201, first.id)
    assert await counts(world, second) == NOTHING
    assert await counts(world, gone) == NOTHING


async def test_who_may_not_create_sets_up_nothing_and_stores_nothing(world: World) -> None:
    for role, status in ((Role.VIEWER, 403), (Role.MEMBER, 403), (Role.MANAGER, 201), (Role.ADMIN, 201)):
        person, workspace = await newcomer(world, f"as-{role.lower()}", role)
        answer = await set_up(world, person, **NAMES, workspace_name="Mine", preferred_language="Czech")
        assert answer.status_code == status, answer.text
        expected = ("Mine", "Czech") if status == 201 else (workspace.name, None)
        assert (await kept(world, workspace, "name"), await kept(world, workspace, "preferred_language")) == expected
        assert len(await rows(world, "crews", workspace)) == (status == 201)
        await world.rest(person, "POST", COMPLETE, workspace=None)
        assert (await set_up(world, person, **NAMES)).status_code == 409


async def test_somebody_without_a_workspace_is_told_so(world: World) -> None:
    person = await world.person("homeless", None)
    before = await world.snapshot()
    answer = await set_up(world, person, **NAMES, preferred_language="Czech", telemetry_opt_in=True)
    assert answer.status_code == 400
    assert await world.snapshot() == before
    assert (await set_up(world, None, **NAMES)).status_code == 401


async def test_graphql_sets_up_the_same(world: World) -> None:
    person, workspace = await newcomer(world, "graphic")
    document = (
        "mutation($in: SetUpOnboardingInput!) {"
        " setUpOnboarding(input: $in) { workspaceId crewId agentId credentialId } }"
    )
    given = {"crewName": "Crew", "agentName": "Agent", "credentialValue": TOKEN}
    made = await world.graphql(person, document, {"in": given})
    assert made["data"]["setUpOnboarding"]["workspaceId"] == workspace.id, orjson.dumps(made)
    assert await counts(world, workspace) == EVERYTHING
    again = await world.graphql(person, document, {"in": given})
    assert again["errors"][0]["extensions"]["code"] == "CONFLICT"


@each_of(
    ("name", "slug"),
    [
        ("Deck  Crew #1!", "deck-crew-1"),
        ("--My_Crew--", "my-crew"),
        ("Žluťoučký kůň", "lu-ou-k-k"),
        ("日本語", "default"),
        ("!!", "default"),
        ("A!", "default"),
        ("x" * 49 + " yz", "x" * 49),
        ("CLAUDE_CODE #1", "claude-code-1"),
    ],
)
def test_the_slug_of_a_name(name: str, slug: str) -> None:
    assert slug_of(name) == slug
