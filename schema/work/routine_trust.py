"""GraphQL: standing approvals of routines."""

import strawberry

from resolvers.work import routine_trust as trust_ops
from schema.bridge.fields import mutation, query


@strawberry.type
class RoutineTrustQuery:
    routine_trust = query(trust_ops.list_routine_trust)


@strawberry.type
class RoutineTrustMutation:
    grant_routine_trust = mutation(trust_ops.grant_routine_trust)
    revoke_routine_trust = mutation(trust_ops.revoke_routine_trust)
