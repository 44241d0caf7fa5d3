"""REST: runs, as users read them and as programs elsewhere report them."""

from typing import Annotated

from models.staff.runs import Run, RunStatus
from models.work.work_pauses import WorkPause
from resolvers.staff import runs
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.envelopes import AnswerOf, Envelope, PaginationJSON
from rest_compat.http.table import GET, PATCH, POST, Absent, Wire
from rest_compat.staff.agents import AgentRunJSON


class RunJSON(AgentRunJSON, of=Run):
    agent_name: Annotated[str | None, Absent()]
    agent_slug: Annotated[str | None, Absent()]
    crew_name: Annotated[str | None, Absent()]


class RunStatsJSON(Wire, of=runs.RunStats):
    fields = "running today failed"


class RunListJSON(Envelope):
    """The statistics cover the whole workspace, regardless of filters."""

    data: list[RunJSON]
    stats: Annotated[RunStatsJSON, AnswerOf(runs.run_stats)]
    pagination: PaginationJSON


class ReportedRunJSON(Wire, of=Run):
    id: str
    status: RunStatus


class WorkPauseJSON(Wire, of=WorkPause):
    fields = """
        id workspace_id agent_id agent_name mission_id mission_title runs last_error active created_at resumed_at
        resumed_by_user_id
    """


ROUTES = (
    GET("/api/v1/runs", runs.list_runs, RunListJSON),
    GET("/api/v1/runs/insights", runs.run_insights, runs.RunInsights),
    GET("/api/v1/runs/{runId}", runs.get_run, RunJSON),
    GET("/api/v1/work-pauses", runs.list_work_pauses, list[WorkPauseJSON]),
    POST("/api/v1/work-pauses/{workPauseId}/resume", runs.resume_work, WorkPauseJSON),
    POST("/api/v1/internal/runs", runs.report_start, ReportedRunJSON, status=201, reads=workspace_in_body),
    PATCH("/api/v1/internal/runs/{runId}", runs.report_end, ReportedRunJSON),
)
