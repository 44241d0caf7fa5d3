"""Who may give agents work by the internal API, and what is refused: nothing is written then."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import ConnectionStatus, Crew, CrewConnection
from resolvers.identity.machine_tokens import issue_workspace_token
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/internal/assignments"


async def ask(world: World, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
    assert world.settings.internal_token is not None
    token = world.settings.internal_token.get_secret_value() if token is None else token
    async with world.client(None, **({"x-internal-token": token} if token else {})) as client:
        return await client.request(method, path, json=body)


async def test_refusals_write_nothing(world: World) -> None:
    here = {"workspace_id": world.workspace.id}
    crew, other = (Crew(name="Deck", slug=f"a{new_id()}", **here) for _ in "ab")
    await world.add(crew, other)
    lead, worker, far, waits = (
        Agent(name=name, slug=f"{name}{new_id()}", crew_id=place.id, **here, **more)
        for name, place, more in (
            ("lead", crew, {}), ("ada", crew, {}), ("far", other, {}), ("new", crew, {"status": "PENDING_REVIEW"}),
        )
    )  # fmt: skip
    await world.add(lead, worker, far, waits)
    chat = Chat(agent_id=lead.id, **here)
    await world.add(chat)
    body = {"crew_id": crew.id, "chat_id": chat.id, "target_slug": worker.slug, "task": "x", **here}
    count = "SELECT (SELECT count(*) FROM assignments) + (SELECT count(*) FROM runs) + (SELECT count(*) FROM events)"
    before = await world.database.fetchval(count)
    for status, changes in (
        (400, {"task": ""}), (400, {"task": None}), (400, {"target_slug": ""}), (400, {"chat_id": ""}),
        (404, {"target_slug": "nobody"}), (404, {"chat_id": "none"}), (404, {"crew_id": other.id}),
        (404, {"workspace_id": world.other.id}), (403, {"crew_id": other.id, "target_slug": far.slug}),
        (409, {"target_slug": waits.slug}), (400, {"task": "x" * 2_000_000}),
    ):  # fmt: skip
        answer = await ask(world, "POST", PATH, {k: v for k, v in (body | changes).items() if v is not None})
        assert answer.status_code in (status, 413 if len(str(changes)) > 1_000_000 else status), (changes, answer.text)
    assert (await ask(world, "POST", PATH, body, token="")).status_code == 403
    assert (await ask(world, "POST", PATH, body, token="wrong")).status_code == 403
    assert (await world.rest(world.owner, "POST", PATH, body)).status_code == 403
    elsewhere = issue_workspace_token(world.settings.internal_token.get_secret_value(), world.other.id)  # type: ignore[union-attr]
    assert (await ask(world, "POST", PATH, body, token=elsewhere)).status_code == 403
    assert await world.database.fetchval(count) == before
    made = await ask(world, "POST", PATH, body)
    assert (made.status_code, made.json()["status"]) == (201, "PENDING")
    one = f"{PATH}/{made.json()['assignment_id']}"
    shown = (await ask(world, "GET", one)).json()
    assert (shown["task"], shown["assigned_by_id"], shown["assigned_to_id"]) == ("x", lead.id, worker.id)
    assert (await ask(world, "GET", one, token=elsewhere)).status_code in (403, 404)
    assert (await ask(world, "GET", f"{PATH}/unknown")).status_code == 404
    tie = CrewConnection(from_crew_id=crew.id, to_crew_id=other.id, status=ConnectionStatus.active, **here)
    await world.add(tie)
    assert (await ask(world, "POST", PATH, body | {"crew_id": other.id, "target_slug": far.slug})).status_code == 201
    back = body | {"crew_id": crew.id, "target_slug": far.slug}
    assert (await ask(world, "POST", PATH, back)).status_code == 404
