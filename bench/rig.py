"""Everything a run needs, in order: installed parts, PostgreSQL, seeded templates, a server of each implementation."""

import contextlib
import fcntl
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import dataset, environment, postgres, product, reference
from bench.cases import Target, targets
from bench.implementations import BASE, IMPLEMENTATIONS, NODE_PEERS, Implementation
from bench.load import Server, started
from bench.postgres import Cluster

SEEDS = {
    reference.DATABASE: reference.seed,
    product.DATABASE: product.seed,
    product.DATABASE_BEFORE: product.seed_before,
}


@dataclass(frozen=True)
class Rig:
    """A prepared run; the servers are up and idle."""

    cluster: Cluster
    servers: dict[str, Server]
    targets: list[Target]

    def tidy(self) -> None:
        self.cluster.tidy([server.implementation.database for server in self.servers.values()])


def chosen(names: Sequence[str] | None) -> list[Implementation]:
    """The named implementations and the base, which every run needs; all by default."""
    wanted = dict.fromkeys((BASE, *(names or IMPLEMENTATIONS)))
    if unknown := wanted.keys() - IMPLEMENTATIONS.keys():
        raise SystemExit(
            f"No such implementation: {', '.join(sorted(unknown))}. There are: {', '.join(IMPLEMENTATIONS)}"
        )
    return [IMPLEMENTATIONS[name] for name in wanted]


@contextlib.contextmanager
def seeded(templates: set[str]) -> Iterator[tuple[Cluster, list[Target]]]:
    """A PostgreSQL with the template databases of that name."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that servers are stopped on the way out
    rows = dataset.generate()
    with _alone(), postgres.running() as cluster:
        for template in templates:
            SEEDS[template](cluster, rows)
            cluster.tidy([template])
        yield cluster, targets(rows)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One run at a time in the folder: a second would spoil the first's numbers and its files."""
    with (environment.DIRECTORY / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"Another run is using {environment.DIRECTORY}") from None
        yield


@contextlib.contextmanager
def prepared(names: Sequence[str] | None) -> Iterator[Rig]:
    implementations = chosen(names)
    environment.prepare(**installed(implementations))
    with (
        seeded({implementation.template for implementation in implementations}) as (cluster, asked),
        started(implementations, cluster) as servers,
    ):
        yield Rig(cluster, servers, asked)


def installed(implementations: list[Implementation]) -> dict[str, bool]:
    """What `environment.prepare` and `environment.versions` are to look at."""
    names = {implementation.name for implementation in implementations}
    return {"fastapi": "fastapi" in names, "peers": not names.isdisjoint(NODE_PEERS)}
