"""Credentials of a crew whose program its container lacks."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.staff.crews.credential_gaps import NEEDED
from resolvers.staff.crews.parts import feature_ref
from tests.every import each_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio
GH = '{"image": "debian:13", "features": {"ghcr.io/devcontainers/features/github-cli:1": {}}}'
READ = """query ($crew: ID!, $ws: ID) {
    crewCredentialReadiness(workspaceId: $ws, crewId: $crew) {
        checked tools gaps { credentialName tool featureId } } }"""


async def crew(world: World, **given: Any) -> Crew:
    row = Crew(workspace_id=world.workspace.id, name="Engine", slug=new_id(), **given)
    await world.add(row)
    return row


async def credential(world: World, name: str, provider: str, **more: Any) -> str:
    secret = {"name": name, "type": "SECRET", "provider": provider, "value": "canary", **more}
    made = await world.rest(world.owner, "POST", "/api/v1/credentials", secret)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def readiness(world: World, row: Crew, who: Person | None = None) -> Any:
    answer = await world.rest(who or world.manager, "GET", f"/api/v1/crews/{row.id}/credential-readiness")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(autouse=True)
async def without_others(world: World) -> None:
    await world.database.execute("UPDATE credentials SET deleted_at = now() WHERE deleted_at IS NULL")


async def test_a_credential_without_its_program_is_a_gap(world: World) -> None:
    plain, with_gh = (
        await crew(world),
        await crew(world, devcontainer_config=GH, mise_config='{"tools": {"node": "22"}}'),
    )
    aws, gh, npm = [
        await credential(world, name, provider)
        for name, provider in (("AWS_TOKEN", "AWS"), ("GH_TOKEN", "GITHUB"), ("NPM_TOKEN", "NPM"))
    ]
    await credential(world, "NOTION_TOKEN", "NOTION")
    feature = "ghcr.io/devcontainers/features/{}:1"
    gaps = [
        {
            "credential_id": id, "credential_name": name, "provider": provider, "tool": tool,
            "feature": feature.format(feature_id), "feature_id": feature_id,
        }
        for id, name, provider, tool, feature_id in (
            (aws, "AWS_TOKEN", "AWS", "aws", "aws-cli"),
            (gh, "GH_TOKEN", "GITHUB", "gh", "github-cli"),
            (npm, "NPM_TOKEN", "NPM", "node", "node"),
        )
    ]  # fmt: skip
    of = {"crew_id": plain.id, "crew_slug": plain.slug}
    before = await world.snapshot()
    assert await readiness(world, plain) == of | {"tools": [], "checked": 3, "gaps": gaps}
    found = await readiness(world, with_gh)
    assert (found["checked"], found["gaps"]) == (3, gaps[:1])
    assert {"gh", "node"} <= set(found["tools"])
    shown = await world.graphql(world.viewer, READ, {"crew": with_gh.id})
    assert shown["data"]["crewCredentialReadiness"]["gaps"] == [
        {"credentialName": "AWS_TOKEN", "tool": "aws", "featureId": "aws-cli"}
    ]
    assert await world.snapshot() == before
    await world.rest(world.owner, "DELETE", f"/api/v1/credentials/{aws}")
    await world.database.execute("UPDATE credentials SET status = 'REVOKED' WHERE id = $1", gh)
    assert (await readiness(world, plain))["gaps"] == gaps[2:]


async def test_only_what_the_crew_uses_and_the_caller_sees_is_counted(world: World) -> None:
    ours, theirs = await crew(world), await crew(world)
    agent = Agent(workspace_id=world.workspace.id, name="Ada", slug=new_id(), crew_id=ours.id)
    await world.add(agent)
    await credential(world, "CREW_TOKEN", "AWS", scope="CREW", crew_ids=[ours.id])
    given = await credential(world, "GIVEN_TOKEN", "GITHUB", scope="CREW", crew_ids=[theirs.id])
    made = await world.rest(
        world.owner,
        "POST",
        f"/api/v1/agents/{agent.id}/credentials",
        {"credential_id": given, "env_var_name": "GIVEN_TOKEN"},
    )
    assert made.status_code == 201, made.text
    names = [gap["credential_name"] for gap in (await readiness(world, ours))["gaps"]]
    assert names == ["CREW_TOKEN", "GIVEN_TOKEN"]
    assert [gap["credential_name"] for gap in (await readiness(world, theirs))["gaps"]] == ["GIVEN_TOKEN"]
    assert (await readiness(world, ours, world.viewer))["checked"] == 0
    slot = {"slot": "GIVEN_TOKEN", "scope": "CREW", "crew_id": ours.id, "credential_id": given}
    await world.database.execute("DELETE FROM agent_credentials WHERE credential_id = $1", given)
    assert [gap["credential_name"] for gap in (await readiness(world, ours))["gaps"]] == ["CREW_TOKEN"]
    assert (await world.rest(world.owner, "POST", "/api/v1/credentials/bindings", slot)).status_code == 201
    assert [gap["credential_name"] for gap in (await readiness(world, ours))["gaps"]] == names
    for id in (ours.id, "cnone0000000000000000000"):
        path = f"/api/v1/crews/{id}/credential-readiness"
        assert (await world.rest(world.outsider, "GET", path, workspace=world.other.id)).status_code == 404


@each_of("provider", NEEDED)
def test_each_program_has_a_feature(provider: str) -> None:
    reference = feature_ref(NEEDED[provider].feature)
    assert reference.startswith(f"ghcr.io/devcontainers/features/{NEEDED[provider].feature}:")
    assert feature_ref("docker-in-docker").endswith(":2"), "the version of the catalog"
