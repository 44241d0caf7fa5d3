"""What row-level security costs, in rounds with and without it: `python -m bench.rls [--rounds N] [--seconds N]`."""

import statistics

from bench import rig
from bench.cases import CASES
from bench.check import check
from bench.compare import Results, compare, markdown, median, ratios
from bench.options import parse

WITH, WITHOUT = "service", "service-without-rls"


def table(results: Results) -> str:
    """`cost`: how much longer a request takes by the rate of answers, median of rounds; CPU columns in µs a request."""
    rows = []
    for case in (case for case in CASES if WITH in results.get(case.name, ())):
        on, off = results[case.name][WITH], results[case.name][WITHOUT]
        cost = statistics.median(1 / ratio - 1 for ratio in ratios(on, off))
        a, b = median(on), median(off)
        rows.append(
            (
                case.name,
                f"{cost:+.1%}",
                f"{a.server_us:.0f}",
                f"{b.server_us:.0f}",
                f"{a.postgres_us:.0f}",
                f"{b.postgres_us:.0f}",
            )
        )
    return markdown(("case", "cost", "server µs", "without", "PostgreSQL µs", "without"), rows)


def main() -> None:
    options = parse(__doc__)
    with rig.prepared((WITH, WITHOUT)) as prepared:
        check(prepared)
        print(table(compare(prepared, options.rounds, options.seconds)))


if __name__ == "__main__":
    main()
