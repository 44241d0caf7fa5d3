"""Do all servers answer the same? `python -m bench.check [NAME,…]` asks each every case and compares with floor-rows.

What an answer has beyond the reference (the service's crews have more columns) is not looked at; what it lacks of
`NEEDED` is an error. Times are compared to the millisecond, which is all that JavaScript keeps.
"""

import re
import sys
from dataclasses import replace
from datetime import datetime
from typing import Any

from bench import rig
from bench.cases import CASES, Target, payload
from bench.dataset import AGENTS, CREWS, MEMBERS
from bench.implementations import BASE
from bench.load import Server
from bench.rig import Rig

NEEDED = {
    "A": {"id", "name", "slug", "description", "agents", "members", "created_at"},
    "B": {"id", "name", "slug", "description", "agents", "members", "created_at"},
    "C": {"id", "crew_id", "number", "identifier", "title", "description", "priority", "created_at"},
    "D": {"id", "name", "slug", "agents"},
    "E": {"id", "name", "slug"},
    "G": {"id", "name", "slug"},
    "U": {"id", "name", "slug", "description", "agents", "members", "created_at"},
}
OPEN = frozenset({"postgraphile"})  # checks no token
# the service answers null to the first in a list; the last counts the issues that this check has made
NOT_COMPARED = frozenset({"issue_prefix", "updated_at", "issue_counter"})


def check(prepared: Rig) -> None:
    """Raises on the first difference. Creates issues by each server that can."""
    base, target = prepared.servers[BASE], prepared.targets[0]
    outsider = next(other for other in prepared.targets if other.workspace != target.workspace)
    refused = (replace(target, token="crewship_cli_" + "0" * 64), replace(target, token=outsider.token))
    kinds = dict.fromkeys(case.kind for case in CASES)
    expected = {kind: _answer(base, kind, target) for kind in kinds}
    assert len(expected["A"]) == CREWS
    assert all(len(crew["agents"]) == AGENTS for crew in expected["D"])
    assert (expected["B"]["agents"], expected["B"]["members"]) == (AGENTS, MEMBERS)
    for name, server in prepared.servers.items():
        for kind in (kind for kind in kinds if kind in server.implementation.requests):
            if kind in "CU":
                _writes(server, kind, target, refused)
            if server is not base:
                _compare(f"{name}, case {kind}", expected[kind], _answer(server, kind, target), NEEDED[kind])
            if name not in OPEN:
                _refuses(server, kind, refused)
        print(f"{name}: the same answers to {', '.join(sorted(server.implementation.requests))}")


def _writes(server: Server, kind: str, target: Target, refused: tuple[Target, ...]) -> None:
    """One issue, or one update, is one audit row and one event; a refusal is none."""

    def counts() -> tuple[int, ...]:
        return tuple(server.cluster.count(server.implementation.database, table) for table in ("audit_logs", "events"))

    audits, events = counts()
    _answer(server, kind, target)
    _refuses(server, kind, refused)
    if counts() != (audits + 1, events + 1):
        raise RuntimeError(f"{server.implementation.name}, case {kind}: wrote other than one audit row and one event")


def _answer(server: Server, kind: str, target: Target) -> Any:
    status, body = server.ask(server.implementation.requests[kind](target), target.token)
    if status != (201 if kind == "C" else 200):
        raise RuntimeError(f"{server.implementation.name}, case {kind}: {status} {body[:500]!r}")
    answer = payload(kind, body)
    # its own in each database: what must hold is that the counter, the identifier and the crew belong together
    if kind == "C":
        assert re.fullmatch(r"c[0-9a-z]{24}", answer.pop("id")), answer
        assert abs((datetime.now().astimezone() - datetime.fromisoformat(answer["created_at"])).total_seconds()) < 60, (
            answer
        )
        assert answer["identifier"].endswith(f"-{answer['number']}"), answer
        answer |= {"id": "new", "created_at": "now", "number": 0, "identifier": "numbered"}
    return answer


def _refuses(server: Server, kind: str, refused: tuple[Target, ...]) -> None:
    for target in refused:
        status, body = server.ask(server.implementation.requests[kind](target), target.token)
        if status < 400 and b'"errors"' not in body:
            raise RuntimeError(
                f"{server.implementation.name}, case {kind}: answered {status} to somebody who is no member"
            )


def _compare(where: str, expected: Any, given: Any, needed: set[str]) -> None:
    if isinstance(expected, list):
        if len(expected) != len(given):
            raise RuntimeError(f"{where}: {len(given)} rows, not {len(expected)}")
        for one, other in zip(expected, given, strict=True):
            _compare(where, one, other, needed if needed <= one.keys() else set(one))
        return
    if missing := needed - given.keys():
        raise RuntimeError(f"{where}: no {', '.join(sorted(missing))}")
    for name in expected.keys() & given.keys() - NOT_COMPARED:
        one, other = expected[name], given[name]
        if isinstance(one, list) and one and isinstance(one[0], dict):
            _compare(f"{where}, {name}", one, other, set(one[0]))
        elif _comparable(name, one) != _comparable(name, other):
            raise RuntimeError(f"{where}: {name} is {other!r}, not {one!r}")


def _comparable(name: str, value: Any) -> Any:
    if name.endswith("_at") and isinstance(value, str) and value != "now":
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    return value


def main() -> None:
    with rig.prepared(sys.argv[1].split(",") if len(sys.argv) > 1 else None) as prepared:
        check(prepared)


if __name__ == "__main__":
    main()
