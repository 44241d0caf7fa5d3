"""GraphQL: recovery of an account."""

import strawberry

from resolvers.people import recovery as recovery_ops
from schema.bridge.fields import mutation


@strawberry.type
class RecoveryMutation:
    request_password_reset = mutation(recovery_ops.request_password_reset)
    reset_password = mutation(recovery_ops.reset_password)
