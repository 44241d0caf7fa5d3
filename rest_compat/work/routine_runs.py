"""REST: runs of routines, and the approvals that they wait for."""

from typing import Annotated, Any

from models.work.routine_runs import RoutineRun, Waitpoint
from resolvers.work import routine_runs
from rest_compat.http.dispatch import body_if_any
from rest_compat.http.envelopes import SHOWN, Envelope
from rest_compat.http.table import GET, POST, Absent, Fixed, From, Request, Wire
from rest_compat.people.workspaces import WORKSPACE

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
    """The run as it begins: `status` is RUNNING until it waits or ends."""

    fields = """
        run_id pipeline_id pipeline_slug status output step_outputs duration_ms cost_usd failed_at_step error_message
        waitpoint_token current_step
    """
    absent = "failed_at_step error_message waitpoint_token current_step"
    run_id: Annotated[str, From("id")]
    pipeline_id: Annotated[str, From("routine_id")]
    pipeline_slug: Annotated[str, From("routine_slug")]
    status: Annotated[str, From("result")]
    output: Annotated[str, From("output_text")]
    current_step: Annotated[str | None, Absent(), From("waiting_step")] = None


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


PIPELINES = f"{WORKSPACE}/pipelines"
RUN = f"{WORKSPACE}/pipeline-runs/{{runId}}"
ROUTES = (
    POST(f"{PIPELINES}/{{slug}}/run", routine_runs.run_routine, StartedRoutineRunJSON, reads=invoked),
    POST(f"{PIPELINES}/{{slug}}/disable", routine_runs.disable_routine, routine_runs.RoutineDisabled),
    POST(f"{PIPELINES}/runs/{{runId}}/cancel", routine_runs.cancel_routine_run, routine_runs.RoutineRunCancelled),
    GET(f"{PIPELINES}/waitpoints", routine_runs.list_waitpoints, list[WaitpointJSON]),
    POST(
        f"{PIPELINES}/waitpoints/{{token}}/approve",
        routine_runs.decide_waitpoint,
        routine_runs.WaitpointDecided,
        reads=body_if_any,
    ),
    GET(f"{WORKSPACE}/pipeline-runs", routine_runs.list_routine_runs, RoutineRunListJSON),
    GET(RUN, routine_runs.get_routine_run, RoutineRunJSON),
    POST(f"{RUN}/signal", routine_runs.signal_routine_run, routine_runs.RoutineRunSignalled),
    POST(f"{WORKSPACE}/signals", routine_runs.send_signal, routine_runs.SignalSent),
    POST(
        f"{PIPELINES}/runs/{{runId}}/replay",
        routine_runs.replay_routine_run,
        StartedRoutineRunJSON,
        reads=body_if_any,
    ),
)
