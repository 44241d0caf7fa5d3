"""REST: the state of routines."""

from resolvers.work import routine_state
from rest_compat.http.table import DELETE, GET, PUT
from rest_compat.people.workspaces import WORKSPACE

STATE = f"{WORKSPACE}/pipelines/{{slug}}/state"
ROUTES = (
    GET(STATE, routine_state.get_routine_state, routine_state.RoutineState, kept_empty=("schedule_id",)),
    PUT(f"{STATE}/{{key}}", routine_state.set_routine_state, routine_state.RoutineStateSet),
    DELETE(f"{STATE}/{{key}}", routine_state.delete_routine_state_key, routine_state.RoutineStateKeyDeleted),
    DELETE(STATE, routine_state.clear_routine_state, routine_state.RoutineStateCleared),
)
