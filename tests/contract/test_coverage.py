"""The registry and the contract name the same routes, with the same auth, role, status, events and audit action."""

from typing import Any

import pytest

from resolvers.kernel.declarations.operation import OPERATIONS
from rest_compat.http.routes import operations as registry
from tests.contract.coverage import BY_ANOTHER, differences, served
from tests.contract.deviations import ADDED_ROUTES, DECLARED
from tests.contract.notation import routes
from tests.every import for_every
from tests.generation.registry import graphql_fields


def _registry() -> list[dict[str, Any]]:
    shown = {op: [f"{kind.title()}.{name}" for kind, name, _ in fields] for op, fields in graphql_fields().items()}
    return registry(shown)


@for_every([pytest.param(*found, id=found[0]["id"]) for found in served(_registry())])
def test_a_route_is_as_the_contract_declares_it(
    route: dict[str, Any], op: dict[str, Any], rest: dict[str, Any]
) -> None:
    faults = differences(route, op, rest)
    if route["id"] in DECLARED:
        assert faults, f"{route['id']} agrees with the contract again: take it off DECLARED"
    else:
        assert faults == []


WITHOUT_PARENT = {"missions.find_one"}
"""Operations that find a row by its id alone, which the route names below a parent."""


def _found_by(operation: Any) -> dict[str, Any] | None:
    """The row that it names; the case of the name does not matter."""
    return operation.subject and vars(operation.subject) | {"any_case": False}


@for_every([pytest.param(*pair, id=pair[0]) for pair in sorted(BY_ANOTHER.items())])
def test_an_operation_in_place_of_another_is_guarded_and_recorded_like_it(of_rest: str, of_graphql: str) -> None:
    one, other = OPERATIONS[of_rest], OPERATIONS[of_graphql]
    assert not graphql_fields().get(of_rest)
    assert graphql_fields()[of_graphql]
    facts = ["action", "auth", "tenancy", "audit", "emits", "allow", "or_capability", "versioned"]
    if of_graphql not in WITHOUT_PARENT:
        assert _found_by(one) == _found_by(other)
    for fact in facts:
        assert getattr(one, fact) == getattr(other, fact), fact
    assert one.model is other.model
    assert {*one.input.model_fields} <= {*other.input.model_fields}


def test_an_operation_of_the_contract_is_reached_by_its_route() -> None:
    """An operation that has a contract id is served at that id's method and path."""
    reached = {route["id"] for route, op, _ in served(_registry()) if op["operation"] == route["id"]}
    expected = {
        route["id"]
        for _, route in routes()
        if route["id"] in OPERATIONS and str(route.get("op", "")).split(" /")[0].isupper()
    }
    assert expected - reached == set()


def test_a_route_of_the_service_is_one_of_the_contract_or_on_a_list() -> None:
    known = {route["id"] for _, route in routes()}
    beyond = {op["operation"] for op in _registry() if op["rest"]} - known
    assert {name for name in beyond if ADDED_ROUTES.keys().isdisjoint((name, name.partition(".")[0]))} == set()
