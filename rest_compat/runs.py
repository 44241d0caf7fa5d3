"""REST: runs, as users read them and as programs elsewhere report them."""

from typing import Annotated, Any

from models.runs import Run, RunStatus
from resolvers import runs
from resolvers.kernel.inputs import validate
from resolvers.kernel.operation import Answer
from rest_compat.agents import AgentRunJSON
from rest_compat.dispatch import JSON, workspace_in_body
from rest_compat.pagination import PaginationJSON, counted, pagination
from rest_compat.table import GET, PATCH, POST, Absent, Around, Reply, Request, Wire, shape_of


class RunJSON(AgentRunJSON, of=Run):
    agent_name: Annotated[str | None, Absent()]
    agent_slug: Annotated[str | None, Absent()]
    crew_name: Annotated[str | None, Absent()]


class RunStatsJSON(Wire, of=runs.RunStats):
    running: int
    today: int
    failed: int


class RunListJSON(Around):
    """The statistics cover the whole workspace, regardless of filters."""

    rows, counted = "data", True
    data: list[RunJSON]
    stats: RunStatsJSON
    pagination: PaginationJSON


class ReportedRunJSON(Wire, of=Run):
    id: str
    status: RunStatus


STATS = shape_of(RunStatsJSON)


async def _listed(request: Request, answer: Answer) -> Reply:
    total, rows = counted(answer.body or b"")
    data = validate(runs.ListRuns, dict[str, Any](request.query))
    stats = await runs.run_stats(request.caller, {}, STATS, place=request.place)
    place = pagination(data.page, data.limit, total).model_dump_json().encode()
    return Reply(200, b'{"data":%b,"stats":%b,"pagination":%b}' % (rows, stats.body or b"", place), [JSON])


ROUTES = (
    GET("/api/v1/runs", runs.list_runs, RunListJSON, answers=_listed),
    GET("/api/v1/runs/insights", runs.run_insights, runs.RunInsights),
    GET("/api/v1/runs/{runId}", runs.get_run, RunJSON),
    POST("/api/v1/internal/runs", runs.report_start, ReportedRunJSON, status=201, reads=workspace_in_body),
    PATCH("/api/v1/internal/runs/{runId}", runs.report_end, ReportedRunJSON),
)
