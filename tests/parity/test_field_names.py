"""REST names faulty fields as its body does, GraphQL as its input does."""

import copy
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLScalarType,
    get_named_type,
    is_list_type,
    is_non_null_type,
    parse,
)

from resolvers.errors import Code, Refusal
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground.inputs import validate
from schema.bridge.arguments import Variables
from schema.bridge.field_names import in_graph, placed, unique_keys
from tests.every import each_of
from tests.generation.registry import SCHEMA, graphql_fields, operations
from tests.world import World

pytestmark = pytest.mark.anyio
SHOWN = [op for op in operations() if op.called and op.input.model_fields]
MUTATIONS = [op for op in SHOWN if graphql_fields()[op.name][0][0] == "mutation"]


def face(op: Operation[Any]) -> dict[str, Any]:
    """The names of an operation's input in the graph, and their types."""
    kind, _, definition = graphql_fields()[op.name][0]
    if kind == "mutation":
        input: Any = get_named_type(definition.args["input"].type)
        return {name: field.type for name, field in input.fields.items()}
    return {name: argument.type for name, argument in definition.args.items()}


def leads(types: dict[str, Any], path: str) -> bool:
    """True if the path leads through fields of the input; what is in JSON has its own names."""
    name, _, rest = path.partition(".")
    found = get_named_type(types.get(name.partition("[")[0]))
    if found is None or not rest:
        return found is not None
    if isinstance(found, GraphQLInputObjectType):
        return leads({n: field.type for n, field in found.fields.items()}, rest)
    return found.name == "JSON"


@each_of("op", SHOWN)
def test_faults_of_an_input_have_the_names_of_the_graph(op: Operation[Any]) -> None:
    """Sends values that few fields accept; a surface may refuse what the other one accepts."""
    told = set[str]()
    values: tuple[Any, ...] = ({"a": 1}, ["\0"], "\0", -(2**40), [{}], [[]])
    for value in values:
        for name in op.input.model_fields:
            raw = {name: value}
            refusal = refused(op, raw)
            if refusal is None:
                continue
            before = copy.deepcopy((refusal.fields, refusal.detail))
            shown = in_graph(refusal, op.input, op.subject)
            assert (refusal.fields, refusal.detail) == before  # REST shows it, too
            assert len(shown.fields) == len(refusal.fields)
            for path in shown.fields:
                assert path == "input" or leads(face(op), path), f"{path}: {refusal.fields}"
            assert shown.detail == refusal.detail
            told |= shown.fields.keys()
    assert all("_" not in path.partition(".")[0] for path in told), told


def refused(op: Operation[Any], raw: dict[str, Any]) -> Refusal | None:
    try:
        validate(op.input, raw)
    except Refusal as refusal:
        return refusal
    return None


def read(op: Operation[Any], value: Any) -> Any:
    """What reading the variable of a mutation's input gives: values, or errors."""
    _, name, definition = graphql_fields()[op.name][0]
    document = parse(f"mutation($given: {definition.args['input'].type}) {{ {name}(input: $given) {{ __typename }} }}")
    return Variables(SCHEMA, document.definitions[0]).read({"given": value})  # type: ignore[arg-type]


def wrong(type_: Any) -> Any:
    """A value that the type refuses; None if it takes all."""
    inner = get_named_type(type_)
    if isinstance(inner, GraphQLEnumType):
        return "no such value"
    if isinstance(inner, GraphQLInputObjectType):
        return "text"
    return None if isinstance(inner, GraphQLScalarType) and inner.name == "JSON" else {"a": 1}


@each_of("op", MUTATIONS)
def test_what_the_type_of_a_variable_refuses_is_told_by_field(op: Operation[Any]) -> None:
    fields = face(op)
    required = {name for name, type_ in fields.items() if is_non_null_type(type_)}
    for name, type_ in fields.items():
        value = wrong(type_)
        if value is None:
            continue
        errors = read(op, {name: value})
        assert isinstance(errors, list), name
        extensions = errors[0].extensions
        named = {path.partition(".")[0].partition("[")[0] for path in extensions["fields"]}
        assert named == required | {name}
        inner = get_named_type(type_)
        if isinstance(inner, GraphQLEnumType):
            assert list(inner.values) in extensions["allowed"].values()
    if required:
        assert read(op, {})[0].extensions["fields"] == dict.fromkeys(required, "is required")
        nulls = read(op, dict.fromkeys(required))[0].extensions["fields"]
        assert nulls == dict.fromkeys(required, "is required")


def test_paths_lead_through_lists_and_objects() -> None:
    op = next(op for op in MUTATIONS if op.name == "agents.create")
    assert placed(op.input, "crew_id") == ("crewId", None)
    assert placed(op.input, "agent_role")[1] == ["AGENT", "LEAD"]
    assert placed(op.input, "no_such.thing_here") == ("no_such.thing_here", None)
    nested = [
        (op, name, type_)
        for op in MUTATIONS
        for name, type_ in face(op).items()
        if isinstance(get_named_type(type_), GraphQLInputObjectType)
    ]
    assert nested
    for op, name, type_ in nested:
        inner: Any = get_named_type(type_)
        listed = is_list_type(type_.of_type if is_non_null_type(type_) else type_)
        value: Any = {"nonsense": 1}
        errors = read(op, {name: [value] if listed else value})
        told = errors[0].extensions["fields"]
        path = f"{name}[0]" if listed else name
        assert told[f"{path}.nonsense"] == "is not a field of this input"
        for field, given in inner.fields.items():
            if is_non_null_type(given.type):
                assert told[f"{path}.{field}"] == "is required"


def test_few_fields_are_told_of_many() -> None:
    op = next(op for op in MUTATIONS if op.name == "labels.create")
    errors = read(op, {f"x{n}": 1 for n in range(500)} | {"a" * 5000: 1})
    assert len(errors[0].extensions["fields"]) == 20
    assert all(len(path) < 100 for error in errors for path in (error.extensions or {}).get("fields", ()))


def test_a_text_is_renamed_only_where_it_names_a_field() -> None:
    op = next(op for op in MUTATIONS if op.name == "agents.create")
    told = in_graph(Refusal(Code.BAD_REQUEST, "", fields={"crew_id": "needs crew_id, no_such"}), op.input)
    assert told.fields == {"crewId": "needs crewId, no_such"}


def test_a_text_without_fields_is_about_those_it_names() -> None:
    op = next(op for op in MUTATIONS if op.name == "runners.register")
    text = "Set either crew_id or agent_id, not in_use_by"
    told = in_graph(Refusal(Code.BAD_REQUEST, text), op.input)
    expected = "Set either crewId or agentId, not in_use_by"
    assert (told.detail, told.fields) == (text, {"crewId": expected, "agentId": expected})
    plain = in_graph(Refusal(Code.BAD_REQUEST, "Set either a crew or an agent"), op.input)
    assert plain.fields == {}


TAKEN = [
    ("createLabel", {"name": "Twice", "color": "#fff"}, ["name"]),
    ("createCrew", {"name": "Twice", "slug": "twice"}, ["slug"]),
    ("createAgent", {"name": "Twice", "slug": "twice-agent"}, ["slug"]),
    ("createProject", {"name": "Twice"}, ["name"]),
    ("createWorkspace", {"name": "Twice", "slug": "twice"}, ["slug"]),
    ("createFeatureFlag", {"key": "twice", "description": "Twice"}, ["key"]),
    ("createInvitation", {"email": "twice@example.com"}, ["email"]),
    ("createMissionTemplate", {"name": "Twice", "templateJson": {"tasks": []}}, ["name"]),
    ("createIntegration", {"name": "twice", "displayName": "Twice", "transport": "stdio", "command": "x"}, ["name"]),
]


@each_of(("field", "values", "names"), TAKEN)
async def test_a_conflict_names_what_is_taken(
    world: World, field: str, values: dict[str, Any], names: list[str]
) -> None:
    definition = SCHEMA.mutation_type.fields[field]  # type: ignore[union-attr]
    place = "workspaceId: $ws, " if "workspaceId" in definition.args else ""
    variable = "$ws: ID!, " if place else ""
    document = (
        f"mutation({variable}$i: {definition.args['input'].type}) {{ {field}({place}input: $i) {{ __typename }} }}"
    )
    first = await world.graphql(world.owner, document, {"i": values})
    assert "errors" not in first, first
    refused = (await world.graphql(world.owner, document, {"i": values}))["errors"][0]
    assert refused["extensions"]["code"] == "CONFLICT"
    assert refused["extensions"]["fields"] == dict.fromkeys(names, refused["message"])


async def test_rest_keeps_its_names(world: World) -> None:
    bad = {"title": 5, "cron_expression": 5}
    answer = await world.rest(world.owner, "POST", "/api/v1/recurring-issues", bad)
    assert answer.json()["fields"].keys() == {"crew_id", "title", "cron_expression"}
    create = "createRecurringIssue(workspaceId: $ws, input: $i) { id }"
    document = f"mutation($ws: ID!, $i: CreateRecurringIssueInput!) {{ {create} }}"
    given = {"crewId": "x" * 5000, "title": "x" * 5000, "cronExpression": "x" * 5000}
    refused = (await world.graphql(world.owner, document, {"i": given}))["errors"][0]
    assert refused["extensions"]["fields"].keys() == {"crewId", "title", "cronExpression"}
    label = {"name": "Storm", "color": "#fff"}
    for expected in (201, 409):
        answer = await world.rest(world.owner, "POST", "/api/v1/labels", label)
        assert (answer.status_code, "fields" in answer.json()) == (expected, False)


def test_unique_keys_are_known_by_their_names() -> None:
    assert unique_keys()["labels_workspace_id_name_key"] == ("labels", ("workspace_id", "name"))
    assert all(len(name) <= 63 for name in unique_keys())


async def test_a_missing_row_names_the_field_that_names_it(world: World) -> None:
    document = "mutation($ws: ID!, $i: CreateIssueInput!) { createIssue(workspaceId: $ws, input: $i) { id } }"
    refused = (await world.graphql(world.owner, document, {"i": {"crewId": "none", "title": "Leak"}}))["errors"][0]
    assert refused["extensions"] == {"code": "NOT_FOUND", "fields": {"crewId": "Crew not found"}}
    answer = await world.rest(world.owner, "POST", "/api/v1/crews/none/issues", {"title": "Leak"})
    assert (answer.status_code, "fields" in answer.json()) == (404, False)
