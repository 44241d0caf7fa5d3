"""Constants stand in the text of a statement, and mean there what they mean in Python, whatever they hold."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from models.staff.runs import RunStatus
from resolvers.kernel.ground.constants import constant, interval, quoted
from resolvers.kernel.store.database import DIALECT
from tests.world import World

pytestmark = pytest.mark.anyio
HOSTILE = ["'; DROP TABLE crews; --", "\\'; SELECT 1", "a''b", "$1", "%(x)s", ":name", "é…", "\\", "\n\r\t", "E'\\x41'"]


class Hostile(StrEnum):
    quote = "it's"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        (True, "true"),
        (0, "0"),
        (-1.5, "-1.5"),
        (RunStatus.RUNNING, "'RUNNING'"),
        (Hostile.quote, "'it''s'"),
        ("\\", "E'\\\\'"),
        ([], "'[]'::jsonb"),
        ({"a": "it's"}, "'{\"a\": \"it''s\"}'::jsonb"),
        (datetime(1970, 1, 1, tzinfo=UTC), "timestamptz '1970-01-01 00:00:00+00'"),
        (timedelta(days=1), "interval '86400 seconds'"),
    ],
)
def test_a_constant_is_quoted(value: Any, text: str) -> None:
    assert quoted(value) == text


@pytest.mark.parametrize(
    "value", [object(), float("nan"), float("inf"), "\0", datetime(1970, 1, 1), b"x", Decimal(1), (1,)]
)
def test_what_has_no_one_text_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        constant(value)


@pytest.mark.parametrize("type_", ["text; DROP TABLE crews", "Text", "", "'", "text)"])
def test_a_type_is_a_name(type_: str) -> None:
    with pytest.raises(TypeError):
        constant("", as_=type_)


def test_a_length_of_time_has_one_unit() -> None:
    assert str(interval(hours=24)) == "interval '24 hours'"
    for wrong in ({"weeks": 1}, {"days; --": 1}, {"days": 1, "hours": 1}, {}):
        with pytest.raises((TypeError, ValueError)):
            interval(**wrong)
    with pytest.raises(ValueError, match="format code"):
        interval(days="1'; --")  # type: ignore[arg-type]


def test_a_constant_is_no_parameter() -> None:
    made = select(constant("it's"), constant(RunStatus.RUNNING), constant(1)).compile(dialect=DIALECT)
    assert str(made).split() == ["SELECT", "'it''s',", "'RUNNING',", "1"]
    assert made.params == {}


async def _read(world: World, value: Any, as_: str | None) -> Any:
    row = await world.database.fetchrow(f"SELECT {constant(value, as_=as_)} AS value")
    return row["value"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_texts_are_texts(world: World, text: str) -> None:
    assert await _read(world, text, "text") == text
    assert await world.database.fetchval(f"SELECT {constant({'a': text})} ->> 'a'") == text
    for standard in ("on", "off"):
        async with world.database.transaction():
            await world.database.execute(f"SET LOCAL standard_conforming_strings = {standard}")
            assert await world.database.fetchval(f"SELECT {constant(text, as_='text')}") == text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40))
async def test_any_text_is_itself(world: World, text: str) -> None:
    assert await _read(world, text, "text") == text


async def test_times_mean_the_same(world: World) -> None:
    at = datetime(2024, 2, 29, 23, 59, 58, 123456, tzinfo=UTC)
    assert await _read(world, at, None) == at
    assert await _read(world, timedelta(days=2, seconds=3), None) == timedelta(days=2, seconds=3)
    assert await world.database.fetchval(f"SELECT {interval(days=7)}") == timedelta(days=7)
