"""Hosts whose clocks are wrong by 30 s in either direction, while they are killed: nothing is lost or done twice."""

from pathlib import Path

import pytest

from tests.conftest import Database
from tests.faults.servers import HERE, Place
from tests.faults.test_clocks import FAKETIME
from tests.faults.test_kill_of_servers import under_kills

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KILLS = 4


def wrong(offset: str) -> Place:
    return Place({"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
async def test_hosts_with_clocks_a_minute_apart(database: Database, tmp_path: Path, anyio_backend: str) -> None:
    story = await under_kills(database, tmp_path, KILLS, [wrong("+30s"), HERE, wrong("-30s")])
    story.tell(KILLS)
    assert story.clients.lost > 0
    assert story.ends["COMPLETED"] > 0
