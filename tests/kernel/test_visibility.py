"""Rows that a caller may not see are, to that caller, not there: on every door. Here agents of a crew are seen by its
members, and by nobody else.

`reads` opens them to MANAGER and above as well, as a list of what a workspace has would.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from sqlalchemy import func, or_, select
from sqlmodel import col

from models.base import new_id
from models.people.workspaces import Role
from models.staff.agents import AGENT_STATES, Agent, AgentStatus
from models.staff.chats import Chat
from models.staff.crews import Crew, CrewMember
from models.staff.runs import Run
from models.work.labels import Label
from resolvers.attention.channels import open_channel
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.admission.gate import Entity
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.declarations.query import QueryScope, query
from resolvers.kernel.ground.inputs import ById, Input, NoInput, Text
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, Nested, Row, Shape, View, intern
from resolvers.kernel.store.changes import Change, plus
from resolvers.kernel.writing.command import command, procedure
from resolvers.kernel.writing.context import Context
from resolvers.people.auth.cli_tokens import list_cli_tokens
from resolvers.people.workspaces import get_workspace
from resolvers.staff.agents import get_agent
from tests.live.sockets import client_of
from tests.tenant.door import visible
from tests.world import Person, World

pytestmark = pytest.mark.anyio
SHAPE = intern(Shape((Column("id", "id"), Column("name", "name"))))
UNKNOWN = "cnosuchagent000000000000a"


def of_own_crew(agent: Any, scope: Any) -> Any:
    return or_(agent.crew_id.is_(None), scope.has(CrewMember, agent, crew_id=agent.crew_id, user_id=scope.user_id))


def or_managed(agent: Any, scope: Any) -> Any:
    return or_(of_own_crew(agent, scope), scope.may(agent, Action.UPDATE))


@dataclass
class Yard:
    """A crew with an insider, and agents: `open` in none, and `hidden` in the insider's."""

    world: World
    crew: Crew
    insider: Person
    open: Agent
    hidden: Agent
    chat: Chat
    run: Run

    def by(self, person: Person, **given: Any) -> Caller:
        caller = person.caller
        caller.workspace = self.world.workspace.id
        for name, value in given.items():
            setattr(caller, name, value)
        return caller

    async def ask(self, person: Person, text: str, **variables: Any) -> Any:
        answer = await self.world.graphql(
            person, f"query($ws: ID!) {{ {text} }}" if "$ws" in text else f"{{ {text} }}", variables
        )
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture(scope="module")
async def yard(world: World) -> AsyncIterator[Yard]:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Engine", slug="engine", **here)
    insider = await world.person("insider", Role.MEMBER)
    hidden = Agent(name="Hidden", slug="hidden", crew_id=crew.id, **here)
    opened = Agent(name="Open", slug="open", parent_lead_id=hidden.id, **here)
    chat = Chat(agent_id=hidden.id, **here)
    run = Run(agent_id=hidden.id, chat_id=chat.id, **here)
    await world.add(crew, hidden, opened, CrewMember(crew_id=crew.id, user_id=insider.user_id, **here), chat, run)
    with visible(Agent, or_managed):
        yield Yard(world, crew, insider, opened, hidden, chat, run)


@pytest.fixture
def strict() -> Iterator[None]:
    """Not even the owner sees the agents of a crew without being in it."""
    with visible(Agent, of_own_crew):
        yield


# ---- reading ---------------------------------------------------------------------------------------------------------


async def test_lists_and_their_numbers(yard: Yard) -> None:
    listed = "agents(workspaceId: $ws) { totalCount nodes { name } }"
    for person in (yard.world.member, yard.world.viewer):
        assert (await yard.ask(person, listed))["agents"] == {"totalCount": 1, "nodes": [{"name": "Open"}]}
        assert [agent["name"] for agent in (await yard.world.rest(person, "GET", "/api/v1/agents")).json()] == ["Open"]
    for person in (yard.insider, yard.world.manager, yard.world.owner):
        made = (await yard.ask(person, listed))["agents"]
        assert (made["totalCount"], {agent["name"] for agent in made["nodes"]}) == (2, {"Open", "Hidden"})
        assert len((await yard.world.rest(person, "GET", "/api/v1/agents")).json()) == 2


async def test_edges_and_counts(yard: Yard) -> None:
    text = """
        workspace(id: $ws) { agentCount agents { totalCount nodes { name parentLead { name } } } }
        crews(workspaceId: $ws) { nodes { agentCount agents { totalCount nodes { name } } } }
        runs(workspaceId: $ws) { nodes { agent { name } chat { agent { name } } } }
    """
    seen = {"name": "Hidden"}
    for person in (yard.insider, yard.world.manager):
        answer = await yard.ask(person, text)
        assert answer["workspace"]["agentCount"] == answer["workspace"]["agents"]["totalCount"] == 2
        assert {"name": "Open", "parentLead": seen} in answer["workspace"]["agents"]["nodes"]
        assert answer["crews"]["nodes"] == [{"agentCount": 1, "agents": {"totalCount": 1, "nodes": [seen]}}]
        assert answer["runs"]["nodes"] == [{"agent": seen, "chat": {"agent": seen}}]
    answer = await yard.ask(yard.world.member, text)
    assert answer["workspace"] == {
        "agentCount": 1,
        "agents": {"totalCount": 1, "nodes": [{"name": "Open", "parentLead": None}]},
    }
    assert answer["crews"]["nodes"] == [{"agentCount": 0, "agents": {"totalCount": 0, "nodes": []}}]
    assert answer["runs"]["nodes"] == [{"agent": None, "chat": {"agent": None}}]
    crews = (await yard.world.rest(yard.world.member, "GET", "/api/v1/crews")).json()
    assert [crew["_count"]["agents"] for crew in crews] == [0]


async def test_the_name_of_a_parent_is_its_own(yard: Yard) -> None:
    """What a row shows of the one it names, as text: the crew's name is found by way of the agent."""
    for person, names in ((yard.insider, ("Hidden", "hidden", "Engine")), (yard.world.member, (None, None, None))):
        run = (await yard.world.rest(person, "GET", f"/api/v1/runs/{yard.run.id}")).json()
        assert tuple(run.get(key) for key in ("agent_name", "agent_slug", "crew_name")) == names
        chats = (await yard.world.rest(person, "GET", "/api/v1/chats")).json()["data"]
        assert [chat["agent_slug"] for chat in chats] == [names[1]]


async def test_over_several_workspaces_each_row_is_judged_in_its_own(yard: Yard) -> None:
    text = "viewer { workspaces { agentCount } }"
    assert (await yard.ask(yard.world.member, text))["viewer"]["workspaces"] == [{"agentCount": 1}]
    assert (await yard.ask(yard.world.manager, text))["viewer"]["workspaces"] == [{"agentCount": 2}]


async def test_reports_and_lists_below_a_row(yard: Yard) -> None:
    for person, total in ((yard.world.member, 1), (yard.insider, 2)):
        answer = await yard.ask(
            person, "crewsStatus(workspaceId: $ws) { total } agentLoad(workspaceId: $ws) { agentId }"
        )
        assert (answer["crewsStatus"]["total"], len(answer["agentLoad"])) == (total, total)
    assert (await yard.world.rest(yard.insider, "GET", f"/api/v1/agents/{yard.hidden.id}/logs")).status_code == 200
    assert (await yard.world.rest(yard.world.member, "GET", f"/api/v1/agents/{yard.hidden.id}/logs")).status_code == 404


async def told(yard: Yard, person: Person, id: str) -> tuple[Any, ...]:
    """What REST and GraphQL say of an agent, its id left out."""
    rest = await yard.world.rest(person, "GET", f"/api/v1/agents/{id}")
    graphql = await yard.world.graphql(
        person, "query($ws: ID!, $id: ID!) { agent(workspaceId: $ws, id: $id) { name } }", {"id": id}
    )
    return rest.status_code, rest.text.replace(id, "…"), str(graphql).replace(id, "…"), rest.headers.get("etag")


async def test_a_hidden_row_is_one_that_there_is_not(yard: Yard) -> None:
    for person in (yard.world.member, yard.world.viewer):
        assert await told(yard, person, yard.hidden.id) == await told(yard, person, UNKNOWN)
        assert (await told(yard, person, UNKNOWN))[0] == 404
        assert (await told(yard, person, yard.open.id))[0] == 200
    for person in (yard.insider, yard.world.manager):
        assert (await told(yard, person, yard.hidden.id))[0] == 200


async def test_pages_and_cursors(yard: Yard) -> None:
    """No page has a place for it, and its own cursor, however somebody came by it, is a place like any other."""
    text = "agents(workspaceId: $ws, first: 1%s) { nodes { name } pageInfo { hasNextPage endCursor } }"
    names, after, cursors = [], "", []
    for _ in range(2):
        page = (await yard.ask(yard.insider, text % after))["agents"]
        names += [agent["name"] for agent in page["nodes"]]
        cursors.append(page["pageInfo"]["endCursor"])
        after = f', after: "{cursors[-1]}"'
    assert sorted(names) == ["Hidden", "Open"]
    first = (await yard.ask(yard.world.member, text % ""))["agents"]
    assert first["nodes"] == [{"name": "Open"}]
    assert not first["pageInfo"]["hasNextPage"]
    for name, cursor in zip(names, cursors, strict=True):
        page = (await yard.ask(yard.world.member, text % f', after: "{cursor}"'))["agents"]
        assert page["nodes"] == ([{"name": "Open"}] if names.index("Open") > names.index(name) else [])


# ---- commands --------------------------------------------------------------------------------------------------------


class Named(Input):
    id: Text
    name: Text = "x"


class Found(Output):
    found: list[str]
    number: int
    there: bool


class Counted(View):
    number: int


def _declare_writes() -> None:
    @command("test.get", Action.PARTICIPATE)
    async def get(ctx: Context, data: Named) -> Agent:
        """Gets."""
        return await ctx.get(Agent, data.id)

    @command("test.lock", Action.PARTICIPATE)
    async def lock(ctx: Context, data: Named) -> Agent:
        """Locks."""
        return await ctx.get(Agent, data.id, lock=True)

    @command("test.first", Action.PARTICIPATE)
    async def first(ctx: Context, data: Named) -> Agent:
        """Selects one."""
        return await ctx.select(Agent, col(Agent.id) == data.id).locked().one()

    @command("test.update", Action.PARTICIPATE, versioned=Agent)
    async def update(ctx: Context, data: Named) -> Agent:
        """Updates."""
        return await ctx.update(Agent, data.id, name=data.name)

    @command("test.unchanged", Action.PARTICIPATE, versioned=Agent)
    async def unchanged(ctx: Context, data: Named) -> Agent:
        """Leaves it."""
        return await ctx.unchanged(Agent, data.id)

    @command("test.move", Action.PARTICIPATE)
    async def move(ctx: Context, data: Named) -> Agent:
        """Moves."""
        return await ctx.move(AGENT_STATES, data.id, AgentStatus.STOPPED)

    @command("test.delete", Action.PARTICIPATE, versioned=Agent)
    async def delete(ctx: Context, data: Named) -> None:
        """Deletes."""
        await ctx.delete(Agent, data.id)

    @command("test.number", Action.PARTICIPATE)
    async def number(ctx: Context, data: Named) -> Label:
        """Makes a label beside a change of the agent."""
        change = Change(Agent, data.id, timeout_seconds=plus(1))
        return await ctx.insert(Label(name=Agent.slug, color="c"), change=change)


def _declare_others() -> None:
    @command("test.update_where", Action.PARTICIPATE)
    async def update_where(ctx: Context, data: Named) -> Found:
        """Updates all that it can."""
        ids = await ctx.update_where(Agent, col(Agent.id) == data.id, name=data.name)
        return Found(found=ids, number=len(ids), there=bool(ids))

    @command("test.delete_where", Action.PARTICIPATE)
    async def delete_where(ctx: Context, data: Named) -> Found:
        """Removes all that it can."""
        removed = await ctx.delete_where(Agent, col(Agent.id) == data.id)
        return Found(found=[], number=removed, there=bool(removed))

    @command("test.upsert", Action.PARTICIPATE)
    async def upsert(ctx: Context, data: Named) -> Agent:
        """Makes, or names what is there."""
        return await ctx.upsert(Agent(id=data.id, name=data.name, slug="upserted"), "id")

    @procedure("test.find", Action.READ)
    async def find(ctx: Context, data: Named) -> Found:
        """Looks by every way there is."""
        agents = ctx.select(Agent, col(Agent.id) == data.id)
        table = ctx.table(Agent).c
        reported = (await ctx.report(select(func.count(table.id)).where(table.id == data.id)))[0][0]
        assert reported == await agents.count()
        return Found(found=[agent.id for agent in await agents.all()], number=reported, there=await agents.exists())

    @procedure("test.find_all", Action.READ)
    async def find_all(ctx: Context, data: NoInput) -> Found:
        """Counts what there is, whoever looks."""
        return Found(found=[], number=await ctx.select(Agent, including_hidden=True).count(), there=True)

    @query("test.counted", Action.READ)
    def counted(scope: QueryScope, data: NoInput) -> Row[Counted]:
        """Counts in a subquery."""
        agents = scope.table(Agent)
        return scope.view(Counted, select(scope.scalar(select(func.count()).select_from(agents)).label("number"))).one(
            "nothing"
        )

    @procedure("test.entity", Action.MANAGE, tenancy=Entity(Agent, "id"))
    async def entity(ctx: Context, data: ById) -> Found:
        """In the workspace of an agent."""
        return Found(found=[data.id], number=1, there=True)


@pytest.fixture(scope="module")
def ops(yard: Yard) -> Iterator[dict[str, Any]]:
    known = set(OPERATIONS)
    _declare_writes()
    _declare_others()
    yield {name.removeprefix("test."): op for name, op in OPERATIONS.items() if name not in known}
    for name in set(OPERATIONS) - known:
        del OPERATIONS[name]


async def outcome(op: Any, caller: Caller, id: str, version: int | None = None, **raw: Any) -> tuple[Code, str]:
    shape = SHAPE if issubclass(op.model, (Agent, Label)) else None
    with pytest.raises(Refusal) as caught:
        await op(caller, {"id": id} | raw, shape, if_version=version)
    return caught.value.code, str(caught.value)


BY_ID = ("get", "lock", "first", "update", "unchanged", "move", "delete", "number")


@pytest.mark.parametrize("name", BY_ID)
async def test_a_command_does_not_find_it(yard: Yard, ops: dict[str, Any], strict: None, name: str) -> None:
    before = await yard.world.snapshot()
    for version in (None, 1) if ops[name].versioned else (None,):
        for person in (yard.world.owner, yard.world.member):
            hidden = await outcome(ops[name], yard.by(person), yard.hidden.id, version)
            assert (
                hidden
                == await outcome(ops[name], yard.by(person), UNKNOWN, version)
                == (Code.NOT_FOUND, "Agent not found")
            )
    assert await yard.world.snapshot() == before


@pytest.mark.parametrize("name", BY_ID)
async def test_a_command_finds_it_for_whom_it_is_there(
    yard: Yard, ops: dict[str, Any], strict: None, name: str
) -> None:
    agent = Agent(workspace_id=yard.world.workspace.id, name="Ours", slug=f"ours-{name}", crew_id=yard.crew.id)
    await yard.world.add(agent)
    await ops[name](yard.by(yard.insider), {"id": agent.id}, SHAPE if name != "delete" else None)
    await yard.world.database.execute("DELETE FROM agents WHERE id = $1", agent.id)
    await yard.world.database.execute("DELETE FROM labels")


async def test_nothing_is_changed_or_counted_past_it(yard: Yard, ops: dict[str, Any], strict: None) -> None:
    before = await yard.world.snapshot()
    for name in ("update_where", "delete_where", "find"):
        for id in (yard.hidden.id, UNKNOWN):
            answer = orjson.loads((await ops[name](yard.by(yard.world.owner), {"id": id})).body)
            assert answer == {"found": [], "number": 0, "there": False}, name
    assert await outcome(ops["upsert"], yard.by(yard.world.owner), yard.hidden.id) == (Code.CONFLICT, "already exists")
    assert await yard.world.snapshot() == before
    found = orjson.loads((await ops["find"](yard.by(yard.insider), {"id": yard.hidden.id})).body)
    assert found == {"found": [yard.hidden.id], "number": 1, "there": True}
    assert orjson.loads((await ops["find_all"](yard.by(yard.world.owner), {})).body)["number"] == 2
    shape = intern(Shape((Column("number", "number"),)))
    assert orjson.loads((await ops["counted"](yard.by(yard.world.owner), {}, shape)).body) == {"number": 1}
    assert orjson.loads((await ops["counted"](yard.by(yard.insider), {}, shape)).body) == {"number": 2}


async def test_what_was_changed_is_answered_and_its_edges_ask(yard: Yard, ops: dict[str, Any], strict: None) -> None:
    """The row is the caller's own doing, wherever it has gone; what hangs on it is not."""
    lead = Nested("parent_lead", "parent_lead", Shape((Column("name", "name"),)))
    shape = intern(Shape((Column("name", "name"), lead)))
    for person, seen in ((yard.insider, {"name": "Hidden"}), (yard.world.owner, None)):
        answer = orjson.loads((await ops["update"](yard.by(person), {"id": yard.open.id, "name": "Open"}, shape)).body)
        assert answer == {"name": "Open", "parent_lead": seen}


async def test_a_new_row_does_not_travel_past_what_it_may_decide(yard: Yard, strict: None) -> None:
    """Who adds themselves to a crew sees its agents in the answer: the membership is there before the edge asks."""
    text = (
        "mutation($i: AddCrewMemberInput!, $ws: ID!) {"
        " addCrewMember(workspaceId: $ws, input: $i) { crew { agents { nodes { name } } } } }"
    )
    given = {"crewId": yard.crew.id, "userId": yard.world.manager.user_id}
    answer = await yard.world.graphql(yard.world.manager, text, {"i": given})
    assert answer["data"]["addCrewMember"]["crew"]["agents"]["nodes"] == [{"name": "Hidden"}]
    await yard.world.database.execute("DELETE FROM crew_members WHERE user_id = $1", yard.world.manager.user_id)


async def test_the_workspace_of_a_hidden_row_is_not_found_either(yard: Yard, ops: dict[str, Any], strict: None) -> None:
    """Before the role is judged: whoever may not do it anyway does not learn that the row is there."""
    for person in (yard.world.owner, yard.world.viewer):
        assert await outcome(ops["entity"], yard.by(person), yard.hidden.id) == await outcome(
            ops["entity"], yard.by(person), UNKNOWN
        )
        assert (await outcome(ops["entity"], yard.by(person), UNKNOWN))[0] is Code.NOT_FOUND
    assert (await outcome(ops["entity"], yard.by(yard.insider), yard.hidden.id))[0] is Code.FORBIDDEN
    assert await ops["entity"](yard.by(yard.world.owner), {"id": yard.open.id})


async def test_a_machine_acts_in_the_workspace_as_a_whole(yard: Yard, ops: dict[str, Any], strict: None) -> None:
    service = Caller.service("tests", yard.world.workspace.id)
    assert orjson.loads((await ops["find"](service, {"id": yard.hidden.id})).body)["number"] == 1
    assert orjson.loads((await get_agent(service, {"id": yard.hidden.id}, SHAPE)).body)["name"] == "Hidden"
    assert orjson.loads((await ops["get"](service, {"id": yard.hidden.id}, SHAPE)).body)["name"] == "Hidden"


async def test_a_machine_has_nothing_of_anybody_s_own(yard: Yard) -> None:
    """Tokens belong to users and to no workspace."""
    service = Caller.service("tests", yard.world.workspace.id)
    rows = intern(Shape((Column("id", "id"),), "list"))
    assert orjson.loads((await list_cli_tokens(service, {}, rows)).body) == []
    assert len(orjson.loads((await list_cli_tokens(yard.insider.caller, {}, rows)).body)) == 1


async def test_a_machine_has_the_role_of_an_owner(yard: Yard) -> None:
    service = Caller.service("tests", yard.world.workspace.id)
    shape = intern(Shape((Column("role", "current_user_role"),)))
    assert orjson.loads((await get_workspace(service, {}, shape)).body) == {"role": "OWNER"}


# ---- live ------------------------------------------------------------------------------------------------------------


async def test_a_channel_of_a_hidden_row_is_none(yard: Yard, strict: None) -> None:
    said = []
    for id in (yard.hidden.id, UNKNOWN):
        with pytest.raises(Refusal) as caught:
            await open_channel(yard.world.owner.caller, f"agent:{id}")
        said.append((caught.value.code, str(caught.value)))
    assert said == [(Code.NOT_FOUND, "Agent not found")] * 2
    assert (await open_channel(yard.insider.caller, f"agent:{yard.hidden.id}")).id == yard.hidden.id


async def test_who_does_not_see_the_row_any_more_hears_nothing_more_of_it(yard: Yard, strict: None) -> None:
    """The right is asked for again whenever the caller's access changes, and before anything is read behind."""
    world, name = yard.world, f"agent:{yard.hidden.id}"
    leaver = await world.person(f"p{new_id()}", Role.MEMBER)
    await world.add(CrewMember(workspace_id=world.workspace.id, crew_id=yard.crew.id, user_id=leaver.user_id))
    async with client_of(world, leaver) as client:
        await client.subscribe(name)
        await client.settle()
        await world.database.execute("DELETE FROM crew_members WHERE user_id = $1", leaver.user_id)
        # makes an access.changed
        await world.database.execute("UPDATE memberships SET role = 'VIEWER' WHERE user_id = $1", leaver.user_id)
        refused = await client.hears("error", channel=name)
        assert refused["payload"]["error"] == "Agent not found"
