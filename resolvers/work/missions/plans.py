"""The task graph of a mission: its faults, and the consequences of ended tasks."""

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sqlalchemy import func
from sqlmodel import col

from models.work.missions import MissionTask, TaskStatus

CLEARED_BY_A_RESTART = (
    "error_message", "result_summary", "started_at", "completed_at", "duration_ms", "assignment_id", "approval_status",
    "approved_by", "approved_at",
)  # fmt: skip
NEXT_ITERATION: Any = func.coalesce(col(MissionTask.iteration), 0) + 1


def fault_in(tasks: Iterable[MissionTask]) -> str | None:
    """Why the tasks cannot be worked on: one depends on an unknown task, or some wait for each other."""
    titles = {task.id: task.title for task in tasks}
    graph = {task.id: task.depends_on for task in tasks}
    for id, depends_on in graph.items():
        if not titles.keys() >= set(depends_on):
            return f"The task {titles[id]!r} depends on what is no task of the mission"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return "Circular dependencies: " + " → ".join(repr(titles[id]) for id in reversed(error.args[1]))
    return None


def downstream(tasks: Iterable[MissionTask], of: Iterable[str]) -> set[str]:
    """These tasks, and all direct and indirect dependents."""
    found, rest = set(of), list(tasks)
    while True:
        more = {task.id for task in rest if task.id not in found and not found.isdisjoint(task.depends_on)}
        if not more:
            return found
        found |= more


def set_anew(tasks: Iterable[MissionTask], anew: set[str]) -> dict[TaskStatus, list[str]]:
    """The state of each task that begins again: PENDING if all its dependencies are done and stay so, otherwise
    BLOCKED.
    """
    rows = {task.id: task for task in tasks}
    done = {id for id, task in rows.items() if task.status is TaskStatus.COMPLETED} - anew
    made: dict[TaskStatus, list[str]] = {TaskStatus.PENDING: [], TaskStatus.BLOCKED: []}
    for id in rows:
        if id in anew:
            made[TaskStatus.PENDING if done.issuperset(rows[id].depends_on) else TaskStatus.BLOCKED].append(id)
    return made
