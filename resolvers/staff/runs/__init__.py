"""Runs of agents."""

from resolvers.kernel import Domain
from resolvers.staff.runs.finding import find_runs
from resolvers.staff.runs.insights import AgentCount, CategoryCount, CrewCount, RunDuration, RunInsights, run_insights
from resolvers.staff.runs.listing import ListRuns, RunInput, RunStats, get_run, list_runs, run_stats
from resolvers.staff.runs.pauses import list_work_pauses, resume_work
from resolvers.staff.runs.readiness import agent_readiness
from resolvers.staff.runs.reported import report_end, report_start
from resolvers.staff.runs.stopping import cancel_run
from resolvers.staff.runs.trace import RUN_EVENTS

DOMAIN = Domain("runs")
