"""GraphQL: service accounts and their tokens."""

import strawberry

from models.people.service_accounts import ServiceAccount
from resolvers.people import service_accounts as account_ops
from schema.bridge.fields import mutation, node, output, query

output(
    account_ops.ServiceAccountToken,
    fields={
        "rotated_at": "The time at which another token replaced this one.",
        "scopes": "`*`: all permissions of the account.",
        "expires_soon": "Within a week, or in the last quarter of a lifetime of less than four weeks.",
    },
)


@node(ServiceAccount)
class ServiceAccountType:
    """A non-human actor of a workspace: it authenticates with tokens and has a role."""

    fields = """
        id workspace_id name description role active created_by creator created_at updated_at deactivated_at version
    """
    created_by: strawberry.ID | None


@strawberry.type
class ServiceAccountQuery:
    service_accounts = query(account_ops.list_service_accounts, ServiceAccountType)
    service_account = query(account_ops.get_service_account, ServiceAccountType)
    service_account_tokens = query(account_ops.list_service_account_tokens)


@strawberry.type
class ServiceAccountMutation:
    create_service_account = mutation(account_ops.create_service_account, ServiceAccountType)
    update_service_account = mutation(account_ops.update_service_account, ServiceAccountType)
    activate_service_account = mutation(account_ops.activate_service_account, ServiceAccountType)
    deactivate_service_account = mutation(account_ops.deactivate_service_account, ServiceAccountType)
    delete_service_account = mutation(account_ops.delete_service_account)
    create_service_account_token = mutation(account_ops.create_service_account_token)
    rotate_service_account_token = mutation(account_ops.rotate_service_account_token)
    revoke_service_account_token = mutation(account_ops.revoke_service_account_token)
