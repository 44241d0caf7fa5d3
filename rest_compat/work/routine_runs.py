"""REST: runs of routines, and the approvals that they wait for."""

import contextlib
import re
from functools import cache
from typing import Annotated, Any, Final

import orjson

from models.work.routine_runs import RoutineRun, Waitpoint
from resolvers.errors import Refusal
from resolvers.kernel.declarations.operation import Answer
from resolvers.kernel.reader import Shape
from resolvers.staff.crews.git import GitDiff
from resolvers.work import routine_runs
from resolvers.work.routine_runs.ending import LONGEST_WAIT, wait_for_end
from rest_compat.http.dispatch import body_if_any, workspace_in_body
from rest_compat.http.envelopes import SHOWN, Envelope
from rest_compat.http.errors import JSON
from rest_compat.http.spans import with_text, workspace_and_definition
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, Fixed, From, Reply, Request, Wire, shape_of
from rest_compat.people.workspaces import WORKSPACE
from rest_compat.work.routines import RoutineJSON, RoutineRowJSON

INVOKING = {"invoking_crew_id": b"x-crewship-invoking-crew", "invoking_agent_id": b"x-crewship-invoking-agent"}


class RoutineRunRowJSON(Wire, of=RoutineRun):
    """Texts without a value are empty."""

    fields = """
        id pipeline_id pipeline_slug pipeline_name status mode started_at ended_at current_step_id cost_usd duration_ms
        triggered_via triggered_by_id invoking_crew_id invoking_agent_id invoking_user_id error_message failed_at_step
        issue_identifier
    """
    pipeline_id: Annotated[str, From("routine_id")]
    pipeline_slug: Annotated[str, From("routine_slug")]
    pipeline_name: Annotated[str, From("routine_name")]
    mode: Annotated[str, Fixed('"run"')]
    ended_at: Annotated[str, From("ended_text")]
    current_step_id: Annotated[str, From("current_step_id_text")]
    triggered_by_id: Annotated[str, From("triggered_by_id_text")]
    invoking_crew_id: Annotated[str, From("invoking_crew_id_text")]
    invoking_agent_id: Annotated[str, From("invoking_agent_id_text")]
    invoking_user_id: Annotated[str, From("invoking_user_id_text")]
    error_message: Annotated[str, From("error_message_text")]
    failed_at_step: Annotated[str, From("failed_at_step_text")]


class RoutineRunListJSON(Envelope):
    """`count` is the number of rows in this answer."""

    rows: list[RoutineRunRowJSON]
    count: Annotated[int, SHOWN]


class RoutineRunJSON(Wire, of=RoutineRun):
    """Texts without a value are empty."""

    fields = """
        id workspace_id pipeline_id pipeline_slug pipeline_name status mode current_step_id step_outputs output
        started_at ended_at error_message failed_at_step cost_usd duration_ms triggered_via triggered_by_id
        idempotency_key inputs issue_identifier metadata is_replay replay_of tags warnings sub_spans
    """
    pipeline_id: Annotated[str, From("routine_id")]
    pipeline_slug: Annotated[str, From("routine_slug")]
    pipeline_name: Annotated[str, From("routine_name")]
    mode: Annotated[str, Fixed('"run"')]
    current_step_id: Annotated[str, From("current_step_id_text")]
    output: Annotated[str, From("output_text")]
    ended_at: Annotated[str, From("ended_text")]
    error_message: Annotated[str, From("error_message_text")]
    failed_at_step: Annotated[str, From("failed_at_step_text")]
    triggered_by_id: Annotated[str, From("triggered_by_id_text")]
    idempotency_key: Annotated[str, Fixed('""')]
    metadata: Annotated[dict[str, Any], From("run_metadata")]
    replay_of: Annotated[str, From("replay_of_text")]
    sub_spans: Annotated[dict[str, Any], Fixed("{}")]


class StartedRoutineRunJSON(Wire, of=RoutineRun):
    """The result of a run: `status` is RUNNING until it waits or ends."""

    fields = """
        run_id pipeline_id pipeline_slug status output step_outputs duration_ms cost_usd failed_at_step error_message
        waitpoint_token current_step pending_id
    """
    absent = "failed_at_step error_message waitpoint_token current_step pending_id"
    run_id: Annotated[str, From("id")]
    pipeline_id: Annotated[str, From("routine_id")]
    pipeline_slug: Annotated[str, From("routine_slug")]
    status: Annotated[str, From("result")]
    output: Annotated[str, From("output_text")]
    current_step: Annotated[str | None, Absent(), From("waiting_step")] = None


class RoutineRunRecordJSON(Wire, of=RoutineRun):
    """`error_message` is the first line, of at most 200 characters."""

    fields = """
        id pipeline_id pipeline_slug status mode started_at ended_at current_step_id output cost_usd duration_ms
        error_message failed_at_step error_fingerprint triggered_via triggered_by_id chain_depth
    """
    absent = "ended_at current_step_id output error_message failed_at_step error_fingerprint triggered_by_id"
    pipeline_id: Annotated[str, From("routine_id")]
    pipeline_slug: Annotated[str, From("routine_slug")]
    mode: Annotated[str, Fixed('"run"')]
    error_message: Annotated[str | None, Absent(), From("error_line")] = None


class ActiveRoutineRunJSON(Wire, of=RoutineRun):
    """`concurrency_key` is empty for a run without one."""

    fields = "run_id workspace_id pipeline_id pipeline_slug concurrency_key started_at cancel_requested"
    run_id: Annotated[str, From("id")]
    pipeline_id: Annotated[str, From("routine_id")]
    pipeline_slug: Annotated[str, From("routine_slug")]
    concurrency_key: Annotated[str, From("concurrency_key_text")]


class PendingRoutineRunJSON(Wire, of=RoutineRun):
    """`run_id` is the id of the run, before and after it begins."""

    fields = "id pipeline_slug debounce_key priority fire_at run_id batch_id"
    absent = "debounce_key batch_id"
    id: Annotated[str, From("pending_id")]
    pipeline_slug: Annotated[str, From("routine_slug")]
    run_id: Annotated[str, From("id")]


class ScheduledRoutineRunJSON(Wire, of=RoutineRun):
    """A deferred run. `coalesced` is true if it was pending before, and has these inputs now."""

    fields = "status pending_id fire_at coalesced priority"
    status: Annotated[str, Fixed('"SCHEDULED"')]


class WaitpointJSON(Wire, of=Waitpoint):
    """`token` is null for members who may not decide."""

    fields = "id token pipeline_run_id step_id kind prompt invoking_crew_id timeout_at created_at"
    absent = "invoking_crew_id"
    pipeline_run_id: Annotated[str, From("routine_run_id")]
    step_id: Annotated[str, From("path")]


def invoked(request: Request) -> dict[str, Any]:
    """A body may be left out; headers name the crew and the agent that start the run (contract: routines.run)."""
    raw = body_if_any(request)
    named = {name: request.headers.get(header) for name, header in INVOKING.items()}
    return raw | {name: value.decode("latin-1") for name, value in named.items() if value}


_WAIT: Final = re.compile(rb"\bwait\s*=\s*(\d{1,6})\b", re.IGNORECASE)
_AT_ONCE: Final = re.compile(rb"\brespond-async\b", re.IGNORECASE)


@cache
def _result() -> Shape | None:
    return shape_of(StartedRoutineRunJSON)


@cache
def _scheduled() -> Shape | None:
    return shape_of(ScheduledRoutineRunJSON)


def patience_of(prefer: bytes) -> float:
    """Seconds that a caller waits (RFC 7240): `respond-async` is none, `wait=` names them."""
    if _AT_ONCE.search(prefer):
        return 0
    named = _WAIT.search(prefer)
    return LONGEST_WAIT if named is None else min(int(named[1]), LONGEST_WAIT)


async def _agents_end(request: Request, answer: Answer) -> Reply:
    """The result of the run that an agent has started."""
    seconds, read = patience_of(request.headers.get(b"prefer", b"")), routine_runs.get_agent_routine_run
    body: bytes = answer.body or b""
    if seconds > 0:
        body = await wait_for_end(request.caller, body, _result(), request.place, seconds, read)
    return Reply(200, body, _headers(answer))


async def _started(request: Request, answer: Answer) -> Reply:
    """The result of the run, or when a deferred one begins (contract: routines.run). A caller who may not read runs
    gets the id of a deferred one.
    """
    begun = orjson.loads(answer.body or b"{}")
    if begun.get("pending_id") is None:
        return await at_its_end(request, answer)
    named, body = {"id": begun["run_id"]}, orjson.dumps({"status": "SCHEDULED", "pending_id": begun["pending_id"]})
    with contextlib.suppress(Refusal):
        found = await routine_runs.get_routine_run(request.caller, named, _scheduled(), place=request.place)
        body = found.body or body
    return Reply(202, body, _headers(answer))


async def at_its_end(request: Request, answer: Answer) -> Reply:
    """The result of the run. A caller who may not read runs gets it as it began."""
    body: bytes = answer.body or b""
    seconds = patience_of(request.headers.get(b"prefer", b""))
    if seconds > 0:
        with contextlib.suppress(Refusal):
            body = await wait_for_end(request.caller, body, _result(), request.place, seconds)
    return Reply(200, body, _headers(answer))


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    return [JSON, *([(b"idempotent-replayed", b"true")] if answer.replayed else [])]


PIPELINES = f"{WORKSPACE}/pipelines"
INTERNAL = "/api/v1/internal/pipelines"
RUN = f"{WORKSPACE}/pipeline-runs/{{runId}}"
OVERRIDE = f"{PIPELINES}/{{slug}}/steps/{{stepId}}/override"
ROUTES = (
    POST(
        f"{PIPELINES}/{{slug}}/run",
        routine_runs.run_routine,
        StartedRoutineRunJSON,
        reads=invoked,
        answers=_started,
        or_status=202,
    ),
    POST(f"{PIPELINES}/{{slug}}/run_batch", routine_runs.run_routine_batch, routine_runs.RoutineBatchStarted),
    GET(f"{PIPELINES}/batches/{{batchId}}", routine_runs.get_routine_batch, routine_runs.RoutineBatch),
    POST(
        f"{PIPELINES}/batches/{{batchId}}/cancel", routine_runs.cancel_routine_batch, routine_runs.RoutineBatchStopped
    ),
    POST(
        f"{PIPELINES}/test_run",
        routine_runs.test_run_routine,
        routine_runs.RoutineTested,
        reads=with_text("definition"),
    ),
    POST(f"{PIPELINES}/{{slug}}/dry_run", routine_runs.dry_run_routine, routine_runs.RoutineDryRun, reads=body_if_any),
    POST(f"{PIPELINES}/{{slug}}/step_run", routine_runs.run_routine_step, routine_runs.RoutineStepRun),
    POST(f"{PIPELINES}/runs/bulk_replay", routine_runs.replay_routine_runs, routine_runs.RoutineRunsReplayed),
    GET(f"{PIPELINES}/pending", routine_runs.list_pending_routine_runs, list[PendingRoutineRunJSON]),
    POST(
        f"{PIPELINES}/pending/{{pendingId}}/cancel",
        routine_runs.cancel_pending_routine_run,
        routine_runs.PendingRoutineRunCancelled,
    ),
    POST(f"{PIPELINES}/{{slug}}/disable", routine_runs.disable_routine, routine_runs.RoutineDisabled),
    POST(f"{PIPELINES}/runs/{{runId}}/cancel", routine_runs.cancel_routine_run, routine_runs.RoutineRunCancelled),
    GET(f"{PIPELINES}/{{slug}}/run-records", routine_runs.list_routine_run_records, list[RoutineRunRecordJSON]),
    GET(f"{PIPELINES}/runs/errors", routine_runs.list_routine_failures, routine_runs.RoutineFailures),
    GET(f"{PIPELINES}/{{slug}}/overrides", routine_runs.list_step_overrides, routine_runs.StepOverrides),
    PUT(OVERRIDE, routine_runs.set_step_override, routine_runs.StepOverrideChanged),
    DELETE(OVERRIDE, routine_runs.clear_step_override, routine_runs.StepOverrideChanged),
    GET(f"{PIPELINES}/runs/active", routine_runs.list_active_routine_runs, list[ActiveRoutineRunJSON]),
    GET(INTERNAL, routine_runs.list_agent_routines, list[RoutineRowJSON]),
    POST(
        f"{INTERNAL}/test_run",
        routine_runs.test_agent_routine,
        routine_runs.RoutineTested,
        reads=workspace_and_definition,
    ),
    POST(f"{INTERNAL}/save", routine_runs.save_agent_routine, RoutineJSON, status=201, reads=workspace_and_definition),
    POST(
        f"{INTERNAL}/run",
        routine_runs.run_agent_routine,
        StartedRoutineRunJSON,
        reads=workspace_in_body,
        answers=_agents_end,
    ),
    POST("/api/v1/waitpoint-tokens/{token}", routine_runs.complete_waitpoint, routine_runs.WaitpointDecided),
    GET(f"{PIPELINES}/waitpoints", routine_runs.list_waitpoints, list[WaitpointJSON]),
    POST(
        f"{PIPELINES}/waitpoints/{{token}}/approve",
        routine_runs.decide_waitpoint,
        routine_runs.WaitpointDecided,
        reads=body_if_any,
    ),
    GET(f"{WORKSPACE}/pipeline-runs", routine_runs.list_routine_runs, RoutineRunListJSON),
    GET(RUN, routine_runs.get_routine_run, RoutineRunJSON),
    GET(f"{RUN}/tree", routine_runs.get_routine_run_tree, routine_runs.RoutineRunTree),
    GET(f"{RUN}/logs", routine_runs.get_routine_run_log, list[routine_runs.RoutineRunLogRow]),
    GET(f"{RUN}/changes", routine_runs.get_routine_run_changes, GitDiff),
    GET(f"{RUN}/files", routine_runs.list_routine_run_files, routine_runs.RoutineRunFiles),
    PATCH(f"{RUN}/metadata", routine_runs.update_routine_run_metadata, routine_runs.RoutineRunMetadata),
    POST(f"{RUN}/signal", routine_runs.signal_routine_run, routine_runs.RoutineRunSignalled),
    POST(f"{WORKSPACE}/signals", routine_runs.send_signal, routine_runs.SignalSent),
    POST(
        f"{PIPELINES}/runs/{{runId}}/replay",
        routine_runs.replay_routine_run,
        StartedRoutineRunJSON,
        reads=body_if_any,
        answers=at_its_end,
    ),
)
