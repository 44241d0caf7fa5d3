"""What a start may load and cost, as it is and with as many operations as the contract has.

The bars leave room for a slow machine and another Python: they are for the change that loads what nobody asked for, or
makes each operation dearer. `scripts/budget.py` measures more.
"""

from pathlib import Path

import pytest

from crewship.postgres import APPLICATION
from scripts.budget import ROOT, SERVER, WORKER, compose, grow
from tests.conftest import Database

SECONDS = 2.5  # of the processor
ROOM, WITH_GRAPHQL = 130.0, 157.5  # MB

MIGRATED = """
import asyncio
from models import migrations
asyncio.run(migrations.upgrade({owner!r}, application_role={role!r}))
"""
BOTH = f"{SERVER}; import schema.live, schema.root; from schema.endpoint import Endpoint; Endpoint(schema.root.schema)"
NEVER = {
    "rich",
    "pygments",
    "alembic",
    "mako",
    "sqlalchemy.ext.asyncio",
    "dbos",
    "openai",
    "anthropic",
    "webauthn",
    "mcp",
}
GRAPHQL = {"schema", "strawberry", "graphql"}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("grown")
    grow(tree)
    return tree


def test_a_server_with_nothing_to_migrate(database: Database) -> None:
    migrated = MIGRATED.format(owner=database.owner_url, role=APPLICATION)
    composed = compose(ROOT, f"{migrated}{SERVER}")
    assert not composed.modules & (NEVER | GRAPHQL)
    assert composed.rss < ROOM
    assert composed.seconds < SECONDS


def test_a_worker_has_no_surface() -> None:
    composed = compose(ROOT, WORKER)
    assert "resolvers.chats" in composed.modules
    assert not composed.modules & (NEVER | GRAPHQL | {"rest_compat"})
    assert composed.rss < ROOM


def test_a_server_of_the_whole_contract(grown: Path) -> None:
    composed = compose(grown)
    assert "resolvers.labels00" in composed.modules
    assert composed.rss < ROOM
    assert composed.seconds < SECONDS


def test_both_surfaces_of_the_whole_contract(grown: Path) -> None:
    assert compose(grown, BOTH).rss < WITH_GRAPHQL
