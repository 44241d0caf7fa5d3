"""Versions of memories and their configuration, as administrators see them."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from models.staff.memory import MemoryTier, MemoryVersion
from resolvers.kernel.declarations.operation import OPERATIONS
from tests.world import World, now

pytestmark = pytest.mark.anyio
MEMORY = "/api/v1/admin/memory"
CONFIG = f"{MEMORY}/config"


async def keep(world: World, path: str, content: str) -> str:
    import orjson

    raw = {"path": path, "content": content, "author": world.member.user_id}
    answer = await OPERATIONS["test.remember"](world.owner.caller, raw, place=world.workspace.id)
    found: str = orjson.loads(answer.body or b"")["id"]
    return found


@pytest.fixture(autouse=True)
async def empty(world: World) -> AsyncIterator[None]:
    yield
    for table in ("memory_versions", "memory_configs"):
        await world.database.execute(f"DELETE FROM {table}")


async def get(world: World, path: str, **query: Any) -> httpx2.Response:
    async with world.client(world.admin) as client:
        return await client.get(f"{MEMORY}{path}", params={"workspace_id": world.workspace.id} | query)


async def version(world: World, path: str, ago: int, **values: Any) -> MemoryVersion:
    """Of a text that was not stored."""
    tier = values.pop("tier", MemoryTier.agent)
    given = {"sha256": hashlib.sha256(path.encode()).hexdigest(), "bytes": 10, "workspace_id": world.workspace.id}
    made = MemoryVersion(path=path, tier=tier, written_at=now() - timedelta(minutes=ago), **(given | values))
    await world.add(made)
    return made


async def test_statistics_by_tier_and_agent(world: World) -> None:
    nothing = (await get(world, "/stats")).json()
    assert nothing == {
        "workspace_id": world.workspace.id, "by_tier": [], "by_agent": [],
        "totals": {"versions": 0, "bytes": 0, "blobs": 0, "oldest_at": "", "newest_at": ""},
    }  # fmt: skip
    for ago, path in enumerate(
        ("agent:ann/AGENT.md", "agent:ann/AGENT.md", "agent:bob/PERSONA.md", "crew:deck/CREW.md")
    ):
        await version(world, path, ago, tier=MemoryTier(path.partition(":")[0]))
    await version(world, "agent:far/AGENT.md", 1, workspace_id=world.other.id)
    shown = (await get(world, "/stats")).json()
    assert {name: shown["totals"][name] for name in ("versions", "bytes", "blobs")} == {
        "versions": 4, "bytes": 40, "blobs": 3,
    }  # fmt: skip
    assert shown["totals"]["oldest_at"] < shown["totals"]["newest_at"]
    assert shown["by_tier"] == [
        {"tier": "agent", "versions": 3, "bytes": 30},
        {"tier": "crew", "versions": 1, "bytes": 10},
    ]
    assert [(row["agent_slug"], row["versions"]) for row in shown["by_agent"]] == [("", 1), ("ann", 2), ("bob", 1)]


async def test_every_version_is_listed_once(world: World) -> None:
    made = [await version(world, f"agent:a{n % 3}/NOTE-{n}.md", 100 - n // 2) for n in range(11)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 4}
    for size in (4, 4, 3):
        page = (await get(world, "/versions", **query)).json()
        assert (len(page["rows"]), page["limit"], page["filters_applied"]) == (size, 4, {})
        seen += [row["id"] for row in page["rows"]]
        query["cursor"] = page["next_cursor"]
    assert page["next_cursor"] is None
    times = {row.id: row.written_at for row in made}
    assert seen == sorted(times, key=lambda id: (times[id], id), reverse=True)
    assert set(page["rows"][0]) == {"id", "path", "tier", "sha256", "bytes", "written_at", "written_by"}


async def test_filters_are_literal(world: World) -> None:
    for path in ("agent:a_b/N.md", "agent:axb/N.md", "agent:a%/N.md", "crew:a_b/N.md"):
        tier = MemoryTier(path.partition(":")[0])
        await version(world, path, 5, tier=tier)

    async def paths(**query: Any) -> list[str]:
        page = (await get(world, "/versions", **query)).json()
        assert page["filters_applied"] == {name: value.strip() for name, value in query.items()}
        return sorted(row["path"] for row in page["rows"])

    assert await paths(agent_slug="a_b") == ["agent:a_b/N.md"]
    assert await paths(path_prefix=" agent:a% ") == ["agent:a%/N.md"]
    assert await paths(tier="crew") == ["crew:a_b/N.md"]
    late = (now() + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await paths(since=late) == []
    assert len(await paths(until=late)) == 4


@pytest.mark.parametrize(
    "query",
    [
        {"tier": "brain"}, {"since": "yesterday"}, {"until": "2030-01-01"}, {"limit": "0"}, {"limit": "-1"},
        {"limit": "x"}, {"limit": "1.5"}, {"cursor": "x"},
        {"cursor": "djI6MjAyMC0wMS0wMVQwMDowMDowMFp8Yw"}, {"cursor": "djE6eHx5"},
    ],
    ids=str,
)  # fmt: skip
async def test_a_filter_that_is_none_is_refused(world: World, query: dict[str, str]) -> None:
    assert (await get(world, "/versions", **query)).status_code == 400


async def test_a_page_holds_at_most_five_hundred(world: World) -> None:
    assert (await get(world, "/versions", limit="99999")).json()["limit"] == 500


async def test_a_text_comes_back_as_it_was_written(world: World) -> None:
    id = await keep(world, "agent:ann/AGENT.md", "# Pašek\n")
    answer = await get(world, f"/versions/{id}/content")
    content = "# Pašek\n".encode()
    assert (answer.status_code, answer.content) == (200, content)
    headers = {name: answer.headers[name] for name in answer.headers if name.startswith("x-memory-")}
    assert headers.pop("x-memory-written-at").endswith("Z")
    assert headers == {
        "x-memory-sha256": hashlib.sha256(content).hexdigest(), "x-memory-bytes": str(len(content)),
        "x-memory-tier": "agent", "x-memory-path": "agent:ann/AGENT.md", "x-memory-written-by": world.member.user_id,
    }  # fmt: skip
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    other = await get(world, f"/versions/{await keep(world, 'facts.json', '{}')}/content")
    assert (other.content, other.headers["content-type"]) == (b"{}", "application/octet-stream")


async def test_a_text_that_is_not_there(world: World) -> None:
    assert (await get(world, "/versions/cunknown0000000000000/content")).status_code == 404
    far = await version(world, "agent:far/A.md", 1, workspace_id=world.other.id)
    assert (await get(world, f"/versions/{far.id}/content")).status_code == 404
    never = await version(world, "agent:ann/A.md", 1)
    assert (await get(world, f"/versions/{never.id}/content")).status_code == 410
    gone = await version(world, "agent:ann/A.md", 1, payload_ref="sha256:" + "0" * 64)
    assert (await get(world, f"/versions/{gone.id}/content")).status_code == 410
    large = await version(world, "agent:ann/A.md", 1, bytes=11 << 20)
    assert (await get(world, f"/versions/{large.id}/content")).status_code == 413


async def test_a_text_that_was_changed_is_not_served(world: World) -> None:
    id = await keep(world, "agent:ann/AGENT.md", "as it was")
    digest = hashlib.sha256(b"as it was").hexdigest()
    stored = world.settings.storage_path / "workspaces" / world.workspace.id / "memory" / digest
    stored.write_bytes(b"as it is")
    assert (await get(world, f"/versions/{id}/content")).status_code == 500


async def test_a_configuration_is_merged(world: World) -> None:
    here = {"workspace_id": world.workspace.id}
    assert (await get(world, "/config")).json() == here | {
        "versions_retention_days": 30, "is_default": True, "raw_config": None,
    }  # fmt: skip
    assert (await world.rest(world.admin, "PATCH", CONFIG, {"tone": {"a": 1}})).json() == here | {
        "versions_retention_days": 30, "is_default": True, "raw_config": '{"tone":{"a":1}}',
    }  # fmt: skip
    set_days = await world.rest(world.admin, "PATCH", CONFIG, {"versions_retention_days": 7, "none": None})
    assert (set_days.json()["versions_retention_days"], set_days.json()["is_default"]) == (7, False)
    before = await world.snapshot()
    same = await world.rest(world.admin, "PATCH", CONFIG, {"versions_retention_days": 7})
    assert same.json() == set_days.json() == (await get(world, "/config")).json()
    assert await world.snapshot() == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400), (b"1", 400), (b"{", 400), (b"{}{}", 400), (b"", 400), (b'{"versions_retention_days":0}', 400),
        (b'{"versions_retention_days":3651}', 400), (b'{"versions_retention_days":null}', 400),
        (b'{"versions_retention_days":true}', 400), (b'{"versions_retention_days":1.5}', 400),
        (b'{"versions_retention_days":"7"}', 400), (b'{"a":"' + b"x" * 17_000 + b'"}', 413),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
async def test_a_bad_configuration_is_refused_and_changes_nothing(world: World, body: bytes, status: int) -> None:
    await world.rest(world.admin, "PATCH", CONFIG, {"kept": 1})
    before = await world.snapshot()
    async with world.client(world.admin) as client:
        answer = await client.patch(CONFIG, params={"workspace_id": world.workspace.id}, content=body)
    assert answer.status_code == status, answer.text
    assert await world.snapshot() == before
