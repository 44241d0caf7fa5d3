"""Settings of the instance, by operators and by the service."""

from typing import Final

from sqlalchemy import CheckConstraint, UniqueConstraint

from models.base import Table, Timestamps, secret_field, text_field
from models.bounds import LABEL, SETTING
from models.personal_data import NOTHING
from models.sealed import Sealed

SENSITIVE: Final = (("smtp.password", ""), ("oauth.", ".client_secret"), ("webhook.", ".secret"))
"""The beginnings and ends of keys of secrets (contract: instance_settings.list)."""


def is_sensitive(key: str) -> bool:
    """The two ends may share a dot: `oauth.client_secret` is one."""
    return any(key.startswith(start) and key.endswith(end) for start, end in SENSITIVE)


# The same for PostgreSQL: LIKE would take an underscore for any letter.
_SENSITIVE_KEY = (
    "starts_with(key, 'smtp.password')"
    " OR starts_with(key, 'oauth.') AND right(key, 14) = '.client_secret'"
    " OR starts_with(key, 'webhook.') AND right(key, 7) = '.secret'"
)


class InstanceSetting(Table, Timestamps, table=True):
    """The value is in `plain`, or sealed in `secret` if the key names a secret: the database enforces this, so no
    secret is ever stored as a readable text.

    Facts that the service must not lose (the epoch of its events, fingerprints of its keys) are `InstanceFact`s.
    """

    __tablename__ = "instance_settings"
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint(
            f"CASE WHEN {_SENSITIVE_KEY} THEN plain IS NULL AND secret IS NOT NULL"
            " ELSE plain IS NOT NULL AND secret IS NULL END",
            name="kept",
        ),
    )
    key: str = text_field(LABEL, holds=NOTHING)
    plain: str | None = text_field(SETTING, default=None, holds=NOTHING)
    secret: Sealed | None = secret_field(SETTING, default=None)
