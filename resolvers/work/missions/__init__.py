"""Missions: a crew's goals, their tasks, the assignment of tasks to agents, and their results."""

from resolvers.kernel import Domain
from resolvers.work.missions.actions import (
    MissionResumed,
    MissionState,
    clone_mission,
    restart_mission,
    restart_mission_from,
    resume_mission,
    start_mission,
)
from resolvers.work.missions.approvals import decide_task
from resolvers.work.missions.asking import PeerAnswer, ask_peer
from resolvers.work.missions.assigning import AssignmentGiven, GivenAssignment, create_assignment, get_assignment
from resolvers.work.missions.checkpoints import (
    CheckpointFork,
    CheckpointRestored,
    RestoredCheckpoint,
    create_checkpoint,
    delete_checkpoint,
    fork_checkpoint,
    get_checkpoint,
    list_checkpoints,
    restore_checkpoint,
)
from resolvers.work.missions.internal import MissionPlanned, get_planned_mission, plan_mission, start_planned_mission
from resolvers.work.missions.metrics import MissionMetrics, mission_metrics
from resolvers.work.missions.missions import (
    create_mission,
    delete_mission,
    find_mission,
    find_missions,
    get_mission,
    list_all_missions,
    list_missions,
    update_mission,
)
from resolvers.work.missions.pausing import continue_mission, pause_mission
from resolvers.work.missions.tasks import create_task, delete_task, get_task, update_task

DOMAIN = Domain("missions", scopes="issues")
