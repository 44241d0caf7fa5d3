"""REST: credentials of a workspace. Only the answer of `reveal` contains a value."""

from typing import Annotated, Any

from pydantic import Field

from models.resources.credential_bindings import CredentialBinding, CredentialField
from models.resources.credentials import AgentCredential, Credential, CredentialEvent, CredentialRotation
from resolvers.identity.caller import Caller
from resolvers.kernel.declarations.outputs import Success
from resolvers.resources import credentials
from rest_compat.http.envelopes import Envelope
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, From, Null, Wire


class CredentialJSON(Wire, of=Credential):
    fields = """
        id name description type provider status scope crew_id crew_ids account_label account_email username
        token_expires_at last_checked_at last_error last_used_at last_used_ips tags created_at updated_at agent_count
        agent_ids agent_names security_level security_level_label sensitivity testable mcp_used
        created_by_actor_type created_by_actor_id provisioned_for_service secret_ref hosts
    """
    absent = "secret_ref"
    agent_count: int = Field(alias="_count_agent_credentials")
    hosts: Annotated[list[str], Absent(zero=True)]


class OnRunnersJSON(Wire, of=Credential):
    fields = "id on_runners"


class NewCredentialJSON(CredentialJSON, of=Credential):
    token_expires_at: Annotated[None, Null()]


class AssignmentJSON(Wire, of=AgentCredential):
    """`priority`: among credentials of the same variable, the lowest number wins."""

    fields = """
        id agent_id credential_id credential_name credential_type credential_provider credential_status env_var_name
        priority created_at expires_at expired lease_source lease_issued_at grant_source
    """
    absent = "expires_at lease_source lease_issued_at"


class AssignedJSON(Wire, of=AgentCredential):
    id: str


class BindingJSON(Wire, of=CredentialBinding):
    """`crew_id` is set for scope CREW alone, `agent_id` for AGENT alone."""

    fields = "id credential_id credential_name scope crew_id agent_id slot created_at"


class BindingListJSON(Envelope):
    bindings: list[BindingJSON]


class CredentialFieldJSON(Wire, of=CredentialField):
    """`value` is null for a secret field."""

    fields = "key is_secret ordinal value created_at updated_at"


class CredentialEventJSON(Wire, of=CredentialEvent):
    fields = "id event_type agent_id ip_address metadata occurred_at"
    metadata: Annotated[dict[str, Any] | None, From("details")]


class RotationJSON(Wire, of=CredentialRotation):
    """`old_value_gone`: true if the previous value was deleted. `rotated_by` is the id of a user."""

    fields = "id credential_id grace_seconds rotated_at expires_at rotated_by status old_value_gone"


def _unkept(caller: Caller) -> list[tuple[bytes, bytes]]:
    """Headers of an answer that no cache keeps, not even an old one."""
    return [(b"cache-control", b"no-store"), (b"pragma", b"no-cache")]


BASE = "/api/v1/credentials"
ONE = f"{BASE}/{{id}}"
INTERNAL = "/api/v1/internal/credentials"
OF_AGENT = "/api/v1/agents/{agentId}/credentials"
ROUTES = (
    GET(BASE, credentials.list_credentials, list[CredentialJSON]),
    POST(BASE, credentials.create_credential, NewCredentialJSON, status=201),
    GET(f"{BASE}/default-env-var", credentials.default_env_var, credentials.DefaultEnvVar),
    GET(f"{BASE}/bindings", credentials.list_bindings, BindingListJSON),
    POST(f"{BASE}/bindings", credentials.create_binding, BindingJSON, status=201),
    DELETE(f"{BASE}/bindings/{{bindingId}}", credentials.delete_binding, status=204),
    GET(f"{BASE}/reveal-policy", credentials.get_reveal_policy, credentials.RevealPolicy),
    PUT(f"{BASE}/reveal-policy", credentials.set_reveal_policy, credentials.RevealPolicy),
    GET(ONE, credentials.get_credential, CredentialJSON),
    PATCH(ONE, credentials.update_credential, CredentialJSON),
    PUT(ONE, credentials.update_credential, CredentialJSON),
    DELETE(ONE, credentials.delete_credential, Success),
    PUT(f"{ONE}/on-runners", credentials.allow_on_runners, OnRunnersJSON),
    POST(f"{BASE}/test", credentials.test_value, credentials.TestResult),
    POST(f"{ONE}/test", credentials.test_stored, credentials.TestResult),
    POST(f"{ONE}/reveal", credentials.reveal_credential, credentials.RevealedCredential, heads=_unkept),
    PUT(f"{ONE}/sensitivity", credentials.set_sensitivity, credentials.SensitivityResult),
    POST(f"{ONE}/rotate", credentials.rotate_credential, RotationJSON),
    GET(f"{ONE}/rotations", credentials.list_rotations, list[RotationJSON]),
    DELETE("/api/v1/credential-rotations/{rotationId}", credentials.cancel_rotation, credentials.RotationEnded),
    GET(f"{ONE}/fields", credentials.list_fields, list[CredentialFieldJSON]),
    POST(f"{ONE}/fields", credentials.add_field, CredentialFieldJSON, status=201),
    PUT(f"{ONE}/fields/{{fieldKey}}", credentials.update_field, CredentialFieldJSON),
    DELETE(f"{ONE}/fields/{{fieldKey}}", credentials.delete_field, Success),
    GET("/api/v1/agents/{agentId}/credential-bindings", credentials.resolve_slots, credentials.ResolvedSlots),
    GET(INTERNAL, credentials.list_internal, list[credentials.InternalCredential]),
    POST(INTERNAL, credentials.create_internal, NewCredentialJSON, status=201),
    PATCH(f"{INTERNAL}/{{id}}", credentials.set_status, credentials.StatusSet),
    POST(f"{INTERNAL}/{{id}}/rotate", credentials.rotate_internal, RotationJSON),
    GET(f"{ONE}/audit", credentials.list_events, list[CredentialEventJSON]),
    GET(OF_AGENT, credentials.list_assignments, list[AssignmentJSON]),
    POST(OF_AGENT, credentials.assign_credential, AssignedJSON, status=201),
    DELETE(f"{OF_AGENT}/{{assignmentId}}", credentials.unassign_credential, Success),
)
