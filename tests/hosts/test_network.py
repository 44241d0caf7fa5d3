"""A host loses its network for a minute: others take over what it had, and it goes on when it is back."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from models.staff.crews import Crew
from tests.faults.followers import Follower
from tests.faults.servers import PATIENCE, Place, servers
from tests.faults.test_kill_of_servers import EFFECTS, Judge, caught_up
from tests.hosts.clients import Patient, PatientGraph, PatientSocket
from tests.hosts.cluster import reachable
from tests.hosts.network import network, networked
from tests.live.conversations import new_chat
from tests.live.graphql import own
from tests.world import world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow, networked]

LOAD = 5.0  # seconds before and after
AWAY = 60.0


async def test_a_host_without_a_network_for_a_minute(tmp_path: Path) -> None:
    with network(2) as net:
        places = [Place({"CREWSHIP_HOST": host.address}, host.within, host.address) for host in net.hosts]
        async with (
            reachable(net.address) as database,
            world_on(database, tmp_path) as world,
            servers(database, tmp_path, world, places=places) as sides,
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
                    tasks.create_task(there.follow(sides[n % 2 :] + sides[: n % 2]))
                    for n, there in enumerate(followers)
                ]
                async with asyncio.timeout(PATIENCE):
                    while not all(there.began for there in followers):
                        await asyncio.sleep(0.01)
                writing = clients.begin(tasks, crews, chats)
                await asyncio.sleep(LOAD)
                before = len(clients.answered)
                net.hosts[0].leave()
                await asyncio.sleep(AWAY)
                net.hosts[0].come_back()
                meanwhile, back = len(clients.answered) - before, time.monotonic()
                async with asyncio.timeout(PATIENCE), world.client(world.owner) as http:
                    while (await http.get(f"{sides[0].world.url}/readyz")).status_code != 200:
                        await asyncio.sleep(0.1)
                ready = time.monotonic() - back
                await asyncio.sleep(LOAD)
                clients.stop.set()
                await asyncio.wait(writing)
                await caught_up(world, followers, chats)
                for task in listening:
                    task.cancel()
            print(
                f"{before} requests before, {meanwhile} meanwhile, {len(clients.answered)} in all;"
                f" {clients.lost} without an answer, {clients.unavailable} unavailable;"
                f" ready {ready:.1f} s after its return"
            )
            judge = Judge(world, clients, crews, chats)
            await judge.of_crews()
            await judge.of_records()
            ends = await judge.of_runs(tmp_path / EFFECTS)
            await judge.of_followers(sockets, graphs)
            await judge.of_repeats(50)
            print(dict(ends), [there.cuts for there in followers])
        assert min(before, meanwhile) > 20
        assert clients.lost > 0
        assert sum(there.cuts for there in followers) >= 2
