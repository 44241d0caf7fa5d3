"""Events about missions, their tasks, and pending decisions."""

from typing import Annotated, Final, Literal

from models.work.missions import MissionStatus, TaskStatus
from resolvers.kernel import Event, Routing
from resolvers.kernel.declarations.events import Distinct

STARTED: Final[dict[str, str]] = {"STARTED": MissionStatus.IN_PROGRESS}
"""The engine's word for a mission that begins, and the status that the mission then has."""


class CrewMissionCreated(Event, type="mission.created", channel="crew:{crew_id}"):
    """A mission of this crew was created."""

    crew_id: Annotated[str, Routing()]
    id: str
    title: str


class MissionCloned(Event, type="mission.created", channel="workspace:{workspace_id}"):
    """A mission was cloned. All other new missions are announced by mission.updated."""

    id: str
    crew_id: str
    status: Annotated[Literal[MissionStatus.PLANNING], Distinct("mission_status")]


class MissionUpdated(Event, type="mission.updated", channel="workspace:{workspace_id}"):
    """A mission was created, or its status has changed.

    The engine sends STARTED with the title when it starts the mission.
    """

    id: str
    crew_id: str
    status: Annotated[MissionStatus | Literal["STARTED"], Distinct("mission_status", STARTED)]
    title: Annotated[str | None, Distinct("mission_title")] = None


class MissionStarted(Event, type="mission.updated", channel="mission:{id}"):
    """This mission was started."""

    id: str
    status: Annotated[Literal[MissionStatus.IN_PROGRESS], Distinct("mission_status")]


class MissionStatusChanged(Event, type="mission.status", channel="mission:{id}"):
    """The status of this mission has changed. The engine sends STARTED with the title when it starts the mission."""

    id: str
    status: Annotated[MissionStatus | Literal["STARTED"], Distinct("mission_status", STARTED)]
    title: Annotated[str | None, Distinct("mission_title")] = None


class TaskCreated(Event, type="task.created", channel="mission:{mission_id}"):
    """A task was added to this mission."""

    mission_id: Annotated[str, Routing()]
    id: str
    title: str
    status: Annotated[TaskStatus, Distinct("task_status")]


class TaskStatusChanged(Event, type="task.status", channel="mission:{mission_id}"):
    """The status of a task of this mission has changed: by a user, another task, an approval or the engine."""

    mission_id: Annotated[str, Routing()]
    id: str
    status: Annotated[TaskStatus, Distinct("task_status")]


class TaskUpdated(Event, type="task.updated", channel="workspace:{workspace_id}"):
    """A task of a mission was created, its status has changed, or it was reset because the mission resumes."""

    id: str
    mission_id: str
    status: Annotated[TaskStatus, Distinct("task_status")]


class TaskDeleted(Event, type="task.deleted", channel="workspace:{workspace_id}"):
    """A task of a mission was deleted."""

    id: str
    mission_id: str


class ConfidenceLow(Event, type="confidence.low", channel="workspace:{workspace_id}"):
    """A task has ended with a confidence below the notification threshold."""

    task_id: str
    mission_id: str
    level: Literal["notify"]


class ApprovalRequired(Event, type="approval.required", channel="workspace:{workspace_id}"):
    """A task is waiting for the approval of a user."""

    task_id: str
    mission_id: str


class ApprovalResolved(Event, type="approval.resolved", channel="workspace:{workspace_id}"):
    """A user has reviewed an issue whose mission is active."""

    task_id: str
    mission_id: str
    action: str
