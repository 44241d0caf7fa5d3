"""The authority of a change, the effect of an audited action, and the audit row. See ADR 11."""

import re
from functools import cache
from typing import Any

from models.bounds import NOTES
from models.kernel import AuditActor, AuditEffect, AuditLog
from models.people.auth import SERVICE_ACCOUNT
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.kernel.ground.bounds import encoded

TOKENS = frozenset({CredentialKind.TOKEN, CredentialKind.ADMIN, CredentialKind.TOKEN_TICKET})
VERBS = {
    "create": AuditEffect.created, "created": AuditEffect.created,
    "delete": AuditEffect.deleted, "deleted": AuditEffect.deleted,
    "removed": AuditEffect.deleted, "revoked": AuditEffect.deleted,
    "restore": AuditEffect.restored, "restored": AuditEffect.restored, "unlock": AuditEffect.restored,
}  # fmt: skip


class AuditAction(str):
    """An action whose verb does not determine its effect: `audit=AuditAction("card.shredded", AuditEffect.deleted)`."""

    effect: AuditEffect

    def __new__(cls, name: str, effect: AuditEffect) -> "AuditAction":
        made = super().__new__(cls, name)
        made.effect = effect
        return made


def effect_of(action: str) -> AuditEffect:
    """As declared; else of the verb with which the name of the action ends, as in `crew.persona_removed`. What neither
    creates, deletes nor restores its row updates it.
    """
    return action.effect if isinstance(action, AuditAction) else _effect_of_verb(action)


@cache
def _effect_of_verb(action: str) -> AuditEffect:
    return VERBS.get(re.split("[._]", action)[-1], AuditEffect.updated)


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
    encoded(audit.data, NOTES)
    encoded(changes, NOTES)
    actor_type, actor_id = by_whose_right(caller, user_id, credential_id)
    ip_address, user_agent = client_of(caller)
    return AuditLog(
        id=audit.id, user_id=user_id or None, actor_type=actor_type, actor_id=actor_id, action=audit.action,
        effect=effect_of(audit.action), entity_type=audit.entity_type, entity_id=audit.entity_id, data=audit.data,
        changes=changes, ip_address=ip_address, user_agent=user_agent,
    )  # fmt: skip
