"""Nodes of the graph: types whose edges find their target's type when all domains are loaded."""

from collections.abc import Callable
from typing import Any

import pytest
import strawberry
from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.labels import Label
from resolvers.kernel.ground.inputs import Input, Name, Paging
from resolvers.kernel.reader import GRAPHS, count, either, many, one
from schema.bridge import fields as bridge
from schema.bridge.fields import Edge, Edges, bind_nodes, node, union

Declare = Callable[..., None]


class Window(Paging):
    pass


class Choice(Input):
    name: Name = ""


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Declares edges of crews, as the last domain to be loaded; there are no nodes but those of the test."""
    monkeypatch.setattr(bridge, "_UNBOUND", [])
    monkeypatch.setattr(bridge, "NODES", {})
    monkeypatch.setattr(bridge, "UNIONS", {})
    return lambda **edges: monkeypatch.setitem(GRAPHS, Crew, edges)


def printed(kind: Any) -> str:
    @strawberry.type
    class Query:
        @strawberry.field
        def root(self) -> kind:
            raise NotImplementedError

    return strawberry.Schema(Query).as_str()


def test_an_edge_shows_the_node_it_leads_to(declare: Declare) -> None:
    @node(Crew, name="Team")
    class TeamType:
        """A crew."""

        id: strawberry.ID
        first: Edge
        lead: Edge | None = strawberry.field(description="Who leads it.")
        labels: Edges
        chosen: Edges
        agents: Edges
        size: int

    # What comes later in a process than the node: the edges, and what they lead to.
    declare(
        first=one(Agent, "created_by"),
        lead=one(Agent, "created_by"),
        labels=many(Label, "id"),
        chosen=many(Label, "id", input=Choice),
        agents=many(Agent, "crew_id", order_by=col(Agent.id), input=Window),
        size=count(Agent, "crew_id"),
    )

    @node(Agent)
    class AgentType:
        name: str

    @node(Label)
    class LabelType:
        name: str

    bind_nodes()
    text = printed(TeamType)
    assert '"""A crew."""\ntype Team {' in text
    for field in ("first: Agent!", "lead: Agent", "labels: [Label!]!", "chosen(name: String): [Label!]!", "size: Int!"):
        assert f"\n  {field}\n" in text
    assert "): AgentConnection!\n" in text
    assert "type AgentConnection {" in text
    assert '"""Who leads it."""\n  lead' in text


@pytest.mark.parametrize(
    ("field", "annotation", "fault"),
    [
        ("nowhere", Edge, "no column and no edge of this name"),
        ("name", Edge, "no edge of this name that leads to one"),
        ("agents", Edge, "no edge of this name that leads to one"),
        ("agents", Edge | None, "no edge of this name that leads to one"),
        ("lead", Edges, "no edge of this name that leads to many"),
        ("size", Edges, "no edge of this name that leads to many"),
        ("labels", Edges, "Label has 0 types in the schema"),
        ("lead", Edge, "Agent has 2 types in the schema"),
    ],
)
def test_a_field_that_no_edge_fits_ends_the_start(declare: Declare, field: str, annotation: Any, fault: str) -> None:
    declare(
        lead=one(Agent, "created_by"),
        labels=many(Label, "id"),
        agents=many(Agent, "crew_id"),
        size=count(Agent, "crew_id"),
    )
    for name in ("Agent", "Worker"):
        node(Agent, name=name)(type(name, (), {"__annotations__": {"name": str}}))
    node(Crew)(type("CrewType", (), {"__annotations__": {field: annotation}}))
    with pytest.raises(TypeError, match=f"CrewType.{field}: .*{fault}"):
        bind_nodes()


def test_a_field_shows_the_union_of_what_it_leads_to(declare: Declare) -> None:
    members = {"agent": one(Agent, "created_by"), "label": one(Label, "created_by"), "again": one(Agent, "slug")}
    declare(maker=either("name", members), owner=either("name", members))
    union("Maker", Label, Agent, description="Who made it.")
    crew = node(Crew)(type("CrewType", (), {"__annotations__": {"maker": Edge | None, "owner": Edge | None}}))
    node(Agent)(type("AgentType", (), {"__annotations__": {"name": str}}))
    node(Label)(type("LabelType", (), {"__annotations__": {"color": str}}))
    bind_nodes()
    text = printed(crew)
    assert '"""Who made it."""\nunion Maker = Agent | Label\n' in text
    assert "\n  maker: Maker\n  owner: Maker\n" in text


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [
        (Edge, "there may be no row of any of the kinds, so it is `Edge | None`"),
        (Edges, "there may be no row of any of the kinds, so it is `Edge | None`"),
        (Edge | None, "the schema has no union of Agent and Label"),
    ],
)
def test_a_union_that_no_field_fits_ends_the_start(declare: Declare, annotation: Any, fault: str) -> None:
    declare(maker=either("name", {"agent": one(Agent, "created_by"), "label": one(Label, "created_by")}))
    union("Worker", Agent, Crew, description="Who works on it.")
    node(Crew)(type("CrewType", (), {"__annotations__": {"maker": annotation}}))
    with pytest.raises(TypeError, match=f"CrewType.maker: {fault}"):
        bind_nodes()


def test_a_field_may_name_its_type_where_a_model_has_two(declare: Declare) -> None:
    declare(lead=one(Agent, "created_by"))
    agent, worker = (
        node(Agent, name=name)(type(name, (), {"__annotations__": {"name": str}})) for name in ("Agent", "Worker")
    )
    crew = node(Crew)(type("CrewType", (), {"__annotations__": {"lead": worker}}))
    bind_nodes()
    assert "lead: Worker!" in printed(crew)
    assert "type Agent" in printed(agent)
