"""The timeline of a credential."""

from typing import ClassVar

from sqlmodel import col

from models.resources.credentials import Credential, CredentialEvent
from resolvers.kernel import Action, Id, Page, Paging, QueryScope, Row, query
from resolvers.resources.credentials.credentials import CREDENTIAL

NEWEST_FIRST = (col(CredentialEvent.occurred_at).desc(), col(CredentialEvent.id).desc())


class ListCredentialEvents(Paging):
    """50 lines by default; a number that is none from 1 to 500 means 50."""

    page_default: ClassVar[int] = 50
    page_maximum: ClassVar[int] = 500
    cut_to_default: ClassVar[bool] = True  # contract: credentials.audit

    id: Id


@query("credentials.audit", Action.UPDATE, subject=CREDENTIAL, tickets=False)
def list_events(scope: QueryScope, credential: Row[Credential], data: ListCredentialEvents) -> Page[CredentialEvent]:
    """List the timeline of a credential.

    Newest first. Entries are never changed and contain no values.
    """
    return scope.children(credential, CredentialEvent, "credential_id").order_by(*NEWEST_FIRST).page(data)
