"""Cases of missions and their tasks, for the tests that are made for every operation."""

from models.missions import Assignment, AssignmentStatus, Mission, MissionTask
from tests.generation.entities import Plot, entity
from tests.world import now


@entity
def mission(plot: Plot) -> Mission:
    trace = f"mission-{plot.workspace.id}"
    return Mission(
        crew_id=plot["crew"].id,
        lead_agent_id=plot["lead"].id,
        trace_id=trace,
        title="Sail",
        description="To the south",
        plan="Hoist",
        **plot.here,
    )


@entity
def assignment(plot: Plot) -> Assignment:
    return Assignment(
        chat_id=plot["chat"].id,
        assigned_by_id=plot["lead"].id,
        assigned_to_id=plot["agent"].id,
        task="Hoist",
        status=AssignmentStatus.COMPLETED,
        result_summary="Hoisted",
        error_message="Not for long",
        started_at=now(),
        finished_at=now(),
        **plot.here,
    )


@entity
def mission_task(plot: Plot) -> MissionTask:
    return MissionTask(
        mission_id=plot["issue"].id,
        assigned_agent_id=plot["agent"].id,
        assignment_id=plot["assignment"].id,
        title="Hoist",
        **plot.here,
    )
