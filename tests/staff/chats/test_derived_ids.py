"""Ids that the server makes of other ids are no client's to choose."""

import ast
from pathlib import Path

import pytest

import resolvers
from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import CHAT_OF_WEBHOOKS
from tests.architecture.source import nodes
from tests.world import World

pytestmark = pytest.mark.anyio
ROOT = Path(resolvers.__file__).parent
DERIVED = {
    ("staff/webhooks/triggering.py", "{CHAT_OF_WEBHOOKS}{}"): "the chat of an agent's webhooks: session_id refuses it",
    ("staff/runs/finishing.py", "msg_recovery_{}"): "a message: no client says the id of one",
    ("staff/crew_templates/catalog.py", "ct_{}"): "a template of the catalogue, which is no row",
    ("kernel/declarations/jobs.py", "{}:{}"): "a job: no client says the id of one",
    ("kernel/declarations/jobs.py", "{}:{}:{}:{}"): "a job: no client says the id of one",
    ("oversight/feature_flags/flags.py", "{}{BETWEEN}{}"): "a flag in a workspace: no operation takes its id",
}
"""Where the id of a row is made by a text, and why no client makes the same."""


def _text(node: ast.JoinedStr) -> str:
    parts = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        else:
            name = value.value.id if isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.Name) else ""
            parts.append("{" + (name if name.isupper() else "") + "}")
    return "".join(parts)


def _ids(node: ast.AST) -> list[ast.expr]:
    """What is given as an id, by its name in a call or as a variable."""
    if isinstance(node, ast.keyword):
        return [node.value] if node.arg == "id" else []
    named = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "id"
    return [node.value] if named else []  # type: ignore[attr-defined]


def derived() -> set[tuple[str, str]]:
    """Every id that is a text with something in it."""
    found = set()
    for path in ROOT.rglob("*.py"):
        given = [value for node in nodes(path) for value in _ids(node)]
        found |= {(f"{path.relative_to(ROOT)}", _text(value)) for value in given if isinstance(value, ast.JoinedStr)}
    return found


def test_every_id_that_is_made_of_another_is_known() -> None:
    assert derived() == DERIVED.keys()


async def chat_of(world: World, agent: Agent, session_id: str) -> int:
    path = f"/api/v1/agents/{agent.id}/chats"
    return (await world.rest(world.viewer, "POST", path, {"session_id": session_id})).status_code


async def test_the_chat_of_an_agents_webhooks_is_made_by_the_server_alone(world: World) -> None:
    agents = [Agent(workspace_id=world.workspace.id, name="A", slug=f"d{new_id()}") for _ in range(2)]
    await world.add(*agents)
    for id in (agents[0].id, agents[1].id, "anything", ""):
        assert await chat_of(world, agents[0], f"{CHAT_OF_WEBHOOKS}{id}") == 400
    count = "SELECT count(*) FROM chats WHERE id LIKE $1 || '%'"
    assert await world.database.fetchval(count, CHAT_OF_WEBHOOKS) == 0
    assert await chat_of(world, agents[0], f"mine-{new_id()}") == 201
    assert await chat_of(world, agents[0], f"web{new_id()}") == 201
