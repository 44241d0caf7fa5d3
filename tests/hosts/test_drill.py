"""An installation of three hosts loses a host, then its primary, then everything: its newest bundle is restored into a
new one.

All that was acknowledged before the backup began is there, once, and works. What is missing was acknowledged later: the
recovery point of bundles (docs/backups.md).
"""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models.staff.crews import Crew
from tests.faults.servers import KEYS, PATIENCE, Server, addresses, servers
from tests.faults.test_kill_of_servers import script
from tests.hosts.clients import Patient
from tests.hosts.cluster import REPLICA, Pair, replicated
from tests.live.conversations import new_chat
from tests.process.commands import environment, run, serving
from tests.process.ships import PASSPHRASE, ask
from tests.world import world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LOAD = 3.0  # seconds between two losses
PAGES = (
    "query($ws: ID!, $after: String) { crews(workspaceId: $ws, first: 500, after: $after) {"
    " nodes { slug description version } pageInfo { hasNextPage endCursor } } }"
)
SPOKEN = "query($chat: ID!) { chat(id: $chat) { messages(first: 500) { totalCount nodes { role content } } } }"


@dataclass(frozen=True)
class Acknowledged:
    """What clients had an answer to at one moment."""

    created: list[str]
    updated: dict[str, list[str]]
    sent: list[str]

    @classmethod
    def by(cls, clients: Patient) -> "Acknowledged":
        updated = {crew: list(done) for crew, done in clients.updated.items()}
        return cls(list(clients.created), updated, list(clients.runs.values()))


async def test_a_host_the_primary_and_then_everything_is_lost(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text(PASSPHRASE + "\n")
    async with replicated(synchronous_standby_names=REPLICA) as pair, world_on(pair, tmp_path) as world:
        crews = [Crew(workspace_id=world.workspace.id, name=f"Crew {n}", slug=f"crew-{n}") for n in range(2)]
        await world.add(*crews)
        chats = [await new_chat(world) for _ in range(2)]
        async with servers(pair, tmp_path, world, 3) as sides, asyncio.TaskGroup() as tasks:
            clients = Patient(world, sides, random.Random())
            writing = clients.begin(tasks, crews, chats)
            await asyncio.sleep(LOAD)
            await sides.pop().lose()
            await asyncio.sleep(LOAD)
            await fail_over(pair, clients)
            await asyncio.sleep(LOAD)
            known = Acknowledged.by(clients)
            bundle, took = await backed_up(pair, sides[0], passphrase)
            await asyncio.sleep(LOAD)
            clients.stop.set()
            await asyncio.wait(writing)
            for side in sides:
                await side.lose()
        pair.replica.kill()
        begun = time.monotonic()
        env = environment(tmp_path / "new")
        restored = await asyncio.to_thread(
            run, "backup", "restore", bundle, "--passphrase-file", str(passphrase), env=env, within=3 * PATIENCE
        )
        assert restored.returncode == 0, restored.stderr
        with serving(env=env) as served:
            again = time.monotonic() - begun
            token, place = world.owner.token, world.workspace.id
            missing = await asyncio.to_thread(
                judge, served.port, token, place, known, clients, crews, [chat.id for chat in chats]
            )
            label = {"name": "new", "color": "#ff0000"}
            ask(served.port, "POST", f"/api/v1/labels?workspace_id={place}", token, label)
            assert served.end() == 0
        audited = await asyncio.to_thread(run, "audit", "verify", "--json", env=env)
        assert json.loads(audited.stdout)["faults"] == []
    print(
        f"backup {took:.1f} s; it serves again {again:.1f} s after the loss; {len(known.created)} crews and"
        f" {len(known.sent)} messages before the backup are there, {missing} of {len(clients.created)} crews are not"
    )
    assert len(known.created) > 20
    assert known.sent


async def fail_over(pair: Pair, clients: Patient) -> None:
    """The replica takes over, and answers."""
    await asyncio.to_thread(pair.failover)
    promoted = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        while not any(at > promoted for at in clients.good):
            await asyncio.sleep(0.01)
    await pair.checkpoint()


async def backed_up(pair: Pair, side: Server, passphrase: Path) -> tuple[str, float]:
    """The bundle that an operator makes on a host while all work, and how long that took."""
    env = environment(side.directory, **KEYS, **addresses(pair))
    begun = time.monotonic()
    made = await asyncio.to_thread(
        run, "backup", "create", "--passphrase-file", str(passphrase), "--json", env=env, within=3 * PATIENCE
    )
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["path"]), time.monotonic() - begun


def judge(
    port: int, token: str, place: str, known: Acknowledged, clients: Patient, updated: list[Crew], chats: list[str]
) -> int:
    """Returns how many crews are missing that were acknowledged after the backup began."""

    def asked(document: str, **variables: Any) -> Any:
        answer = ask(port, "POST", "/graphql", token, {"query": document, "variables": variables})
        assert "errors" not in answer, answer
        return answer["data"]

    crews, after = [], None
    while True:
        page = asked(PAGES, ws=place, after=after)["crews"]
        crews += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    counted = Counter(crew["slug"] for crew in crews)
    assert max(counted.values()) == 1
    assert set(known.created) <= set(counted)
    assert set(counted) <= {*clients.created, "crew-0", "crew-1"}
    shown = {crew["slug"]: crew for crew in crews}
    for crew in updated:
        description, version = shown[crew.slug]["description"], shown[crew.slug]["version"]
        assert version > len(known.updated[crew.id])
        assert description == clients.updated[crew.id][version - 2]
    said = Counter[str]()
    for chat in chats:
        messages = asked(SPOKEN, chat=chat)["chat"]["messages"]
        assert messages["totalCount"] == len(messages["nodes"])
        said.update(message["content"] for message in messages["nodes"] if message["role"] == "user")
    assert [said[script(name)] for name in known.sent] == [1] * len(known.sent)
    return len(set(clients.created) - set(counted))
