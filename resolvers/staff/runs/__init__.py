"""Runs of agents."""

from resolvers.kernel import Domain
from resolvers.staff.runs.insights import (
    AgentCount,
    CategoryCount,
    CrewCount,
    RunDuration,
    RunInsights,
    RunTotals,
    run_insights,
)
from resolvers.staff.runs.listing import ListRuns, RunStats, get_run, list_runs, run_stats
from resolvers.staff.runs.pauses import list_work_pauses, resume_work
from resolvers.staff.runs.reported import report_end, report_start

DOMAIN = Domain("runs")

__all__ = [
    "AgentCount", "CategoryCount", "CrewCount", "ListRuns", "RunDuration", "RunInsights", "RunStats", "RunTotals",
    "get_run", "list_runs", "list_work_pauses", "report_end",
    "report_start", "resume_work", "run_insights", "run_stats",
]  # fmt: skip
