"""REST: schedules of routines, which the API calls pipelines."""

from typing import Annotated

from models.work.routine_schedules import RoutineSchedule
from resolvers.work import routine_schedules
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, From, Wire
from rest_compat.people.workspaces import WORKSPACE
from rest_compat.work.routine_runs import StartedRoutineRunJSON, at_its_end


class RoutineScheduleJSON(Wire, of=RoutineSchedule):
    """`last_error`: why the last occurrence failed. Counters of the wake check are absent while they are 0."""

    fields = """
        id workspace_id name target_pipeline_id target_pipeline_slug target_pipeline_version cron_expr timezone inputs
        enabled jitter_seconds last_run_at last_status last_run_id last_error next_run_at wake_pipeline_id
        wake_pipeline_slug wake_inputs wake_fail_closed wake_check_count wake_fire_count last_wake_at last_wake_status
        catchup_policy last_missed_count consecutive_failures max_consecutive_failures disabled_reason run_as_id
        created_at updated_at
    """
    absent = """
        last_run_at last_status last_run_id last_error last_wake_at last_wake_status disabled_reason wake_inputs
        run_as_id
    """
    target_pipeline_id: Annotated[str, From("routine_id")]
    target_pipeline_slug: Annotated[str | None, From("routine_slug"), Absent()] = None
    target_pipeline_version: Annotated[int | None, From("routine_version"), Absent()] = None
    wake_pipeline_id: Annotated[str | None, From("wake_routine_id"), Absent()] = None
    wake_pipeline_slug: Annotated[str | None, From("wake_routine_slug"), Absent()] = None
    jitter_seconds: Annotated[int, Absent(zero=True)] = 0
    wake_fail_closed: Annotated[bool | None, From("fails_closed"), Absent()] = None
    wake_check_count: Annotated[int, Absent(zero=True)] = 0
    wake_fire_count: Annotated[int, Absent(zero=True)] = 0
    last_missed_count: Annotated[int, Absent(zero=True)] = 0


class AgentsRoutineScheduleJSON(RoutineScheduleJSON, of=RoutineSchedule):
    """The last three keys are absent at the levels `trusted` and `full`."""

    decision: Annotated[str | None, From("announced_decision"), Absent()] = None
    autonomy_level: Annotated[str | None, From("announced_level"), Absent()] = None
    pending_review: Annotated[bool | None, From("announced_review"), Absent()] = None


SCHEDULES = f"{WORKSPACE}/pipeline-schedules"
SCHEDULE = f"{SCHEDULES}/{{scheduleId}}"
ROUTES = (
    GET(SCHEDULES, routine_schedules.list_routine_schedules, list[RoutineScheduleJSON]),
    POST(SCHEDULES, routine_schedules.create_routine_schedule, RoutineScheduleJSON, status=201),
    PATCH(SCHEDULE, routine_schedules.update_routine_schedule, RoutineScheduleJSON),
    DELETE(SCHEDULE, routine_schedules.delete_routine_schedule, status=204),
    POST(
        f"{SCHEDULE}/run",
        routine_schedules.run_routine_schedule,
        StartedRoutineRunJSON,
        answers=at_its_end,
    ),
    POST(
        "/api/v1/internal/routines/schedules",
        routine_schedules.create_agents_routine_schedule,
        AgentsRoutineScheduleJSON,
        status=201,
        in_query=("crew_id",),
    ),
)
