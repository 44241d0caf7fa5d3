"""Pending consents: a user was sent to an authorization server and should return with a code."""

from datetime import datetime, timedelta
from typing import ClassVar

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from models.base import TenantTable, belongs_to, secret_field, stored_at, text_field
from models.bounds import LINE, URL
from models.expiry import Expires
from models.personal_data import HIDDEN, NOTHING
from models.sealed import Sealed


class OAuthState(TenantTable, table=True):
    """Valid once, for 15 minutes. Stored are a hash of the state, the sealed code verifier, and a hash of the browser's
    cookie; none if the answer comes to a loopback address.
    """

    __tablename__ = "oauth_states"
    __expires__: ClassVar = Expires("created_at", timedelta(minutes=15))
    __table_args__ = (
        UniqueConstraint("state_hash"),
        belongs_to("credential_id", "credentials", ondelete="CASCADE"),
        Index("oauth_states_created_at_idx", "created_at"),
        Index("oauth_states_credential_id_idx", "credential_id"),
        Index("oauth_states_user_id_idx", "user_id"),
    )
    state_hash: str = text_field(LINE, holds=HIDDEN)
    credential_id: str
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    redirect_uri: str = text_field(URL, holds=NOTHING)
    verifier: Sealed = secret_field(LINE)
    browser_hash: str | None = text_field(LINE, default=None, holds=HIDDEN)
    created_at: datetime = stored_at()
