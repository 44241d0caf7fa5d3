"""Schedules of routines: cron expressions that start runs, with a check before and a breaker after failures."""

from resolvers.kernel import Domain
from resolvers.work.routine_schedules.agents import create_agents_routine_schedule
from resolvers.work.routine_schedules.schedules import (
    create_routine_schedule,
    delete_routine_schedule,
    get_routine_schedule,
    list_routine_schedules,
    run_routine_schedule,
    update_routine_schedule,
)

DOMAIN = Domain("routine_schedules", scopes="routines")
