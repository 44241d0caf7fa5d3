"""The page for front ends: each of its examples runs, in the order of the page, and answers what the page says."""

import json
import re
from typing import Any

import pytest

from models.staff.agents import Agent, AgentRole
from models.staff.crews import Crew
from tests.architecture.source import ROOT
from tests.live.graphql import socket
from tests.world import World

pytestmark = pytest.mark.anyio
PAGE = (ROOT / "docs" / "graphql.md").read_text()
EXAMPLES = {name: text for text, name in re.findall(r"```graphql\n(\w+ (\w+).*?)```", PAGE, re.DOTALL)}


async def test_every_example_of_the_page_runs(world: World) -> None:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Pages", slug="pages", **here)
    await world.add(crew, Agent(name="Ida", slug="ida", crew_id=crew.id, agent_role=AgentRole.LEAD, **here))
    given: dict[str, Any] = {"ws": world.workspace.id, "crew": crew.id, "after": None}
    left = dict(EXAMPLES)

    async def run(name: str, **headers: str) -> Any:
        text = left.pop(name)
        variables = {key: given[key] for key in re.findall(r"\$(\w+):", text)}
        return await world.graphql(world.manager, text, variables, **headers)

    board = await run("Board")
    assert "errors" not in board
    assert crew.id in [node["id"] for node in board["data"]["crews"]["nodes"]]

    again = await run("Again")
    assert again["data"]["node"] == {"id": crew.id, "name": "Pages", "slug": "pages"}
    assert again["data"]["nodes"] == [{"__typename": "Crew", "id": crew.id}, None]
    assert [(e["path"], e["extensions"]["code"]) for e in again["errors"]] == [(["nodes", 1], "NOT_FOUND")]

    issue = (await run("Report"))["data"]["createIssue"]
    assert issue["status"] == "BACKLOG"
    assert "TODO" in issue["nextStatuses"]
    given |= {"issue": issue["id"], "identifier": issue["identifier"], "version": issue["version"]}

    async with socket(world) as talk:
        await talk.begin(authorization=f"Bearer {world.manager.token}")
        await talk.subscribe("a", left.pop("Changes"), ws=world.workspace.id, after="-")
        first = (await talk.next("a"))["workspaceEvents"]
        assert first["reason"] == "subscribed"
        renaming = left["Rename"]
        renamed = (await run("Rename", **{"x-client-mutation-id": "mine-1"}))["data"]["updateIssue"]
        assert renamed["version"] == given["version"] + 1
        event = (await talk.next("a"))["workspaceEvents"]
        assert (event["__typename"], event["mutationId"]) == ("IssueUpdatedEvent", "mine-1")
        assert event["issue"]["title"] == renamed["title"]
        assert event["cursor"] > "" != first["cursor"]

    variables = {key: given[key] for key in ("ws", "crew", "identifier", "version")}
    late = await world.graphql(world.manager, renaming, variables)
    assert late["errors"][0]["extensions"]["code"] == "PRECONDITION_FAILED"

    wrong = (await run("Wrong"))["errors"][0]["extensions"]
    said = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
    assert wrong["code"] == said["code"]
    assert wrong["fields"].keys() == said["fields"].keys()
    assert wrong["allowed"] == said["allowed"]

    rights = (await run("Rights"))["data"]
    assert {"createIssue", "issues"} <= {each["name"] for each in rights["viewerOperations"] if each["may"]}
    assert "updateIssue" in rights["issueById"]["viewerCan"]
    assert left == {}
