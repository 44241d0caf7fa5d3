"""REST: credentials of a workspace. Only the answer of `reveal` contains a value."""

from typing import Annotated, Any

import orjson
from pydantic import Field

from models.resources.credential_bindings import CredentialBinding, CredentialField
from models.resources.credentials import AgentCredential, Credential, CredentialEvent, CredentialRotation
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.declarations.operation import Answer
from resolvers.kernel.declarations.outputs import Success
from resolvers.resources import credentials
from rest_compat.http.envelopes import NEXT, Envelope
from rest_compat.http.errors import JSON
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, Form, From, Null, Reply, Request, Wire


class CredentialJSON(Wire, of=Credential):
    fields = """
        id name description type provider status scope crew_id crew_ids account_label account_email username
        token_expires_at last_checked_at last_error last_used_at last_used_ips tags created_at updated_at agent_count
        agent_ids agent_names security_level security_level_label sensitivity testable mcp_used
        created_by_actor_type created_by_actor_id provisioned_for_service secret_ref hosts endpoint_url
    """
    absent = "secret_ref endpoint_url"
    agent_count: int = Field(alias="_count_agent_credentials")
    hosts: Annotated[list[str], Absent(zero=True)]


class CredentialPageJSON(Envelope):
    """`next_cursor` is null on the last page."""

    credentials: list[CredentialJSON]
    next_cursor: Annotated[str, NEXT]


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
    fields = "id event_type agent_id ip_address metadata occurred_at actor_kind actor_id actor_name"
    metadata: Annotated[dict[str, Any] | None, From("details")]


class RotationJSON(Wire, of=CredentialRotation):
    """`old_value_gone`: true if the previous value was deleted. `rotated_by` is the id of a user."""

    fields = "id credential_id grace_seconds rotated_at expires_at rotated_by status old_value_gone"


def _unkept(caller: Caller) -> list[tuple[bytes, bytes]]:
    """Headers of an answer that no cache keeps, not even an old one."""
    return [(b"cache-control", b"no-store"), (b"pragma", b"no-cache")]


def _asked(request: Request) -> dict[str, Any]:
    """The filters, and the cursor. A limit that is none is a fault, which comes behind the gate."""
    raw: dict[str, Any] = {name: value for name, value in request.query.items() if name in ("search", "tag")}
    limit = request.query.get("limit", "")
    if limit and not (limit.isascii() and limit.isdigit() and 0 < len(limit) < 10 and int(limit) > 0):
        request.fault = Refusal(Code.BAD_REQUEST, "limit: takes a whole number from 1 to 500")
    return raw | ({"limit": limit} if limit else {}) | {"after": request.query.get("cursor")}


def _in_page(request: Request, answer: Answer) -> Reply:
    """The list beside its cursor and its size."""
    page = orjson.loads(answer.body or b"{}")
    size = credentials.ListNewestCredentials.size(dict(request.query))
    body = orjson.dumps(page | {"next_cursor": page["next_cursor"] or None, "limit": size})
    return Reply(200, body, [JSON])


BASE = "/api/v1/credentials"
ONE = f"{BASE}/{{id}}"
INTERNAL = "/api/v1/internal/credentials"
OF_AGENT = "/api/v1/agents/{agentId}/credentials"
BY_CURSOR = Form(
    "paginate",
    "true",
    GET(BASE, credentials.list_newest, CredentialPageJSON, reads=_asked, answers=_in_page),
    "`true`: newest first, as an object with the cursor of the next page; `limit` is then 50 by default.",
    {"cursor": "With `paginate`: the `next_cursor` of the page before."},
)
DELIVERED = Form(
    "include",
    "delivered",
    GET(OF_AGENT, credentials.list_delivered, list[credentials.DeliveredCredential]),
    "`delivered`: also the credentials of bindings and of the crew, with an empty `id`.",
)
ROUTES = (
    GET(BASE, credentials.list_credentials, list[CredentialJSON], form=BY_CURSOR),
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
    GET(OF_AGENT, credentials.list_assignments, list[AssignmentJSON], form=DELIVERED),
    POST(OF_AGENT, credentials.assign_credential, AssignedJSON, status=201),
    DELETE(f"{OF_AGENT}/{{assignmentId}}", credentials.unassign_credential, Success),
)
