"""How long `crewship serve` takes from its start to its first answer, and what it holds in memory while idle: `python
-m bench.ready`.

Three starts: `first`, an empty data directory, so that PostgreSQL is made and all migrations run; `again`, on what the
first one left; `database`, on a database that is already there and filled, as with DATABASE_URL. PostgreSQL's own
memory is not counted.
"""

import os
import shutil
import statistics
import sys
import time
from dataclasses import dataclass

import psutil

from bench import cases, environment, product
from bench.compare import markdown
from bench.environment import DIRECTORY
from bench.implementations import IMPLEMENTATIONS, Implementation, Service
from bench.load import Server
from bench.postgres import Cluster
from bench.rig import seeded

PROBE = cases.graphql("{ __typename }")  # needs no user, and the whole schema
STARTS = 5
IDLE_SECONDS = 2
EMBEDDED = DIRECTORY / "data/embedded"


class Embedded(Service):
    """With a PostgreSQL of its own instead of the bench's."""

    def variables(self, cluster: Cluster, port: int) -> dict[str, str]:
        inherited = super().variables(cluster, port)
        del inherited["DATABASE_URL"], inherited["CREWSHIP_MIGRATION_DATABASE_URL"]
        return {**inherited, "CREWSHIP_DATA_DIR": str(EMBEDDED)}


@dataclass(frozen=True)
class Start:
    """Seconds to the first answer; idle memory of the Python processes in MB."""

    seconds: float
    rss_mb: float


def start(implementation: Implementation, cluster: Cluster) -> Start:
    began = time.monotonic()
    with Server(implementation, cluster) as server:
        status, body = server.ask(PROBE)  # waits in the socket's queue while the service gets ready
        answered = time.monotonic()
        if status != 200:
            raise SystemExit(f"{implementation.name} answered {status} {body[:500]!r}")
        time.sleep(IDLE_SECONDS)
        return Start(answered - began, _python_rss_mb(psutil.Process(server.process.pid)))


def _python_rss_mb(root: psutil.Process) -> float:
    processes = [
        process for process in (root, *root.children(recursive=True)) if not process.name().startswith("postgres")
    ]
    return sum(process.memory_info().rss for process in processes) / 2**20


def measure(cluster: Cluster) -> dict[str, list[Start]]:
    """`cluster` holds the service's template database."""
    service = IMPLEMENTATIONS["service"]
    command = [sys.executable, "-m", "crewship", "serve"]  # without the bench's own route
    shutil.rmtree(EMBEDDED, ignore_errors=True)
    external = Service("service-start", lambda _: command, service.requests)
    embedded = Embedded("service-embedded", lambda _: command, service.requests)
    starts: dict[str, list[Start]] = {"first": [], "again": [], "database": []}
    start(embedded, cluster)  # unmeasured: compiles the modules, which an installation has done
    for _ in range(STARTS):
        shutil.rmtree(EMBEDDED, ignore_errors=True)
        starts["first"].append(start(embedded, cluster))
        starts["again"].append(start(embedded, cluster))
        cluster.create(external.database, product.DATABASE)
        starts["database"].append(start(external, cluster))
        cluster.drop(external.database)
    shutil.rmtree(EMBEDDED, ignore_errors=True)
    return starts


def table(starts: dict[str, list[Start]]) -> str:
    rows = [
        (
            name,
            f"{statistics.median(s.seconds for s in made):.2f}",
            f"{max(s.seconds for s in made):.2f}",
            f"{statistics.median(s.rss_mb for s in made):.0f}",
        )
        for name, made in starts.items()
    ]
    return markdown(("start", "seconds to the first answer", "longest", "idle RSS MB"), rows)


def main() -> None:
    environment.prepare(fastapi=False, peers=False)
    with seeded({product.DATABASE}) as (cluster, _):
        print(table(measure(cluster)), f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
