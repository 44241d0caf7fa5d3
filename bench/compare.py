"""Interleaved rounds: in each, every case is put to every server in a new order, so that all meet the same noise.

All servers stay up for the whole run; one is under load at a time.
"""

import os
import random
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields

from bench import product
from bench.cases import CASES, Case, Request
from bench.implementations import Service
from bench.load import Measurement, Server
from bench.rig import Rig

Results = dict[str, dict[str, list[Measurement]]]  # by case, then by implementation; one measurement a round
WARM_SECONDS = 1  # before each measurement: caches, JIT compilers and CPU clocks have seen another server since
FIRST_WARM_SECONDS = 3


def chosen(names: Sequence[str] | None) -> list[Case]:
    """The named cases; all by default."""
    if unknown := {*(names or ())} - {case.name for case in CASES}:
        raise SystemExit(f"No such case: {', '.join(sorted(unknown))}. There are: {', '.join(c.name for c in CASES)}")
    return [case for case in CASES if names is None or case.name in names]


def compare(prepared: Rig, rounds: int, seconds: int, cases: Sequence[Case] = CASES) -> Results:
    servers = prepared.servers.values()
    results: Results = {
        case.name: {s.implementation.name: [] for s in servers if case.kind in s.implementation.requests}
        for case in cases
    }
    for number in range(rounds):
        prepared.tidy()
        for case in cases:
            takers = [prepared.servers[name] for name in results[case.name]]
            random.shuffle(takers)
            for server in takers:
                server.measure(case, prepared.targets, WARM_SECONDS if number else FIRST_WARM_SECONDS)
                before = compiled(server)
                results[case.name][server.implementation.name].append(server.measure(case, prepared.targets, seconds))
                if compiled(server) != before:
                    raise RuntimeError(
                        f"{server.implementation.name}, case {case.name}:"
                        " statements were put together in the steady state"
                    )
        print(f"round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return results


def compiled(server: Server) -> float | None:
    """How many plans the service has compiled; None for servers that have none, or do not say."""
    if not isinstance(server.implementation, Service):
        return None
    _, body = server.ask(Request("GET", "/metrics"), product.METRICS_KEY)
    found = re.search(rb"^crewship_plans_compiled_total (\S+)", body, re.MULTILINE)
    return None if found is None else float(found.group(1))


def median(measurements: list[Measurement]) -> Measurement:
    """Field by field."""
    return Measurement(
        **{field.name: statistics.median(getattr(m, field.name) for m in measurements) for field in fields(Measurement)}
    )


def ratios(measurements: list[Measurement], base: list[Measurement]) -> list[float]:
    """Requests a second as a multiple of the base's in the same round."""
    return [mine.rps / its.rps for mine, its in zip(measurements, base, strict=True)]


def table(case: Case, results: Results, base: str) -> str:
    """In Markdown: medians over the rounds, the spread of the ratio, the base first."""
    measured = results[case.name]
    reference = median(measured[base])
    head = (
        "implementation",
        "rps",
        "ratio",
        "lowest-highest",
        "p50 ms",
        "p99 ms",
        "server µs",
        "x",
        "PostgreSQL µs",
        "RSS MB",
    )
    rows = []
    for name in sorted(measured, key=lambda name: -statistics.median(ratios(measured[name], measured[base]))):
        m, per_round = median(measured[name]), ratios(measured[name], measured[base])
        values = (
            f"{m.rps:.0f}",
            f"{statistics.median(per_round):.2f}",
            f"{min(per_round):.2f}-{max(per_round):.2f}",
            f"{m.p50:.2f}",
            f"{m.p99:.2f}",
        )
        costs = (
            f"{m.server_us:.0f}",
            f"{m.server_us / reference.server_us:.2f}",
            f"{m.postgres_us:.0f}",
            f"{m.rss_mb:.0f}",
        )
        rows.append((name, *values, *costs))
    return f"**{case.name}**: {case.title}, {case.connections} connections\n\n{markdown(head, rows)}"


def cpu_ratios(measurements: list[Measurement], base: list[Measurement]) -> list[float]:
    """CPU a request, of server and PostgreSQL together, as a multiple of the base's in the same round."""
    return [
        (mine.server_us + mine.postgres_us) / (its.server_us + its.postgres_us)
        for mine, its in zip(measurements, base, strict=True)
    ]


def summary(
    results: Results, base: str, of: Callable[[list[Measurement], list[Measurement]], list[float]] = ratios
) -> str:
    """Every implementation's median over the rounds, case by case."""
    names = list(dict.fromkeys(name for measured in results.values() for name in measured))
    rows = []
    for name in names:
        cells = [f"{statistics.median(of(m[name], m[base])):.2f}" if name in m else "-" for m in results.values()]
        rows.append((name, *cells))
    return markdown(("x " + base, *results), rows)


def markdown(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns padded, so that it reads as well in a terminal; all but the first to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: tuple[str, ...]) -> str:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join((first, *others))} |"

    rule = (
        "| "
        + " | ".join("-" * (width - 1) + ":" if column else "-" * width for column, width in enumerate(widths))
        + " |"
    )
    return "\n".join((line(head), rule, *map(line, rows)))
