"""The time of a process is its database's."""

import time

import pytest

from crewship.process.postgres import APPLICATION
from resolvers.instance.clock import APART, Clock
from resolvers.instance.running import instance
from runtime.engine.clocks import Ticker
from runtime.engine.dbos_tables import prepare_engine
from runtime.engine.liveness import Liveness
from tests.conftest import Database
from tests.every import each_of

pytestmark = pytest.mark.anyio


@each_of("ahead", [30.0, -30.0, 1.5, -1.5])
def test_a_clock_that_is_wrong_follows(ahead: float) -> None:
    clock = Clock(lambda: 1000.0 + ahead)
    assert clock.follow(1000.0, clock.source(), clock.source() + 0.02)
    assert abs(clock.seconds() - 1000.0) < 0.02
    assert clock.now().timestamp() == clock.seconds()
    assert not clock.follow(1000.3, clock.source(), clock.source()), "it does not shake"
    clock.source = lambda: 1000.2
    assert clock.follow(1000.0, 1000.2, 1000.2), "it was set right"
    assert clock.seconds() == 1000.2


@each_of("ahead", [0.0, APART, -APART])
def test_a_clock_that_is_right_is_left_alone(ahead: float) -> None:
    clock = Clock(lambda: 1000.0 + ahead)
    assert not clock.follow(1000.0, clock.source(), clock.source())
    assert clock.seconds() == 1000.0 + ahead


def test_an_answer_that_came_late_says_nothing_of_the_time() -> None:
    clock = Clock(lambda: 1000.0)
    assert not clock.follow(980.0, 1000.0, 1010.0)
    assert clock.seconds() == 1000.0


@pytest.mark.parametrize("ahead", [30.0, -30.0])
async def test_a_process_takes_the_time_of_its_database(
    database: Database, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    await prepare_engine(database.owner_url, APPLICATION)
    monkeypatch.setattr(instance, "clock", Clock(lambda: time.time() + ahead))
    liveness = Liveness(database.url, "here", [], Ticker((), "here"))
    await liveness._hold()
    assert abs(instance.clock.seconds() - time.time()) > 29
    await liveness._look()
    await liveness.leave()
    assert abs(instance.clock.seconds() - time.time()) < APART
