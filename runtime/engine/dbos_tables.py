"""DBOS's tables: their creation and rights, and all our statements on them. The library's private names that we use are
here, too.

Bound to the library's minor version (`dbos>=3.4,<3.5`); a test checks the columns, functions and calls used here.

See ADR 133.
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from models.address import Address
from models.connections import open_connection
from models.unmapped import SESSIONS, unmapped
from resolvers.instance.telemetry import log
from resolvers.kernel.declarations.jobs import INSTANCE
from resolvers.kernel.ground.silence import IDLE, INTERVAL, LIBPQ, PROBES, STATEMENT

SCHEMA = "dbos"
APPLICATION = "crewship"
RELEASE = "1"  # of the application; left alone it is a hash of the code, and a deployment would strand older runs
RUN = "run"  # the name of the workflow of a run
WORKER = "worker:"  # a process's queue, in which runs are that it resumes
TABLES_VERSION = 125  # of this minor version of the library
QUEUE = "job:"
CLOCK = "clock:"  # a clock is one row, of a queue of its own
# The library ignores rows of other applications: otherwise it would move ticks that are due, and repeat the ticks of a
# process in which it is launched.
CLOCKS_APPLICATION = "crewship-clocks"
ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
FAILED = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

FOUND = f"SELECT to_regclass('{SCHEMA}.dbos_migrations') IS NOT NULL"
VERSION = f"SELECT coalesce(max(version), 0) FROM {SCHEMA}.dbos_migrations"
RIGHTS = f"""
    SELECT has_schema_privilege($1, '{SCHEMA}', 'USAGE') AND bool_and(
        has_table_privilege($1, oid, 'SELECT') AND NOT has_table_privilege($1, oid, 'TRUNCATE, REFERENCES, TRIGGER')
        AND has_table_privilege($1, oid, 'INSERT') = (relname <> 'dbos_migrations')
    )
    FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'p', 'v')
"""
# In one transaction: a process at work never sees the role without its rights. Earlier releases let the library grant,
# on tables to come as well.
GRANTS = """
    REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {role};
    ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} REVOKE ALL ON TABLES FROM {role};
    GRANT USAGE ON SCHEMA {schema} TO {role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role};
    REVOKE INSERT, UPDATE, DELETE ON {schema}.dbos_migrations FROM {role};
    GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role};
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {role};
"""


async def prepare_engine(owner_dsn: str, application_role: str | None) -> None:
    """Makes or upgrades DBOS's tables as the owner of ours, and lets the application's role (None: the owner) use rows.

    The library is loaded only to upgrade: that takes a second and a half, a look a few milliseconds.
    """
    connection = await open_connection(owner_dsn)
    try:
        if not await connection.fetchval(FOUND) or await connection.fetchval(VERSION) < TABLES_VERSION:
            await asyncio.to_thread(_migrate, owner_dsn)
        if application_role is not None and not await connection.fetchval(RIGHTS, application_role):
            quoted = await connection.fetchval("SELECT quote_ident($1)", application_role)
            await connection.execute(GRANTS.format(schema=SCHEMA, role=quoted))
    finally:
        await connection.close()


def load_library() -> Any:
    """Imports DBOS, 0.3 s and 15 MB, without its support for databases of applications and for YAML files."""
    with unmapped(SESSIONS, "yaml"):
        import dbos
    return dbos


def _migrate(owner_dsn: str) -> None:
    load_library().DBOS.migrate(url_of(owner_dsn), schema=SCHEMA)


def url_of(dsn: str) -> str:
    """As SQLAlchemy reads it, which hands it on to libpq."""
    address = Address.read(dsn)
    return replace(address, parameters=LIBPQ | dict(address.parameters)).libpq


# ---- one job that runs here: $1 its id, $2 this process --------------------------------------------------------------

# From here on another one with its key may wait. A command that found the key taken holds the row until its own change
# is committed: so the job, which waits for that here, sees the change.
BEGIN = f"""
    WITH mine AS (
        UPDATE {SCHEMA}.workflow_status SET deduplication_id = NULL
        WHERE workflow_uuid = $1 AND status = 'PENDING' AND executor_id = $2 RETURNING 1
    )
    SELECT EXISTS (SELECT FROM mine)
        AND ($3 = '{INSTANCE}' OR EXISTS (SELECT FROM workspaces WHERE id = $3 AND deleted_at IS NULL)) AS live,
        ARRAY(SELECT step FROM job_steps WHERE root = $4 AND workspace_id = $3) AS steps
"""
# The first statement of a step's transaction. Nothing live: cancelled, another process's job, or without a workspace.
MARK = f"""
    WITH live AS (
        SELECT FROM {SCHEMA}.workflow_status AS job
        JOIN workspaces AS place ON place.id = $3 AND place.deleted_at IS NULL
        WHERE job.workflow_uuid = $1 AND job.status = 'PENDING' AND job.executor_id = $2 FOR KEY SHARE OF job
    ),
    marked AS (
        INSERT INTO job_steps (root, step, workspace_id) SELECT $4, $5, $3 FROM live ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT EXISTS (SELECT FROM live) AS live, EXISTS (SELECT FROM marked) AS fresh
"""
# The same for a job of the instance, whose steps have no marks.
HOLDS = f"""
    WITH live AS (
        SELECT FROM {SCHEMA}.workflow_status WHERE workflow_uuid = $1 AND status = 'PENDING' AND executor_id = $2
        FOR KEY SHARE
    )
    SELECT EXISTS (SELECT FROM live) AS live, true AS fresh
"""

# ---- clocks ----------------------------------------------------------------------------------------------------------

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# $1: the clocks that there are, by name.
WIND = f"""
    SELECT {SCHEMA}.enqueue_workflow(
        name, '{CLOCK}' || name, workflow_id => '{CLOCK}' || name, application_name => '{CLOCKS_APPLICATION}'
    )
    FROM unnest($1::text[]) AS name
    WHERE NOT EXISTS (SELECT FROM {SCHEMA}.workflow_status WHERE workflow_uuid = '{CLOCK}' || name)
"""
# $1, $2: ids of clocks, and milliseconds from one tick to the next.
SOONER = f"""
    UPDATE {SCHEMA}.workflow_status SET delay_until_epoch_ms = {_NOW} + ms
    FROM unnest($1::text[], $2::bigint[]) AS clock (id, ms)
    WHERE workflow_uuid = clock.id AND status = 'DELAYED' AND delay_until_epoch_ms > {_NOW} + ms
"""
# What no process of any release has carried out for a week. $1: the ids of the clocks that there are.
UNWIND = f"""
    WITH gone AS (
        DELETE FROM {SCHEMA}.workflow_status WHERE queue_name LIKE '{CLOCK}%' AND workflow_uuid <> ALL ($1::text[])
            AND status IN ('ENQUEUED', 'DELAYED') AND delay_until_epoch_ms < {_NOW} - 7 * 86400000
        RETURNING workflow_uuid AS id
    )
    DELETE FROM {SCHEMA}.workflow_input USING gone WHERE workflow_uuid = gone.id
"""
RESTS = 3600  # seconds after which a clock that has nothing to do ticks all the same
Conditions = Mapping[str, str]
"""SQL conditions of clocks that tick only if there is something to do, by id."""
NONE: Conditions = MappingProxyType({})


def _needed(conditions: Conditions) -> str:
    """True if a clock has something to do. An interrupted tick is repeated in any case."""
    if not conditions:
        return "true"
    cases = " ".join(f"WHEN '{id}' THEN {condition}" for id, condition in conditions.items())
    return (
        f"(status = 'ENQUEUED' OR delay_until_epoch_ms <= {_NOW} - {RESTS * 1000}"
        f" OR CASE workflow_uuid {cases} ELSE true END)"
    )


def _due(conditions: Conditions) -> str:
    """ENQUEUED is an interrupted tick, or the first one. After three interrupted attempts it waits for its next time,
    so that a tick that kills processes does not kill one after the other.
    """
    return (
        f"status IN ('ENQUEUED', 'DELAYED') AND (delay_until_epoch_ms <= {_NOW}"
        f" OR status = 'ENQUEUED' AND recovery_attempts < 3) AND {_needed(conditions)}"
    )


def claim(conditions: Conditions = NONE) -> str:
    """$1: this process; $2, $3: as for SOONER."""
    return f"""
    WITH due AS MATERIALIZED (
        SELECT workflow_uuid AS id FROM {SCHEMA}.workflow_status
        WHERE workflow_uuid = ANY ($2::text[]) AND {_due(conditions)}
        FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE {SCHEMA}.workflow_status SET status = 'PENDING', executor_id = $1, started_at_epoch_ms = {_NOW},
        delay_until_epoch_ms = {_NOW} + ms, recovery_attempts = recovery_attempts + 1
    FROM due JOIN unnest($2::text[], $3::bigint[]) AS clock (id, ms) USING (id) WHERE workflow_uuid = id
    RETURNING workflow_uuid
    """


# $1: the id of a clock, $2: this process. A row, as long as the tick is this process's.
TICKS = f"""
    SELECT 1 FROM {SCHEMA}.workflow_status WHERE workflow_uuid = $1 AND status = 'PENDING' AND executor_id = $2
    FOR KEY SHARE
"""
END = f"""
    UPDATE {SCHEMA}.workflow_status SET status = 'DELAYED', executor_id = NULL, started_at_epoch_ms = NULL,
        recovery_attempts = 0
    WHERE workflow_uuid = $1 AND status = 'PENDING' AND executor_id = $2
"""

# ---- jobs and ticks of processes that are gone -----------------------------------------------------------------------

# A process that waits for its own lock waits until PostgreSQL notices that the previous session is gone: soon.
SESSION = f"""
    SET statement_timeout = '{STATEMENT}s'; SET tcp_keepalives_idle = {IDLE};
    SET tcp_keepalives_interval = {INTERVAL}; SET tcp_keepalives_count = {PROBES}
"""
HOLD = "SELECT pg_advisory_lock(hashtextextended($1, 7))"
# shared: those who look do not stand in each other's way
_GONE = "pg_try_advisory_xact_lock_shared(hashtextextended(id, 7))"
_HELD = f"status = 'PENDING' AND (queue_name LIKE '{QUEUE}%' OR queue_name LIKE '{CLOCK}%')"
_WAITS_AGAIN = f"""
    UPDATE {SCHEMA}.workflow_status SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL
    WHERE {_HELD}
"""
HAND_OVER = (
    "WITH dead AS MATERIALIZED (SELECT id FROM unnest($1::text[]) AS id"
    f" WHERE {_GONE}) {_WAITS_AGAIN} AND executor_id IN (SELECT id FROM dead)"
)
HAND_BACK = f"{_WAITS_AGAIN} AND executor_id = $1"
HAND_BACK_LOST = f"{HAND_BACK} AND workflow_uuid = ANY ($2::text[])"

# ---- all jobs --------------------------------------------------------------------------------------------------------

# A portion of what ended before $2; nothing but the status has a foreign key.
FORGET = f"""
    WITH old AS MATERIALIZED (
        SELECT workflow_uuid AS id FROM {SCHEMA}.workflow_status
        WHERE name = $1 AND status IN {ENDED} AND completed_at < $2 LIMIT $3
    ),
    inputs AS (DELETE FROM {SCHEMA}.workflow_input USING old WHERE workflow_uuid = old.id),
    outputs AS (DELETE FROM {SCHEMA}.workflow_output USING old WHERE workflow_uuid = old.id),
    steps AS (DELETE FROM {SCHEMA}.operation_outputs USING old WHERE workflow_uuid = old.id),
    gone AS (DELETE FROM {SCHEMA}.workflow_status USING old WHERE workflow_uuid = old.id)
    SELECT count(*) FROM old
"""
# What a job has done is known for as long as a job of the same root may go on with it, however long that has waited.
FORGET_STEPS = f"""
    WITH live AS MATERIALIZED (
        SELECT DISTINCT regexp_replace(workflow_uuid, '~[0-9]+[.][0-9]+$', '') AS root FROM {SCHEMA}.workflow_status
        WHERE queue_name LIKE '{QUEUE}%' AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')
    )
    DELETE FROM job_steps WHERE created_at < now() - make_interval(secs => $1)
        AND NOT EXISTS (SELECT FROM live WHERE live.root = job_steps.root)
"""
_AGE = f"(max({_NOW} - greatest(created_at, coalesce(delay_until_epoch_ms, 0))) / 1000.0)::float8 AS age"


def state(conditions: Conditions = NONE) -> str:
    """$1: the names of jobs. A tick that is due stays DELAYED until a process claims it."""
    return f"""
    SELECT name, status, count(*)::int, {_AGE}
    FROM {SCHEMA}.workflow_status WHERE status IN ('ENQUEUED', 'PENDING') AND queue_name LIKE '{QUEUE}%' GROUP BY 1, 2
    UNION ALL
    SELECT name, status, count(*)::int, 0 FROM {SCHEMA}.workflow_status
    WHERE status = 'DELAYED' AND queue_name LIKE '{QUEUE}%' GROUP BY 1, 2
    UNION ALL
    SELECT name, CASE WHEN status = 'DELAYED' AND delay_until_epoch_ms <= {_NOW} AND {_needed(conditions)}
        THEN 'ENQUEUED' ELSE status END, count(*)::int, {_AGE}
    FROM {SCHEMA}.workflow_status
    WHERE status IN ('ENQUEUED', 'PENDING', 'DELAYED') AND queue_name LIKE '{CLOCK}%' GROUP BY 1, 2
    UNION ALL
    SELECT name, status, count(*)::int, 0 FROM {SCHEMA}.workflow_status
    WHERE status IN {FAILED} AND name = ANY ($1::text[]) GROUP BY 1, 2
    """


# ---- the look of a process ------------------------------------------------------------------------------------------


def look(conditions: Conditions = NONE) -> str:
    """Everything that a process needs to know without notifications. $1: this process; $2: the ids of its work; $3: the
    ids of clocks without a tick here; $4: the names of its jobs.

    `dead`: processes that hold jobs but no lock. `lost`: work that this process holds by the record alone. `ticks`:
    whether a clock is due. `jobs`: the names of jobs that could begin. `next`: milliseconds until the next timer ends.
    `at`: the time (Unix seconds).
    """
    now = "(extract(epoch FROM now()) * 1000)::bigint"  # the same for all rows: an index finds those before it
    ripe = f"status = 'DELAYED' AND delay_until_epoch_ms <= {now} AND queue_name = '{QUEUE}' || name"
    return f"""
    WITH held AS MATERIALIZED (
        SELECT DISTINCT executor_id AS id FROM {SCHEMA}.workflow_status WHERE {_HELD} AND executor_id <> $1
    )
    SELECT ARRAY(SELECT id FROM held WHERE {_GONE}) AS dead,
        ARRAY(
            SELECT workflow_uuid FROM {SCHEMA}.workflow_status
            WHERE {_HELD} AND executor_id = $1 AND workflow_uuid <> ALL ($2::text[])
        ) AS lost,
        EXISTS (
            SELECT FROM {SCHEMA}.workflow_status WHERE workflow_uuid = ANY ($3::text[]) AND {_due(conditions)}
        ) AS ticks,
        ARRAY(
            SELECT job FROM unnest($4::text[]) AS job WHERE EXISTS (
                SELECT FROM {SCHEMA}.workflow_status WHERE queue_name = '{QUEUE}' || job AND status = 'ENQUEUED'
            )
            UNION
            SELECT name FROM {SCHEMA}.workflow_status WHERE name = ANY ($4::text[]) AND {ripe}
        ) AS jobs,
        (
            SELECT min(delay_until_epoch_ms) - {_NOW} FROM {SCHEMA}.workflow_status
            WHERE status = 'DELAYED' AND queue_name LIKE '{QUEUE}%'
        ) AS next,
        extract(epoch FROM clock_timestamp())::float8 AS at
    """


# ---- runs ------------------------------------------------------------------------------------------------------------

_GIVEN = '{"positionalArgs": [], "namedArgs": {}}'  # of a run: nothing but its id
_FORMAT = "portable_json"
# What has become of runs, as the library writes it, of many at once. $1, $2: this process, under the name by which it
# begins runs and the one by which the library resumes them; $3: runs that have begun, $4: that have ended well;
# $5 to $8: of steps, the run, the number, the name, and when it ended. What another process has by now stays.
RECORD = f"""
    WITH begun AS (
        INSERT INTO {SCHEMA}.workflow_status AS run (
            workflow_uuid, status, name, executor_id, application_version, application_name, created_at, updated_at,
            recovery_attempts, priority, serialization, completed_at
        )
        SELECT id, CASE WHEN id = ANY ($4::text[]) THEN 'SUCCESS' ELSE 'PENDING' END, '{RUN}', $1, '{RELEASE}',
            '{APPLICATION}', {_NOW}, {_NOW}, 1, 0, '{_FORMAT}', CASE WHEN id = ANY ($4::text[]) THEN {_NOW} END
        FROM unnest($3::text[]) AS id
        ON CONFLICT (workflow_uuid) DO UPDATE SET status = excluded.status, executor_id = excluded.executor_id,
            owner_xid = NULL, queue_name = NULL, updated_at = excluded.updated_at,
            completed_at = excluded.completed_at, recovery_attempts = run.recovery_attempts + 1
        WHERE run.executor_id IN ($1, $2)
        RETURNING workflow_uuid AS id
    ),
    given AS (
        INSERT INTO {SCHEMA}.workflow_input (workflow_uuid, inputs, retention_timestamp)
        SELECT id, '{_GIVEN}', {_NOW} FROM begun ON CONFLICT DO NOTHING
    ),
    ended AS (
        UPDATE {SCHEMA}.workflow_status SET status = 'SUCCESS', owner_xid = NULL, updated_at = {_NOW},
            completed_at = {_NOW}
        WHERE workflow_uuid = ANY ($4::text[]) AND workflow_uuid <> ALL ($3::text[]) AND executor_id = $1
            AND status = 'PENDING'
        RETURNING workflow_uuid AS id
    ),
    answered AS (
        INSERT INTO {SCHEMA}.workflow_output (workflow_uuid, output, retention_timestamp)
        SELECT id, 'null', {_NOW} FROM (SELECT id FROM begun UNION SELECT id FROM ended) AS mine
        WHERE id = ANY ($4::text[]) ON CONFLICT DO NOTHING
    ),
    mine AS (
        SELECT id FROM begun UNION
        SELECT workflow_uuid FROM {SCHEMA}.workflow_status
        WHERE workflow_uuid = ANY ($5::text[]) AND executor_id IN ($1, $2) AND status IN ('PENDING', 'SUCCESS')
    )
    INSERT INTO {SCHEMA}.operation_outputs (
        workflow_uuid, function_id, function_name, output, started_at_epoch_ms, completed_at_epoch_ms, serialization,
        application_name, retention_timestamp
    )
    SELECT run, number, step.name, to_json(step.name)::text, at, at, '{_FORMAT}', '{APPLICATION}', {_NOW}
    FROM unnest($5::text[], $6::int[], $7::text[], $8::bigint[]) AS step (run, number, name, at)
    JOIN mine ON mine.id = run
    ON CONFLICT DO NOTHING
"""
RECORDED = f"""
    SELECT function_name FROM {SCHEMA}.operation_outputs WHERE workflow_uuid = $1 ORDER BY function_id
"""
# $1: a run that is not to be resumed.
CANCEL = f"""
    UPDATE {SCHEMA}.workflow_status SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL,
        updated_at = {_NOW}, completed_at = {_NOW}
    WHERE workflow_uuid = $1 AND status NOT IN ('SUCCESS', 'ERROR')
"""
# $1: this process's queue; $2: seconds since 1970 before which a process began whose queue goes.
FORGET_QUEUES = f"""
    DELETE FROM {SCHEMA}.queues
    WHERE name LIKE '{WORKER}%' AND name <> $1 AND split_part(name, ':', 2)::bigint < $2
"""


# ---- what of the library is private ---------------------------------------------------------------------------------


def hush() -> None:
    """Ends the threads in which the library looks for work, as the library does when it is destroyed. It has claimed
    nothing by then, because it listens to no queue. `look` does their work.
    """
    from dbos._dbos import _get_dbos_instance

    dbos = _get_dbos_instance()
    for stopped in (*dbos.background_thread_stop_events, dbos._background_jobs_stop_event):
        stopped.set()
    dbos._sys_db._run_background_processes = False
    for thread in dbos._background_threads:
        thread.join()
    dbos._background_threads.clear()


def ripen() -> None:
    """Lets timers that have ended begin. In a thread: it waits for the database."""
    from dbos._dbos import _get_dbos_instance

    _get_dbos_instance()._sys_db.transition_delayed_workflows()


def busy() -> list[str]:
    """The ids of the library's work in this process."""
    from dbos._dbos import _get_dbos_instance

    return list(_get_dbos_instance()._active_workflows_set.activeList())


def claim_at_once(queue: str) -> None:
    """Does what a thread of the library would do with a queue. Runs in a thread, because it waits for the database."""
    from dbos._core import execute_dequeued_workflow
    from dbos._dbos import _get_dbos_instance
    from dbos._utils import GlobalParams, generate_uuid

    dbos, owner = _get_dbos_instance(), generate_uuid()
    found = dbos._sys_db.get_queue(queue)
    if found is None:
        return
    running, by = (
        dbos._active_workflows_set.count_for_queue(queue),
        (GlobalParams.executor_id, GlobalParams.app_version),
    )
    if found._partition_concurrency is None:
        claimed, _ = dbos._sys_db.start_queued_workflows(found, *by, None, running, owner_xid=owner)
    else:
        room = sys.maxsize if found._worker_concurrency is None else found._worker_concurrency - running
        claimed = dbos._sys_db.start_queued_partitioned_workflows(found, *by, room, owner_xid=owner) if room > 0 else []
    for status in dbos._sys_db.get_workflow_statuses(claimed) if claimed else []:
        try:
            execute_dequeued_workflow(dbos, status, owner)
        except Exception as error:  # the others are begun all the same
            log.warning("job not begun", job=status["workflow_uuid"], error=type(error).__name__)
