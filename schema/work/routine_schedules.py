"""GraphQL: schedules of routines."""

import strawberry

from models.work.routine_schedules import RoutineSchedule
from resolvers.work import routine_schedules as schedule_ops
from schema.bridge.fields import mutation, node, query


@node(RoutineSchedule)
class RoutineScheduleType:
    """A cron schedule that starts runs of a routine."""

    fields = """
        id workspace_id name routine_id routine routine_slug routine_version cron_expr timezone inputs enabled
        jitter_seconds catchup_policy next_run_at last_run_at last_status last_run_id last_error last_missed_count
        consecutive_failures max_consecutive_failures disabled_reason wake_routine_id wake_routine wake_routine_slug
        wake_inputs wake_fail_closed wake_check_count wake_fire_count last_wake_at last_wake_status by_agent crew_id
        crew run_as_id run_as runs created_at updated_at version
    """
    routine_slug = strawberry.field(description="Null once the routine is deleted.")
    routine_version = strawberry.field(description="The pinned version; null runs the head.")
    jitter_seconds = strawberry.field(description="Seconds by which a run starts later at most.")
    last_error = strawberry.field(description="The reason of the last failure.")
    last_missed_count = strawberry.field(description="Missed occurrences at the last one that was late.")
    by_agent = strawberry.field(description="True if an agent created it.")
    run_as = strawberry.field(description="The member in whose name runs start.")


@strawberry.type
class RoutineScheduleQuery:
    routine_schedule = query(schedule_ops.get_routine_schedule, RoutineScheduleType)
    routine_schedules = query(schedule_ops.list_routine_schedules, RoutineScheduleType)


@strawberry.type
class RoutineScheduleMutation:
    create_routine_schedule = mutation(schedule_ops.create_routine_schedule, RoutineScheduleType)
    update_routine_schedule = mutation(schedule_ops.update_routine_schedule, RoutineScheduleType)
    delete_routine_schedule = mutation(schedule_ops.delete_routine_schedule)
