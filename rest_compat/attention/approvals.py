"""REST: approvals. Each key has both of its documented spellings."""

from typing import Annotated, Any

from pydantic import Field

from models.attention.approvals import Approval, ApprovalGate, ApprovalKind, ApprovalStatus
from resolvers.attention import approvals
from rest_compat.http.dispatch import body_of
from rest_compat.http.envelopes import SHOWN, Envelope, FromInput
from rest_compat.http.table import DELETE, GET, POST, Fixed, From, Request, Wire


class ApprovalJSON(Wire, of=Approval):
    """Absent values are empty strings."""

    fields = """
        id_ workspace_id_ crew_id_ agent_id_ mission_id_ requested_by_ kind_ reason_ payload_ status_ decided_by_
        decided_at_ comment_ timeout_at_ created_at_ timeout_secs_ id kind reason requested_by status created_at
        timeout_at decided_at decided_by comment crew_id agent_id mission_id payload
    """
    absent = "payload"
    id_: Annotated[str, From("id"), Field(alias="ID")]
    workspace_id_: Annotated[str, From("workspace_id"), Field(alias="WorkspaceID")]
    crew_id_: Annotated[str, From("crew_id"), Field(alias="CrewID")]
    agent_id_: Annotated[str, From("agent_id"), Field(alias="AgentID")]
    mission_id_: Annotated[str, From("mission_id"), Field(alias="MissionID")]
    requested_by_: Annotated[str, From("requested_by"), Field(alias="RequestedBy")]
    kind_: Annotated[ApprovalKind, From("kind"), Field(alias="Kind")]
    reason_: Annotated[str, From("reason"), Field(alias="Reason")]
    payload_: Annotated[dict[str, Any] | None, From("payload"), Field(alias="Payload")]
    status_: Annotated[ApprovalStatus, From("status"), Field(alias="Status")]
    decided_by_: Annotated[str, From("decided_by"), Field(alias="DecidedBy")]
    decided_at_: Annotated[str | None, From("decided_at_ms"), Field(alias="DecidedAt")]
    comment_: Annotated[str, From("comment"), Field(alias="DecisionComment")]
    timeout_at_: Annotated[str | None, From("timeout_at"), Field(alias="TimeoutAt")]
    created_at_: Annotated[str, From("created_at"), Field(alias="CreatedAt")]
    timeout_secs_: Annotated[int, Fixed("0"), Field(alias="TimeoutSecs")]
    decided_at: Annotated[str | None, From("decided_at_ms")]


class ApprovalListJSON(Envelope):
    """`status` is the requested filter, or empty for all."""

    rows: list[ApprovalJSON]
    status: Annotated[str, FromInput()]
    count: Annotated[int, SHOWN]


class ApprovalGateJSON(Wire, of=ApprovalGate):
    fields = "id pattern mode crew_id agent_id created_at"


def reason_if_any(request: Request) -> dict[str, Any]:
    """A body may be left out, and is read where there is one."""
    return body_of(request) if request.body.strip() else {}


ROUTES = (
    GET("/api/v1/approvals", approvals.list_approvals, ApprovalListJSON),
    GET("/api/v1/approvals/{id}", approvals.get_approval, ApprovalJSON),
    POST("/api/v1/approvals/{id}/decide", approvals.decide_approval, approvals.ApprovalDecided),
    POST(
        "/api/v1/approvals/{id}/cancel",
        approvals.cancel_approval,
        approvals.ApprovalCancelled,
        reads=reason_if_any,
    ),
    POST("/api/v1/approvals/reset-auto-tuning", approvals.reset_auto_tuning, approvals.AutoTuningReset),
    GET("/api/v1/approval-gates", approvals.list_gates, list[ApprovalGateJSON]),
    POST("/api/v1/approval-gates", approvals.create_gate, ApprovalGateJSON, status=201),
    DELETE("/api/v1/approval-gates/{id}", approvals.delete_gate, status=204),
)
