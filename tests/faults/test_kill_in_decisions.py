"""kill -9 of servers that are being told decisions: two people decide each approval at once, one for it and one against
it, and repeat with its key what has had no answer. One of them has decided, and everything says the same of it.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from models.attention.approvals import Approval
from tests.attention.approvals.test_approvals import PATH, asked
from tests.conftest import Database
from tests.faults.servers import PATIENCE, Server, servers
from tests.faults.test_kill_of_servers import Clients, Request, kill
from tests.world import Person, World, world_on

pytestmark = pytest.mark.anyio
MOST_ROUNDS = 5
"""Of kills, until one has come between a decision and its answer: that is a moment, and chance may miss it."""
WORD = {"approved": ("approval.granted", "approved", True), "denied": ("approval.denied", "rejected", False)}


@dataclass
class Deciders(Clients):
    """Answers of who came too late count as answers, too."""

    approvals: list[Approval] = field(default_factory=list)

    async def decide(self, person: Person, approval: Approval, status: str) -> None:
        request = Request(f"{status}-{approval.id}", "POST", f"{PATH}/{approval.id}/decide", {"status": status})
        async with self.world.client(person) as http:
            async with asyncio.timeout(PATIENCE):
                answer = None
                while answer is None or answer.status_code == 503:  # "try again"
                    await asyncio.sleep(0.01)
                    answer = await self.sent(http, self.chance.choice(self.sides), request)
        assert answer.status_code in (200, 409), answer.text
        self.replayed += "idempotent-replayed" in answer.headers
        self.answered[request.key] = (request, answer)

    async def go_on(self, asking: asyncio.Lock) -> None:
        while not self.stop.is_set():
            async with asking:  # over one connection
                approval = await asked(self.world)
            self.approvals.append(approval)
            sides = [(self.world.owner, "approved"), (self.world.admin, "denied")]
            self.chance.shuffle(sides)
            await asyncio.gather(*(self.decide(person, approval, status) for person, status in sides))


def won(answered: dict[str, tuple[Request, httpx2.Response]], approval: Approval) -> str:
    """The status that was answered to the one who decided."""
    found = {status: answered[f"{status}-{approval.id}"][1] for status in WORD}
    assert sorted(answer.status_code for answer in found.values()) == [200, 409]
    return next(status for status, answer in found.items() if answer.status_code == 200)


async def judge(world: World, ends: dict[str, str]) -> None:
    people = {"approved": world.owner.user_id, "denied": world.admin.user_id}
    rows = {row["id"]: row for row in await world.database.fetch("SELECT * FROM approvals")}
    assert {id: (row["status"], row["decided_by"]) for id, row in rows.items()} == {
        id: (status, people[status]) for id, status in ends.items()
    }
    items = await world.database.fetch("SELECT * FROM inbox_items")
    assert {item["source_id"]: (item["state"], item["resolved_action"]) for item in items} == {
        id: ("resolved", WORD[status][1]) for id, status in ends.items()
    }
    told = await world.database.fetch("SELECT entry_type FROM journal_entries WHERE entry_type LIKE 'approval.%'")
    assert Counter(row[0] for row in told) == Counter(WORD[status][0] for status in ends.values())
    kept = await world.database.fetch("SELECT approved FROM approval_outcomes")
    assert Counter(row[0] for row in kept) == Counter(WORD[status][2] for status in ends.values())
    audited = Counter(row["entity_id"] for row in await world.audit() if row["action"].startswith("approval."))
    assert audited == Counter(list(ends))
    resolved = [event for event in await world.events() if event["type"].startswith("inbox.")]
    assert len(resolved) == len(ends)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [20])
async def test_a_decision_is_one_whoever_dies(database: Database, tmp_path: Path, kills: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    async with world_on(database, tmp_path) as world, servers(database, tmp_path, world) as sides:
        clients, asking = Deciders(world, sides, random.Random(seed)), asyncio.Lock()
        workers = [asyncio.create_task(clients.go_on(asking)) for _ in range(4)]
        for _ in range(MOST_ROUNDS):
            await kill(clients, kills)
            if clients.replayed:
                break
        clients.stop.set()
        await asyncio.gather(*workers)
        await _ready(sides)
        await judge(world, {each.id: won(clients.answered, each) for each in clients.approvals})
    lost = f"{clients.lost} without an answer ({clients.replayed} of them had been carried out)"
    print(f"{kills} kills a round, {len(clients.approvals)} decisions, {lost}")
    assert min(clients.lost, clients.replayed) > 0, "what this is about has not happened"


async def _ready(sides: list[Server]) -> None:
    for side in sides:
        await side.ready()
