"""Peer cards and consent: what a user sees, removes and refuses, and what agents may then write."""

import asyncio
from typing import Any

import pytest
from sqlmodel import col

from models.base import new_id
from models.people.privacy import PeerCard
from models.staff.agents import Agent
from resolvers.errors import Code, Refusal
from resolvers.kernel import NO_SURFACE, Action, Context, Input, Output, command
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.inputs import Id, Prompt
from resolvers.people.privacy import write_peer_card
from tests.world import Person, World

pytestmark = pytest.mark.anyio
CARDS, CONSENT = "/api/v1/users/me/peer-cards", "/api/v1/users/me/peer-consent"


class Note(Input):
    agent_id: Id
    person_id: Id
    content: Prompt


class Noted(Output):
    bytes: int


if "test.note_peer" not in OPERATIONS:  # an agent writes a card: nothing of the product does so yet

    @command("test.note_peer", Action.CREATE, surfaces=NO_SURFACE)
    async def note(ctx: Context, data: Note) -> Noted:
        """Write a card."""
        agent = await ctx.select(Agent, col(Agent.id) == data.agent_id).one()
        card: PeerCard = await write_peer_card(ctx, agent, data.person_id, "sam", data.content)
        return Noted(bytes=card.bytes)


async def write(world: World, agent: Agent, person: Person, content: str = "Likes tea") -> Code | None:
    raw = {"agent_id": agent.id, "person_id": person.user_id, "content": content}
    try:
        await OPERATIONS["test.note_peer"](world.owner.caller, raw, place=world.workspace.id)
    except Refusal as refusal:
        return refusal.code
    return None


async def agent_of(world: World, **values: Any) -> Agent:
    agent = Agent(workspace_id=world.workspace.id, name="Hand", slug=f"hand-{new_id()[-6:]}", **values)
    await world.add(agent)
    return agent


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    for table in ("peer_cards", "peer_consents", "peer_card_audit"):
        await world.database.execute(f"DELETE FROM {table}")


async def actions(world: World) -> list[tuple[str, str, str, str]]:
    rows = await world.database.fetch("SELECT * FROM peer_card_audit ORDER BY created_at, action")
    names = {person.user_id: person.name for person in world.people.values()}
    return [
        (row["action"], row["actor_kind"], names.get(row["actor_user_id"], ""), names[row["target_user_id"]])
        for row in rows
    ]


async def test_a_user_reads_what_agents_noted_about_them(world: World) -> None:
    one, other = await agent_of(world), await agent_of(world)
    assert await write(world, one, world.member) is None
    assert await write(world, other, world.member, "Pašek drinks čaj") is None
    assert await write(world, one, world.viewer) is None
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", other.id)
    shown = (await world.rest(world.member, "GET", CARDS)).json()
    assert shown["user_id"] == world.member.user_id
    assert [(c["agent_slug"], c["user_slug"], c["bytes"], c["content"]) for c in shown["peers"]] == [
        (other.slug, "sam", len("Pašek drinks čaj".encode()), "Pašek drinks čaj"), (one.slug, "sam", 9, "Likes tea"),
    ]  # fmt: skip
    assert set(shown["peers"][0]) == {
        "id", "agent_id", "agent_slug", "user_slug", "bytes", "created_at", "updated_at", "content",
    }  # fmt: skip
    assert [row for row in await actions(world) if row[0] == "read"] == [("read", "user", "member", "member")] * 2
    assert (await world.rest(world.manager, "GET", CARDS)).json()["peers"] == []


async def test_a_card_is_replaced_and_keeps_its_id(world: World) -> None:
    agent = await agent_of(world)
    await write(world, agent, world.member, "First")
    before = (await world.rest(world.member, "GET", CARDS)).json()["peers"]
    await write(world, agent, world.member, "Second")
    after = (await world.rest(world.member, "GET", CARDS)).json()["peers"]
    assert [card["id"] for card in after] == [card["id"] for card in before]
    assert after[0]["content"] == "Second"


async def test_cards_are_removed_and_each_removal_is_noted(world: World) -> None:
    for _ in range(3):
        await write(world, await agent_of(world), world.member)
    await write(world, await agent_of(world), world.viewer)
    gone = await world.rest(world.member, "DELETE", CARDS)
    assert gone.json() == {"user_id": world.member.user_id, "purged": 3}
    assert (await world.rest(world.member, "DELETE", CARDS)).json()["purged"] == 0
    assert await world.database.fetchval("SELECT count(*) FROM peer_cards") == 1
    deleted = await world.database.fetch("SELECT details FROM peer_card_audit WHERE action = 'delete'")
    assert [row["details"] for row in deleted] == [{"reason": "opt_out_immediate_purge"}] * 3


async def test_who_has_opted_out_is_not_written_about(world: World) -> None:
    agent = await agent_of(world)
    await write(world, agent, world.member)
    default = (await world.rest(world.member, "GET", CONSENT)).json()
    here = {"user_id": world.member.user_id, "workspace_id": world.workspace.id}
    assert default == here | {"opted_out": False, "opted_out_at": ""}
    out = (await world.rest(world.member, "PUT", CONSENT, {"opted_out": True})).json()
    assert out == here | {"opted_out": True, "purged": 1}
    shown = (await world.rest(world.member, "GET", CONSENT)).json()
    assert shown["opted_out"] is True
    assert shown["opted_out_at"].endswith("Z")
    assert "." in shown["opted_out_at"]
    assert await write(world, agent, world.member) is Code.FORBIDDEN
    assert await write(world, agent, world.viewer) is None  # of others, as before
    again = (await world.rest(world.member, "PUT", CONSENT, {"opted_out": True})).json()
    assert again == here | {"opted_out": True, "purged": 0}
    back = (await world.rest(world.member, "PUT", CONSENT, {"opted_out": False})).json()
    assert back == here | {"opted_out": False, "purged": 0}
    assert (await world.rest(world.member, "GET", CONSENT)).json() == default
    assert await write(world, agent, world.member) is None
    chosen = [row[0] for row in await actions(world) if row[0].startswith("opt_")]
    assert chosen == ["opt_out", "opt_out", "opt_in"]


async def test_no_card_is_written_behind_an_opt_out(world: World) -> None:
    """However the two meet: what was written before is removed, what comes later is refused."""
    agents = [await agent_of(world) for _ in range(8)]
    for _ in range(5):
        await world.rest(world.member, "PUT", CONSENT, {"opted_out": False})
        await asyncio.gather(
            *[write(world, agent, world.member) for agent in agents[:4]],
            world.rest(world.member, "PUT", CONSENT, {"opted_out": True}),
            *[write(world, agent, world.member) for agent in agents[4:]],
        )
        assert await world.database.fetchval("SELECT count(*) FROM peer_cards") == 0


async def test_nobody_but_members_is_written_about(world: World) -> None:
    assert await write(world, await agent_of(world), world.outsider) is Code.NOT_FOUND


@pytest.mark.parametrize("body", [{}, {"opted_out": None}, {"opted_out": "true"}, {"opted_out": 1}, []], ids=str)
async def test_what_is_no_choice_is_refused_and_changes_nothing(world: World, body: Any) -> None:
    before = await world.snapshot()
    assert (await world.rest(world.member, "PUT", CONSENT, body)).status_code == 400
    assert await world.snapshot() == before


async def test_the_workspace_may_come_as_a_header(world: World) -> None:
    answer = await world.rest(world.viewer, "GET", CARDS, workspace=None, **{"x-workspace-id": world.workspace.id})
    assert answer.status_code == 200
    assert (await world.rest(world.viewer, "GET", CARDS, workspace=None)).status_code == 400
