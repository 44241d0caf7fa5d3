"""The authority of a change, and its audit row. See ADR 11."""

from typing import Any

from models.kernel import AuditActor, AuditLog
from models.people.auth import SERVICE_ACCOUNT
from resolvers.identity.caller import Caller, CredentialKind

TOKENS = frozenset({CredentialKind.TOKEN, CredentialKind.ADMIN, CredentialKind.TOKEN_TICKET})


def by_whose_right(caller: Caller, user_id: str, credential_id: str) -> tuple[AuditActor, str | None]:
    """The actor, and its id: a token has one of its own."""
    if not user_id:
        return AuditActor.system, credential_id or None
    if user_id.startswith(SERVICE_ACCOUNT):
        return AuditActor.service, user_id
    if caller.kind in TOKENS:
        return AuditActor.token, credential_id
    return AuditActor.user, user_id


def client_of(caller: Caller) -> tuple[str | None, str | None]:
    """The address and the user agent."""
    return caller.client or None, caller.user_agent[:250] or None


def audit_row(audit: Any, caller: Caller, user_id: str, credential_id: str, changes: dict[str, Any] | None) -> AuditLog:
    """One that is written like any other row."""
    actor_type, actor_id = by_whose_right(caller, user_id, credential_id)
    ip_address, user_agent = client_of(caller)
    return AuditLog(
        id=audit.id, user_id=user_id or None, actor_type=actor_type, actor_id=actor_id, action=audit.action,
        entity_type=audit.entity_type, entity_id=audit.entity_id, data=audit.data, changes=changes,
        ip_address=ip_address, user_agent=user_agent,
    )  # fmt: skip
