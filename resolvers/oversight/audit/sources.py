"""Other logs in the form of the audit log: links between crews, timelines of credentials, decisions of the keeper."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator
from sqlalchemy import case, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Text

from models.kernel import AuditActor, AuditLog
from models.oversight.keeper import KeeperRequest
from models.resources.credentials import CredentialEvent
from resolvers.kernel import Branch, QueryScope, constant
from resolvers.kernel.reader import access_of

LINKS: Final = "crew_connection"
NONE: Any = constant(None, Text(), as_="text")


class AuditSource(StrEnum):
    """The log to read instead of the workspace's audit log."""

    crews = "crews"
    credentials = "credentials"
    keeper = "keeper"


def _named(raw: Any) -> Any:
    return None if raw in ("", "workspace") else raw


Source = Annotated[AuditSource | None, BeforeValidator(_named)]


def _text(value: Any) -> Any:
    return constant(value, Text(), as_="text")


def entries_of(scope: QueryScope, source: AuditSource, since: Any, until: Any) -> Branch:
    """The entries of one source, as rows of the audit log, in the order of an index of their own table. The gate of
    each row's own list holds here, too.
    """
    match source:
        case AuditSource.crews:
            links = scope.table(AuditLog).c
            values, own = {name: links[name] for name in COLUMNS}, links.entity_kind == constant(LINKS)
        case AuditSource.credentials:
            values, own = _line(scope.table(CredentialEvent).c), scope.may(scope, access_of(CredentialEvent).gate)
        case AuditSource.keeper:
            values, own = _request(scope.table(KeeperRequest).c), scope.may(scope, access_of(KeeperRequest).gate)
    when = values["created_at"]
    times = [*([] if since is None else [when >= since]), *([] if until is None else [when <= until])]
    return Branch(select(*[values[name].label(name) for name in COLUMNS]).where(own, *times))


def _line(lines: Any) -> dict[str, Any]:
    """The columns of an entry, of a line of a credential's timeline."""
    by_user, by_agent = lines.user_id.is_not(None), lines.agent_id.is_not(None)
    actor = case((by_user, _text(AuditActor.user)), (by_agent, _text(AuditActor.agent)), else_=_text(AuditActor.system))
    return {
        "id": lines.id, "workspace_id": lines.workspace_id, "user_id": NONE, "action": lines.event_type,
        "entity_type": _text("CREDENTIAL"), "entity_id": lines.credential_id,
        "data": func.coalesce(lines.details, constant({}, JSONB(), as_="jsonb"), type_=JSONB()),
        "ip_address": lines.ip_address, "user_agent": NONE, "created_at": lines.occurred_at, "actor_type": actor,
        "actor_id": func.coalesce(lines.user_id, lines.agent_id, type_=Text()), "changes": _nothing(),
    }  # fmt: skip


def _request(requests: Any) -> dict[str, Any]:
    """The columns of an entry, of a request to the keeper. Its time is keeper_requests_audit_idx to the letter."""
    told = func.jsonb_build_object(
        constant("request_type"), requests.request_type, constant("risk_score"), requests.risk_score, type_=JSONB()
    )
    when = case((requests.decided_at.is_(None), requests.created_at), else_=requests.decided_at)
    return {
        "id": requests.id, "workspace_id": requests.workspace_id, "user_id": NONE, "action": requests.decision,
        "entity_type": _text("KEEPER_REQUEST"), "entity_id": requests.id, "data": told, "ip_address": NONE,
        "user_agent": NONE, "created_at": when, "actor_type": _text(AuditActor.system), "actor_id": _text("keeper"),
        "changes": _nothing(),
    }  # fmt: skip


def _nothing() -> Any:
    return constant(None, JSONB(), as_="jsonb")


COLUMNS: Final = (
    "id", "workspace_id", "user_id", "action", "entity_type", "entity_id", "data", "ip_address", "user_agent",
    "created_at", "actor_type", "actor_id", "changes",
)  # fmt: skip
