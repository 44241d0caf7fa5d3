"""Who takes part: how each server is started, and the requests it answers."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import cases, product, reference
from bench.cases import Requests
from bench.environment import CHECKOUT, FASTAPI_PYTHON, NODE, PEERS
from bench.postgres import Cluster

POOL_SIZE = 8


@dataclass(frozen=True)
class Implementation:
    """`command` is called with the port. `template` is the seeded database of which the implementation gets a copy of
    its own, so that nobody pays for another's dead rows.
    """

    name: str
    command: Callable[[int], list[str]]
    requests: Requests
    template: str = reference.DATABASE
    settings: dict[str, str] = field(default_factory=dict)
    working_directory: str = str(CHECKOUT)

    @property
    def database(self) -> str:
        return "bench_" + self.name.replace("-", "_")

    def variables(self, cluster: Cluster, port: int) -> dict[str, str]:
        return {"POOL_SIZE": str(POOL_SIZE), "PORT": str(port), **cluster.environment(self.database), **self.settings}


@dataclass(frozen=True)
class Service(Implementation):
    """The shipped `crewship serve`, as it comes, but for the numbers of its limiter."""

    template: str = product.DATABASE

    def variables(self, cluster: Cluster, port: int) -> dict[str, str]:
        return product.variables(cluster, self.database, port, POOL_SIZE) | self.settings


def _uvicorn(python: str, module: str) -> Callable[[int], list[str]]:
    options = "--loop uvloop --http httptools --ws none --log-level error --no-access-log --host 127.0.0.1"
    return lambda port: [python, "-m", "uvicorn", *options.split(), "--port", str(port), f"bench.servers.{module}:app"]


def _only(requests: Requests, kinds: str) -> Requests:
    return {kind: requests[kind] for kind in kinds}


def _node(name: str, script: str, requests: Requests, **environment: str) -> Implementation:
    variables = {"NODE_ENV": "production", "GRAPHILE_ENV": "production", **environment}
    return Implementation(
        name, lambda _: [str(NODE), script], requests, settings=variables, working_directory=str(PEERS)
    )


def _crewship(_: int) -> list[str]:
    return [sys.executable, "-c", "from bench.issues import main; main()"]


BASE = "floor-rows"
IMPLEMENTATIONS = {
    implementation.name: implementation
    for implementation in (
        Implementation(BASE, _uvicorn(sys.executable, "floor_rows"), cases.REFERENCE),
        Implementation("floor-best", _uvicorn(sys.executable, "floor_best"), cases.REFERENCE),
        Implementation("fastapi", _uvicorn(str(FASTAPI_PYTHON), "fastapi_sqlmodel"), _only(cases.REFERENCE, "ABC")),
        _node("yoga", "fastify.mjs", _only(cases.REFERENCE, "ABCDE"), MODE="yoga"),
        _node("yoga-jit", "fastify.mjs", _only(cases.REFERENCE, "DE"), MODE="yoga-jit"),
        _node("mercurius", "fastify.mjs", _only(cases.REFERENCE, "DE"), MODE="mercurius"),
        _node("mercurius-jit", "fastify.mjs", _only(cases.REFERENCE, "DE"), MODE="mercurius-jit"),
        _node("postgraphile", "postgraphile.mjs", cases.POSTGRAPHILE),
        Service("service", _crewship, cases.SERVICE),
        Service("service-without-rls", _crewship, cases.SERVICE, settings={"CREWSHIP_ROW_LEVEL_SECURITY": "false"}),
    )
}
if product.BEFORE is not None:
    _ask_it = [str(product.BEFORE / ".venv" / "bin" / "python"), "-c", "from bench.issues import main; main()"]
    before = Service(
        "service-before", lambda _: _ask_it, cases.SERVICE, template=product.DATABASE_BEFORE,
        settings={"PYTHONPATH": str(product.BEFORE)},
        working_directory=str(product.BEFORE),
    )  # fmt: skip
    IMPLEMENTATIONS[before.name] = before
NODE_PEERS = frozenset({"yoga", "yoga-jit", "mercurius", "mercurius-jit", "postgraphile"})
