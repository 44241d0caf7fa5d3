"""The pipeline on operations of its own: order of refusals, transactions, idempotency, versions, audit, events."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from pydantic import Field
from sqlalchemy import func, select
from sqlmodel import col

from models.base import table_of
from models.staff.agents import AGENT_STATES, Agent, AgentStatus
from models.work.labels import Label
from resolvers.errors import Code, Refusal, forbidden
from resolvers.identity.caller import Caller
from resolvers.kernel.admission.gate import Tenancy
from resolvers.kernel.declarations.events import EVENTS, Event
from resolvers.kernel.declarations.operation import OPERATIONS, Auth
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.ground.inputs import Input, NoInput, Text
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.kernel.writing.command import command, procedure
from resolvers.kernel.writing.context import Context
from tests.world import Person, World

pytestmark = pytest.mark.anyio
SHAPE = intern(Shape((Column("id", "id"), Column("name", "name"), Column("version", "version"))))


class Named(Input):
    name: Text = Field(min_length=1)
    color: Text = "c"


class Moved(Input):
    id: Text
    to: AgentStatus
    meanwhile: AgentStatus | None = None


class Renamed(Input):
    id: Text
    name: Text = ""


class LabelMade(Event, type="test.label_made", channel="workspace:{workspace_id}"):
    id: str


class Secret(Output):
    token: str


class Names(Output):
    names: list[str]


async def _guard(ctx: Context, data: Named | None) -> None:
    if data is not None and data.name == "guarded":
        raise forbidden("The guard says no")


def _declare_writes() -> None:
    @command("test.make", Action.CREATE, audit="label.made", emits=LabelMade, allow=_guard)
    async def make(ctx: Context, data: Named) -> Label:
        """Makes."""
        label = await ctx.insert(Label(name=data.name, color="c"), conflict="taken")
        ctx.audit("LABEL", label.id, name=label.name)
        ctx.emit(LabelMade(id=label.id))
        return label

    @command("test.make_and_fail", Action.CREATE)
    async def make_and_fail(ctx: Context, data: Named) -> Label:
        """Makes, and fails after it."""
        await ctx.insert(Label(name=data.name, color="c"))
        await ctx.select(Label).count()  # sends the insert
        raise RuntimeError("a fault nobody expected, with a secret in it")

    @command("test.count_refusals", Action.CREATE, writes_on_refusal=True)
    async def count_refusals(ctx: Context, data: Named) -> Label:
        """Writes, and refuses."""
        await ctx.insert(Label(name=data.name, color="c"))
        raise Refusal(Code.CONFLICT, "no", commit=True)

    @command("test.rename", Action.MANAGE, versioned=Label)
    async def rename(ctx: Context, data: Renamed) -> Label:
        """Renames."""
        return await ctx.update(Label, data.id, name=data.name)


def _declare_moves() -> None:
    @command("test.move", Action.CREATE)
    async def move(ctx: Context, data: Moved) -> Agent:
        """Moves an agent."""
        return await ctx.move(AGENT_STATES, data.id, data.to)

    @command("test.move_as_read", Action.CREATE)
    async def move_as_read(ctx: Context, data: Moved) -> Agent:
        """Moves an agent from the state it was read in; another request is in between where `meanwhile` says so."""
        agent = await ctx.get(Agent, data.id)
        if data.meanwhile is not None:
            await ctx.update(Agent, data.id, status=data.meanwhile)
        return await ctx.move(AGENT_STATES, agent, data.to, refused=Code.BAD_REQUEST, role_title="moved")

    @command("test.stop_all", Action.CREATE)
    async def stop_all(ctx: Context, data: Moved) -> Names:
        """Moves all agents of a name."""
        return Names(names=sorted(await ctx.move_all(AGENT_STATES, data.to, col(Agent.name) == data.id)))


def _declare_oddities() -> None:
    @command("test.late", Action.CREATE, late=True)
    async def late(ctx: Context, data: Named) -> Label:
        """Reads, goes outside, writes."""
        assert await ctx.select(Label).where(Label.name == data.name).count() == 0
        await ctx.outside.passwords.hash("long enough")
        await ctx.begin()
        return await ctx.insert(Label(name=data.name, color="c"))

    @command("test.upsert", Action.CREATE)
    async def upsert(ctx: Context, data: Named) -> Label:
        """Makes, or colours what is there."""
        return await ctx.upsert(Label(name=data.name, color=data.color), "workspace_id", "name")

    @command("test.outside_inside", Action.CREATE)
    async def outside_inside(ctx: Context, data: NoInput) -> Secret:
        """Goes outside inside the transaction."""
        await ctx.outside.passwords.hash("long enough")
        return Secret(token="never")

    @command("test.forgets_audit", Action.CREATE, audit="memory.forgotten")
    async def forgets_audit(ctx: Context, data: Named) -> Label:
        """Declares an audit action of something that it does not write."""
        return await ctx.insert(Label(name=data.name, color="c"))

    @command("test.undeclared_event", Action.CREATE)
    async def undeclared_event(ctx: Context, data: NoInput) -> None:
        """Emits what it does not declare."""
        ctx.emit(LabelMade(id="x"))

    @command("test.secret", Action.CREATE, secret=True)
    async def secret(ctx: Context, data: Named) -> Secret:
        """Answers a secret."""
        await ctx.insert(Label(name=data.name, color="c"))
        return Secret(token="s3cret")

    @procedure("test.writing_procedure", Action.READ)
    async def writing_procedure(ctx: Context, data: Named) -> Secret:
        """Writes where only reading is allowed."""
        await ctx.insert(Label(name=data.name, color="c"))
        return Secret(token="never")

    @command("test.anonymous", Action.NONE, auth=Auth.NONE, tenancy=Tenancy.NONE)
    async def anonymous(ctx: Context, data: NoInput) -> Secret:
        """Whoever calls sees how many labels row-level security leaves."""
        rows = await ctx._many(select(func.count()).select_from(table_of(Label)))
        return Secret(token=str(rows[0][0]))


@pytest.fixture(scope="module")
def ops() -> Iterator[dict[str, Any]]:
    known = set(OPERATIONS)
    _declare_writes()
    _declare_moves()
    _declare_oddities()
    yield {name.removeprefix("test."): op for name, op in OPERATIONS.items() if name not in known}
    for name in set(OPERATIONS) - known:
        del OPERATIONS[name]
    EVENTS.pop("test.label_made", None)


def at(person: Person, world: World, **given: Any) -> Caller:
    made = person.caller
    made.workspace = world.workspace.id
    for name, value in given.items():
        setattr(made, name, value)
    return made


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value


async def test_refusals_come_in_the_order_of_the_contract(world: World, ops: dict[str, Any]) -> None:
    make, bad = ops["make"], {"name": ""}
    before = await world.snapshot()
    assert (await refused(make(Caller.nobody(), bad))).code is Code.UNAUTHENTICATED
    assert (await refused(make(world.viewer.caller, bad))).detail == "workspace_id is required"
    assert (await refused(make(at(world.outsider, world), bad))).detail == "Not a member of this workspace"
    assert (await refused(make(at(world.viewer, world), {"name": "guarded"}))).detail == "Forbidden"
    assert (await refused(make(at(world.owner, world), {"name": "guarded", "x": ""}))).detail == "The guard says no"
    assert (
        await refused(make(at(world.owner, world), bad, fault=Refusal(Code.BAD_REQUEST, "Invalid JSON body")))
    ).detail == "Invalid JSON body"
    assert "name" in (await refused(make(at(world.owner, world), bad))).fields
    assert await world.snapshot() == before


async def test_a_change_its_audit_row_and_its_event_are_one(world: World, ops: dict[str, Any]) -> None:
    answer = await ops["make"](at(world.owner, world), {"name": "one"}, SHAPE)
    id = answer.body.split(b'"')[3].decode()
    event = (await world.events())[-1]
    assert (event["type"], event["channel"], event["payload"]) == (
        "test.label_made",
        f"workspace:{world.workspace.id}",
        {"id": id},
    )
    audit = (await world.audit())[-1]
    assert (audit["action"], audit["entity_type"], audit["entity_id"], audit["data"], audit["user_id"]) == (
        "label.made",
        "LABEL",
        id,
        {"name": "one"},
        world.owner.user_id,
    )
    before = await world.snapshot()
    assert (await refused(ops["make"](at(world.owner, world), {"name": "one"}, SHAPE))).detail == "taken"
    assert await world.snapshot() == before


async def test_an_unexpected_fault_rolls_back_and_says_nothing(world: World, ops: dict[str, Any]) -> None:
    before = await world.snapshot()
    fault = await refused(ops["make_and_fail"](at(world.owner, world), {"name": "lost"}, SHAPE))
    assert (fault.code, fault.detail) == (Code.INTERNAL, "Internal error")
    assert await world.snapshot() == before


async def test_a_refusal_commits_only_where_it_is_declared(world: World, ops: dict[str, Any]) -> None:
    assert (await refused(ops["count_refusals"](at(world.owner, world), {"name": "kept"}, SHAPE))).code is Code.CONFLICT
    assert await world.database.fetchval("SELECT count(*) FROM labels WHERE name = 'kept'") == 1


async def test_if_match_is_compared_in_the_update(world: World, ops: dict[str, Any]) -> None:
    label = Label(workspace_id=world.workspace.id, name="versioned", color="c")
    await world.add(label)
    raw = {"id": label.id, "name": "renamed"}
    assert (
        await refused(ops["rename"](at(world.owner, world), raw, SHAPE, if_version=7))
    ).code is Code.PRECONDITION_FAILED
    answer = await ops["rename"](at(world.owner, world), raw, SHAPE, if_version=1)
    assert answer.version == 2
    assert (
        await refused(ops["rename"](at(world.owner, world), {"id": "nope"}, SHAPE, if_version=2))
    ).code is Code.NOT_FOUND
    assert (
        await refused(ops["make"](at(world.owner, world), {"name": "x"}, SHAPE, if_version=1))
    ).code is Code.BAD_REQUEST
    assert sorted(await asyncio.gather(*[_version(ops, world, label.id) for _ in range(5)])) == [0, 0, 0, 0, 3]


async def _version(ops: dict[str, Any], world: World, id: str) -> int:
    try:
        return int(
            (await ops["rename"](at(world.owner, world), {"id": id, "name": "raced"}, SHAPE, if_version=2)).version
        )
    except Refusal as refusal:
        return 0 if refusal.code is Code.PRECONDITION_FAILED else -1


async def test_the_same_key_and_request_give_the_stored_answer(world: World, ops: dict[str, Any]) -> None:
    def call(name: str, person: Person = world.owner, key: str = "k1") -> Any:
        return ops["make"](at(person, world), {"name": name}, SHAPE, key=key)

    first = await call("idempotent")
    before = await world.snapshot()
    assert (await call("idempotent")).body == first.body
    assert (await refused(call("other"))).code is Code.UNPROCESSABLE
    assert (await refused(call("idempotent", world.admin))).detail == "taken"  # the key is the owner's
    assert (await refused(call("idempotent", world.viewer))).code is Code.FORBIDDEN  # the gate runs first
    assert await world.snapshot() == before


async def test_refusals_are_not_stored(world: World, ops: dict[str, Any]) -> None:
    assert (
        await refused(ops["make"](at(world.owner, world), {"name": "guarded"}, SHAPE, key="refused"))
    ).code is Code.FORBIDDEN
    assert (await ops["make"](at(world.owner, world), {"name": "allowed now"}, SHAPE, key="refused")).body


async def test_concurrent_calls_with_one_key_are_one_change(world: World, ops: dict[str, Any]) -> None:
    answers = await asyncio.gather(
        *[ops["make"](at(world.owner, world), {"name": "once"}, SHAPE, key="raced") for _ in range(8)]
    )
    assert len({a.body for a in answers}) == 1
    assert await world.database.fetchval("SELECT count(*) FROM labels WHERE name = 'once'") == 1


async def test_an_answer_with_a_secret_is_not_stored(world: World, ops: dict[str, Any]) -> None:
    assert (
        await ops["secret"](at(world.owner, world), {"name": "with secret"}, key="secret")
    ).body == b'{"token":"s3cret"}'
    assert (
        await refused(ops["secret"](at(world.owner, world), {"name": "with secret"}, key="secret"))
    ).code is Code.CONFLICT
    assert (
        await world.database.fetchval("SELECT count(*) FROM idempotency_keys WHERE key = 'secret' AND body IS NOT NULL")
        == 0
    )


async def test_a_late_command_is_gated_again_inside_its_transaction(
    world: World, ops: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await ops["late"](at(world.manager, world), {"name": "late"}, SHAPE)).body
    begin = Context.begin

    async def demoted(self: Context) -> None:
        await world.database.execute("UPDATE memberships SET role = 'VIEWER' WHERE user_id = $1", world.manager.user_id)
        await begin(self)

    monkeypatch.setattr(Context, "begin", demoted)
    try:
        assert (
            await refused(ops["late"](at(world.manager, world), {"name": "too late"}, SHAPE))
        ).code is Code.FORBIDDEN
    finally:
        await world.database.execute(
            "UPDATE memberships SET role = 'MANAGER' WHERE user_id = $1", world.manager.user_id
        )
    assert await world.database.fetchval("SELECT count(*) FROM labels WHERE name = 'too late'") == 0


async def test_only_transitions_of_the_state_machine_are_made(world: World, ops: dict[str, Any]) -> None:
    agent = Agent(workspace_id=world.workspace.id, name="Mover", slug="mover")
    await world.add(agent)
    states = intern(Shape((Column("status", "status"),)))
    for status in AgentStatus:
        await world.database.execute("UPDATE agents SET status = $2 WHERE id = $1", agent.id, status)
        for to in AgentStatus:
            call = ops["move"](at(world.owner, world), {"id": agent.id, "to": to.value}, states)
            if to in AGENT_STATES.moves[status]:
                assert (await call).body == b'{"status":"%b"}' % to.value.encode()
                await world.database.execute("UPDATE agents SET status = $2 WHERE id = $1", agent.id, status)
            else:
                fault = await refused(call)
                assert (fault.code, fault.detail) == (Code.CONFLICT, f"Agent is {status}: it cannot become {to}")
    assert (
        await refused(ops["move"](at(world.owner, world), {"id": "nope", "to": "RUNNING"}, states))
    ).code is Code.NOT_FOUND


async def test_a_move_that_the_machine_refuses_is_told_apart_from_one_that_came_too_late(
    world: World, ops: dict[str, Any]
) -> None:
    agent = Agent(workspace_id=world.workspace.id, name="Reader", slug="reader")
    await world.add(agent)
    states = intern(Shape((Column("status", "status"), Column("role_title", "role_title"))))

    async def moved(to: str, meanwhile: str | None = None) -> Any:
        return await ops["move_as_read"](
            at(world.owner, world), {"id": agent.id, "to": to, "meanwhile": meanwhile}, states
        )

    fault = await refused(moved("ERROR"))
    assert (fault.code, fault.detail) == (Code.BAD_REQUEST, "Agent is IDLE: it cannot become ERROR")
    fault = await refused(moved("RUNNING", "STOPPED"))
    assert (fault.code, fault.detail) == (Code.CONFLICT, "Agent became STOPPED meanwhile; try again")
    row = await world.database.fetchrow("SELECT status, role_title FROM agents WHERE id = $1", agent.id)
    assert tuple(row) == ("IDLE", None)
    assert (await moved("RUNNING")).body == b'{"status":"RUNNING","role_title":"moved"}'


async def test_all_rows_that_can_make_a_transition_make_it(world: World, ops: dict[str, Any]) -> None:
    agents = {
        status: Agent(workspace_id=world.workspace.id, name="Many", slug=f"many-{status.lower()}", status=status)
        for status in AgentStatus
    }
    other = Agent(workspace_id=world.workspace.id, name="Other", slug="other")
    await world.add(*agents.values(), other)
    answer = await ops["stop_all"](
        at(world.owner, world), {"id": "Many", "to": "STOPPED"}, intern(Shape((Column("names", "names"),)))
    )
    stopped = {AgentStatus.IDLE, AgentStatus.RUNNING, AgentStatus.ERROR}
    assert orjson.loads(answer.body) == {"names": sorted(agents[status].id for status in stopped)}
    left = dict(await world.database.fetch("SELECT id, status FROM agents WHERE name IN ('Many', 'Other')"))
    assert left == {other.id: "IDLE"} | {
        agent.id: "STOPPED" if status in stopped else status for status, agent in agents.items()
    }


async def test_one_of_two_agents_that_race_for_a_transition_makes_it(world: World, ops: dict[str, Any]) -> None:
    agent = Agent(workspace_id=world.workspace.id, name="Racer", slug="racer")
    await world.add(agent)
    calls = [ops["move"](at(world.owner, world), {"id": agent.id, "to": "STOPPED"}, SHAPE) for _ in range(6)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(o).__name__ for o in outcomes) == ["Answer"] + ["Refusal"] * 5


async def test_an_upsert_is_one_row(world: World, ops: dict[str, Any]) -> None:
    def call(color: str) -> Any:
        return ops["upsert"](
            at(world.owner, world),
            {"name": "upserted", "color": color},
            intern(Shape((Column("id", "id"), Column("color", "color")))),
        )

    first = (await call("red")).body
    assert (await call("blue")).body == first.replace(b"red", b"blue")
    rows = await world.database.fetch("SELECT version FROM labels WHERE name = 'upserted'")
    assert [row["version"] for row in rows] == [2]  # to replace what was there is an edit of it


@pytest.mark.parametrize("name", ["outside_inside", "forgets_audit", "undeclared_event", "writing_procedure"])
async def test_what_an_operation_must_not_do_fails_it(world: World, ops: dict[str, Any], name: str) -> None:
    before = await world.snapshot()
    assert (await refused(ops[name](at(world.owner, world), {"name": name}, SHAPE))).code is Code.INTERNAL
    assert await world.snapshot() == before


async def test_no_scope_is_left_on_a_connection(world: World, ops: dict[str, Any]) -> None:
    """Whoever calls without a credential sees no tenant row, whatever the connection was used for before."""
    await world.add(Label(workspace_id=world.workspace.id, name="seen by members", color="c"))
    for _ in range(12):
        await ops["late"](at(world.owner, world), {"name": f"n{_}"}, SHAPE)
        assert (await ops["anonymous"](Caller.nobody(), {})).body == b'{"token":"0"}'


async def test_a_service_writes_in_one_workspace_and_is_audited(world: World, ops: dict[str, Any]) -> None:
    answer = await ops["make"](Caller.service("runtime", world.workspace.id), {"name": "by the runtime"}, SHAPE)
    assert answer.version == 1
    assert (await world.audit())[-1]["user_id"] is None
    assert (
        await refused(ops["make"](Caller.service("runtime", "cnosuchworkspace00000000"), {"name": "x"}, SHAPE))
    ).code is Code.NOT_FOUND
