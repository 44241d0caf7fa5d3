"""Replicas that are killed under load, are of another role, or have to answer every list there is."""

import asyncio
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from crewship.cli.replica_check import check_replicas
from crewship.process.postgres import APPLICATION
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.store.database import database
from tests.generation.estate import Estate, estate_on
from tests.generation.inputs import valid
from tests.generation.registry import operations, surfaces_of
from tests.hosts.cluster import REPLICA, Node, address, replicated
from tests.hosts.sides import PATIENCE, primary_of, side_on
from tests.world import Person, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LOAD = 3.0  # seconds


async def test_a_server_that_is_no_replica_of_the_role_answers_nothing(tmp_path: Path) -> None:
    """The primary itself; and the replica by another role, for which row-level security may not hold."""
    async with replicated() as pair:
        wrong = address(pair.primary.passwords, "postgres", pair.primary, pair.replica).partition("?")[0]
        async with world_on(pair, tmp_path, database_replica_url=SecretStr(wrong)) as world:
            assert database.replicas is not None
            outcomes = database.replicas.outcomes
            async with asyncio.timeout(PATIENCE):
                while outcomes["other_history"] < 4:
                    assert (await world.rest(world.viewer, "GET", "/api/v1/labels")).status_code == 200
                    await asyncio.sleep(0.05)
            assert [replica.left_out for replica in database.replicas.each] == ["other_history"] * 2
            assert outcomes["replica"] == 0
        async with primary_of(pair) as primary:
            checks = await check_replicas(wrong, primary)
        assert [(check.ok, check.found) for check in checks] == [
            (False, "it is no replica"),
            (False, f"its role is postgres, the primary's is {APPLICATION}"),
        ]


async def test_every_list_can_be_read_on_a_replica(tmp_path: Path) -> None:
    """No statement of a list writes, locks, or reads a table that replicas do not have."""
    async with replicated() as pair:
        server = SimpleNamespace(dsn=lambda role, name: pair.primary.dsn(role))
        place = SimpleNamespace(url=pair.url, owner_url=pair.owner_url, name=pair.name, server=server)
        replica = SecretStr(pair.replica.dsn(APPLICATION))
        options: dict[str, Any] = {"row_level_security": True, "allow_signup": True, "database_replica_url": replica}
        async with estate_on(place, tmp_path, **options) as estate:
            assert database.replicas is not None
            outcomes, never = database.replicas.outcomes, []
            for op in operations():
                if isinstance(op, Query) and op.on_replicas and surfaces_of(op) and not await _reads(estate, op):
                    never.append(op.name)
        assert never == []
        assert outcomes["failed"] == 0, outcomes


async def _reads(estate: Estate, op: Any) -> bool:
    """Whether the replica answers it, sooner or later; what is refused is not read."""
    assert database.replicas is not None
    outcomes = database.replicas.outcomes
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        before = outcomes["replica"]
        for surface in surfaces_of(op):
            outcome = await estate.call(surface, op, valid(op, estate), estate.caller(op))
            if outcome.code is not None:
                return True
        if outcomes["replica"] > before:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_promoted_replica_is_the_primary_alone(tmp_path: Path) -> None:
    """The setting still names it: it is no replica any more, and its former log says nothing about the new one."""
    async with replicated(synchronous_standby_names=REPLICA) as pair, side_on(pair, tmp_path) as side:
        await side.on_the_replica()
        await asyncio.to_thread(side.pair.failover)
        labels = {"name": "after", "color": "x"}
        async with asyncio.timeout(PATIENCE):
            while (await side.world.rest(side.world.manager, "POST", "/api/v1/labels", labels)).status_code != 201:
                await asyncio.sleep(0.1)
        by_replica = side.replicas.outcomes["replica"]
        async with asyncio.timeout(PATIENCE):
            while side.replica.left_out != "other_history":
                assert await side.names(side.world.viewer) == ["after"]
                await asyncio.sleep(0.05)
        assert side.replicas.outcomes["replica"] == by_replica


def _signal(node: Node, number: signal.Signals) -> None:
    """To all of its processes: one that has stopped takes connections, and answers nothing."""
    assert node.process is not None
    for each in psutil.Process(node.process.pid).children():
        each.send_signal(number)
    node.process.send_signal(number)


@pytest.mark.parametrize("ways", ["killed", "frozen"])
async def test_a_replica_is_lost_under_load(tmp_path: Path, ways: str) -> None:
    async with replicated() as pair, side_on(pair, tmp_path) as side:
        await side.on_the_replica()
        stop, slowest, answered = asyncio.Event(), 0.0, 0

        async def reading(person: Person) -> None:
            nonlocal slowest, answered
            async with side.world.client(person) as client:
                while not stop.is_set():
                    began = time.monotonic()
                    answer = await client.get("/api/v1/labels", params={"workspace_id": side.world.workspace.id})
                    assert answer.status_code == 200, answer.text
                    slowest, answered = max(slowest, time.monotonic() - began), answered + 1

        async def writing() -> None:
            number = 0
            while not stop.is_set():
                body = {"name": f"label {number}", "color": "x"}
                made = await side.world.rest(side.world.manager, "POST", "/api/v1/labels", body)
                assert made.status_code == 201
                assert f"label {number}" in await side.names(side.world.manager)
                number += 1

        people = [side.world.viewer, side.world.member, side.world.admin, side.world.owner]
        async with asyncio.TaskGroup() as tasks:
            for person in people:
                tasks.create_task(reading(person))
            tasks.create_task(writing())
            await asyncio.sleep(LOAD)
            by_replica, before = side.replicas.outcomes["replica"], answered
            if ways == "killed":
                await asyncio.to_thread(side.pair.replica.kill)
            else:
                _signal(side.pair.replica, signal.SIGSTOP)
            await asyncio.sleep(LOAD)
            lost = answered
            assert not side.replica.ready
            if ways == "killed":
                await asyncio.to_thread(side.pair.replica.start)
            else:
                _signal(side.pair.replica, signal.SIGCONT)
            stop.set()
        print(
            f"{before} reads before, {by_replica} of them on the replica, {lost - before} after slowest {slowest:.2f} s"
        )
        assert by_replica > 0
        assert lost - before > 20
        await side.on_the_replica()
