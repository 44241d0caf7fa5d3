"""Every table of a bundle of a workspace is in one of a crew, or says why it is not."""

from typing import Any

import pytest

from models.base import table_of
from resolvers.kernel.store import statements
from resolvers.oversight.backups.crews import NAMED, OF_THE_WORKSPACE, REFERRED, _required, of_crews, rows_of_crew
from resolvers.oversight.backups.tables import carried
from tests.generation.estate import Estate, estate  # noqa: F401

OPTIONAL = {"crews", *REFERRED, *NAMED}


def test_every_table_belongs_to_crews_or_says_why_not() -> None:
    names = {str(table_of(model).name) for model in carried()}
    assert names >= {*OF_THE_WORKSPACE, *OPTIONAL}
    assert not {*OF_THE_WORKSPACE} & OPTIONAL
    assert all(OF_THE_WORKSPACE.values())
    for name in sorted(names - OF_THE_WORKSPACE.keys() - OPTIONAL):
        assert _required(name), f"{name} belongs to no crew"


def test_what_a_table_requires_is_in_a_bundle_of_a_crew() -> None:
    there = {table_of(model).name for model in of_crews()} | {"workspaces", "users", "skills"}
    for model in of_crews():
        table = table_of(model)
        for key in table.foreign_key_constraints:
            if all(not column.nullable for column in key.columns):
                assert key.referred_table.name in there, (table.name, key.referred_table.name)


@pytest.mark.anyio
async def test_the_rows_of_a_crew_are_its_own(estate: Estate) -> None:  # noqa: F811
    world, crew = estate.world, estate.home["crew"]
    found = dict[str, list[Any]]()
    for model in of_crews():
        sql, values = statements.generic(rows_of_crew(model, world.workspace.id, crew.id))
        found[str(table_of(model).name)] = await world.database.fetch(sql, *values)
    assert [row["id"] for row in found["crews"]] == [crew.id]
    for name in ("agents", "chats", "messages", "missions", "runs", "issue_comments"):
        assert found[name], name
    agents = {row["id"] for row in found["agents"]}
    assert {row["agent_id"] for row in found["chats"]} <= agents
    assert {row["crew_id"] for row in found["missions"]} == {crew.id}
    of_other = rows_of_crew(of_crews()[0], world.other.id, crew.id)
    for model in of_crews():
        sql, values = statements.generic(rows_of_crew(model, world.other.id, crew.id))
        assert await world.database.fetch(sql, *values) == [], (table_of(model).name, of_other)
