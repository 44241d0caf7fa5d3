"""Users, their sessions and their CLI tokens."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, func, literal_column, not_, text
from sqlmodel import Field

from models.base import Row, Table, Timestamps, enum_field, json_field, stored_at, text_field, time_field
from models.bounds import EMAIL, ID, LINE, NAME, NOTES, URL
from models.expiry import Expires
from models.personal_data import HIDDEN, MENTIONS, NOTHING


class TokenTier(StrEnum):
    """Tier of a CLI token: an ADMIN token lives at most 7 days, and each use of it is recorded."""

    STANDARD = "STANDARD"
    ADMIN = "ADMIN"


class RevokedReason(StrEnum):
    logout = "logout"
    admin_force = "admin_force"
    rotation = "rotation"
    password_change = "password_change"


SERVICE_ACCOUNT = "sa_"
"""The prefix of service accounts' ids, which no person's id has."""


def is_service_account(user_id: str) -> bool:
    return user_id.startswith(SERVICE_ACCOUNT)


def of_person(user_id: str) -> str:
    """The condition on a column."""
    return f"NOT starts_with({user_id}, '{SERVICE_ACCOUNT}')"


def is_person(user_id: Any) -> Any:
    """The same, in a statement."""
    return not_(func.starts_with(user_id, literal_column(f"'{SERVICE_ACCOUNT}'")))


def _people_only() -> CheckConstraint:
    return CheckConstraint(of_person("user_id"), name="people")


class User(Table, Timestamps, table=True):
    """A person, or a service account, which signs in by its tokens alone."""

    __bookkeeping__: ClassVar = frozenset({"failed_login_count", "locked_until"})

    __tablename__ = "users"
    __table_args__ = (
        Index("users_email_in_lower_case_idx", text("lower(email)")),
        CheckConstraint(f"password_hash IS NULL OR {of_person('id')}", name="password"),
    )
    email: str = text_field(EMAIL, unique=True, holds=NOTHING)
    full_name: str | None = text_field(LINE, default=None, holds=NOTHING)
    avatar_url: str | None = text_field(URL, default=None, holds=NOTHING)
    email_verified: datetime | None = time_field(default=None)
    password_hash: str | None = text_field(LINE, default=None, holds=HIDDEN)
    onboarding_completed: bool = False
    failed_login_count: int = 0
    locked_until: datetime | None = time_field(default=None)
    # By choice: the right password is not enough.
    passkey_required: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    # The workspace whose invitation made the account. No other one may delete it.
    founded_in: str | None = Field(default=None, foreign_key="workspaces.id", ondelete="SET NULL", index=True)


class Session(Row, table=True):
    """A browser login. The id is `s_` and 64 hex digits; it never leaves the server but inside a signed token."""

    __tablename__ = "sessions"
    __expires__: ClassVar = Expires("expires_at", timedelta(days=1))
    __table_args__ = (
        Index("sessions_user_id_idx", "user_id"),
        Index("sessions_expires_at_idx", "expires_at"),
        _people_only(),
    )
    id: str = text_field(ID, primary_key=True)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    created_at: datetime = stored_at()
    expires_at: datetime = time_field()
    last_used_at: datetime = stored_at()
    revoked_at: datetime | None = time_field(default=None)
    revoked_reason: RevokedReason | None = enum_field(RevokedReason, default=None)
    user_agent: str = text_field(LINE * 2, default="", holds=NOTHING)
    ip: str = text_field(LINE, default="", holds=NOTHING)
    current_refresh_jti: str | None = text_field(LINE, default=None, holds=HIDDEN)
    # How often it was refreshed: access tokens name theirs. A process of an earlier release inserts without it.
    generation: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    refreshed_at: datetime | None = time_field(default=None)


DEVICE_LIFETIME = timedelta(days=180)


class SignInDevice(Table, table=True):
    """A browser that has signed in to an account. Its cookie gets it past the lock of the account; wrong passwords
    count here instead.

    Only the hash of the cookie's value is kept. `password_mark`: of the password it signed in with: another ends it.
    """

    __tablename__ = "sign_in_devices"
    __expires__: ClassVar = Expires("used_at", DEVICE_LIFETIME)
    __table_args__ = (Index("sign_in_devices_user_id_idx", "user_id"), Index("sign_in_devices_used_at_idx", "used_at"))
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    cookie_hash: str = text_field(LINE, unique=True, holds=HIDDEN)
    password_mark: str = text_field(LINE, holds=HIDDEN)
    failed_login_count: int = 0
    locked_until: datetime | None = time_field(default=None)
    created_at: datetime = stored_at()
    used_at: datetime = stored_at()


class CliToken(Table, table=True):
    """A bearer token of a script. Only its hash is stored: SHA-256 for STANDARD, a keyed HMAC for ADMIN.

    A service account's token always has scopes, so it cannot access what belongs to persons.
    """

    __tablename__ = "cli_tokens"
    __table_args__ = (
        Index("cli_tokens_user_id_idx", "user_id"),
        CheckConstraint(f"{of_person('user_id')} OR tier = 'STANDARD' AND scopes <> '[]'", name="scopes"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = text_field(NAME, holds=MENTIONS)
    tier: TokenTier = enum_field(TokenTier.STANDARD)
    token_hash: str = text_field(LINE, unique=True, holds=HIDDEN)
    scopes: list[str] = json_field(NOTES, default_factory=list, holds=NOTHING)
    created_at: datetime = stored_at()
    expires_at: datetime | None = time_field(default=None)
    last_used_at: datetime | None = time_field(default=None)
    revoked_at: datetime | None = time_field(default=None)
    # Another token has taken its place; until it ends, both are good.
    rotated_at: datetime | None = time_field(default=None)


class AdminTokenUse(Table, table=True):
    """Every use of an ADMIN token, written before the request continues."""

    __tablename__ = "admin_token_uses"
    token_id: str = Field(foreign_key="cli_tokens.id", ondelete="CASCADE", index=True)
    used_at: datetime = stored_at()
    ip: str = text_field(LINE, default="", holds=NOTHING)
    user_agent: str = text_field(LINE * 2, default="", holds=NOTHING)
    path: str = text_field(LINE * 5, default="", holds=NOTHING)
