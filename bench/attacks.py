"""What one attacker can do to a service as it comes: `python -m bench.attacks [--before CHECKOUT] [--only WORD,…]`;
writes bench/attacks.md.

Each attack meets a service that has just been started, while another process watches it. With `--before`, the same is
done to another checkout, which has an environment of its own in `.venv`; there an attack is given up after half a
minute. Exits with 1 when anything cost more than its bounds.
"""

import argparse
import datetime
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import environment
from bench.attack_cases import ATTACKS, Attack, Bounds, Outcome
from bench.compare import markdown
from bench.environment import CHECKOUT, HERE, LOGS
from bench.instance import Instance
from bench.watch import Seen, Watch

BEFORE_SECONDS, SECONDS = 30.0, 120.0
NOTE = """Written by `make attacks`. A stall is the longest time in which a newcomer's GET /healthz had no answer,
asked every 10 ms by another process; memory is the growth at its peak, of the process that serves and of all of
PostgreSQL's. Default settings, limits included, but for those the attack names; kB are of all answers together. The
first line is a service that is left alone: what the machine itself does. An attack begins when GraphQL answers, a
second after the start; within that second the stalls of the connections' attacks are up to twice as long."""


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    seconds: float
    seen: Seen

    def beyond(self, most: Bounds) -> list[str]:
        """What cost more than it may."""
        limits = {
            "stall": (self.seen.stall, most.stall),
            "answer": (self.outcome.answered, most.answered),
            "memory of the service": (self.seen.service, most.service),
            "memory of PostgreSQL": (self.seen.backends, most.backends),
        }
        return [
            f"{name}: {found:,.6g} instead of at most {limit:,.6g}"
            for name, (found, limit) in limits.items()
            if found > limit
        ]


Results = list[tuple[Attack, list[Result]]]


@contextmanager
def started(at: Instance, attack: Attack) -> Iterator[Watch]:
    at.start(attack.settings, attack.descriptors)
    try:
        at.ask("GET", "/readyz")
        at.graphql("{ __typename }")  # which is made when the service listens already
        yield Watch(at.port, at.pid)
    finally:
        at.stop()


def carry_out(attack: Attack, at: Instance) -> Result:
    with started(at, attack) as watch:
        began = time.monotonic()
        outcome = attack.run(at)
        seconds = time.monotonic() - began
        if at.hurry < 0:
            at.stop(at_once=True)  # else the one who watches waits for an answer that may take minutes
        return Result(outcome, seconds, watch.end())


def cells(result: Result | None) -> tuple[str, ...]:
    if result is None:
        return ("",) * 6
    told, seen = result.outcome, result.seen
    sizes = (f"{told.answered / 1000:,.1f}", f"{seen.service / 2**20:,.0f}", f"{seen.backends / 2**20:,.0f}")
    return (told.told, f"{result.seconds:.2f}", sizes[0], f"{seen.stall * 1000:,.0f}", *sizes[1:])


MEASURES = ("answers", "s", "kB", "stall ms", "MB", "PostgreSQL MB")


def table(results: Results) -> str:
    """A line for each attack, or a pair of lines where there is a before."""
    rows = []
    for attack, measured in results:
        names = ["before", "now"][-len(measured) :]
        for name, result in zip(names, measured, strict=True):
            first = name == names[0]
            rows.append((attack.name if first else "", attack.who if first else "", name, *cells(result)))
    return markdown(("attack", "who", "", *MEASURES), rows)


def report(results: Results, load: list[float]) -> str:
    machine = f"{datetime.date.today()}. {environment.machine()}; shared by the service, PostgreSQL and the attackers."
    facts = ["# Attacks", NOTE, f"{machine} Load average {load[0]:.1f} at first, {load[1]:.1f} at last."]
    if any(len(measured) == 2 for _, measured in results):
        facts.append(
            f"Before: given up after {BEFORE_SECONDS:.0f} s"
            " (`none`: there was no answer until then), and with two long texts instead of five."
        )
    return "\n\n".join([*facts, table(results)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=lambda text: Path(text).resolve(), metavar="CHECKOUT")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[""],
        metavar="WORD,…",
        help="attacks with one of these words in their names",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that the services are stopped on the way out
    LOGS.mkdir(parents=True, exist_ok=True)
    instances = [Instance("now", CHECKOUT, Path(sys.executable), patience=60, limit=SECONDS)]
    if options.before:
        python = options.before / ".venv" / "bin" / "python"
        instances.insert(0, Instance("before", options.before, python, patience=BEFORE_SECONDS, limit=BEFORE_SECONDS))
    for instance in instances:
        instance.populate()
    chosen = [attack for attack in ATTACKS if any(word in attack.name for word in options.only)]
    failures, load, written = list[str](), [os.getloadavg()[0]], ""
    results: Results = []
    for attack in chosen:
        measured = [carry_out(attack, instance) for instance in instances]
        results.append((attack, measured))
        failures += [f"{attack.name}: {beyond}" for beyond in measured[-1].beyond(attack.most)]
        print(
            f"{attack.name}: {' | '.join(' '.join(cells(result)) for result in measured)}", file=sys.stderr, flush=True
        )
        written = report(results, [*load, os.getloadavg()[0]])
        if options.only == [""]:
            (HERE / "attacks.md").write_text(written)
    print(written)
    if failures:
        raise SystemExit("Beyond the bounds:\n" + "\n".join(failures))


if __name__ == "__main__":
    main()
