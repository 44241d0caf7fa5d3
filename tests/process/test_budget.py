"""What a start may load and cost, as it is and with as many operations as the contract has.

The bars leave room for a slow machine and another Python: they are for the change that loads what nobody asked for, or
makes each operation dearer. `scripts/budget.py` measures more.
"""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from crewship.process.postgres import APPLICATION
from resolvers.kernel.declarations.jobs import ENQUEUE, JOBS
from scripts.budget import ROOT, SERVER, WORKER, Composed, compose, grow
from tests.conftest import Database
from tests.faults.servers import KEYS, addresses
from tests.process.commands import environment, migrated, serving, status_of
from tests.process.players import hire
from tests.process.wire import counted
from tests.world import World, world_on

SECONDS = 3.0  # of the processor; the same start takes 2.1 to 2.9 on one machine, by the hour
ROOM, WITH_GRAPHQL = 126.0, 156.0  # MB
IDLE_API = 133.0  # MB of a process of the role `api` that answers

pytestmark = pytest.mark.thorough
MIGRATED = """
import asyncio
from models import migrations
asyncio.run(migrations.upgrade({owner!r}, application_role={role!r}))
"""
BOTH = (
    f"{SERVER}; import schema.live; from schema.bridge.root import schema; from schema.bridge.endpoint import Endpoint;"
    " Endpoint(schema)"
)
NEVER = {
    "rich",
    "pygments",
    "attr",
    "greenlet",
    "watchfiles",
    "alembic",
    "mako",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
    "dbos",
    "openai",
    "anthropic",
    "webauthn",
    "cryptography",
    "jwt",
    "mcp",
    "cel_expr_python",
    "models.work.routines.document",
    "resolvers.kernel.store.replicas",
}
# Of a process that does nothing: processor time and statements a second. What it uses is 60 to 80 ms in a look at it,
# in ticks of 10 ms, and on a machine that is half as fast twice that.
THREADS, BUSY, STATEMENTS = 12, 0.025, 3.0
WORKED = 191.0  # MB, with GraphQL and the engine
SETTLED, LOOKED, LOOKS = 4.0, 6.0, 3  # seconds until it does nothing, and of how many looks at it how long one is
GRAPHQL = {"schema", "strawberry", "graphql"}
RUNS = {  # what only a process loads that carries out runs and jobs
    "crewship.process.runs",
    "runtime.adapters",
    "runtime.containers",
    "runtime.coding.choice",
    "runtime.egress",
    "runtime.engine.supervisor",
    "runtime.runs.execution",
    "runtime.tools",
}
CLOCKS = "; from runtime.engine.clocks import ticking; ticking()"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("grown")
    grow(tree)
    return tree


def quickest(tree: Path, statements: str) -> Composed:
    """Of three: other work on the machine only adds."""
    return min((compose(tree, statements) for _ in range(3)), key=lambda each: each.seconds)


def test_a_server_with_nothing_to_migrate(database: Database) -> None:
    first = MIGRATED.format(owner=database.owner_url, role=APPLICATION)
    composed = quickest(ROOT, f"{first}{SERVER}{CLOCKS}")
    assert not composed.modules & (NEVER | GRAPHQL | RUNS)
    assert composed.rss < ROOM
    assert composed.seconds < SECONDS


def test_a_worker_has_no_surface() -> None:
    composed = compose(ROOT, WORKER)
    assert "resolvers.staff.chats" in composed.modules
    assert not composed.modules & (NEVER | GRAPHQL | {"rest_compat"})
    assert composed.rss < ROOM


def test_a_server_of_the_whole_contract(grown: Path) -> None:
    composed = quickest(grown, SERVER)
    assert "resolvers.work.labels00" in composed.modules
    assert composed.rss < ROOM
    assert composed.seconds < SECONDS


def test_both_surfaces_of_the_whole_contract(grown: Path) -> None:
    assert compose(grown, BOTH).rss < WITH_GRAPHQL


def test_an_idle_process_that_answers_only(tmp_path: Path) -> None:
    env = environment(migrated(tmp_path / "data"), CREWSHIP_ROLE="api")
    with serving(env=env) as served:
        assert status_of(served.port) == 200
        time.sleep(SETTLED)
        assert psutil.Process(served.process.pid).memory_info().rss / 2**20 < IDLE_API


# ---- a process that does nothing ------------------------------------------------------------------------------------

FINDS_NOTHING = (
    "approvals.time_out", "decision_links.ask", "escalations.end", "hiring.end", "keeper.close",
    "notification_channels.deliver",
    "recurring_issues.fire", "webhook_endpoints.deliver",
)  # fmt: skip
LEFT = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING') AND queue_name LIKE 'job:%'"
ENDED = "SELECT count(*) FROM runs WHERE status = 'COMPLETED'"
SAY = 'mutation ($chat: ID!) { sendMessage(input: { chatId: $chat, content: "hello" }) { runId } }'


async def work(world: World, url: str) -> None:
    """Chats side by side, and a job of many kinds: each finds that what it is of is gone."""
    agents = [await hire(world, world.owner, f"scout-{n}", "Scout") for n in range(4)]
    world.url = url
    for agent in agents:
        path = f"/api/v1/agents/{agent}/chats"
        chat = (await world.rest(world.owner, "POST", path, {"origin": "CLI"})).json()["id"]
        await world.graphql(world.owner, SAY, {"chat": chat})
    for name in FINDS_NOTHING:
        ids = dict.fromkeys(JOBS[name].input.model_fields, "1")
        await world.database.fetchval(ENQUEUE, *JOBS[name].queued(world.workspace.id, ids))
    async with asyncio.timeout(60):
        while await world.database.fetchval(ENDED) < len(agents) or await world.database.fetchval(LEFT):
            await asyncio.sleep(0.1)


@pytest.mark.anyio
async def test_a_process_that_has_worked_does_nothing(database: Database, tmp_path: Path) -> None:
    """However many kinds of jobs there are."""
    host, place = database.server.sockets, tmp_path / f".s.PGSQL.{database.server.port}"
    assert host is not None
    env = environment(tmp_path / "data", **KEYS, **addresses(database), CREWSHIP_RUN_ADAPTER="scripted")
    env["DATABASE_URL"] = database.url.replace(quote(str(host), safe=""), quote(str(tmp_path), safe=""))
    assert env["DATABASE_URL"] != database.url
    async with (
        counted(host / place.name, place) as wire,
        world_on(database, tmp_path / "world", role="api") as world,
    ):
        with ExitStack() as stack:
            served = await asyncio.to_thread(lambda: stack.enter_context(serving(env=env)))
            try:
                await work(world, f"http://127.0.0.1:{served.port}")
                seen: list[Any] = []
                process = psutil.Process(served.process.pid)
                await asyncio.sleep(SETTLED)
                for _ in range(LOOKS):
                    before = sum(process.cpu_times()[:2]), wire.statements
                    await asyncio.sleep(LOOKED)
                    used = sum(process.cpu_times()[:2]) - before[0], wire.statements - before[1]
                    seen.append((used[0] / LOOKED, used[1] / LOOKED, process.num_threads()))
                held = process.memory_info().rss / 2**20
            finally:
                await asyncio.to_thread(stack.close)
    assert held <= WORKED
    busy, statements, threads = zip(*seen, strict=True)
    assert max(threads) <= THREADS, seen
    assert min(busy) <= BUSY, seen
    assert sorted(statements)[LOOKS // 2] <= STATEMENTS, seen
