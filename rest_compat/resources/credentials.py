"""REST: credentials of a workspace. No answer holds a value."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

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
from resolvers.kernel.declarations.outputs import Success
from resolvers.resources import credentials
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, From, Null, Wire


class CredentialJSON(Wire, of=Credential):
    id: str
    name: str
    description: str | None
    type: CredentialType
    provider: str
    status: CredentialStatus
    scope: str
    crew_id: str | None
    crew_ids: list[str]
    account_label: str | None
    account_email: str | None
    username: str | None
    token_expires_at: str | None
    last_checked_at: datetime | None
    last_error: str | None
    last_used_at: datetime | None
    last_used_ips: list[str]
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    agent_count: int = Field(alias="_count_agent_credentials")
    agent_names: list[str]
    mcp_used: bool
    created_by_actor_type: ActorType | None
    created_by_actor_id: str | None
    provisioned_for_service: str | None
    secret_ref: Annotated[str | None, Absent()]
    hosts: Annotated[list[str], Absent(zero=True)]


class NewCredentialJSON(CredentialJSON, of=Credential):
    token_expires_at: Annotated[None, Null()]


class AssignmentJSON(Wire, of=AgentCredential):
    """`priority`: among credentials of the same variable, the lowest number wins."""

    id: str
    agent_id: str
    credential_id: str
    credential_name: str
    credential_type: str
    credential_provider: str
    credential_status: str
    env_var_name: str
    priority: int
    created_at: datetime


class AssignedJSON(Wire, of=AgentCredential):
    id: str


class CredentialEventJSON(Wire, of=CredentialEvent):
    id: str
    event_type: CredentialEventType
    agent_id: str | None
    ip_address: str | None
    metadata: Annotated[dict[str, Any] | None, From("details")]
    occurred_at: datetime


class RotationJSON(Wire, of=CredentialRotation):
    """`old_value_gone`: whether the value before was removed. `rotated_by` is the id of a user."""

    id: str
    credential_id: str
    grace_seconds: int
    rotated_at: datetime
    expires_at: datetime
    rotated_by: str | None
    status: RotationStatus
    old_value_gone: bool


BASE = "/api/v1/credentials"
ONE = f"{BASE}/{{id}}"
INTERNAL = "/api/v1/internal/credentials"
OF_AGENT = "/api/v1/agents/{agentId}/credentials"
ROUTES = (
    GET(BASE, credentials.list_credentials, list[CredentialJSON]),
    POST(BASE, credentials.create_credential, NewCredentialJSON, status=201),
    GET(f"{BASE}/default-env-var", credentials.default_env_var, credentials.DefaultEnvVar),
    GET(ONE, credentials.get_credential, CredentialJSON),
    PATCH(ONE, credentials.update_credential, CredentialJSON),
    PUT(ONE, credentials.update_credential, CredentialJSON),
    DELETE(ONE, credentials.delete_credential, Success),
    POST(f"{BASE}/test", credentials.test_value, credentials.TestResult),
    POST(f"{ONE}/test", credentials.test_stored, credentials.TestResult),
    POST(f"{ONE}/rotate", credentials.rotate_credential, RotationJSON),
    GET(f"{ONE}/rotations", credentials.list_rotations, list[RotationJSON]),
    DELETE("/api/v1/credential-rotations/{rotationId}", credentials.cancel_rotation, credentials.RotationEnded),
    GET(INTERNAL, credentials.list_internal, list[credentials.InternalCredential]),
    POST(INTERNAL, credentials.create_internal, NewCredentialJSON, status=201),
    PATCH(f"{INTERNAL}/{{id}}", credentials.set_status, credentials.StatusSet),
    POST(f"{INTERNAL}/{{id}}/rotate", credentials.rotate_internal, RotationJSON),
    GET(f"{ONE}/audit", credentials.list_events, list[CredentialEventJSON]),
    GET(OF_AGENT, credentials.list_assignments, list[AssignmentJSON]),
    POST(OF_AGENT, credentials.assign_credential, AssignedJSON, status=201),
    DELETE(f"{OF_AGENT}/{{assignmentId}}", credentials.unassign_credential, Success),
)
