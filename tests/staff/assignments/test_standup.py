"""The standup of a crew."""

from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.assignments import Escalation, PeerConversation
from models.staff.crews import Crew
from tests.world import World, now

pytestmark = pytest.mark.anyio


async def standup(world: World, crew_id: str, **query: Any) -> Any:
    async with world.client(world.viewer) as client:
        params = {"workspace_id": world.workspace.id} | query
        return await client.get(f"/api/v1/crews/{crew_id}/standup", params=params)


async def test_what_was_asked_and_answered(world: World) -> None:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Engine", slug=new_id(), **here)
    await world.add(crew)
    empty = (await standup(world, crew.id, since="2030-01-01T02:00:00+02:00")).json()
    nothing = "[CREW STANDUP]\nNo peer interactions in this period.\n\n\nSummary: 0 queries\n[END CREW STANDUP]"
    assert empty == {"standup": nothing, "crew_id": crew.id, "since": "2030-01-01T00:00:00Z"}
    ada, bob = (Agent(name=name, slug=new_id(), crew_id=crew.id, **here) for name in ("Ada", "Bob"))
    await world.add(ada, bob)
    ends = {"from_agent_id": ada.id, "to_agent_id": bob.id}
    await world.add(
        PeerConversation(question="Old?", created_at=now() - timedelta(days=2), **ends, **here),
        PeerConversation(question="First?", response="x" * 300, created_at=now() - timedelta(hours=2), **ends, **here),
        PeerConversation(question="Second?", escalated=True, created_at=now() - timedelta(hours=1), **ends, **here),
        Escalation(crew_id=crew.id, from_agent_id=ada.id, reason="r", **here),
    )
    text = (await standup(world, crew.id)).json()["standup"]
    assert "Old?" not in text
    assert text.index('1. Ada -> Bob: "First?"') < text.index('2. Ada -> Bob: "Second?"')
    assert "x" * 150 in text
    assert "x" * 201 not in text
    assert "Escalations (1): 1 pending, 0 resolved" in text
    assert text.endswith("Summary: 2 queries, 1 escalations\n[END CREW STANDUP]")


@pytest.mark.parametrize("since", ["yesterday", "2030-01-01", "9999-99-99T00:00:00Z"])
async def test_a_bad_time(world: World, since: str) -> None:
    crew = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id)
    await world.add(crew)
    assert (await standup(world, crew.id, since=since)).status_code == 400
    assert (await standup(world, "cunknown0000000000000")).status_code == 404
