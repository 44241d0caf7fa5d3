"""Cron expressions."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.cron import next_run
from tests.rules.texts import anything

MONDAY = datetime(2026, 3, 2, 10, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "then"),
    [
        ("* * * * *", datetime(2026, 3, 2, 10, 31, tzinfo=UTC)),
        ("30 10 * * *", datetime(2026, 3, 3, 10, 30, tzinfo=UTC)),
        ("*/15 9-17 * * MON-FRI", datetime(2026, 3, 2, 10, 45, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
        ("  0  12  L  *  * ", datetime(2026, 3, 31, 12, tzinfo=UTC)),
    ],
)
def test_next_run(expression: str, then: datetime) -> None:
    assert next_run(expression, MONDAY) == then


def test_the_clock_of_an_expression_is_utc() -> None:
    there = MONDAY.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert next_run("0 11 * * *", there) == datetime(2026, 3, 2, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "daily",
        "@daily",
        "60 * * * *",
        "* * * *",
        "0 * * * * *",
        "0 0 30 2 *",
        "* * * * 8",
        "*/0 * * * *",
        f"{'9' * 5000} * * * *",
    ],
)
def test_no_next_run(expression: str) -> None:
    assert next_run(expression, MONDAY) is None


@given(
    anything
    | st.lists(st.text("0123456789*/,-L#W MONJA", min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join)
)
def test_total(text: str) -> None:
    then = next_run(text, MONDAY)
    assert then is None or then > MONDAY
