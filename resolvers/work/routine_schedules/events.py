"""Events about schedules of routines. What their occurrences do is announced by RoutineTriggerChanged."""

from resolvers.kernel import Event


class RoutineScheduleCreated(Event, type="routine_schedule.created", channel="workspace:{workspace_id}"):
    """A schedule of a routine was created."""

    id: str


class RoutineScheduleUpdated(Event, type="routine_schedule.updated", channel="workspace:{workspace_id}"):
    """A schedule of a routine was updated."""

    id: str


class RoutineScheduleDeleted(Event, type="routine_schedule.deleted", channel="workspace:{workspace_id}"):
    """A schedule of a routine was deleted."""

    id: str
