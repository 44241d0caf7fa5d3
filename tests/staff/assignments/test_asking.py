"""Who may ask agents by the internal API, and what is refused: nothing is written then."""

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import ConnectionStatus, Crew, CrewConnection
from models.staff.runs import Run
from resolvers.work.missions import asking
from tests.staff.assignments.test_giving import ask
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/internal/queries"


@pytest.mark.slow
async def test_refusals_write_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "BEGINS", 0.1)
    here = {"workspace_id": world.workspace.id}
    crew, other = (Crew(name="Deck", slug=f"a{new_id()}", **here) for _ in "ab")
    await world.add(crew, other)
    lead, ada, bea, far, waits = (
        Agent(name=name, slug=f"{name}{new_id()}", crew_id=place.id, **here, **more)
        for name, place, more in (
            ("lead", crew, {}), ("ada", crew, {}), ("bea", crew, {}), ("far", other, {}),
            ("new", crew, {"status": "PENDING_REVIEW"}),
        )
    )  # fmt: skip
    await world.add(lead, ada, bea, far, waits)
    chat = Chat(agent_id=lead.id, **here)
    await world.add(chat)
    body = {"crew_id": crew.id, "chat_id": chat.id, "target_slug": ada.slug, "question": "x", **here}
    count = "SELECT (SELECT count(*) FROM peer_conversations) + (SELECT count(*) FROM runs)"
    before = await world.database.fetchval(count)
    for status, changes in (
        (400, {"question": ""}), (400, {"question": None}), (400, {"target_slug": ""}), (400, {"chat_id": ""}),
        (404, {"target_slug": "nobody"}), (404, {"chat_id": "none"}), (404, {"crew_id": other.id}),
        (404, {"workspace_id": world.other.id}), (403, {"crew_id": other.id, "target_slug": far.slug}),
        (409, {"target_slug": waits.slug}), (400, {"target_slug": lead.slug}),
        (400, {"target_slug": lead.slug, "from_slug": lead.slug}), (403, {"from_slug": bea.slug}),
        (403, {"from_slug": ada.slug, "target_slug": ada.slug}),
    ):  # fmt: skip
        sent = {key: value for key, value in (body | changes).items() if value is not None}
        answer = await ask(world, "POST", PATH, sent)
        assert answer.status_code == status, (changes, answer.text)
    assert (await ask(world, "POST", PATH, body, token="")).status_code == 403
    assert (await world.rest(world.owner, "POST", PATH, body)).status_code == 403
    assert await world.database.fetchval(count) == before
    answer = await ask(world, "POST", PATH, body | {"from_slug": lead.slug})
    assert answer.status_code == 200
    assert answer.json() == {
        "id": answer.json()["id"], "status": "FAILED", "response": None, "error_message": asking.NOT_BEGUN,
        "duration_ms": None,
    }  # fmt: skip
    row = await world.database.fetchrow("SELECT * FROM peer_conversations WHERE chat_id = $1", chat.id)
    assert (row["status"], row["from_agent_id"]) == ("FAILED", lead.id)
    assert await world.database.fetchval("SELECT status FROM runs WHERE id = $1", row["id"]) == "CANCELLED"
    await world.add(Run(agent_id=bea.id, chat_id=chat.id, **here))
    assert (await ask(world, "POST", PATH, body | {"from_slug": bea.slug})).status_code == 200
    tie = CrewConnection(from_crew_id=crew.id, to_crew_id=other.id, status=ConnectionStatus.active, **here)
    await world.add(tie)
    assert (await ask(world, "POST", PATH, body | {"crew_id": other.id, "target_slug": far.slug})).status_code == 200
