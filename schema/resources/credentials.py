"""GraphQL: credentials of a workspace. No field holds a value."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.actors import ActorType
from models.resources.credentials import (
    AgentCredential,
    Credential,
    CredentialEvent,
    CredentialEventType,
    CredentialRotation,
    CredentialStatus,
    CredentialType,
    RotationStatus,
)
from resolvers.resources import credentials as credential_ops
from schema.bridge.fields import Edge, mutation, node, output, query
from schema.bridge.results import SuccessType


@node(Credential, name="Credential")
class CredentialNode:
    """A secret that agents work with. Its value can be written, and never read."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    name: str
    description: str | None
    type: CredentialType
    provider: str
    status: CredentialStatus
    scope: str
    crew_id: strawberry.ID | None = strawberry.field(description="The first of `crewIds`.")
    crew_ids: list[str] = strawberry.field(description="Crews whose members see the credential.")
    account_label: str | None
    account_email: str | None
    username: str | None
    token_expires_at: str | None = strawberry.field(description="As it was sent.")
    security_level: int
    last_checked_at: datetime | None
    last_error: str | None
    last_used_at: datetime | None
    last_used_ips: list[str] = strawberry.field(description="Newest first, at most five.")
    tags: list[str]
    oauth_client_id: str | None
    oauth_auth_url: str | None
    oauth_token_url: str | None
    oauth_scopes: str | None
    agent_count: int = strawberry.field(description="Assignments, including assignments of deleted agents.")
    agent_names: list[str]
    mcp_used: bool = strawberry.field(description="Whether an agent is bound to an MCP server with it.")
    created_by_actor_type: ActorType | None
    created_by_actor_id: strawberry.ID | None
    provisioned_for_service: str | None
    secret_ref: str | None = strawberry.field(description="Where the value is kept, if in another store.")
    hosts: list[str] = strawberry.field(
        description="Hosts that receive the value; empty if the provider determines them."
    )
    created_at: datetime
    updated_at: datetime
    version: int


@node(AgentCredential)
class AgentCredentialType:
    """A credential in the environment of an agent. Every member can see the assignment; `credential` is null for
    members who cannot see it.
    """

    id: strawberry.ID
    agent_id: strawberry.ID
    agent: Edge | None
    credential_id: strawberry.ID
    credential: Edge | None
    credential_name: str
    credential_type: str
    credential_provider: str
    credential_status: str
    env_var_name: str
    priority: int = strawberry.field(description="Among credentials of the same variable, the lowest number wins.")
    created_at: datetime


@node(CredentialEvent)
class CredentialEventNode:
    """One line of the timeline of a credential."""

    id: strawberry.ID
    credential_id: strawberry.ID
    event_type: CredentialEventType
    user_id: strawberry.ID | None
    agent_id: strawberry.ID | None
    ip_address: str | None
    details: JSON | None
    occurred_at: datetime


@node(CredentialRotation)
class CredentialRotationType:
    """A value that was replaced: the one before stays good until `expiresAt`."""

    id: strawberry.ID
    credential_id: strawberry.ID
    grace_seconds: int
    rotated_at: datetime
    expires_at: datetime
    rotated_by: strawberry.ID | None
    status: RotationStatus
    old_value_gone: bool = strawberry.field(description="Whether the value before was removed.")


@output(credential_ops.RotationEnded, name="CredentialRotationEnded")
class RotationEndedType:
    status: RotationStatus
    message: str | None = strawberry.field(description="That it had ended before.")


@output(credential_ops.TestResult, name="CredentialTest")
class TestResultType:
    valid: bool
    status: int = strawberry.field(description="The provider's; 0 where none was asked, or none answered.")
    error: str | None


@output(credential_ops.DefaultEnvVar, name="DefaultEnvVar")
class DefaultEnvVarType:
    env_var: str


@strawberry.type
class CredentialQuery:
    credentials = query(credential_ops.list_credentials, CredentialNode)
    credential = query(credential_ops.get_credential, CredentialNode)
    agent_credentials = query(credential_ops.list_assignments, AgentCredentialType)
    credential_events = query(credential_ops.list_events, CredentialEventNode)
    credential_rotations = query(credential_ops.list_rotations, CredentialRotationType)
    default_env_var = query(credential_ops.default_env_var, DefaultEnvVarType)


@strawberry.type
class CredentialMutation:
    test_credential_value = mutation(credential_ops.test_value, TestResultType)
    create_credential = mutation(credential_ops.create_credential, CredentialNode)
    update_credential = mutation(credential_ops.update_credential, CredentialNode)
    delete_credential = mutation(credential_ops.delete_credential, SuccessType)
    assign_credential = mutation(credential_ops.assign_credential, AgentCredentialType)
    unassign_credential = mutation(credential_ops.unassign_credential, SuccessType)
    rotate_credential = mutation(credential_ops.rotate_credential, CredentialRotationType)
    cancel_credential_rotation = mutation(credential_ops.cancel_rotation, RotationEndedType)
    test_credential = mutation(credential_ops.test_stored, TestResultType)
