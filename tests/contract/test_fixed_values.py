"""Keys of REST that are always the same: each with the reason, so that none outlives it."""

from rest_compat.http import routes
from rest_compat.http.table import Fixed, Wire

REASONS = {
    "ChangedRoleJSON.status": "a role that is set is set: everything else is a refusal",
    "ApprovalJSON.timeout_secs_": "the contract's key of a field that no approval has: a time is told as TimeoutAt",
    **dict.fromkeys(
        ("AttachmentJSON.owner_type", "ChatAttachmentJSON.owner_type"),
        "files of chats and of issues have routes of their own (contract: issues.Attachment)",
    ),
    "ChatAttachmentJSON.uploaded_by_agent_id": "only people attach files to chats",
    "CreatedIssueJSON.labels": "the answer of a creation tells none (contract: issues.create)",
    "CreatedIssueJSON.sub_issues_count": "a new issue has none (contract: issues.create)",
    "CreatedIssueJSON.comment_count": "a new issue has none (contract: issues.create)",
    **dict.fromkeys(
        ("RoutineRunJSON.mode", "RoutineRunRecordJSON.mode", "RoutineRunRowJSON.mode"), "dry runs are not stored"
    ),
    "RoutineWebhookJSON.token": "it is shown once, by the creation (contract: routine-webhooks.RoutineWebhook)",
    "RoutineWebhookJSON.signing_secret_set": "no webhook is without a secret",
    "ScheduledRoutineRunJSON.status": "only a deferred run is shown so",
    "RoutineRunJSON.idempotency_key": "the key is kept with the answer to it, as everywhere",
    "RoutineRunJSON.sub_spans": "the run of an agent has its spans",
    **{
        f"Routine{kind}JSON.{name}": "no routine is hidden, and issues have none yet"
        for kind in ("", "Brief", "Row")
        for name in ("ephemeral", "workspace_visible", "linked_issue_count")
    },
    "NotificationReadJSON.status": "the answer says that it was done, and nothing else",
}


def wires(cls: type[Wire] = Wire) -> list[type[Wire]]:
    return [one for below in cls.__subclasses__() for one in (below, *wires(below))]


def test_each_has_its_reason() -> None:
    assert routes.ROUTES  # and with it the models of all of them
    found = {
        f"{wire.__name__}.{name}"
        for wire in wires()
        if not wire.__module__.startswith("tests.")
        for name, info in wire.model_fields.items()
        if name in wire.__annotations__ and any(isinstance(m, Fixed) for m in info.metadata)
    }
    assert found == set(REASONS)
