"""The rows that events name: what a subscription selects of them, for whom, and how often they are read."""

from typing import Any

import orjson
import pytest

from models.attention.inbox import InboxItem, InboxKind
from models.base import new_id
from models.people.workspaces import Role
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.labels import Label
from models.work.missions import Mission
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.kernel.declarations.events import EVENTS
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import LiveConnection, hub, rows
from resolvers.live.rows import TARGETS, rows_named, sees_as
from schema.bridge.event_types import EVENT_TYPES, declared, type_name
from schema.live import projection
from schema.live.subscription import subscription_of
from tests.events.samples import every_event
from tests.live.graphql import announce, own, talking
from tests.live.outlets import Memory, until
from tests.live.test_graphql_projection import ENDPOINT
from tests.world import World

pytestmark = pytest.mark.anyio
LABELS = """
    subscription Labels($ws: ID, $after: String) {
      workspaceEvents(workspaceId: $ws, after: $after) {
        ... on Event { cursor } ... on StreamReset { reason }
        ... on LabelUpdatedEvent { id label { __typename id name issues(limit: 1) { totalCount } } }
        ... on LabelDeletedEvent { id label { name } } }
    }
"""
GUARDED = """
    subscription Guarded($ws: ID) {
      workspaceEvents(workspaceId: $ws) {
        __typename ... on BudgetExceededEvent { budget { id } } ... on InboxItemUpdatedEvent { inboxItem { title } }
        ... on LabelCreatedEvent { id label { name } } }
    }
"""


class Reads:
    """Counts what is read for events."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, int]] = []
        whole = rows.read_rows

        async def counted(caller: Any, place: str, role: Any, wanted: Any) -> Any:
            self.asked.append((caller.user_id, sum(len(set(ids)) for ids in wanted.values())))
            return await whole(caller, place, role, wanted)

        monkeypatch.setattr(projection, "read_rows", counted)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


async def label(world: World, name: str) -> Label:
    made = Label(name=name, color="#000000", workspace_id=world.workspace.id)
    await world.add(made)
    return made


async def renamed(world: World, made: Label, name: str) -> None:
    answer = await world.rest(world.owner, "PATCH", f"/api/v1/labels/{made.id}", {"name": name})
    assert answer.status_code == 200, answer.text


async def test_an_event_shows_the_row_as_it_is(world: World, reads: Reads) -> None:
    made = await label(world, "first")
    async with talking(world, world.viewer) as talk:
        await talk.listen("s", LABELS, ws=world.workspace.id, after="-")
        cursor = (await talk.next("s"))["workspaceEvents"]["cursor"]
        await renamed(world, made, "second")
        shown = (await talk.next("s"))["workspaceEvents"]
        seen = {"__typename": "Label", "id": made.id, "name": "second", "issues": {"totalCount": 0}}
        assert (shown["id"], shown["label"]) == (made.id, seen)
        assert (await world.rest(world.owner, "DELETE", f"/api/v1/labels/{made.id}")).is_success
        gone = (await talk.next("s"))["workspaceEvents"]
        assert (gone["id"], gone["label"]) == (made.id, None)
        await talk.say({"type": "complete", "id": "s"})
        await until(lambda: hub.listeners() == 0)
        await talk.listen("s", LABELS, ws=world.workspace.id, after=cursor)
        again = [(await talk.next("s"))["workspaceEvents"] for _ in range(2)]
        assert [(each["id"], each["label"]) for each in again] == [(made.id, None)] * 2, "the row is gone by now"
        assert [each["cursor"] for each in again] == [shown["cursor"], gone["cursor"]]
    assert reads.asked == [(world.viewer.user_id, 1), (world.viewer.user_id, 1), (world.viewer.user_id, 2)]


async def test_events_without_selected_rows_read_nothing(world: World, reads: Reads) -> None:
    async with talking(world, world.viewer) as talk:
        await talk.listen("s", LABELS, ws=world.workspace.id)
        await announce(world, own(world), "project.created", {"id": "p"}, {"id": "q"})
        assert [await talk.next("s") for _ in range(2)]
    assert reads.asked == []


async def test_who_may_not_read_a_row_hears_of_the_event_alone(world: World) -> None:
    budget = budget_of(world, BudgetPeriod.day)
    item = InboxItem(
        id="ibx_rows", kind=InboxKind.message, source_id="s", title="For managers", target_role=Role.MANAGER,
        workspace_id=world.workspace.id,
    )  # fmt: skip
    await world.add(budget, item)
    shown: dict[str, list[Any]] = {}
    for person in (world.manager, world.viewer):
        async with talking(world, person) as talk:
            await talk.listen("s", GUARDED, ws=world.workspace.id)
            await announce(world, own(world), "budget.exceeded", payload_of("budget.exceeded", id=budget.id))
            await announce(world, own(world), "inbox.updated", {"id": item.id, "state": "unread"})
            shown[person.name] = [(await talk.next("s"))["workspaceEvents"] for _ in range(2)]
    assert shown == {
        "manager": [
            {"__typename": "BudgetExceededEvent", "budget": {"id": budget.id}},
            {"__typename": "InboxItemUpdatedEvent", "inboxItem": {"title": "For managers"}},
        ],
        "viewer": [
            {"__typename": "BudgetExceededEvent", "budget": None},
            {"__typename": "InboxItemUpdatedEvent", "inboxItem": None},
        ],
    }


async def test_a_row_comes_without_the_edges_of_a_higher_role(world: World) -> None:
    crew = Crew(workspace_id=world.workspace.id, name="Shown", slug="shown")
    await world.add(crew)
    text = """subscription Crews($ws: ID) { workspaceEvents(workspaceId: $ws) {
        ... on CrewUpdatedEvent { crew { name budgets { id } } } } }"""
    shown = {}
    for person in (world.manager, world.viewer):
        async with talking(world, person) as talk:
            await talk.listen("s", text, ws=world.workspace.id)
            await announce(world, own(world), "crew.updated", payload_of("crew.updated", id=crew.id))
            shown[person.name] = (await talk.next("s"))["workspaceEvents"]["crew"]
    assert shown == {"manager": {"name": "Shown", "budgets": []}, "viewer": {"name": "Shown", "budgets": None}}


def budget_of(world: World, period: BudgetPeriod) -> Budget:
    amounts = {"amount_micros": 10, "reservation_micros": 1}
    return Budget(scope=BudgetScope.workspace, period=period, **amounts, workspace_id=world.workspace.id)  # type: ignore[arg-type]


def payload_of(type_: str, **given: Any) -> dict[str, Any]:
    (event,) = EVENTS[type_]
    return orjson.loads(orjson.dumps(next(every_event(event)).payload())) | given


async def test_listeners_who_see_the_same_share_one_read(world: World, reads: Reads) -> None:
    """However many they are; a listener of another role has one of its own."""
    made = await label(world, "shared")
    async with talking(world, world.viewer) as talk, talking(world, world.manager) as other:
        for number in range(30):
            await talk.listen(str(number), LABELS, ws=world.workspace.id)
        await other.listen("s", LABELS, ws=world.workspace.id)
        await renamed(world, made, "seen by all")
        answers = [(await talk.hear())["payload"]["data"]["workspaceEvents"] for _ in range(30)]
        assert {each["label"]["name"] for each in [*answers, (await other.next("s"))["workspaceEvents"]]} == {
            "seen by all"
        }
    assert sorted(reads.asked) == sorted([(world.viewer.user_id, 1), (world.manager.user_id, 1)])


async def test_a_role_that_changes_changes_which_rows_are_shown(world: World) -> None:
    """Nobody is shown a row by the right of another: neither by a role that ended, nor by one that others have."""
    budget = budget_of(world, BudgetPeriod.total)
    await world.add(budget)
    role = "UPDATE memberships SET role = $1 WHERE user_id = $2 AND workspace_id = $3"

    async def sent(talk: Any) -> Any:
        await announce(world, own(world), "budget.exceeded", payload_of("budget.exceeded", id=budget.id))
        return (await talk.next("s"))["workspaceEvents"]["budget"]

    async with talking(world, world.member) as talk:
        await talk.listen("s", GUARDED, ws=world.workspace.id)
        seen = [await sent(talk)]
        for now_ in (Role.MANAGER, Role.MEMBER):
            await world.database.execute(role, now_, world.member.user_id, world.workspace.id)
            bus.ring(Topic.events)
            seen.append(await sent(talk))
    assert seen == [None, {"id": budget.id}, None]


async def test_many_events_keep_their_order_and_are_read_together(world: World, reads: Reads) -> None:
    made = [await label(world, f"l{number}") for number in range(60)]
    async with talking(world, world.viewer) as talk:
        await talk.listen("s", LABELS, ws=world.workspace.id)
        await world.database.execute(
            "INSERT INTO events (workspace_id, channel, type, payload) SELECT $1, $2, 'label.updated',"
            " jsonb_build_object('id', id) FROM unnest($3::text[]) AS id",
            world.workspace.id, f"{own(world)}#read", [each.id for each in made],
        )  # fmt: skip
        bus.ring(Topic.events)
        seen = [(await talk.next("s"))["workspaceEvents"]["label"]["name"] for _ in made]
    assert seen == [each.name for each in made]
    assert len(reads.asked) <= 3


async def test_too_much_of_a_row_is_refused(world: World) -> None:
    document = """
        subscription($ws: ID, $n: Int!) { workspaceEvents(workspaceId: $ws) {
            ... on CrewUpdatedEvent { crew {
                issues(first: $n) { nodes { comments(first: $n) { nodes { id } } } } } } } }
    """
    async with talking(world, world.viewer) as talk:
        await talk.subscribe("s", document, ws=world.workspace.id, n=100)
        message = await talk.hear()
        assert message["type"] == "error"
        assert "at most" in message["payload"][0]["message"]


def test_only_sessions_share_what_they_see() -> None:
    """A token, or its ticket, may have fewer scopes than another one of the same user."""
    kinds = [kind for kind in CredentialKind if kind not in (CredentialKind.SESSION, CredentialKind.SESSION_TICKET)]
    assert sees_as(Caller(CredentialKind.SESSION, "a")) == sees_as(Caller(CredentialKind.SESSION_TICKET, "b"))
    shared = sees_as(Caller(CredentialKind.SESSION, "a"))
    assert all(sees_as(Caller(kind, "a")) not in (shared, sees_as(Caller(kind, "b"))) for kind in kinds)


async def test_a_token_is_shown_no_rows_beyond_its_scopes(world: World) -> None:
    """By the right of no session that selects the same."""
    crew = Crew(name="Deck", slug="deck-of-rows", workspace_id=world.workspace.id)
    lead = Agent(name="Lead", slug="lead-of-rows", crew_id=crew.id, workspace_id=world.workspace.id)
    mission = Mission(
        title="Sail", crew_id=crew.id, lead_agent_id=lead.id, trace_id=f"mission-{new_id()}",
        workspace_id=world.workspace.id,
    )  # fmt: skip
    await world.add(crew, lead, mission)
    document = """subscription($crew: ID!) { crewEvents(crewId: $crew) {
        __typename ... on CrewMissionCreatedEvent { id mission { title } } } }"""
    where = "UPDATE cli_tokens SET scopes = $1::text::jsonb WHERE user_id = $2"
    async with talking(world, world.viewer) as limited, talking(world, world.owner) as whole:
        await whole.listen("s", document, crew=crew.id)
        await world.database.execute(where, '["crews:read"]', world.viewer.user_id)
        try:
            await limited.listen("s", document, crew=crew.id)
            await announce(world, f"crew:{crew.id}", "mission.created", {"id": mission.id, "title": "Sail"})
            shown = [(await talk.next("s"))["crewEvents"]["mission"] for talk in (whole, limited)]
        finally:
            await world.database.execute(where, "[]", world.viewer.user_id)
    assert shown == [{"title": "Sail"}, None]


def test_an_event_shows_the_row_of_each_id_that_it_has() -> None:
    found = {type_name(event): rows_named(event) for event in declared()}
    assert found["RunStartedEvent"] == {"run": "run_id", "agent": "agent_id"}
    assert found["IssueUpdatedEvent"] == {"issue": "id"}
    assert found["TaskUpdatedEvent"] == {"task": "id", "mission": "mission_id"}
    assert found["ApprovalCreatedEvent"] == {"approval": "id"}
    assert found["InboxItemUpdatedEvent"] == {"inbox_item": "id"}
    assert found["WorkspaceMemberAddedEvent"] == {"member": "id"}
    assert "agent" not in found["AgentLoggedEvent"], "that is its slug"
    assert {name for each in found.values() for name in each} == TARGETS.keys()
    assert all(set(EVENT_TYPES.rows_of(name)) for name, each in found.items() if each)


@pytest.mark.slow
async def test_a_thousand_listeners_make_one_statement(world: World, reads: Reads) -> None:
    made = await label(world, "one of a thousand")
    outlets = [Memory() for _ in range(1000)]
    caller = world.viewer.caller
    caller.user_id = world.viewer.user_id
    body = {"query": LABELS, "documentId": None, "operationName": None, "variables": {"ws": world.workspace.id}}
    lines = []
    for outlet in outlets:
        request = await subscription_of(ENDPOINT, caller, body)
        assert request is not None
        line = LiveConnection(caller, outlet, outlet)
        shown = request.shown
        await request.listen(line, shown.answer, None, shown, shown)
        lines.append(line)
    try:
        for name in ("renamed", "renamed again"):
            await renamed(world, made, name)
        await until(lambda: all(len(outlet.written) == 2 for outlet in outlets))
    finally:
        for line in lines:
            line.close()
    assert reads.asked in ([(world.viewer.user_id, 1)] * 2, [(world.viewer.user_id, 1)])
    assert {orjson.loads(outlet.written[-1])["data"]["workspaceEvents"]["label"]["name"] for outlet in outlets} == {
        "renamed again"
    }
