"""`viewerCan` beside the guards: what a row tells each member, and whether the gate and the guards let them."""

from typing import Any

import pytest
from sqlmodel import SQLModel

from models.attention.notification_channels import ChannelScope, ChannelType, NotificationChannel
from models.people.workspaces import Membership, Role
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew, CrewMember
from models.work.saved_views import SavedView
from resolvers.errors import Code, Refusal
from resolvers.kernel.admission.gate import Entity
from resolvers.kernel.admission.row_rules import Allowed
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.declarations.acts import ALSO, commands_on
from resolvers.kernel.declarations.operation import Operation
from tests.every import Faults, each_of
from tests.generation.entities import ENTITIES, Plot
from tests.world import Person, World

pytestmark = pytest.mark.anyio
MEMBERS = ("owner", "admin", "manager", "member", "viewer")
READS = {
    "Agent": "agents(workspaceId: $ws) { nodes { id viewerCan } }",
    "Approval": 'approvals(workspaceId: $ws, status: "all") { nodes { id viewerCan } }',
    "Chat": "chats(workspaceId: $ws) { nodes { id viewerCan } }",
    "Membership": "members(workspaceId: $ws) { id viewerCan }",
    "Mission": "issues(workspaceId: $ws) { nodes { id viewerCan } }",
    "NotificationChannel": "notificationChannels(workspaceId: $ws, scope: all) { id viewerCan }",
    "SavedRoutine": "routines(workspaceId: $ws) { nodes { id viewerCan } }",
    "SavedView": "savedViews(workspaceId: $ws) { id viewerCan }",
    "WorkflowTemplate": "missionTemplates(workspaceId: $ws) { id viewerCan }",
}


async def planted(world: World) -> dict[str, list[Any]]:
    """Rows of each kind that differ by what the rules ask: who made them, whose crew they are in, what they are."""
    plot, here = (
        Plot(world.workspace, world.owner, await world.person("extra", None)),
        {"workspace_id": world.workspace.id},
    )
    await world.add(*plot.all())
    led, other = [Crew(name=slug, slug=slug, **here) for slug in ("led-by-manager", "joined")]
    await world.add(led, other)
    for crew, role in ((led, Role.ADMIN), (other, Role.MANAGER)):
        for person in (world.manager, world.member):
            await world.add(CrewMember(crew_id=crew.id, user_id=person.user_id, role=role, **here))
    made_by = [(led, None), (other, None), (None, world.manager), (None, world.member), (None, None)]
    agents = [
        Agent(name=f"Agent {n}", slug=f"a-{n}", crew_id=crew and crew.id, created_by_user_id=by and by.user_id, **here)
        for n, (crew, by) in enumerate(made_by)
    ]
    await world.add(*agents)
    makers = [None, world.manager, world.member, world.viewer]
    chats = [
        Chat(agent_id=agent.id, created_by=maker and maker.user_id, **here) for agent in agents for maker in makers
    ]
    views = [
        SavedView(name=person.name, user_id=person.user_id, filters_json="{}", shared=True, **here)
        for person in (world.owner, world.manager, world.viewer)
    ]
    channels = [
        NotificationChannel(type=ChannelType.webhook, scope=ChannelScope.user, owner_user_id=person.user_id, **here)
        for person in (world.owner, world.manager, world.viewer)
    ]
    await world.add(*chats, *views, *channels)
    built_in = ENTITIES["template"](plot)
    built_in.is_builtin, built_in.name = True, "Built in"
    await world.add(built_in)
    people = [world.people[name] for name in MEMBERS]
    members = [Membership(id=p.membership_id or "", user_id=p.user_id, role=Role(p.name.upper())) for p in people]
    made = [
        *agents,
        *chats,
        *views,
        *channels,
        plot["notification_channel"],
        plot["approval"],
        plot["template"],
        built_in,
        *members,
    ]
    rows: dict[str, list[Any]] = {model: [] for model in READS}
    for row in made:
        rows[type(row).__name__].append(row)
    rows["Mission"] = [plot["issue"]]
    return rows


def names_of(subject: Subject, row: Any) -> dict[str, Any]:
    """The fields of an input that name the row, and its parents."""
    made = {subject.field: getattr(row, subject.by)} | {name: getattr(row, name) for name in subject.also}
    return made | ({} if subject.of is None else {subject.of.field: getattr(row, subject.parent_key)})


async def is_forbidden(op: Operation[Any], row: Any, person: Person, world: World) -> bool:
    """Calls the operation as far as its guards."""
    field = op.tenancy.field if isinstance(op.tenancy, Entity) else "id"
    named = {field: row.id} if op.subject is None else names_of(op.subject, row)
    try:
        await op(person.caller, named, place=world.workspace.id, fault=Refusal(Code.BAD_REQUEST, "stop here"))
    except Refusal as refusal:
        if refusal.code in (Code.FORBIDDEN, Code.BAD_REQUEST):
            return refusal.code is Code.FORBIDDEN
        raise
    raise AssertionError(op.name)


async def test_a_row_tells_what_its_guards_let_pass(world: World) -> None:
    rows, faults, both = await planted(world), Faults(), set[bool]()
    for who in MEMBERS:
        person = world.people[who]
        for model, field in READS.items():
            answer = await world.graphql(person, f"query($ws: ID!) {{ {field} }}")
            assert "errors" not in answer, answer
            listed = next(iter(answer["data"].values()))
            told = {n["id"]: n["viewerCan"] for n in (listed["nodes"] if isinstance(listed, dict) else listed)}
            for row in rows[model]:
                for op, _ in commands_on(type(row)):
                    if op.name == "members.remove":
                        continue
                    with faults.of(f"{who} {op.name} {getattr(row, 'name', row.id)}"):
                        may = op.called[0] in told.get(row.id, [])
                        assert may is not await is_forbidden(op, row, person, world)
                        both.add(may)
    faults.tell()
    assert both == {True, False}


async def test_the_last_word_on_a_member_is_the_same(world: World) -> None:
    answer = await world.graphql(world.admin, "query($ws: ID!) { members(workspaceId: $ws) { id role viewerCan } }")
    told = {member["role"]: member for member in answer["data"]["members"]}
    assert {role for role, member in told.items() if "removeMember" in member["viewerCan"]} == set(told) - {"OWNER"}
    document = "mutation($ws: ID!, $id: ID!) { removeMember(workspaceId: $ws, input: {id: $id}) { success } }"
    refused = await world.graphql(world.admin, document, {"id": told["OWNER"]["id"]})
    assert refused["errors"][0]["extensions"] == {
        "code": "FORBIDDEN",
        "requires": {"role": None, "capability": None, "scope": None},
    }


@each_of("model", sorted(ALSO, key=lambda model: model.__name__))
def test_rules_about_rows_are_declared_as_such(model: type[SQLModel]) -> None:
    """A guard in other words would refuse what `viewerCan` offers; those listed ask for the state of the row."""
    about_state = {"takes_tasks", "is_there", "link_is_there"}
    for op, _ in commands_on(model):
        if op.name not in ALSO[model]:
            for guard in op.guards:
                known = isinstance(guard.rule, Allowed) or getattr(guard.rule, "__name__", "") in about_state
                assert not guard.takes or known, op.name


def test_every_kind_of_row_is_read_here() -> None:
    assert {model.__name__ for model in ALSO} == set(READS)
