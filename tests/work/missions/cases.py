"""Cases of missions and their tasks, for the tests that are made for every operation."""

from typing import Any

from models.actors import ActorType
from models.work.missions import (
    ApprovalDecision,
    Assignment,
    AssignmentStatus,
    Checkpoint,
    Mission,
    MissionStatus,
    MissionTask,
    TaskStatus,
)
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def mission(plot: Plot) -> Mission:
    """With the id of a chat, as missions have it."""
    return Mission(
        id=plot["chat"].id,
        crew_id=plot["crew"].id,
        lead_agent_id=plot["agent"].id,
        trace_id=f"mission-{plot.workspace.id}",
        title="Sail",
        description="To the south",
        plan="Hoist",
        workflow_template="sequential",
        total_token_count=1,
        total_estimated_cost=0.5,
        started_at=now(),
        completed_at=now(),
        **plot.here,
    )


@entity
def mission_that_failed(plot: Plot) -> Mission:
    return _of_lead(plot, "failed", MissionStatus.FAILED)


@entity
def mission_under_way(plot: Plot) -> Mission:
    return _of_lead(plot, "under-way", MissionStatus.IN_PROGRESS)


@entity
def mission_begun(plot: Plot) -> Mission:
    made = _of_lead(plot, "begun", MissionStatus.IN_PROGRESS)
    made.started_at = now()
    return made


@entity
def mission_paused(plot: Plot) -> Mission:
    made = _of_lead(plot, "paused", MissionStatus.IN_PROGRESS)
    made.started_at = made.paused_at = now()
    made.paused_by, made.paused_ms = plot.owner.user_id, 1
    return made


def _of_lead(plot: Plot, trace: str, status: MissionStatus) -> Mission:
    of: dict[str, Any] = {"crew_id": plot["crew"].id, "lead_agent_id": plot["lead"].id}
    return Mission(trace_id=f"mission-{plot.workspace.id}-{trace}", title="Sail", status=status, **of, **plot.here)


@entity
def mission_to_review(plot: Plot) -> Mission:
    made = _of_lead(plot, "to-review", MissionStatus.REVIEW)
    made.created_by_type, made.created_by_id = ActorType.user, plot.owner.user_id
    return made


@entity
def assignment(plot: Plot) -> Assignment:
    return _assignment(plot, "chat")


@entity
def assignment_of_issue(plot: Plot) -> Assignment:
    return _assignment(plot, "chat_of_issue")


def _assignment(plot: Plot, chat: str) -> Assignment:
    return Assignment(
        chat_id=plot[chat].id,
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


def _task(plot: Plot, mission: str, **more: Any) -> MissionTask:
    given: dict[str, Any] = {
        "mission_id": plot[mission].id,
        "assigned_agent_id": plot["agent"].id,
        "title": "Steer",
        "description": "To the south",
        "max_iterations": 2,
        "result_summary": "Steered",
        "output_path": "log.txt",
        "error_message": "Not for long",
        "token_count": 1,
        "estimated_cost": 0.5,
        "started_at": now(),
        "completed_at": now(),
        "duration_ms": 1,
        "confidence": 0.9,
        "handoff_context": "Due south",
        "evaluation_status": "done",
        "evaluation_notes": "Well",
        "approval_status": ApprovalDecision.APPROVED,
        "approved_by": plot.owner.user_id,
        "approved_at": now(),
    }
    return MissionTask(**given | more, **plot.here)


@entity
def task(plot: Plot) -> MissionTask:
    return _task(plot, "mission")


@entity
def task_of_issue(plot: Plot) -> MissionTask:
    done = {"status": TaskStatus.COMPLETED, "assignment_id": plot["assignment_of_issue"].id}
    return _task(plot, "issue_under_way", **done)


@entity
def task_that_failed(plot: Plot) -> MissionTask:
    return _task(plot, "mission_that_failed", status=TaskStatus.FAILED)


@entity
def task_that_waits(plot: Plot) -> MissionTask:
    return _task(plot, "mission_under_way", status=TaskStatus.AWAITING_APPROVAL)


@entity
def checkpoint(plot: Plot) -> Checkpoint:
    made = _checkpoint(plot)
    made.fork_of = plot["checkpoint_before"].id
    return made


@entity
def checkpoint_before(plot: Plot) -> Checkpoint:
    return _checkpoint(plot)


def _checkpoint(plot: Plot) -> Checkpoint:
    state: dict[str, Any] = {"agent_memory": {}, "pending_tasks": [], "open_assignments": []}
    cursor = f"j{0:014x}je{plot.workspace.id}"
    of: dict[str, Any] = {"crew_id": plot["crew"].id, "mission_id": plot["mission"].id}
    by: dict[str, Any] = {"label": "First", "created_by": plot.owner.user_id}
    return Checkpoint(journal_cursor=cursor, state=state, **of, **by, **plot.here)


IDS = {"depends_on": "task"}
FAILED = Recipe(ids={"id": "mission_that_failed"})
RECIPES = {
    "missions.update": Recipe(values={"status": "CANCELLED"}),
    "missions.restart": FAILED,
    "missions.pause": Recipe(ids={"id": "mission_begun"}),
    "missions.continue": Recipe(ids={"id": "mission_paused"}),
    "missions.resume": FAILED,
    "missions.restart_from": Recipe(ids={"id": "mission_that_failed", "task_ids": "task_that_failed"}),
    "missions.tasks_get": Recipe(ids={"id": "mission_task"}),
    "missions.tasks_delete": Recipe(ids={"id": "task"}),
    "missions.tasks_update": Recipe(
        values={"status": "SKIPPED", "title": "Steer", "depends_on": None}, ids={"id": "task"}
    ),
    "internal.missions.create": Recipe(values={"tasks": [{"title": "Steer", "task_order": 1}]}),
    "internal.assignments.create": Recipe(values={"target_slug": "hand", "task": "Steer"}),
    "internal.queries.create": Recipe(values={"target_slug": "lead", "question": "Whither?"}),
    "queries.ask": Recipe(values={"target_slug": "lead", "question": "Whither?"}),
    "queries.withdraw": Recipe(ids={"question_id": "run"}),
    "internal.assignments.get": Recipe(ids={"id": "assignment"}),
    "missions.tasks_decide": Recipe(
        values={"decision": "approve"}, ids={"mission_id": "mission_under_way", "id": "task_that_waits"}
    ),
}
