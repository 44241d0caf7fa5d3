"""Failures that repeat do not fill the log."""

import asyncio
from typing import Any

import pytest

from resolvers.instance import reminders
from resolvers.instance.reminders import Reminder
from resolvers.kernel.admission.uses import Uses
from resolvers.live.tail import ChatTail


class Clock:
    """A clock that is set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(reminders, "time", made)
    return made


def test_the_first_failure_is_due_and_then_one_a_minute(clock: Clock) -> None:
    reminder, due = Reminder(), list[float]()
    for second in range(0, 150, 5):
        clock.now = 1000.0 + second
        if reminder.is_due():
            due.append(second)
    assert due == [0, 60, 120]
    assert Reminder().is_due()


def test_another_error_has_a_line_of_its_own(clock: Clock) -> None:
    reminder = Reminder()
    errors = [OSError("a"), OSError("b"), ValueError("c"), OSError("d")]
    assert [reminder.is_due(error) for error in errors] == [True, False, True, False]


def test_a_retry_every_second_has_a_line_a_minute(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: Any) -> None:
        raise OSError

    monkeypatch.setattr(Uses, "write", fails)
    uses, tail = Uses(), ChatTail((), (), lambda _: None, lambda: None, lambda _: None)
    for _ in range(61):
        asyncio.run(uses._try())
        tail._interrupted(TimeoutError())
        clock.now += 1
    tail._interrupted(RuntimeError())
    logged = capsys.readouterr().out
    lines = ("last uses not written", "live reader interrupted", "live reader failed")
    assert [logged.count(line) for line in lines] == [2, 2, 1]
