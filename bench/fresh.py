"""Lists on a fresh database, as a new user has it: `python -m bench.fresh [--seconds N] [--only NAME,…]`.

The service is started, crews and agents are created over REST, and the lists are measured at once: nobody has analyzed
a table. They are measured once more after VACUUM and ANALYZE. Each case takes two loads of `--seconds`.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from bench import product, rig
from bench.cases import Case, Request, Target
from bench.compare import markdown
from bench.dataset import AGENTS, CREWS, DESCRIPTION, PROMPT, Workspace, generate
from bench.implementations import BASE, Service
from bench.load import Measurement, Server
from bench.options import parse

LISTS = (
    Case("A", "A", f"REST, list of {CREWS} crews with counts"),
    Case("L", "L", f"REST, list of {CREWS * AGENTS} agents"),
    Case("D", "D", f"GraphQL, {CREWS} crews x {AGENTS} agents"),
)
TAKERS = ("service", "service-before")
WARM_SECONDS = 1
ANALYZED = "pg_stat_user_tables WHERE relname IN ('crews', 'agents') AND (analyze_count > 0 OR autoanalyze_count > 0)"


@dataclass(frozen=True)
class Pair:
    """`analyzed`: how many of the two tables had statistics when the first load had ended; there should be none."""

    fresh: Measurement
    later: Measurement
    analyzed: int


Results = dict[str, dict[str, Pair]]  # by case, then by implementation


def measure(prepared: rig.Rig, seconds: int) -> tuple[Results, dict[str, Measurement]]:
    """The services that take part, and the base on its analyzed database."""
    results: Results = {case.name: {} for case in LISTS}
    for name in sorted(prepared.servers.keys() & set(TAKERS)):
        implementation = prepared.servers[name].implementation
        assert isinstance(implementation, Service)
        for case, pair in _measure(prepared, implementation, seconds).items():
            results[case][name] = pair
    base = prepared.servers[BASE]
    taken = [case for case in LISTS if case.kind in base.implementation.requests]
    return results, {case.name: _load(base, case, prepared.targets, seconds) for case in taken}


def _load(server: Server, case: Case, targets: list[Target], seconds: int) -> Measurement:
    server.measure(case, targets, WARM_SECONDS)
    return server.measure(case, targets, seconds)


def _measure(prepared: rig.Rig, implementation: Service, seconds: int) -> dict[str, Pair]:
    cluster, workspace = prepared.cluster, generate()[0]
    fresh = replace(implementation, name=f"{implementation.name}-fresh")
    first = replace(workspace, crews=workspace.crews[:1], issues=workspace.issues[:1])  # a row of each table
    product.seed_apart(cluster, [first], fresh.database, Path(implementation.working_directory))
    try:
        with Server(fresh, cluster) as server:
            targets = _create(server, workspace)
            loads, analyzed = {}, {}
            for case in LISTS:
                loads[case.name] = _load(server, case, targets, seconds)
                analyzed[case.name] = cluster.count(fresh.database, ANALYZED)
            cluster.tidy([fresh.database])
            return {
                case.name: Pair(loads[case.name], _load(server, case, targets, seconds), analyzed[case.name])
                for case in LISTS
            }
    finally:
        cluster.drop(fresh.database)


def _create(server: Server, workspace: Workspace) -> list[Target]:
    """Creates the remaining crews and agents; the first crew and its agents exist."""
    token, here = workspace.users[0].token, f"?workspace_id={workspace.id}"

    def created(path: str, **body: object) -> str:
        status, answer = server.ask(Request("POST", path + here, json.dumps(body)), token)
        if status != 201:
            raise RuntimeError(f"{server.implementation.name}, {path}: {status} {answer[:500]!r}")
        return str(json.loads(answer)["id"])

    crews = [workspace.crews[0].id]
    for crew in workspace.crews[1:]:
        crews.append(created("/api/v1/crews", name=crew.name, slug=crew.slug, description=DESCRIPTION))
        for agent in crew.agents:
            told = {"name": agent.name, "slug": agent.slug, "system_prompt": PROMPT}
            created("/api/v1/agents", crew_id=crews[-1], **told)
    return [Target(workspace.id, crews[0], user.token) for user in workspace.users]


def table(results: Results, base: dict[str, Measurement]) -> str:
    """In Markdown. `x` is to the base of the same run, whose tables are analyzed."""
    rows = []
    for case in LISTS:
        reference = base.get(case.name)
        for name, pair in results[case.name].items():
            cells = [
                cell
                for m in (pair.fresh, pair.later)
                for cell in (
                    f"{m.rps:.0f}",
                    "-" if reference is None else f"{m.rps / reference.rps:.2f}",
                    f"{m.postgres_us:.0f}",
                )
            ]
            share = f"{pair.fresh.rps / pair.later.rps:.2f}"
            rows.append((f"{case.name}, {name}", *cells, share, str(pair.analyzed)))
    head = ("case", "fresh: rps", f"x {BASE}", "PostgreSQL µs", "analyzed: rps", f"x {BASE}", "PostgreSQL µs")
    titles = "; ".join(f"{case.name}: {case.title}" for case in LISTS)
    return f"{titles}.\n\n{markdown((*head, 'fresh / analyzed', 'tables analyzed meanwhile'), rows)}"


def main() -> None:
    options = parse(__doc__)
    with rig.prepared(options.only or ("service",)) as prepared:
        prepared.tidy()
        print(table(*measure(prepared, options.seconds)), f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
