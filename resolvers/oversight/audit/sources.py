"""Other logs in the form of the audit log: links between crews, timelines of credentials, decisions of the keeper."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator
from sqlalchemy import case, func, select, union_all
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Text

from models.kernel import AuditActor, AuditLog
from models.oversight.keeper import KeeperRequest
from models.resources.credentials import CredentialEvent
from resolvers.kernel import QueryScope, constant
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


def rows_of(scope: QueryScope, source: Any) -> Any:
    """The entries of one source, as rows of the audit log. The gate of each row's own list holds here, too."""
    links, lines, requests = (scope.table(model).c for model in (AuditLog, CredentialEvent, KeeperRequest))
    own = [links[name] for name in COLUMNS]
    by_user, by_agent = lines.user_id.is_not(None), lines.agent_id.is_not(None)
    actor = case((by_user, _text(AuditActor.user)), (by_agent, _text(AuditActor.agent)), else_=_text(AuditActor.system))
    line = {
        "id": lines.id, "workspace_id": lines.workspace_id, "user_id": NONE, "action": lines.event_type,
        "entity_type": _text("CREDENTIAL"), "entity_id": lines.credential_id,
        "data": func.coalesce(lines.details, constant({}, JSONB(), as_="jsonb"), type_=JSONB()),
        "ip_address": lines.ip_address, "user_agent": NONE, "created_at": lines.occurred_at, "actor_type": actor,
        "actor_id": func.coalesce(lines.user_id, lines.agent_id, type_=Text()), "changes": _nothing(),
    }  # fmt: skip
    told = func.jsonb_build_object(
        constant("request_type"), requests.request_type, constant("risk_score"), requests.risk_score, type_=JSONB()
    )
    request = {
        "id": requests.id, "workspace_id": requests.workspace_id, "user_id": NONE, "action": requests.decision,
        "entity_type": _text("KEEPER_REQUEST"), "entity_id": requests.id, "data": told, "ip_address": NONE,
        "user_agent": NONE, "created_at": func.coalesce(requests.decided_at, requests.created_at),
        "actor_type": _text(AuditActor.system), "actor_id": _text("keeper"), "changes": _nothing(),
    }  # fmt: skip
    entries = union_all(
        select(*own).where(constant(AuditSource.crews) == source, links.entity_kind == constant(LINKS)),
        *[
            select(*[values[name].label(name) for name in COLUMNS]).where(
                constant(kind) == source, scope.may(scope, access_of(model).gate)
            )
            for kind, model, values in (
                (AuditSource.credentials, CredentialEvent, line),
                (AuditSource.keeper, KeeperRequest, request),
            )
        ],
    )
    return select(*entries.subquery().c)


def _nothing() -> Any:
    return constant(None, JSONB(), as_="jsonb")


COLUMNS: Final = (
    "id", "workspace_id", "user_id", "action", "entity_type", "entity_id", "data", "ip_address", "user_agent",
    "created_at", "actor_type", "actor_id", "changes",
)  # fmt: skip
