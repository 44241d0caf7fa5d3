"""The audit log as a file: all that match, whatever spreadsheets make of it, and only for those who may."""

import contextlib
import csv
import io
from typing import Any

import httpx2
import orjson
import pytest

from models.kernel import AuditLog
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/audit/export"


@pytest.fixture(autouse=True)
async def nothing_before(world: World) -> None:
    await world.database.execute("DELETE FROM audit_logs")


async def write(world: World, *actions: str, **changes: Any) -> None:
    for action in actions:
        await world.add(
            AuditLog(
                action=action,
                workspace_id=world.workspace.id,
                **({"entity_type": "AGENT", "user_id": world.owner.user_id} | changes),
            )
        )


async def export(world: World, **query: Any) -> Any:
    return await world.client(world.owner).get(PATH, params={"workspace_id": world.workspace.id, **query})


async def test_every_entry_is_a_line_in_the_shape_of_the_list(world: World) -> None:
    await world.database.execute(
        "INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, data)"
        " SELECT 'e' || n, $1, 'system', 'create', 'AGENT', '{\"n\": 1}' FROM generate_series(1, 2500) AS n",
        world.workspace.id,
    )
    answer = await export(world)
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert 'filename="audit.ndjson"' in answer.headers["content-disposition"]
    lines = [orjson.loads(line) for line in answer.content.splitlines()]
    assert len({line["id"] for line in lines}) == len(lines) == 2500
    listed = await world.client(world.owner).get("/api/v1/audit", params={"workspace_id": world.workspace.id})
    assert lines[:50] == listed.json()["data"]


async def test_filters_are_those_of_the_list(world: World) -> None:
    await write(world, "create", "update", "update")
    for query, number in (
        ({"action": "update"}, 2),
        ({"entity_type": "agent"}, 3),
        ({"search": "%"}, 0),
        ({"date_to": "2000-01-01"}, 0),
        ({"date_from": "nonsense"}, 0),
        ({"user_id": world.owner.user_id, "action": "create", "format": "whatever"}, 1),
    ):
        assert len((await export(world, **query)).content.splitlines()) == number, query


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")'])
async def test_no_cell_is_a_formula(world: World, text: str) -> None:
    await write(world, text, entity_type='with "quotes", commas', entity_id=text)
    answer = await export(world, format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    [row] = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert row["action"] == row["entity_id"] == "'" + text
    assert (row["entity_type"], row["metadata"], row["changes"]) == ('with "quotes", commas', "{}", "")
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


async def test_nobody_else_gets_a_line(world: World) -> None:
    await write(world, "create")
    for person in (world.manager, world.member, world.viewer, world.nobody):
        answer = await world.client(person).get(PATH, params={"workspace_id": world.workspace.id})
        assert answer.status_code == 403, person.name
    assert (await world.client().get(PATH, params={"workspace_id": world.workspace.id})).status_code == 401
    assert (await world.client(world.admin).get(PATH, params={"workspace_id": world.workspace.id})).status_code == 200


@pytest.mark.slow
async def test_a_right_that_ends_ends_the_export(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.database.execute(
        "INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, data)"
        " SELECT 'e' || n, $1, 'system', 'create', 'AGENT', $2 FROM generate_series(1, 20000) AS n",
        world.workspace.id,
        {"text": "x" * 1000},
    )
    client, seen = world.client(world.admin), 0
    async with client.stream("GET", PATH, params={"workspace_id": world.workspace.id}) as answer:
        pieces = answer.aiter_bytes()
        seen += (await anext(pieces)).count(b"\n")
        await world.database.execute("DELETE FROM memberships WHERE user_id = $1", world.admin.user_id)
        with contextlib.suppress(httpx2.RemoteProtocolError):
            async for piece in pieces:
                seen += piece.count(b"\n")
            pytest.fail("it looks whole")
    assert 0 < seen < 20000
