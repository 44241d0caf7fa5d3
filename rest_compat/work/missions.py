"""REST: missions and their tasks."""

from typing import Annotated

from models.work.missions import Checkpoint, Mission, MissionTask
from resolvers.work import missions
from resolvers.work.missions.graph import TaskStats
from rest_compat.http.dispatch import body_if_any, workspace_in_body
from rest_compat.http.envelopes import SHOWN, Envelope, FromInput
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, From, IfAsked, Null, Wire


class TaskStatsJSON(Wire, of=TaskStats):
    """CANCELLED tasks count in `total` only."""

    fields = "total pending blocked in_progress completed failed skipped awaiting_approval"


class ChangedTaskJSON(Wire, of=MissionTask):
    """`depends_on` is a JSON array of ids, as text."""

    fields = """
        id mission_id assigned_agent_id title description status task_order depends_on iteration max_iterations
        result_summary output_path error_message assignment_id token_count estimated_cost started_at completed_at
        duration_ms created_at updated_at confidence needs_review handoff_context evaluation_status evaluation_notes
        approval_required approval_status approved_by approved_at
    """
    depends_on: Annotated[str, From("depends_on_text")]


class CreatedTaskJSON(ChangedTaskJSON, of=MissionTask):
    """A new task: `iteration` is null (contract: missions.Task)."""

    iteration: Annotated[int | None, Null()]


class TaskJSON(ChangedTaskJSON, of=MissionTask):
    agent_name: Annotated[str | None, Absent()]
    agent_slug: Annotated[str | None, Absent()]


class CreatedMissionJSON(Wire, of=Mission):
    fields = """
        id workspace_id crew_id lead_agent_id trace_id title description status plan workflow_template total_token_count
        total_estimated_cost created_at updated_at completed_at
    """


class ChangedMissionJSON(CreatedMissionJSON, of=Mission):
    lead_agent_name: Annotated[str | None, Absent()]
    lead_agent_slug: Annotated[str | None, Absent()]


class ListedMissionJSON(ChangedMissionJSON, of=Mission):
    """`task_stats` is absent if the mission has no tasks."""

    task_stats: Annotated[TaskStatsJSON | None, From("task_stats_if_any"), Absent()]


class MissionWithTasksJSON(ListedMissionJSON, of=Mission):
    """`tasks` is present with `include_tasks`, and absent if there are no tasks."""

    tasks: Annotated[list[TaskJSON], IfAsked("include_tasks"), Absent(zero=True)]


class MissionJSON(ChangedMissionJSON, of=Mission):
    """`tasks` is absent if there are no tasks."""

    task_stats: TaskStatsJSON
    tasks: Annotated[list[TaskJSON], Absent(zero=True)]


class PlannedMissionJSON(Wire, of=Mission):
    fields = "id trace_id title description status created_at"


class PlannedTaskJSON(Wire, of=MissionTask):
    """`depends_on` is a JSON array of ids, as text."""

    fields = "id title status assigned_agent_id depends_on result_summary error_message task_order"
    depends_on: Annotated[str, From("depends_on_text")]


class AgentsMissionJSON(Wire, of=Mission):
    """A mission as agents read it."""

    mission: PlannedMissionJSON
    tasks: list[PlannedTaskJSON]


class CheckpointJSON(Wire, of=Checkpoint):
    """`created_at` has fractions of a second."""

    fields = "id workspace_id crew_id mission_id label journal_cursor state fork_of created_by created_at"
    absent = "label fork_of created_by"
    crew_id: Annotated[str | None, Absent()]
    created_at: Annotated[str, From("created_at_exactly")]


class CheckpointsJSON(Envelope):
    checkpoints: list[CheckpointJSON]
    count: Annotated[int, SHOWN]
    mission_id: Annotated[str, FromInput()]


OF_CREW = "/api/v1/crews/{crewId}/missions"
MISSION = f"{OF_CREW}/{{missionId}}"
CHECKPOINTS = "/api/v1/missions/{missionId}/checkpoints"
CHECKPOINT = "/api/v1/checkpoints/{checkpointId}"
INTERNAL = "/api/v1/internal/missions"
ASSIGNMENTS = "/api/v1/internal/assignments"
QUERIES = "/api/v1/internal/queries"
TASK = f"{MISSION}/tasks/{{taskId}}"

ROUTES = (
    GET("/api/v1/missions", missions.list_all_missions, list[MissionWithTasksJSON]),
    GET("/api/v1/mission-metrics", missions.mission_metrics, missions.MissionMetrics),
    GET(OF_CREW, missions.list_missions, list[ListedMissionJSON]),
    POST(OF_CREW, missions.create_mission, CreatedMissionJSON, status=201),
    GET(MISSION, missions.get_mission, MissionJSON),
    PATCH(MISSION, missions.update_mission, ChangedMissionJSON),
    DELETE(MISSION, missions.delete_mission, status=204),
    POST(f"{MISSION}/start", missions.start_mission, missions.MissionState, optional_body=True),
    POST(f"{MISSION}/restart", missions.restart_mission, missions.MissionState, optional_body=True),
    POST(f"{MISSION}/resume", missions.resume_mission, missions.MissionResumed, optional_body=True),
    POST(f"{MISSION}/clone", missions.clone_mission, missions.MissionState, status=201, optional_body=True),
    POST(f"{MISSION}/tasks", missions.create_task, CreatedTaskJSON, status=201),
    PATCH(TASK, missions.update_task, ChangedTaskJSON),
    POST("/api/v1/missions/{missionId}/tasks/{taskId}/decide", missions.decide_task, TaskJSON),
    GET(CHECKPOINTS, missions.list_checkpoints, CheckpointsJSON),
    POST(CHECKPOINTS, missions.create_checkpoint, CheckpointJSON, status=201, reads=body_if_any),
    GET(CHECKPOINT, missions.get_checkpoint, CheckpointJSON),
    POST(f"{CHECKPOINT}/restore", missions.restore_checkpoint, missions.CheckpointRestored, optional_body=True),
    POST(f"{CHECKPOINT}/fork", missions.fork_checkpoint, missions.CheckpointFork, status=201, reads=body_if_any),
    DELETE(CHECKPOINT, missions.delete_checkpoint, status=204),
    POST(INTERNAL, missions.plan_mission, missions.MissionPlanned, status=201, reads=workspace_in_body),
    POST(ASSIGNMENTS, missions.create_assignment, missions.AssignmentGiven, status=201, reads=workspace_in_body),
    POST(QUERIES, missions.ask_peer, missions.PeerAnswer, reads=workspace_in_body),
    GET(f"{ASSIGNMENTS}/{{assignmentId}}", missions.get_assignment, missions.GivenAssignment),
    GET(f"{INTERNAL}/{{missionId}}", missions.get_planned_mission, AgentsMissionJSON),
    POST(
        f"{INTERNAL}/{{missionId}}/start",
        missions.start_planned_mission,
        missions.MissionState,
        reads=lambda request: dict(request.query),
    ),
)
