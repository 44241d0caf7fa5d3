"""GraphQL: service accounts and their tokens."""

from datetime import datetime

import strawberry

from models.people.service_accounts import ServiceAccount
from models.people.workspaces import Role
from resolvers.people import service_accounts as account_ops
from schema.bridge.fields import Edge, mutation, node, output, query
from schema.bridge.results import CreatedCliTokenType, DeletedType, RevokedCliTokenType


@node(ServiceAccount)
class ServiceAccountType:
    """A non-human actor of a workspace: it authenticates with tokens and has a role."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    name: str
    description: str | None
    role: Role
    active: bool
    created_by: strawberry.ID | None
    creator: Edge | None
    created_at: datetime
    updated_at: datetime
    deactivated_at: datetime | None
    version: int


@output(account_ops.ServiceAccountToken)
class ServiceAccountTokenType:
    """A token of a service account, without its value."""

    id: strawberry.ID
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    rotated_at: datetime | None = strawberry.field(description="When another token took the place of this one.")
    scopes: list[str] = strawberry.field(description="`*`: all permissions of the account.")
    expires_soon: bool = strawberry.field(
        description="Within a week, or in the last quarter of a lifetime of less than four weeks.",
    )


@strawberry.type
class ServiceAccountQuery:
    service_accounts = query(account_ops.list_service_accounts, ServiceAccountType)
    service_account = query(account_ops.get_service_account, ServiceAccountType)
    service_account_tokens = query(account_ops.list_service_account_tokens, ServiceAccountTokenType)


@strawberry.type
class ServiceAccountMutation:
    create_service_account = mutation(account_ops.create_service_account, ServiceAccountType)
    update_service_account = mutation(account_ops.update_service_account, ServiceAccountType)
    activate_service_account = mutation(account_ops.activate_service_account, ServiceAccountType)
    deactivate_service_account = mutation(account_ops.deactivate_service_account, ServiceAccountType)
    delete_service_account = mutation(account_ops.delete_service_account, DeletedType)
    create_service_account_token = mutation(account_ops.create_service_account_token, CreatedCliTokenType)
    rotate_service_account_token = mutation(account_ops.rotate_service_account_token, CreatedCliTokenType)
    revoke_service_account_token = mutation(account_ops.revoke_service_account_token, RevokedCliTokenType)
