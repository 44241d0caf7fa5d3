"""GraphQL: the state of routines."""

import strawberry

from resolvers.work import routine_state as state_ops
from schema.bridge.fields import mutation, query


@strawberry.type
class RoutineStateQuery:
    routine_state = query(state_ops.get_routine_state)


@strawberry.type
class RoutineStateMutation:
    set_routine_state = mutation(state_ops.set_routine_state)
    delete_routine_state_key = mutation(state_ops.delete_routine_state_key)
    clear_routine_state = mutation(state_ops.clear_routine_state)
