"""GraphQL: the caller's own account."""

import strawberry

from resolvers import account as account_ops
from schema.bridge import mutation
from schema.results import SuccessType


@strawberry.type
class AccountMutation:
    change_password = mutation(account_ops.change_password, SuccessType)
    delete_account = mutation(account_ops.delete_account, SuccessType)
