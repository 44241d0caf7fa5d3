"""The catalogue: what the contract has, in its order, the same on both surfaces and in every workspace."""

from typing import Any

import pytest

from resolvers.rules.model_catalog import CURATED, ModelProvider
from resolvers.staff.crew_templates.catalog import TIERS, catalog
from tests.contract.notation import documents
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/crew-templates"
AGENT = "name slug role_title: roleTitle agent_role: agentRole cli_adapter: cliAdapter llm_provider: llmProvider"
AGENT += " llm_model: llmModel tool_profile: toolProfile system_prompt: systemPrompt"
FIELDS = f"id name slug description icon color category agents {{ {AGENT} }} is_builtin: isBuiltin"
FIELDS += " created_at: createdAt"


async def test_the_catalog_is_the_contracts(world: World) -> None:
    listed = (await world.rest(world.viewer, "GET", PATH)).json()
    documented = documents()["skills"]["builtin_crew_templates"]
    assert {one["slug"]: one for one in documented} == {one["slug"]: _as_documented(one) for one in listed}
    assert [one["slug"] for one in listed] == [
        one["slug"] for one in sorted(listed, key=lambda one: (one["category"], one["name"]))
    ]
    for one in listed:
        lead, *others = one["agents"]
        assert lead["tool_profile"] == "FULL"
        assert {other["agent_role"] for other in others} == {"AGENT"}
        assert {other["tool_profile"] for other in others} <= {"CODING", "MINIMAL"}
        assert all(len(agent["system_prompt"]) > 80 for agent in one["agents"])
        assert (one["is_builtin"], len(one["id"])) == (True, 19)


def _as_documented(template: dict[str, Any]) -> dict[str, Any]:
    agents = [[agent["slug"], agent["role_title"], agent["agent_role"]] for agent in template["agents"]]
    return {key: template[key] for key in ("slug", "name", "icon", "color", "category")} | {"agents": agents}


def test_a_template_names_models_that_are_offered() -> None:
    assert set(TIERS.values()) <= {model.id for model in CURATED[ModelProvider.ANTHROPIC]}
    prompts = [agent.system_prompt for template in catalog().values() for agent in template.agents]
    assert len(prompts) == len(set(prompts))


async def test_one_is_found_by_its_slug_and_graphql_says_the_same(world: World) -> None:
    listed = (await world.rest(world.viewer, "GET", PATH)).json()
    for one in (listed[0], listed[-1]):
        assert (await world.rest(world.viewer, "GET", f"{PATH}/{one['slug']}")).json() == one
    shown = await world.graphql(world.viewer, f"query($ws: ID) {{ crewTemplates(workspaceId: $ws) {{ {FIELDS} }} }}")
    assert shown["data"]["crewTemplates"] == listed
    document = f"query($ws: ID, $slug: String!) {{ crewTemplate(workspaceId: $ws, slug: $slug) {{ {FIELDS} }} }}"
    shown = await world.graphql(world.viewer, document, {"slug": listed[3]["slug"]})
    assert shown["data"]["crewTemplate"] == listed[3]
    missing = await world.graphql(world.viewer, document, {"slug": "nope"})
    assert missing["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert (await world.rest(world.viewer, "GET", f"{PATH}/nope")).status_code == 404
    assert (await world.rest(world.viewer, "GET", PATH, workspace=None)).status_code == 400
    assert (await world.rest(world.outsider, "GET", PATH)).status_code == 403
