"""No request holds the event loop: every server that a test starts is watched, and a test in which one stalls fails.

The watchdogs of all these servers, in this process or another one, write what they see to one file.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

LIMIT = 0.05
"""Seconds of the processor for which one turn of a server may hold its loop: what in production is worth a warning.

Full rounds of the garbage collector are not counted: they look at everything that this process keeps, which in tests is
more than a server's.
"""

VARIABLE = "CREWSHIP_STALLS_FILE"
STARTING = ("create_app", "opened")
"""The start of a server, whose answers are not awaited yet; in tests others share the loop."""
OF_TESTS = frozenset({"tests", "anyio"})
"""The beginnings of turns that belong to the test: its computations between two requests delay no client."""


_read: dict[Path, int] = {}  # how much of each file


def recording(*, fresh: bool = False) -> Path:
    """The file of this process and those it starts; `fresh`: processes that run tests side by side have one each."""
    if fresh or VARIABLE not in os.environ:
        made, name = tempfile.mkstemp(prefix="stalls-")
        os.close(made)
        os.environ[VARIABLE] = name
    return Path(os.environ[VARIABLE])


def counts(stall: dict[str, Any]) -> bool:
    if stall["seconds"] - stall["collector"] <= LIMIT:
        return False
    if any(place.rpartition(" ")[2] in STARTING for place in stall["stack"]):
        return False
    return bool(stall["operation"]) or stall["root"].partition(".")[0] not in OF_TESTS


def unread() -> list[dict[str, Any]]:
    """The records since the last call. A server reports a stall a moment later: then the next test fails."""
    file = recording()
    with file.open("rb") as written:
        written.seek(_read.get(file, 0))
        stalls = [orjson.loads(line) for line in written]
        _read[file] = written.tell()
    return stalls


@pytest.fixture(autouse=True)
def no_stalls(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    stalls = [stall for stall in unread() if counts(stall)]
    if stalls:
        lines = [
            f"{s['seconds'] * 1000:.0f} ms in {s['operation'] or 'no operation'}"
            f" (from {s['root']}): {'; '.join(s['stack'])}"
            for s in stalls
        ]
        pytest.fail("a server under test held its event loop:\n" + "\n".join(lines), pytrace=False)
