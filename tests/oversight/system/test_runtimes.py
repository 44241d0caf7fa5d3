"""What agents' commands are run with: as workers have found it, told by processes that may not look themselves."""

import asyncio
import platform
import time
from datetime import timedelta
from typing import Any

import pytest

from models.workers import Worker
from resolvers.kernel.background import sweeper
from resolvers.kernel.background.clocks import across_workspaces
from runtime.engine.attendance import Attendance
from runtime.sandbox import Limits, Sandbox, Unconfined
from tests.world import World, now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/system/runtime"


async def shown(world: World) -> dict[str, Any]:
    answer = await world.rest(world.viewer, "GET", PATH, workspace=None)
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


async def known(world: World, *found: tuple[str | None, str | None], ago: int = 0) -> None:
    await world.database.execute("DELETE FROM workers")
    seen = now() - timedelta(seconds=ago)
    await world.add(*[Worker(runtime=runtime, version=version, seen_at=seen) for runtime, version in found])


async def test_without_a_worker_there_is_none(world: World) -> None:
    await known(world)
    found = await shown(world)
    assert {"docker", "podman", "colima", "orbstack", "apple", "bubblewrap", "rancher"} == found.pop(
        "install_links"
    ).keys()
    assert found.pop("uptime_seconds") >= 0
    empty = {"available": False, "runtime": None, "version": None, "socket": None, "runtimes": [], "coding_agents": []}
    assert found == empty | {"language_version": platform.python_version()}


async def test_what_workers_have_found_is_told_the_safest_first(world: World) -> None:
    await known(world, ("process", None), ("bubblewrap", "0.11.0"), ("bubblewrap", "0.11.0"), (None, None))
    found = await shown(world)
    assert (found["available"], found["runtime"], found["version"]) == (True, "bubblewrap", "0.11.0")
    assert found["runtimes"] == [
        {"runtime": "bubblewrap", "version": "0.11.0", "socket": "", "in_use": True},
        {"runtime": "process", "version": "", "socket": "", "in_use": False},
    ]
    assert "install_links" not in found
    document = "{ runtime { available runtime version socket runtimes { runtime } installLinks { docker } } }"
    told = (await world.graphql(world.viewer, document))["data"]["runtime"]
    kinds = [{"runtime": kind["runtime"]} for kind in found["runtimes"]]
    own = {name: found[name] for name in ("available", "runtime", "version", "socket")}
    assert told == own | {"runtimes": kinds, "installLinks": None}


def of(adapter: str, version: str | None = None, missing: str | None = None) -> dict[str, Any]:
    said = {"missing": missing, "fix": missing and "get it"}
    return {"adapter": adapter, "name": adapter.title(), "installed": missing is None, "version": version, **said}


async def test_coding_agents_are_told_as_workers_have_them(world: World) -> None:
    """Also by a worker that runs no commands; the one that has it counts, and the newer of two."""
    await known(world)
    first = [of("CLAUDE_CODE", missing="it is not installed"), of("CODEX_CLI", "0.169.0"), of("OPENCODE", missing="no")]
    second = [of("CLAUDE_CODE", "2.1.332"), of("CODEX_CLI", missing="it is not installed")]
    older = [of("CLAUDE_CODE", "2.1.197")]
    gone = [of("GEMINI_CLI", "0.61.0")]
    await world.add(
        Worker(runtime=None, coding_agents=first, seen_at=now() - timedelta(seconds=1)),
        Worker(runtime="bubblewrap", coding_agents=second),
        Worker(runtime="bubblewrap", coding_agents=older),
        Worker(runtime="bubblewrap", coding_agents=gone, seen_at=now() - timedelta(seconds=120)),
    )
    found = {each["adapter"]: each for each in (await shown(world))["coding_agents"]}
    assert found == {
        "CLAUDE_CODE": of("CLAUDE_CODE", "2.1.332"),
        "CODEX_CLI": of("CODEX_CLI", "0.169.0"),
        "OPENCODE": of("OPENCODE", missing="no"),
    }
    told = await world.graphql(world.viewer, "{ runtime { codingAgents { adapter installed version missing fix } } }")
    assert {each["adapter"]: each["version"] for each in told["data"]["runtime"]["codingAgents"]} == {
        adapter: each["version"] for adapter, each in found.items()
    }


@pytest.mark.parametrize(("found", "ago"), [((None, None), 0), (("bubblewrap", "0.11.0"), 120)])
async def test_a_worker_that_runs_nothing_or_is_not_heard_of_counts_for_nothing(
    world: World, found: tuple[str | None, str | None], ago: int
) -> None:
    await known(world, found, ago=ago)
    assert (await shown(world))["available"] is False


async def test_workers_that_are_long_gone_are_forgotten(world: World) -> None:
    await known(world, ("bubblewrap", "1"), ago=86_401)
    await world.add(Worker(runtime="bubblewrap", version="2"))
    await sweeper.sweep(across_workspaces)
    assert await world.database.fetchval("SELECT array_agg(version) FROM workers") == ["2"]


async def test_a_worker_says_that_it_is_there_until_it_stops(world: World) -> None:
    """Again after the row was lost, as after a restore of the database."""
    await known(world)

    async def sandbox() -> Sandbox:
        return Unconfined(unsafe=True, limits=Limits())

    attendance = Attendance(sandbox, every=0.05)
    attendance.start()
    for _ in range(2):
        await until(world, ["process"])
        await world.database.execute("DELETE FROM workers")
    await attendance.stop()
    await until(world, None)


async def until(world: World, runtimes: list[str] | None) -> None:
    deadline = time.monotonic() + 10
    while await world.database.fetchval("SELECT array_agg(runtime) FROM workers") != runtimes:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
