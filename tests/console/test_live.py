"""The subscriptions of the console on the wire, as the browser asks for them: by the id of the document."""

import hashlib
import json
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from graphql import FieldNode, GraphQLField, OperationDefinitionNode, OperationType, VariableNode, parse

from crewship.perimeter import console
from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from models.work.missions import Mission, MissionStatus
from tests.live.graphql import talking
from tests.published import published
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
ARGUMENTS = {
    "workspaceId": "ID",
    "crewId": "ID!",
    "agentId": "ID!",
    "chatId": "ID!",
    "missionId": "ID!",
    "runId": "ID!",
}


def roots() -> dict[str, GraphQLField]:
    subscriptions = published().subscription_type
    assert subscriptions is not None
    return subscriptions.fields


def bare(root: str) -> str:
    """A document that takes nothing of an event but its place."""
    given = {
        name: type_
        for name, type_ in ARGUMENTS.items()
        if str(getattr(roots()[root].args.get(name), "type", "")) == type_
    }
    declared = "".join(f"${name}: {type_}, " for name, type_ in given.items())
    passed = "".join(f"{name}: ${name}, " for name in given)
    return (
        f"subscription Bare({declared}$after: String) {{ {root}({passed}after: $after) "
        "{ __typename ... on Event { cursor } ... on StreamReset { reason } } }"
    )


@cache
def bare_documents() -> dict[str, str]:
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in map(bare, roots())}


def asked(text: str) -> tuple[str, dict[str, str]] | None:
    """The root of a subscription, and the variable of each of its arguments."""
    (operation,) = [one for one in parse(text).definitions if isinstance(one, OperationDefinitionNode)]
    if operation.operation is not OperationType.SUBSCRIPTION:
        return None
    (field,) = operation.selection_set.selections
    assert isinstance(field, FieldNode)
    taken = {one.name.value: one.value.name.value for one in field.arguments if isinstance(one.value, VariableNode)}
    return field.name.value, taken


@pytest.fixture
async def known(database: Any, tmp_path: Path) -> AsyncIterator[World]:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(bare_documents()))
    async with world_on(database, tmp_path, trusted_documents_file=file, trusted_documents_only=True) as world:
        yield world


async def rows(world: World) -> dict[str, str]:
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    crew = Crew(name="Deck", slug=new_id(), **here)
    agent = Agent(name="Ada", slug=new_id(), crew_id=crew.id, **here)
    chat = Chat(agent_id=agent.id, agent_slug=agent.slug, title="Talk", created_by=world.owner.user_id, **here)
    run = Run(agent_id=agent.id, chat_id=chat.id, status=RunStatus.COMPLETED, prompt="Sail", **here)
    led = {"crew_id": crew.id, "lead_agent_id": agent.id, "trace_id": new_id()}
    mission = Mission(title="Mast", status=MissionStatus.PLANNING, **led, **here)
    await world.add(crew, agent, chat, run, mission)
    ids = {"crewId": crew.id, "agentId": agent.id, "chatId": chat.id, "missionId": mission.id, "runId": run.id}
    return {"workspaceId": world.workspace.slug, "after": "-", **ids}


async def test_each_document_is_followed_by_its_id(known: World) -> None:
    values = await rows(known)
    followed = set()
    async with talking(known, known.owner) as talk:
        for id, text in {**console.documents(), **bare_documents()}.items():
            if (found := asked(text)) is None:
                continue
            root, taken = found
            variables = {name: values[argument] for argument, name in taken.items() if argument in values}
            payload = {"query": "", "documentId": id, "variables": variables}
            await talk.say({"id": id, "type": "subscribe", "payload": payload})
            begun = (await talk.next(id))[root]
            assert begun["reason"] == "subscribed", text
            cursor = begun["cursor"]
            await talk.say({"id": id, "type": "complete"})
            again = {**payload, "variables": {**variables, "after": cursor}}
            await talk.say({"id": f"{id}+", "type": "subscribe", "payload": again})
            await talk.say({"type": "ping"})
            while (heard := await talk.hear())["type"] != "pong":
                assert heard["type"] == "next", (text, heard)
            await talk.say({"id": f"{id}+", "type": "complete"})
            followed.add(root)
    assert followed == set(roots())


async def test_a_document_that_is_not_known_is_refused(known: World) -> None:
    async with talking(known, known.owner) as talk:
        await talk.say(
            {"id": "s", "type": "subscribe", "payload": {"query": "", "documentId": "0" * 64, "variables": {}}}
        )
        refused = await talk.hear()
        assert refused["type"] == "error"
        assert refused["payload"][0]["message"] == "Document not found"
