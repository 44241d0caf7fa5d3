"""Values that REST stores as the contract says, and GraphQL refuses: what no form would send."""

from typing import Any

import pytest

from resolvers.kernel.ground.stricter import rules_of, strictly
from tests.every import each_of
from tests.generation.registry import operations
from tests.world import World

pytestmark = pytest.mark.anyio
WITH_RULES = {op.name: op for op in operations() if rules_of(op.input)}
REFUSED: dict[str, list[Any]] = {
    "priority": ["x", "HIGH", "high "],
    "due_date": ["yesterday", "2030-02-30", "20300131", "2030-01-31T00:00:00Z"],
    "assignee_type": ["team", "system"],
    "schedule_cron": ["nope", "* * * *", "0 0 31 2 *", "@daily"],
    "schedule_enabled": [],
    "url": ["", "x", "ftp://example.com"],
    "to": ["", "nobody"],
}
TAKEN: dict[str, list[Any]] = {
    "priority": ["none", "urgent", "", None],
    "due_date": ["2030-01-31", "", None],
    "assignee_type": ["agent", "user", "", None],
    "schedule_cron": ["0 9 * * MON-FRI", "*/5 * * * *", "", None],
    "schedule_enabled": [True, False],
    "url": ["https://example.com/hook", None],
    "to": ["a@example.com", None],
}
BESIDE = {"url": {"type": "webhook"}, "to": {"type": "email"}}
"""What else the input has, where a rule asks it."""


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    if len(path) > 1:
        return {path[0]: nested(path[1:], value)}
    return {path[0]: value, **BESIDE.get(path[0], {})}


def test_the_operations_with_rules_are_these() -> None:
    assert {name: {path[-1] for path, _ in rules_of(op.input)} for name, op in WITH_RULES.items() if op.called} == {
        "agents.update": {"schedule_cron", "schedule_enabled"},
        "issues.bulk": {"priority", "assignee_type"},
        "issues.create": {"priority", "assignee_type", "due_date"},
        "issues.edit": {"priority", "assignee_type", "due_date"},
        "notification_channels.create": {"url", "to"},
        "notification_channels.test_draft": {"url", "to"},
        "recurring_issues.create": {"priority", "assignee_type"},
        "recurring_issues.update": {"priority", "assignee_type"},
        "triage_rules.create": {"priority"},
        "triage_rules.update": {"priority"},
    }


@each_of("name", WITH_RULES)
def test_rules_refuse_what_no_form_sends(name: str) -> None:
    input = WITH_RULES[name].input
    for path, _ in rules_of(input):
        for value in REFUSED[path[-1]]:
            refusal = strictly(input, nested(path, value))
            assert refusal is not None, f"{path} {value}"
            assert ".".join(path) in refusal.fields
        for value in TAKEN[path[-1]]:
            assert strictly(input, nested(path, value)) is None, f"{path} {value}"
    assert strictly(input, {}) is None


async def issue(world: World) -> tuple[str, str]:
    """The ids of a crew with a lead, and of its issue."""
    crew = (await world.rest(world.owner, "POST", "/api/v1/crews", {"name": "Bridge", "slug": "bridge"})).json()["id"]
    lead = {"name": "Ada", "slug": "ada", "crew_id": crew, "agent_role": "LEAD"}
    agent = (await world.rest(world.owner, "POST", "/api/v1/agents", lead)).json()["id"]
    return crew, agent


CREATE = "mutation($ws: ID!, $i: CreateIssueInput!) { createIssue(workspaceId: $ws, input: $i) { priority dueDate } }"
UPDATE = "mutation($ws: ID!, $i: UpdateAgentInput!) { updateAgent(workspaceId: $ws, input: $i) { scheduleNextRun } }"


async def test_the_surfaces_differ(world: World) -> None:
    crew, agent = await issue(world)
    values = {"title": "Leak", "priority": "x", "due_date": "yesterday"}
    kept = await world.rest(world.owner, "POST", f"/api/v1/crews/{crew}/issues", values)
    assert (kept.status_code, kept.json()["priority"], kept.json()["due_date"]) == (201, "x", "yesterday")
    sent = {"crewId": crew, "title": "", "priority": "x", "dueDate": "yesterday"}
    before = await world.snapshot()
    extensions = (await world.graphql(world.owner, CREATE, {"i": sent}))["errors"][0]["extensions"]
    assert extensions["fields"].keys() == {"priority", "dueDate", "title"}  # with what REST refuses, too
    assert extensions["allowed"] == {"priority": ["none", "low", "medium", "high", "urgent"]}
    refused = (await world.graphql(world.viewer, CREATE, {"i": sent}))["errors"][0]["extensions"]
    assert refused["code"] == "FORBIDDEN"  # the gate precedes the input
    for schedule in ({"scheduleCron": "nope", "scheduleEnabled": True}, {"scheduleCron": "", "scheduleEnabled": True}):
        refused = (await world.graphql(world.owner, UPDATE, {"i": {"id": agent} | schedule}))["errors"][0]["extensions"]
        assert refused["code"] == "BAD_REQUEST"
        assert refused["fields"].keys() <= schedule.keys()
    assert await world.snapshot() == before
    path = f"/api/v1/agents/{agent}"
    kept = await world.rest(world.owner, "PATCH", path, {"schedule_cron": "nope", "schedule_enabled": True})
    assert (kept.status_code, kept.json().get("schedule_next_run")) == (200, None)
    whole = {"id": agent, "scheduleCron": "0 9 * * 1", "scheduleEnabled": True}
    assert (await world.graphql(world.owner, UPDATE, {"i": whole}))["data"]["updateAgent"]["scheduleNextRun"]
