"""An edge that asks for a higher role than its row is null for who lacks the role, and the row is there."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLNonNull, GraphQLObjectType, get_named_type, is_leaf_type

from models.people.workspaces import Role
from resolvers.kernel.admission.gate import Tenancy
from resolvers.kernel.declarations.operation import Auth, Operation
from resolvers.kernel.ground.policy import GATES, RANK
from resolvers.kernel.reader import GRAPHS, Subtype, edges_in
from resolvers.kernel.reader.graph import ACCESS
from schema.bridge.fields import NODES
from schema.bridge.selection import BACKREF
from tests.every import Faults, each_of
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.generation.registry import SCHEMA, graphql_fields, operations
from tests.generation.selection import arguments, document, is_list, required_arguments

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
SHOWN = graphql_fields()
READS = [op for op in operations() if op.auth is Auth.USER and SHOWN.get(op.name, [("",)])[0][0] == "query"]
MODELS = {
    cls: target.model if isinstance(target, Subtype) else target for target, classes in NODES.items() for cls in classes
}


def model_of(type_: Any) -> Any:
    """The model whose rows a type shows, if there is one."""
    origin = getattr(type_.extensions.get(BACKREF), "origin", None)
    return None if origin is None else MODELS.get(origin)


def needed(type_: Any, name: str) -> frozenset[Role]:
    """The roles that may follow the edge that a field shows."""
    model = model_of(type_)
    entry = None if model is None else GRAPHS.get(model, {}).get(type_.fields[name].extensions[BACKREF].python_name)
    roles = frozenset(Role)
    for edge in [] if getattr(entry, "guarded", False) else edges_in(entry):
        gates = [ACCESS[edge.target].gate, *([] if edge.requires is None else [edge.requires])]
        roles = roles.intersection(*[GATES[gate] for gate in gates])
    return roles


def selection(type_: Any, role: Role, depth: int = 1, asked: set[str] | None = None) -> str:
    """The edges that the role may not follow, of the rows of the answer and of rows that they lead to; "" if none.
    `asked` collects them.
    """
    named: Any = get_named_type(type_)
    if not isinstance(named, GraphQLObjectType):
        return ""
    if named.name.endswith("Connection"):
        inner = selection(named.fields["nodes"].type, role, depth, asked)
        return f"{{ nodes {inner} }}" if inner else ""
    parts = []
    for name, field in named.fields.items():
        if is_leaf_type(get_named_type(field.type)) or required_arguments(field):
            continue
        if role not in needed(named, name):
            if asked is not None:
                asked.add(f"{named.name}.{name}")
            parts.append(f"{name}{small(field)} {{ __typename }}")
        elif depth and (small(field) or not is_list(field.type)):
            inner = selection(field.type, role, depth - 1, asked)
            if not inner:
                continue
            parts.append(f"{name}{small(field)} {inner}")
    return f"{{ __typename {' '.join(parts)} }}" if parts else ""


def small(field: Any) -> str:
    return "(first: 2)" if "first" in field.args else ""


def weakest(op: Operation[Any]) -> Role:
    return min(GATES[op.action], key=RANK.__getitem__)


def strict() -> Iterator[tuple[Any, str]]:
    """The fields that some readers of a row may not follow."""
    for type_ in SCHEMA.type_map.values():
        model = model_of(type_)
        if isinstance(type_, GraphQLObjectType) and model in ACCESS:
            readers = GATES[ACCESS[model].gate]
            yield from ((type_, name) for name in type_.fields if not readers <= needed(type_, name))


def test_what_some_readers_of_a_row_may_not_follow_is_nullable() -> None:
    found = list(strict())
    assert {f"{type_.name}.{name}" for type_, name in found} >= {"Agent.costs", "Mission.budgets", "Run.modelCalls"}
    assert [
        f"{type_.name}.{name}" for type_, name in found if isinstance(type_.fields[name].type, GraphQLNonNull)
    ] == []


def test_each_of_them_is_asked_for() -> None:
    asked = set[str]()
    for op in READS:
        selection(SHOWN[op.name][0][2].type, weakest(op), asked=asked)
    assert {f"{type_.name}.{name}" for type_, name in strict()} - asked == set()


def nulls(value: Any, names: set[str]) -> Iterator[tuple[str | int, ...]]:
    """The paths of the nulls under these names."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in parts:
        if part is None and step in names:
            yield (step,)
        yield from ((step, *path) for path in nulls(part, names))


@each_of("op", [op for op in READS if selection(SHOWN[op.name][0][2].type, weakest(op))])
async def test_the_row_is_there_without_its_stricter_edges(op: Operation[Any], estate: Estate) -> None:
    faults, role = Faults(), weakest(op)
    person = estate.person(role.value.lower())
    _, name, field = SHOWN[op.name][0]
    place = None if op.tenancy is Tenancy.NONE else estate.home.workspace.id
    values = arguments(op, field, valid(op, estate), place) | ({"first": 2} if "first" in field.args else {})

    async def answered(asked: str) -> dict[str, Any]:
        body = {"query": document("query", name, field, values, asked), "variables": values}
        answer = await estate.client.post("/graphql", json=body, headers={"authorization": f"Bearer {person.token}"})
        made: dict[str, Any] = answer.json()
        return made

    plain = await answered("{ __typename }")
    if plain["data"][name] is None:
        pytest.skip("the row is another person's")
    with faults.of(name):
        asked = set[str]()
        answer = await answered(selection(field.type, role, asked=asked))
        assert "data" in answer, answer
        assert answer["data"][name] is not None, answer
        names = {edge.partition(".")[2] for edge in asked}
        assert sorted(map(str, (error["path"] for error in answer.get("errors", [])))) == sorted(
            str(list(path)) for path in nulls(answer["data"], names)
        ), answer
        for error in answer.get("errors", []):
            assert error["extensions"]["code"] == "FORBIDDEN", error
            assert error["extensions"]["requires"]["role"] in set(Role) - {role}, error
    faults.tell()
