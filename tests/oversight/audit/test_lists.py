"""What is found in the audit log, in which order, and what bad filters find."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.kernel import AuditLog
from tests.world import World

pytestmark = pytest.mark.anyio
AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
PATH = "/api/v1/audit"


@pytest.fixture(autouse=True)
async def nothing_before(world: World) -> None:
    await world.database.execute("DELETE FROM audit_logs")


async def write(world: World, number: int, **changes: Any) -> None:
    """Entries, one a second, the first at AT."""
    given = {"action": "create", "entity_type": "AGENT", "entity_id": "a1", "user_id": world.owner.user_id}
    for n in range(number):
        at = AT + timedelta(seconds=n)
        await world.add(AuditLog(created_at=at, workspace_id=world.workspace.id, **(given | changes)))


async def ask(world: World, **query: Any) -> dict[str, Any]:
    client = world.client(world.owner)
    answer = await client.get(PATH, params={"workspace_id": world.workspace.id, **query})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def found(world: World, **query: Any) -> int:
    total: int = (await ask(world, **query))["pagination"]["total"]
    return total


async def test_an_entry_has_the_documented_keys(world: World) -> None:
    await write(
        world, 1, data={"slug": "ann", "cli_adapter": "CLAUDE_CODE", "name": 'A "B" ☃', "n": {"b": [1, 2], "a": None}}
    )
    await write(world, 1, user_id=None, entity_id=None)
    by_system, by_owner = sorted((await ask(world))["data"], key=lambda entry: "user_email" in entry)
    assert by_owner["metadata"] == (
        '{"cli_adapter":"CLAUDE_CODE","n":{"a":null,"b":[1,2]},"name":"A \\"B\\" ☃","slug":"ann"}'
    )
    assert by_owner["created_at"] == "2026-03-01T12:00:00Z"
    assert (by_owner["user_email"], by_owner["user_id"]) == (world.owner.email, world.owner.user_id)
    assert by_system["user_id"] is by_system["entity_id"] is None
    assert by_system["metadata"] == "{}"
    assert not by_system.keys() & {"user_email", "user_name"}


async def test_filters_are_exact_and_combined(world: World) -> None:
    await write(world, 3)
    await write(world, 2, action="update", entity_type="backup", entity_id="b1", user_id=world.admin.user_id)
    assert await found(world) == 5
    assert await found(world, action="update") == 2
    assert await found(world, action="UPDATE") == await found(world, action="updat") == 0
    assert await found(world, entity_type="Agent") == await found(world, entity_type="agent") == 3
    assert await found(world, entity_id="b1") == await found(world, user_id=world.admin.user_id) == 2
    assert await found(world, user_id=world.admin.user_id, action="create") == 0
    assert await found(world, user_id=world.owner.user_id, action="create", entity_type="aGeNt", entity_id="a1") == 3


@pytest.mark.parametrize("wildcard", ["cr%te", "c_eate", "%", "_", "create%", "\\", "'; --", ".*"])
async def test_wildcards_are_letters(world: World, wildcard: str) -> None:
    await write(world, 1)
    for name in ("search", "action", "entity_type", "entity_id", "user_id"):
        assert await found(world, **{name: wildcard}) == 0, name


async def test_a_search_looks_at_the_action_the_type_and_the_user(world: World) -> None:
    await write(world, 1, action="agent.hired", entity_type="AGENT")
    await write(world, 1, action="delete", entity_type="backup", user_id=None)
    assert await found(world, search="HIRE") == await found(world, search="gent") == 1
    assert await found(world, search="BACK") == 1
    assert await found(world, search=world.owner.email.upper()) == 1
    assert await found(world, search="e") == 2
    assert await found(world, search="nobody like that") == 0


async def test_dates_are_inclusive_to_the_second(world: World) -> None:
    await write(world, 3)
    await world.add(
        AuditLog(
            created_at=AT + timedelta(seconds=2, milliseconds=500),
            action="late",
            entity_type="AGENT",
            workspace_id=world.workspace.id,
        )
    )
    assert await found(world, date_from="2026-03-01T12:00:01Z") == 3
    assert await found(world, date_to="2026-03-01T12:00:01Z") == 2
    assert await found(world, date_from="2026-03-01T12:00:02Z", date_to="2026-03-01T12:00:02Z") == 2
    assert await found(world, date_to="2026-03-01T12:00:02.25Z") == 3
    assert await found(world, date_from="2026-03-01T14:00:01+02:00") == 3
    assert await found(world, date_from="2026-03-01") == 4
    assert await found(world, date_to="2026-03-01") == 0


NO_DATES = ["yesterday", "2026-13-01", "2026-03-01T25:00:00Z", "0", "☃", "x" * 300, "0001-01-01T00:00:00+14:00", "null"]


@pytest.mark.parametrize("date", NO_DATES)
async def test_what_is_no_date_is_no_error_and_matches_nothing(world: World, date: str) -> None:
    await write(world, 1)
    assert await found(world, date_to=date) == await found(world, date_from=date) == 0
    assert await found(world, date_from="", date_to="") == 1


async def test_pages_beyond_the_end_are_empty(world: World) -> None:
    await write(world, 5)
    assert [len((await ask(world, limit=2, page=page))["data"]) for page in (1, 2, 3, 4, 9)] == [2, 2, 1, 0, 0]
    far = await ask(world, limit=1, page=99999999)
    assert far == {"data": [], "pagination": {"page": 1_000_000, "limit": 1, "total": 5, "total_pages": 5}}
    for page, limit in (("two", "0"), ("-1", "101"), ("0", "many")):
        assert (await ask(world, page=page, limit=limit))["pagination"] == {
            "page": 1,
            "limit": 50,
            "total": 5,
            "total_pages": 1,
        }


async def test_the_log_is_read_in_both_directions(world: World) -> None:
    await write(world, 7)
    client = world.client(world.owner)

    async def walk(sort: str) -> list[str]:
        seen, after = list[str](), None
        while True:
            text = (
                "query($w: ID!, $a: String, $s: AuditSort) { auditLog(workspaceId: $w, first: 3, after: $a, sort: $s)"
                " { nodes { createdAt } pageInfo { hasNextPage endCursor } } }"
            )
            variables = {"w": world.workspace.id, "a": after, "s": sort}
            page = (await client.post("/graphql", json={"query": text, "variables": variables})).json()["data"]
            seen += [node["createdAt"] for node in page["auditLog"]["nodes"]]
            after = page["auditLog"]["pageInfo"]["endCursor"]
            if not page["auditLog"]["pageInfo"]["hasNextPage"]:
                return seen

    newest = await walk("newest_first")
    assert newest == sorted(newest, reverse=True)
    assert len(newest) == 7
    assert await walk("oldest_first") == newest[::-1]


async def test_whoever_does_not_manage_the_workspace_reads_nothing(world: World) -> None:
    await write(world, 1)
    for person, status in (
        (world.admin, 200),
        (world.manager, 403),
        (world.member, 403),
        (world.viewer, 403),
        (world.nobody, 403),
    ):
        answer = await world.client(person).get(PATH, params={"workspace_id": world.workspace.id})
        assert answer.status_code == status, person.name
