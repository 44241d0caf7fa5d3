"""Accounts at sign-in providers (OpenID Connect) that are linked to users, and sign-ins that are under way there."""

from datetime import datetime, timedelta
from typing import ClassVar

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlmodel import Field

from models.base import Table, stored_at, text_field
from models.bounds import EMAIL, LABEL, LINE, SLUG, SUBJECT, URL
from models.expiry import Expires
from models.people.auth import of_person
from models.personal_data import HIDDEN, NOTHING


class LinkedIdentity(Table, table=True):
    """An identity at a provider, which is permanent: (issuer, subject). The email is the last one reported, and
    identifies no one.

    A user has one account at each issuer, so that an address that an employer reassigns does not give the account to
    its new owner.
    """

    __tablename__ = "linked_identities"
    __table_args__ = (
        UniqueConstraint("issuer", "subject"),
        UniqueConstraint("user_id", "issuer"),
        CheckConstraint(of_person("user_id"), name="people"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    provider: str = text_field(SLUG, holds=NOTHING)
    issuer: str = text_field(LABEL, holds=NOTHING)
    subject: str = text_field(SUBJECT, holds=NOTHING)
    email: str | None = text_field(EMAIL, default=None, holds=NOTHING)
    created_at: datetime = stored_at()
    used_at: datetime = stored_at()


ATTEMPT_LIFETIME = timedelta(minutes=15)  # of a sign-in at another provider (contract: auth.google_redirect)


class SignInAttempt(Table, table=True):
    """A browser that was sent to a provider; it can return once.

    Only hashes are stored, of the state in the address and of the browser's cookie, from which the nonce and the code
    verifier are derived: the stored row cannot complete a sign-in.
    """

    __tablename__ = "sign_in_attempts"
    __expires__: ClassVar = Expires("created_at", ATTEMPT_LIFETIME)
    __table_args__ = (Index("sign_in_attempts_created_at_idx", "created_at"),)
    state_hash: str = text_field(LINE, unique=True, holds=HIDDEN)
    browser_hash: str = text_field(LINE, holds=HIDDEN)
    provider: str = text_field(SLUG, holds=NOTHING)
    path: str = text_field(URL, holds=NOTHING)
    created_at: datetime = stored_at()
