"""What a surface does not say of a type: that of the row or the Output."""

from datetime import datetime
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import strawberry
from pydantic import Field

from models.staff.crews import Crew
from models.work.labels import Label
from resolvers.kernel.declarations.outputs import Absent, Output
from resolvers.kernel.reader import GRAPHS, count, derived, many, one
from rest_compat.http.table import From, Wire
from schema.bridge import fields as bridge
from schema.bridge.fields import Edge, bind_nodes, bind_outputs, node, output, output_type, query


class Part(Output):
    part_id: str
    made: datetime


class Whole(Output):
    """A thing. `first_part` comes before `other_part`."""

    id: str
    first_part: Part | None
    parts: list[Part]
    sizes: list[int]
    bytes: int
    note: str = Field(description="What was said.")


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no types but those of the test."""
    for name in ("_UNBOUND", "_UNBOUND_OUTPUTS"):
        monkeypatch.setattr(bridge, name, [])
    for name in ("_OUTPUTS", "_DIFFERENCES", "NODES"):
        monkeypatch.setattr(bridge, name, {})


def printed(kind: Any) -> str:
    @strawberry.type
    class Query:
        @strawberry.field
        def root(self) -> kind:
            raise NotImplementedError

    return strawberry.Schema(Query).as_str()


def test_an_output_is_shown_as_it_is_declared() -> None:
    whole = output_type(Whole)
    bind_outputs()
    text = printed(whole)
    assert '"""A thing. `firstPart` comes before `other_part`."""\ntype Whole {\n  id: ID!\n  firstPart: Part\n' in text
    assert '  parts: [Part!]!\n  sizes: [Int!]!\n  bytes: Int!\n\n  """What was said."""\n  note: String!\n}' in text
    assert "type Part {\n  partId: ID!\n  made: DateTime!\n}" in text


def test_a_schema_says_what_differs() -> None:
    output(
        Whole,
        name="Thing",
        fields={
            "id": str,
            "bytes": Annotated[float, "How large it is."],
            "sizes": "Of its parts.",
            "note": strawberry.field(name="said"),
        },
    )
    output(Part, name="ThingPart")
    whole = output_type(Whole)
    bind_outputs()
    text = printed(whole)
    assert (
        'before `other_part`."""\ntype Thing {\n  id: String!\n  firstPart: ThingPart\n  parts: [ThingPart!]!\n' in text
    )
    assert (
        '\n  """Of its parts."""\n  sizes: [Int!]!\n\n  """How large it is."""\n  bytes: Float!\n  said: String!\n'
        in text
    )


def test_what_differs_is_of_a_field_and_said_once() -> None:
    with pytest.raises(TypeError, match="Whole has no field size"):
        output(Whole, fields={"size": float})
    output(Whole, name="Thing")
    with pytest.raises(TypeError, match="Whole is described twice"):
        output(Whole, fields={"note": "What was said last."})


def test_what_differs_is_of_an_output_that_a_field_shows() -> None:
    output(Part, name="ThingPart")
    with pytest.raises(TypeError, match="No field shows Part"):
        bind_outputs()


def test_a_field_of_rows_names_their_type() -> None:
    operation: Any = SimpleNamespace(name="labels.get", returns=Label)
    with pytest.raises(TypeError, match=r"labels\.get: a field names the type"):
        query(operation)


def test_a_node_has_the_types_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: dict[str, Any] = {
        "crew": one(Crew, "crew_id"),
        "owner": one(Crew, "crew_id"),
        "crews": many(Crew, "id"),
        "size": count(Crew, "id"),
        "price": derived(float | None, lambda row, scope: None),
    }
    graphs: dict[Any, Any] = GRAPHS
    monkeypatch.setitem(graphs, Label, declared)

    @node(Crew)
    class CrewType:
        fields = "id"

    @node(Label)
    class LabelType:
        fields = "id workspace_id name label_group created_at crew owner crews size price"
        name = strawberry.field(description="What it is called.")
        owner: Edge
        size: float

    bind_nodes()
    text = printed(LabelType)
    assert 'type Label {\n  id: ID!\n  workspaceId: ID!\n\n  """What it is called."""\n  name: String!\n' in text
    assert "  labelGroup: String\n  createdAt: DateTime!\n  crew: Crew\n  owner: Crew!\n  crews: [Crew!]!\n" in text
    assert "  size: Float!\n  price: Float\n}" in text


def test_the_list_of_a_node_is_complete() -> None:
    with pytest.raises(TypeError, match="LabelType: `fields` does not list color"):

        @node(Label)
        class LabelType:
            fields = "id name"
            color: str


def test_a_node_lists_what_its_model_has() -> None:
    node(Label)(type("LabelType", (), {"fields": "id weight"}))
    with pytest.raises(TypeError, match=r"LabelType\.weight: Label has no column and no edge of this name"):
        bind_nodes()


def test_a_wire_model_has_the_types_of_its_model() -> None:
    class LabelJSON(Wire, of=Label):
        fields = "id name label_group hue created_at"
        absent = "label_group"
        hue: Annotated[str, From("color")]
        created_at: str

    class LargeLabelJSON(LabelJSON, of=Label):
        color: str

    fields = LabelJSON.model_fields
    kinds = {name: info.annotation for name, info in fields.items()}
    assert list(kinds.items()) == [
        ("id", str), ("name", str), ("label_group", str | None), ("hue", str), ("created_at", str),
    ]  # fmt: skip
    assert fields["label_group"].metadata == [Absent()]
    assert [item.key for item in LabelJSON.shaped().fields] == list(kinds)
    assert list(LargeLabelJSON.model_fields) == [*kinds, "color"]


@pytest.mark.parametrize(
    ("listed", "absent", "annotated", "fault"),
    [
        ("id", "", {"name": str}, "LabelJSON needs of=, and `fields` lists all of its keys: name"),
        ("id", "label_group", {}, "LabelJSON needs of=, and `fields` lists all of its keys: label_group"),
        ("id weight", "", {}, "Label has no value weight"),
    ],
)
def test_the_list_of_a_wire_model_is_complete(listed: str, absent: str, annotated: dict[str, Any], fault: str) -> None:
    said = {"fields": listed, "absent": absent, "__annotations__": annotated, "__module__": __name__}
    with pytest.raises(TypeError, match=fault):
        type("LabelJSON", (Wire,), said, of=Label)


def test_a_wire_model_without_a_model_cannot_list_its_keys() -> None:
    with pytest.raises(TypeError, match="TimesJSON needs of="):
        type("TimesJSON", (Wire,), {"fields": "created_at", "__module__": __name__})
