"""Pages of the journal that end where they took long enough, and those that go on."""

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION
from tests.oversight.journal.test_search import LINES, PLAIN
from tests.world import world_on

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_page_that_took_long_enough_ends_and_another_goes_on(database: Any, tmp_path: Path) -> None:
    """On both surfaces: fewer rows than were asked for, and a cursor. A stream looks to the end."""
    superuser = await asyncpg.connect(database.server.dsn("postgres", database.name))
    for name, value in (("walked", "100"), ("patience", "0")):
        await superuser.execute(
            f"ALTER ROLE {APPLICATION} IN DATABASE {database.name} SET crewship.journal_{name} = '{value}'"
        )
    await superuser.close()
    async with world_on(database, tmp_path) as world:
        await world.database.execute(LINES, world.workspace.id, "hurried0")
        sought = PLAIN.format("AND words @@ 'quick <-> brown'::tsquery")
        expected = await world.database.fetch(sought, world.workspace.id)
        assert len(expected) == 29
        found, pages = list[str](), 0
        cursor = ""
        while pages == 0 or cursor:
            asked = {"q": "quick brown", "limit": "10", "cursor": cursor, "workspace_id": world.workspace.id}
            page = (await world.client(world.owner).get("/api/v1/journal", params=asked)).json()
            assert page["count"] == len(page["entries"]) <= 10
            found += [entry["id"] for entry in page["entries"]]
            cursor, pages = page["next_cursor"], pages + 1
        assert found == [row["id"] for row in expected]
        assert pages > 3

        found, pages, place = [], 0, {"endCursor": None, "hasNextPage": True}
        while place["hasNextPage"]:
            answer = await world.graphql(world.owner, CONNECTION, {"after": place["endCursor"]})
            shown, place = answer["data"]["journal"], answer["data"]["journal"]["pageInfo"]
            assert [edge["node"]["id"] for edge in shown["edges"]] == [node["id"] for node in shown["nodes"]]
            found += [node["id"] for node in shown["nodes"]]
            pages += 1
        assert found == [row["id"] for row in expected]
        assert pages > 3

        listed = await world.graphql(world.owner, LISTED)
        assert all(node["id"] for node in listed["data"]["journal"]["nodes"])
        followed = {"q": "quick brown", "to_the_end": True}  # as a stream asks
        seed = "SELECT id, kind FROM journal_page($1, $2::jsonb, NULL, NULL, 50)"
        lines = await world.database.fetch(seed, world.workspace.id, followed)
        assert [row["id"] for row in lines if row["kind"]] == [row["id"] for row in expected]
        assert all(row["kind"] for row in lines)


CONNECTION = """query($ws: ID!, $after: String) {
    journal(workspaceId: $ws, q: "quick brown", first: 10, after: $after) {
        nodes { id } edges { node { id } } pageInfo { hasNextPage endCursor }
    }
}"""
LISTED = """query($ws: ID!) { journal(workspaceId: $ws, q: "quick brown", first: 10) { nodes { id } } }"""
