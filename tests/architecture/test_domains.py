"""Facts of a domain are declared in the domain, and nowhere else."""

import sys

import pytest

from resolvers.domains import PLACES, load
from resolvers.kernel.declarations.operation import OPERATIONS, Auth, Operation
from resolvers.kernel.ground.scopes import SCOPES, Domain, domain_of, needed
from tests.every import for_every

load()
OF_MODULES = {place: sys.modules[f"resolvers.{place}"] for place in PLACES.values()}


@for_every(PLACES.items(), ids=lambda pair: pair[0])
def test_a_domain_says_its_name(pair: tuple[str, str]) -> None:
    name, place = pair
    assert vars(OF_MODULES[place])["DOMAIN"].name == name


@for_every(OPERATIONS.values(), ids=lambda op: op.name)
def test_an_operation_belongs_to_a_domain_and_needs_a_scope_that_there_is(op: Operation[object]) -> None:
    if not op.module.startswith("resolvers."):
        pytest.skip("a test declares it")
    assert domain_of(op.module) is not None
    assert op.auth is Auth.INTERNAL or op.needs is None or op.needs <= SCOPES.keys()


def test_scopes_come_from_the_domain_and_the_kind() -> None:
    own, borrowed, closed = Domain("issues"), Domain("saved_views", scopes="issues"), Domain("auth", scopes=None)
    assert own.needs("query") == borrowed.needs("query") == {"issues:read"}
    assert own.needs("procedure") == {"issues:read"}
    assert own.needs("command") == borrowed.needs("command") == {"issues:write"}
    assert closed.needs("query") is closed.needs("command") is None
    assert needed("workspace", "command") == {"workspace:admin"}
    assert needed(("crews:write", "agents:write"), "query") == {"crews:write", "agents:write"}
    assert needed((), "command") == frozenset()
    assert not any(name.startswith(("saved_views:", "auth:")) for name in SCOPES)


def test_a_module_outside_any_domain_has_none() -> None:
    assert domain_of("resolvers.kernel.reader") is None
    assert domain_of("nowhere.at.all") is None
