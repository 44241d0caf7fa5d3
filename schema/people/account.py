"""GraphQL: the caller's own account."""

import strawberry

from resolvers.people import account as account_ops
from schema.bridge.fields import mutation, output
from schema.bridge.results import SuccessType


@output(account_ops.EmailChangeRequested)
class EmailChangeRequestedType:
    """The answer to any address, whether it can be used or not."""

    ok: bool
    message: str


@output(account_ops.EmailChanged)
class EmailChangedType:
    """The account has the new email."""

    ok: bool


@strawberry.type
class AccountMutation:
    change_password = mutation(account_ops.change_password, SuccessType)
    change_email = mutation(account_ops.change_email, EmailChangeRequestedType)
    confirm_email = mutation(account_ops.confirm_email, EmailChangedType)
    delete_account = mutation(account_ops.delete_account, SuccessType)
