"""The log of an account: a person's own, and of no workspace."""

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col

from models.kernel import SecurityLog
from resolvers.kernel import Action, Page, Paging, QueryScope, Tenancy, derived, graph, query

graph(
    SecurityLog,
    gate=Action.SELF,
    scope=None,
    visible=lambda log, scope: log.user_id == scope.user_id,
    change_list=derived(dict | None, lambda log, scope: func.change_list(log.changes, type_=JSONB())),
)


class ListSecurityLog(Paging):
    """The window of the list."""


@query("security_log.list", Action.SELF, tenancy=Tenancy.NONE, scopes=None)
def list_security_log(scope: QueryScope, data: ListSecurityLog) -> Page[SecurityLog]:
    """List entries of the security log.

    Lists events of the caller's account: successful and refused sign-ins, sessions, tokens, passkeys and the
    password. Newest first; entries are kept for 400 days.
    """
    newest_first = (col(SecurityLog.created_at).desc(), col(SecurityLog.id).desc())
    return scope.select(SecurityLog).order_by(*newest_first).page(data)
