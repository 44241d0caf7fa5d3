"""The primary is killed under load and its replica promoted: what was acknowledged is there, once, and all go on."""

import asyncio
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from models.staff.crews import Crew
from tests.faults.followers import Follower
from tests.faults.servers import PATIENCE, servers
from tests.faults.test_kill_of_servers import EFFECTS, Judge, caught_up
from tests.hosts.clients import Patient, PatientGraph, PatientSocket
from tests.hosts.cluster import REPLICA, replicated
from tests.live.conversations import new_chat
from tests.live.graphql import own
from tests.world import connect_for_all, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LOAD = 4.0  # seconds before and after


async def test_failover_of_the_database(tmp_path: Path) -> None:
    async with (
        replicated(synchronous_standby_names=REPLICA) as pair,
        world_on(pair, tmp_path) as world,
        servers(pair, tmp_path, world, 2) as sides,
    ):
        crews = [Crew(workspace_id=world.workspace.id, name=f"Crew {n}", slug=f"crew-{n}") for n in range(2)]
        await world.add(*crews)
        chats = [await new_chat(world) for _ in range(2)]
        channels = [own(world), *(f"session:{chat.id}" for chat in chats)]
        sockets = [PatientSocket(world.owner, *channels) for _ in sides]
        graphs = [PatientGraph(world.owner, own(world)) for _ in sides]
        clients = Patient(world, sides, random.Random())
        followers: list[Follower] = [*sockets, *graphs]
        async with asyncio.TaskGroup() as tasks:
            listening = [
                tasks.create_task(there.follow(sides[n % 2 :] + sides[: n % 2])) for n, there in enumerate(followers)
            ]
            async with asyncio.timeout(PATIENCE):
                while not all(there.began for there in followers):
                    await asyncio.sleep(0.01)
            writing = clients.begin(tasks, crews, chats)
            await asyncio.sleep(LOAD)
            before, killed = len(clients.answered), time.monotonic()
            await asyncio.to_thread(pair.failover)
            promoted = time.monotonic()
            async with asyncio.timeout(PATIENCE):
                while not any(at > promoted for at in clients.good):
                    await asyncio.sleep(0.01)
            first = min(at for at in clients.good if at > promoted)
            await pair.checkpoint()
            await sides[0].kill()  # its listeners go on at the other one, by cursors of both histories
            await asyncio.sleep(LOAD)
            clients.stop.set()
            await asyncio.wait(writing)
            world = replace(world, database=await connect_for_all(pair.owner_url))
            await caught_up(world, followers, chats)
            for task in listening:
                task.cancel()
        after = len(clients.answered) - before
        print(
            f"first answer {first - killed:.2f} s after the kill, {first - promoted:.2f} s after the promotion;"
            f" {before} requests before, {after} after, {clients.unavailable} unavailable"
        )
        for side in sides:
            await side.ready()
        judge = Judge(world, clients, crews, chats)
        await judge.of_crews()
        await judge.of_records()
        ends = await judge.of_runs(tmp_path / EFFECTS)
        await judge.of_followers(sockets, graphs)
        await judge.of_repeats(50)
        print(dict(ends), [there.cuts for there in followers])
        await world.database.close()
    assert min(before, after) > 20
    assert first - promoted < 10
