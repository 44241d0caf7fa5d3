"""A worker's statements on runs: claim with a lease, extend it, write frames and steps under it, return it.

Every write names the run's `lease` number and is refused once another worker has claimed the run. Locks are taken in
one order: chat, run, agent; starts and stops hold `lifecycle.hold_starts` before them. These are not operations: the
worker itself is the caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from prometheus_client import Gauge

from models.staff.runs import BY_WEBHOOK, MOST_ANCESTORS, NEVER, OUTPUT, RunState, RunStatus
from resolvers.instance import trace_context
from resolvers.kernel import Code, Refusal, Topic
from resolvers.kernel.declarations.operation import translate
from resolvers.kernel.store.across import ALL_ROWS, rows_in
from resolvers.kernel.store.bus import bus
from resolvers.staff.runs.booking import Charge, booked
from resolvers.staff.runs.tracing import TAKE_OVER, Span, traced

STRANDED_AFTER = 60.0  # seconds without a live lease

STRANDED = Gauge(
    "crewship_runs_stranded", "Runs whose lease ended more than a minute ago and that no worker has claimed"
)
UNFINISHED = Gauge("crewship_runs_unfinished", "Runs of the instance that have not ended, by state", ["state"])


@dataclass(frozen=True, slots=True)
class RunClaim:
    """A run that this worker holds, and until when by its number: `lease` fences all that is written for it."""

    run_id: str
    workspace_id: str
    chat_id: str | None
    lease: int
    age: float  # seconds since it was first claimed, by whomever, when this worker claimed it; without those it waited
    cancelled: bool  # a user asked to cancel it before it was claimed
    tries: int = 1  # workers that have held it since it began, or went on after a decision


@dataclass(slots=True)
class Batch:
    """The writes of one batch: payloads of chat_event frames, names of steps that begin to show or act, outcomes of
    finished steps, their model calls, spans that changed, by number, and, in a run without a chat, the text of steps.
    """

    frames: list[dict[str, Any]] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    finished: dict[str, Any] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    said: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    spans: dict[int, Span] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.frames or self.announced or self.finished or self.spans)


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was begun, by this worker or one before it."""

    finished: bool
    outcome: Any
    said: Sequence[Mapping[str, Any]] = ()


DUE = "status = 'RUNNING' AND (leased_until IS NULL OR leased_until < now())"

CLAIM = f"""
WITH due AS MATERIALIZED (
    SELECT id FROM runs WHERE {DUE} AND (NOT $4 OR cancel_requested_at IS NOT NULL)
    ORDER BY created_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE runs SET lease = runs.lease + 1, worker = $1, leased_until = now() + make_interval(secs => $3),
    started_at = coalesce(runs.started_at, now()),
    waited = runs.waited + coalesce(extract(epoch FROM now() - runs.waits_since)::float8, 0), waits_since = NULL
FROM due WHERE runs.id = due.id
RETURNING runs.id, runs.workspace_id, runs.chat_id, runs.lease,
    extract(epoch FROM now() - runs.started_at)::float8 - runs.waited, runs.cancel_requested_at IS NOT NULL,
    runs.lease - 2 * runs.parks, runs.created_at
"""

UNTIL_DUE = (
    "SELECT extract(epoch FROM min(coalesce(leased_until, created_at)) - now())::float8 FROM runs"
    " WHERE status = 'RUNNING'"
)

HELD = (
    "FROM unnest($1::text[], $2::int[]) AS held (id, lease)"
    " WHERE runs.id = held.id AND runs.lease = held.lease AND runs.status = 'RUNNING'"
)
EXTEND = (
    f"UPDATE runs SET leased_until = now() + make_interval(secs => $3) {HELD}"
    " RETURNING runs.id, runs.cancel_requested_at IS NOT NULL"
)
RELEASE = f"UPDATE runs SET leased_until = now(), worker = NULL {HELD}"

LET_GO = (
    "UPDATE runs SET leased_until = now() WHERE id = $1 AND workspace_id = $2 AND lease = $3"
    " AND status <> 'RUNNING' AND leased_until > now()"
)
AT_WORK = "SELECT EXISTS (SELECT FROM runs WHERE id = ANY ($1::text[]) AND worker IS NOT NULL AND leased_until > now())"

STEPPED = """
    INSERT INTO run_steps (run_id, name, workspace_id, lease, created_at, finished_at, outcome, said)
    SELECT $1, step.name, $2, $3, now(), CASE WHEN step.finished THEN now() END,
        $6::jsonb -> step.name, $7::jsonb -> step.name
    FROM held, unnest($4::text[], $5::bool[]) AS step (name, finished)
    ON CONFLICT (run_id, name) DO UPDATE SET lease = excluded.lease, finished_at = excluded.finished_at,
        outcome = excluded.outcome, said = excluded.said
    WHERE run_steps.finished_at IS NULL
    RETURNING run_steps.name
"""
FENCED = "runs.id = $1 AND runs.workspace_id = $2 AND runs.lease = $3 AND runs.status = 'RUNNING'"

_STEPS = f"WITH held AS (SELECT id, created_at FROM runs WHERE {FENCED} FOR SHARE), stepped AS ({STEPPED})"

# Of several runs. A locked row is skipped: a statement that waits for one row would hold the others meanwhile.
MANY_STEPS = """
    WITH held AS MATERIALIZED (
        SELECT runs.id, runs.lease, runs.created_at FROM unnest($1::text[], $2::int[]) AS held (id, lease)
        JOIN runs ON runs.id = held.id AND runs.lease = held.lease
        WHERE runs.workspace_id = $3 AND runs.status = 'RUNNING' FOR SHARE OF runs SKIP LOCKED
    ),
    stepped AS (
        INSERT INTO run_steps (run_id, name, workspace_id, lease, created_at, finished_at, outcome, said)
        SELECT held.id, step.name, $3, held.lease, now(), CASE WHEN step.finished THEN now() END,
            $7::jsonb -> held.id -> step.name, $8::jsonb -> held.id -> step.name
        FROM held JOIN unnest($4::text[], $5::text[], $6::bool[]) AS step (run_id, name, finished)
            ON step.run_id = held.id
        ON CONFLICT (run_id, name) DO UPDATE SET lease = excluded.lease, finished_at = excluded.finished_at,
            outcome = excluded.outcome, said = excluded.said
        WHERE run_steps.finished_at IS NULL
    )
"""
STORE_MANY = f"{MANY_STEPS} SELECT id FROM held"
TRACE_MANY = f"{MANY_STEPS}, {traced('$9', '$3')} SELECT id FROM held"

SHOWN = 100_000  # characters of a frame in an event
PUT_OUT = ", ".join(f"'{type}'" for type in OUTPUT)

# The chat of a webhook has no listeners: the event goes to the workspace (contract: events, agent.log). A text that is
# too long for an event is truncated there, and complete in the frame.
LOGGED = f"""
    INSERT INTO events (workspace_id, channel, type, payload)
    SELECT $2, 'workspace:' || $2, 'agent.log', jsonb_build_object(
        'ts', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), 'level', 'info', 'agent', agents.slug,
        'agent_id', agents.id, 'event', frame.payload ->> 'type',
        'content', left(coalesce(frame.payload ->> 'content', ''), {SHOWN}), 'metadata',
        CASE WHEN pg_column_size(frame.payload -> 'metadata') <= {SHOWN} THEN frame.payload -> 'metadata' END)
    FROM raised JOIN agents ON agents.id = raised.agent_id AND agents.workspace_id = $2,
        unnest($9::jsonb[]) WITH ORDINALITY AS frame (payload, number)
    WHERE raised.trigger_type = '{BY_WEBHOOK}' AND frame.payload ->> 'type' IN ({PUT_OUT}) ORDER BY frame.number
"""

# The chat is locked before the run. Its number is raised after the fence: a worker that lost the run leaves no gap.
_FRAMES = f"""
WITH chat AS (SELECT id FROM chats WHERE id = $8 AND workspace_id = $2 FOR NO KEY UPDATE),
held AS (
    UPDATE runs SET frames = runs.frames + cardinality($9::jsonb[]) FROM chat
    WHERE {FENCED} AND runs.chat_id = chat.id AND runs.frames = $10
    RETURNING runs.id, runs.agent_id, runs.trigger_type, runs.created_at
),
raised AS (
    UPDATE chats SET last_seq = chats.last_seq + cardinality($9::jsonb[]) FROM held
    WHERE chats.id = $8 AND chats.workspace_id = $2
    RETURNING chats.last_seq, held.agent_id, held.trigger_type
),
written AS (
    INSERT INTO run_frames (chat_id, seq, workspace_id, run_id, agent_id, type, payload)
    SELECT $8, raised.last_seq - cardinality($9::jsonb[]) + frame.number::int, $2, $1,
        CASE WHEN frame.payload ->> 'type' IN ({PUT_OUT}) THEN raised.agent_id END, 'chat_event', frame.payload
    FROM raised, unnest($9::jsonb[]) WITH ORDINALITY AS frame (payload, number)
),
logged AS ({LOGGED}),
stepped AS ({STEPPED})"""


def _storing(*, frames: bool, charges: bool, spans: bool) -> str:
    """The statement that stores a batch with these parts: it has no CTE, and no parameter, of the others."""
    parts, last = [_FRAMES if frames else _STEPS], 10 if frames else 7
    if charges:
        parts.append(booked(f"${(last := last + 1)}"))
    if spans:
        parts.append(traced(f"${last + 1}", "$2"))
    return f"{', '.join(parts)} SELECT {'last_seq FROM raised' if frames else '0 FROM held'}"


STORE = {
    parts: _storing(frames=parts[0], charges=parts[1], spans=parts[2]) for parts in product((False, True), repeat=3)
}

# The approval is locked before the run, as in a decision: the decision finds the waiting run, or is found.
PARK = f"""
WITH asked AS MATERIALIZED (
    SELECT id FROM approvals WHERE id = $4 AND workspace_id = $2 AND status = 'pending' FOR SHARE
)
UPDATE runs SET lease = runs.lease + 1, parks = runs.parks + 1, worker = NULL, leased_until = $5, waits_for = $4,
    waits_since = now()
FROM asked WHERE {FENCED} AND runs.cancel_requested_at IS NULL RETURNING runs.id
"""

ASKED = "SELECT EXISTS (SELECT FROM runs WHERE id = ANY ($1::text[]) AND cancel_requested_at IS NOT NULL)"


def passes(error: Exception) -> bool:
    """Returns true if the error may pass: the database is away, or another transaction had the same rows."""
    refusal = error if isinstance(error, Refusal) else translate(error)
    return refusal.code in (Code.UNAVAILABLE, Code.CONFLICT)


async def _value(scope: str, sql: str, *values: Any) -> Any:
    rows = await rows_in(scope, sql, *values)
    return rows[0][0] if rows else None


async def claim(worker: str, limit: int, *, seconds: float, cancelled: bool = False) -> list[RunClaim]:
    """Claims at most `limit` runs that wait or whose lease has expired, oldest first, for `seconds`. `cancelled`: only
    runs that a user wants cancelled.
    """
    rows = await rows_in(ALL_ROWS, CLAIM, worker, limit, seconds, cancelled)
    return [RunClaim(*row[:7]) for row in sorted(rows, key=lambda row: row[7])]


async def until_due() -> float | None:
    """Seconds until a run can be claimed that no worker holds then: None if there is no run, negative if one waits."""
    seconds: float | None = await _value(ALL_ROWS, UNTIL_DUE)
    return seconds


async def extend(claims: Sequence[RunClaim], *, seconds: float) -> dict[str, bool]:
    """Extends leases by `seconds`. Returns the ids of the runs still held, and whether a user wants them cancelled.
    Others are lost.
    """
    ids, leases = [claim.run_id for claim in claims], [claim.lease for claim in claims]
    return dict(await rows_in(ALL_ROWS, EXTEND, ids, leases, seconds))


async def asked_to_stop(claims: Sequence[RunClaim]) -> bool:
    """Returns true if a user wants any of these runs cancelled."""
    return await _value(ALL_ROWS, ASKED, [claim.run_id for claim in claims]) is True


async def release(claims: Sequence[RunClaim]) -> None:
    """Another worker may go on at once."""
    await rows_in(ALL_ROWS, RELEASE, [claim.run_id for claim in claims], [claim.lease for claim in claims])
    bus.ring(Topic.queue)


async def let_go(claim: RunClaim) -> None:
    """Releases a run that was ended elsewhere: the command that ended it may wait for this."""
    await rows_in(claim.workspace_id, LET_GO, claim.run_id, claim.workspace_id, claim.lease)


async def at_work(run_ids: Sequence[str]) -> bool:
    """Returns true if a worker may still work on one of these ended runs."""
    return await _value(ALL_ROWS, AT_WORK, list(run_ids)) is True


ROOT = f"""
    WITH RECURSIVE above AS (
        SELECT id, parent_id, traceparent, 0 AS depth FROM runs WHERE workspace_id = $2 AND id = $1
        UNION ALL
        SELECT runs.id, runs.parent_id, runs.traceparent, depth + 1 FROM above
        JOIN runs ON runs.workspace_id = $2 AND runs.id = above.parent_id
        WHERE depth < {MOST_ANCESTORS}
    )
    SELECT id, traceparent FROM above ORDER BY depth DESC LIMIT 1
"""


async def traceparent(workspace_id: str, run_id: str) -> str | None:
    """The span of a run, for servers that it calls. None: the run is gone."""
    found = await rows_in(workspace_id, ROOT, run_id, workspace_id)
    return trace_context.traceparent_of(run_id, found[0]["id"], found[0]["traceparent"]) if found else None


async def park(claim: RunClaim, approval_id: str) -> bool:
    """Returns the run until the approval is decided. False: it is decided, or the run is to be cancelled.

    The lease ends with it, so later writes of its holder are refused.
    """
    values = claim.run_id, claim.workspace_id, claim.lease, approval_id, NEVER
    return bool(await rows_in(claim.workspace_id, PARK, *values))


async def append(claim: RunClaim, batch: Batch, written: int) -> bool:
    """Stores a batch in one statement, after `written` frames; False when the run is lost or the batch stored already.

    A run without a chat has no frames.
    """
    begun, done = [name for name in batch.announced if name not in batch.finished], list(batch.finished)
    steps = [begun + done, [False] * len(begun) + [True] * len(done)]
    values = [claim.run_id, claim.workspace_id, claim.lease, *steps, batch.finished, batch.said]
    framed = claim.chat_id is not None and bool(batch.frames)
    if framed:
        values += [claim.chat_id, batch.frames, written]
    if batch.charges:
        values.append([charge.row(step) for step, charge in batch.charges.items()])
    if batch.spans:
        values.append([span.row(claim.run_id) for span in batch.spans.values()])
    sql = STORE[framed, bool(batch.charges), bool(batch.spans)]
    stored = bool(await rows_in(claim.workspace_id, sql, *values))
    if stored and framed:
        bus.ring(Topic.frames, f"{claim.workspace_id}/{claim.chat_id}")
    return stored


async def append_steps(batches: Sequence[tuple[RunClaim, Batch]]) -> set[str]:
    """Stores steps of a workspace's runs that have no output, in one statement; returns the ids of the stored runs. For
    others, `append` finds the reason.
    """
    steps = [
        (claim.run_id, name, name in batch.finished)
        for claim, batch in batches
        for name in dict.fromkeys((*batch.announced, *batch.finished))
    ]
    columns = [[step[part] for step in steps] for part in range(3)]
    claims = [claim for claim, _ in batches]
    values: list[Any] = [[claim.run_id for claim in claims], [claim.lease for claim in claims]]
    values += [claims[0].workspace_id, *columns]
    outcomes = {claim.run_id: batch.finished for claim, batch in batches}
    values += [outcomes, {claim.run_id: batch.said for claim, batch in batches if batch.said}]
    if spans := [span.row(claim.run_id) for claim, batch in batches for span in batch.spans.values()]:
        values.append(spans)
    sql = TRACE_MANY if spans else STORE_MANY
    return {id for (id,) in await rows_in(claims[0].workspace_id, sql, *values)}


async def written(claim: RunClaim) -> int | None:
    """The number of frames of the run; None if the lease is lost. Waits for a statement of the same run that is under
    way.
    """
    sql = f"SELECT frames FROM runs WHERE {FENCED} FOR NO KEY UPDATE"
    frames: int | None = await _value(claim.workspace_id, sql, claim.run_id, claim.workspace_id, claim.lease)
    return frames


async def last_span(claim: RunClaim) -> int:
    """The number of the run's last span, for a worker that takes the run over. Spans that are open are CANCELLED."""
    last: int | None = await _value(claim.workspace_id, TAKE_OVER, claim.run_id, claim.workspace_id, claim.lease)
    return last or 0


async def steps(claim: RunClaim) -> dict[str, Step]:
    """The steps that were announced or are finished, by name, in the order in which they ended."""
    sql = (
        "SELECT name, finished_at IS NOT NULL, outcome, said FROM run_steps WHERE run_id = $1 AND workspace_id = $2"
        " ORDER BY finished_at, created_at"
    )
    found = await rows_in(claim.workspace_id, sql, claim.run_id, claim.workspace_id)
    return {name: Step(finished, outcome, said or ()) for name, finished, outcome, said in found}


async def frames(claim: RunClaim) -> list[Mapping[str, Any]]:
    """The payloads of the run's chat_event frames, in order."""
    sql = "SELECT payload FROM run_frames WHERE run_id = $1 AND workspace_id = $2 AND type = 'chat_event' ORDER BY seq"
    return [payload for (payload,) in await rows_in(claim.workspace_id, sql, claim.run_id, claim.workspace_id)]


async def give_up(claim: RunClaim, message: str) -> None:
    """Ends a run whose workspace is gone or refuses to end it: without events, and no worker claims it again."""
    sql = f"UPDATE runs SET status = '{RunStatus.FAILED}', error_message = $4, finished_at = now() WHERE {FENCED}"
    await rows_in(claim.workspace_id, sql, claim.run_id, claim.workspace_id, claim.lease, message)


async def stranded(*, seconds: float = STRANDED_AFTER) -> int:
    """The number of begun runs that no worker has held for longer than `seconds`. Sets this metric and, for what adds
    workers, the number of unfinished runs by state.
    """
    late = "count(*) FILTER (WHERE leased_until < now() - make_interval(secs => $1))"
    sql = f"SELECT state, count(*), {late} FROM runs WHERE status = 'RUNNING' GROUP BY state"
    counts = {state: (number, left) for state, number, left in await rows_in(ALL_ROWS, sql, seconds)}
    for state in (RunState.QUEUED, RunState.RUNNING, RunState.WAITING):
        UNFINISHED.labels(state.lower()).set(counts.get(state, (0, 0))[0])
    found: int = sum(left for _, left in counts.values())
    STRANDED.set(found)
    return found
