"""`python -m bench`: comparison, starts and cost of row-level security; prints tables and writes bench/results.md."""

import datetime
import os

from bench import environment, fanout, fresh, ready, rig, rls, runs
from bench.check import check
from bench.compare import chosen, compare, cpu_ratios, summary, table
from bench.environment import HERE
from bench.implementations import BASE, POOL_SIZE
from bench.options import parse
from bench.postgres import SETTINGS


def main() -> None:
    options = parse(__doc__)
    implementations, cases = rig.chosen(options.only), chosen(options.cases)
    sections = []
    load = [os.getloadavg()[0]]
    with rig.prepared(options.only) as prepared:
        check(prepared)
        results = compare(prepared, options.rounds, options.seconds, cases)
        sections += [
            "## Requests a second",
            summary(results, BASE),
            "## CPU a request, server and PostgreSQL",
            summary(results, BASE, cpu_ratios),
            "## Cases",
            *(table(case, results, BASE) for case in cases),
        ]
        if rls.WITHOUT in prepared.servers:
            sections += ["## Cost of row-level security", rls.table(results)]
        if rls.WITH in prepared.servers and options.cases is None:
            sections += ["## Lists on a fresh database", fresh.table(*fresh.measure(prepared, options.seconds))]
            sections += ["## Start of the service", ready.table(ready.measure(prepared.cluster))]
            sections += [
                f"## Fan-out: one event to {fanout.LISTENERS} sockets (F)",
                fanout.table(fanout.measure(prepared.cluster, prepared.targets[0])),
            ]
            sections += ["## Agents' work", runs.table(runs.measure(prepared.cluster, prepared.targets))]
    load.append(os.getloadavg()[0])
    settings = ", ".join(f"{name} {value}" for name, value in SETTINGS.items() if value)
    versions = environment.versions(**rig.installed(implementations))
    facts = [
        f"{datetime.date.today()}. {environment.machine()}; shared by the server, PostgreSQL and the load.",
        (
            f"{options.rounds} rounds of {options.seconds} s."
            f" Load average {load[0]:.1f} before the run, {load[1]:.1f} after."
        ),
        f"PostgreSQL through a unix socket, pools of {POOL_SIZE} connections; {settings}.",
        f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}.",
    ]
    note = "Written by `make bench`; README.md says what the columns mean. Only the ratios of one run can be compared."
    report = "\n\n".join(("# Results", note, *facts, *sections)) + "\n"
    if options.only is None and options.cases is None:
        (HERE / "results.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
