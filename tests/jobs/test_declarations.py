"""What cannot be declared, and what the engine's library has to look like for what stands on it."""

import re
from collections.abc import Iterator

import asyncpg
import pytest

from models.bounds import ID, LINE
from models.migrations.sql import texts
from resolvers.kernel.declarations.jobs import JOBS, LONGEST_ID, ROUND, Job, Rate, Turn, job
from resolvers.kernel.ground.inputs import Id, Input, Text
from runtime.engine import dbos_tables
from runtime.engine.background import CARRIED, carried, carries
from runtime.engine.clocks import Ticker, ticking
from runtime.engine.dbos_tables import TABLES_VERSION
from tests.architecture.source import name_of, python_files, strings
from tests.jobs.yard import Of, Yard, plain, serial, unique

pytestmark = pytest.mark.anyio


class Said(Input):
    text: Text


class Many(Input):
    one: Id
    two: Id


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    jobs, bodies = dict(JOBS), dict(CARRIED)
    yield
    for registry, before in ((JOBS, jobs), (CARRIED, bodies)):
        registry.clear()  # type: ignore[attr-defined]
        registry.update(before)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("declared", "fault"),
    [
        ({"name": "odd"}, "domain.what_it_does"),
        ({"input": Said}, "text is no Id"),
        ({"unique": "{other}"}, "no field other"),
        ({"serial": True}, "needs `unique`"),
        ({"serial": True, "unique": "{thing_id}", "fair": True}, "or of a workspace"),
        ({"fair": True, "everywhere": 3}, "wait for each other"),
        ({"fair": True, "rate": Rate(1, 1.0)}, "wait for each other"),
        ({"fair": True, "of_instance": True}, "has no workspace"),
    ],
)
def test_what_cannot_be_declared(declared: dict[str, object], fault: str) -> None:
    with pytest.raises(TypeError, match=fault):
        job(**({"name": "tests.odd", "input": Of} | declared))  # type: ignore[arg-type]
    assert "tests.odd" not in JOBS


def test_a_name_is_given_once() -> None:
    made = job("tests.odd", Of)
    with pytest.raises(RuntimeError, match="two jobs"):
        job("tests.odd", Of)
    carries(made)(None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="two bodies"):
        carries(made)(None)  # type: ignore[arg-type]


def test_a_job_without_a_body_is_found_at_start() -> None:
    assert {each.job.name for each in carried()} == set(JOBS)
    job("tests.odd", Of)
    with pytest.raises(RuntimeError, match=r"tests\.odd"):
        carried()


def test_an_input_that_does_not_fit_is_an_error_of_ours() -> None:
    for ids in ({}, {"thing_id": "x", "other": "y"}, {"thing_id": "x" * (ID + 1)}, {"thing_id": 3}):
        with pytest.raises((TypeError, ValueError)):
            plain.queued("w", ids)


def test_an_id_fits_however_long_its_parts_are() -> None:
    from datetime import UTC, datetime

    many: Job[Many] = Job("tests.many", Many)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    short, long = {"one": "a", "two": "b"}, {"one": "a" * ID, "two": "b" * ID}
    assert many.queued("w", short, at).id == many.queued("w", short, at).id == "tests.many:w:a:b:1893456000000"
    assert many.queued("w", short).id != many.queued("w", short).id
    for ids in (short, long):
        first = many.queued("w" * ID, ids, at)
        assert len(first.id) <= LONGEST_ID
        assert first.id != many.queued("v" * ID, ids, at).id
        following = many.queued("w" * ID, ids, at, Turn(first.id, 99999, 25))
        assert len(following.id) <= 3 * LINE
        assert following.id.removesuffix(ROUND.format(round=99999, attempt=25)) == first.id


def test_a_key_is_of_one_workspace() -> None:
    assert unique.queued("one", {"thing_id": "x"}).uniq != unique.queued("two", {"thing_id": "x"}).uniq
    assert serial.queued("one", {"thing_id": "x"}).part == serial.queued("one", {"thing_id": "x"}).uniq


def test_the_version_of_the_tables() -> None:
    """Of the library that is installed: else each start would load it to upgrade them, or none would."""
    from dbos._migration import get_dbos_migrations

    assert len(get_dbos_migrations("dbos", True, False)) == TABLES_VERSION


USED = {
    "workflow_status": {
        "workflow_uuid", "status", "name", "queue_name", "deduplication_id", "executor_id", "owner_xid",
        "started_at_epoch_ms", "completed_at",
        "created_at", "delay_until_epoch_ms", "authenticated_user", "queue_partition_key", "application_version",
        "recovery_attempts", "application_name", "updated_at", "priority", "serialization",
    },
    "workflow_input": {"workflow_uuid", "inputs", "retention_timestamp"},
    "workflow_output": {"workflow_uuid", "output", "retention_timestamp"},
    "operation_outputs": {
        "workflow_uuid", "function_id", "function_name", "output", "started_at_epoch_ms", "completed_at_epoch_ms",
        "serialization", "application_name", "retention_timestamp",
    },
    "queues": {"name"},
    "dbos_migrations": {"version"},
}  # fmt: skip
GIVEN = ["workflow_name", "queue_name", "positional_args", "workflow_id", "app_version", "deduplication_id",
    "queue_partition_key", "authenticated_user",
         "delay_until_epoch_ms", "application_name"]  # fmt: skip


STATEMENTS = (
    "BEGIN", "MARK", "WIND", "SOONER", "UNWIND", "TICKS", "END", "HOLD", "HAND_OVER", "HAND_BACK", "HAND_BACK_LOST",
    "FORGET", "FORGET_STEPS", "RECORD", "RECORDED", "CANCEL", "FORGET_QUEUES",
)  # fmt: skip


async def test_the_tables_and_the_function_are_as_they_are_used(yard: Yard) -> None:
    owner = yard.estate.owner
    for table, columns in USED.items():
        found = await owner.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'dbos' AND table_name = $1", table
        )
        assert columns <= {row[0] for row in found}, table
    arguments = await owner.fetchval(
        "SELECT proargnames FROM pg_proc WHERE pronamespace = 'dbos'::regnamespace AND proname = 'enqueue_workflow'"
    )
    assert set(GIVEN) <= set(arguments)
    key = await owner.fetchval(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'dbos' AND indexname = 'uq_workflow_status_dedup_id'"
    )
    assert "UNIQUE" in key
    assert "(queue_name, deduplication_id)" in key


async def test_every_statement_is_one_of_these_tables(yard: Yard) -> None:
    """As the application's role."""
    conn = await asyncpg.connect(yard.estate.settings.database_url.get_secret_value())  # type: ignore[union-attr]
    try:
        for name in STATEMENTS:
            await conn.prepare(getattr(dbos_tables, name))
        conditions = Ticker(ticking(), "here").conditions
        assert len(conditions) > 5
        for made in (dbos_tables.look, dbos_tables.claim, dbos_tables.state):
            for given in (dbos_tables.NONE, conditions):
                await conn.prepare(made(given))
    finally:
        await conn.close()


def test_nothing_else_names_the_tables() -> None:
    sql = [
        (name_of(path), text)
        for path in python_files("resolvers", "runtime", "crewship", "models")
        for text in strings(path)
    ]
    assert {name for name, text in sql if re.search(r"\bdbos\.|\bworkflow_status\b", text)} == {
        "runtime/engine/dbos_tables.py",
    }
    assert {subject for subject, text in texts().items() if "dbos." in text} == {"jobs"}
