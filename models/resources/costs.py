"""The costs of model calls: a row for each call, and their sums by day."""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlmodel import Field

from models.base import TenantRow, TenantTable, Timestamps, enum_field, stored_at, tenant_id, text_field
from models.bounds import ID, LINE
from models.personal_data import NOTHING

SLOTS = 8
"""Into how many rows a sum is split by the run: runs that book at the same time rarely meet at one. Calls of no run
have a row of their own behind them.
"""


class BillingMode(StrEnum):
    """The billing of a model call: by its tokens, or with a subscription, which costs the same for any use."""

    metered = "metered"
    flat_rate = "flat_rate"


class ModelCall(TenantTable, table=True):
    """A model call, booked with the step of the run that made it: once, even if the step is repeated.

    A call by the service itself has no run: `run_id` is its own id then, `step` its purpose, and there may be no agent.

    The ledger outlives the rows that it names, and has no foreign keys. `crew_id` is the agent's crew at the time; an
    issue is a mission, too. `cost_micros` are millionths of a US dollar, null if the price is unknown. `estimated`: the
    provider reported no numbers, and the tokens were counted here. A call at a flat rate costs nothing.

    `quota_remaining_pct` and `quota_window` are the rest of the provider's quota as a program reported it,
    `rate_limited` its report that the provider refused the call for now.
    """

    __tablename__ = "model_calls"
    __table_args__ = (
        UniqueConstraint("workspace_id", "run_id", "step"),
        Index("model_calls_list_idx", "workspace_id", "created_at", "id"),
        Index(
            "model_calls_paid_idx",
            "workspace_id",
            "created_at",
            postgresql_include=["crew_id", "agent_id", "cost_micros"],
            postgresql_where=text("cost_micros > 0"),
        ),
        Index(
            "model_calls_flat_idx",
            "workspace_id",
            "created_at",
            postgresql_include=["provider", "subscription_plan", "input_tokens", "output_tokens"],
            postgresql_where=text("billing_mode = 'flat_rate'"),
        ),
        Index("model_calls_unpriced_idx", "workspace_id", "created_at", postgresql_where=text("cost_micros IS NULL")),
        *[
            Index(f"model_calls_{key}_idx", "workspace_id", key, "created_at", "id")
            for key in ("agent_id", "crew_id", "mission_id", "model")
        ],
    )
    run_id: str = text_field(ID, holds=NOTHING)
    step: str = text_field(LINE * 2, holds=NOTHING)
    agent_id: str | None = text_field(ID, default=None, holds=NOTHING)
    crew_id: str | None = text_field(ID, default=None, holds=NOTHING)
    chat_id: str | None = text_field(ID, default=None, holds=NOTHING)
    mission_id: str | None = text_field(ID, default=None, holds=NOTHING)
    provider: str = text_field(LINE, holds=NOTHING)
    model: str = text_field(LINE, holds=NOTHING)
    input_tokens: int = Field(default=0, sa_type=BigInteger)
    output_tokens: int = Field(default=0, sa_type=BigInteger)
    cached_input_tokens: int = Field(default=0, sa_type=BigInteger)
    cache_creation_tokens: int = Field(default=0, sa_type=BigInteger)
    cost_micros: int | None = Field(default=None, sa_type=BigInteger)
    estimated: bool = False
    billing_mode: BillingMode = enum_field(BillingMode.metered, sa_column_kwargs={"server_default": text("'metered'")})
    subscription_plan: str | None = text_field(LINE, default=None, holds=NOTHING)
    quota_remaining_pct: float | None = None
    quota_window: str | None = text_field(LINE, default=None, holds=NOTHING)
    rate_limited: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime = stored_at("clock_timestamp()")


class ModelPrice(TenantTable, Timestamps, table=True):
    """A price that a workspace has set for a model from a day on, in millionths of a US dollar per million tokens.

    It precedes the published price. Calls keep the cost that they had when they were booked.
    """

    __tablename__ = "model_prices"
    __table_args__ = (
        UniqueConstraint("workspace_id", "model", "since"),
        CheckConstraint("least(input_micros, output_micros, cached_input_micros) >= 0", name="amounts"),
    )
    model: str = text_field(LINE, holds=NOTHING)
    since: date
    input_micros: int = Field(sa_type=BigInteger)
    output_micros: int = Field(sa_type=BigInteger)
    cached_input_micros: int | None = Field(default=None, sa_type=BigInteger)


class CostDay(TenantRow, table=True):
    """The sums of a day, by UTC, for an agent in a crew and a model: over the rows of all slots. `crew_id` is empty for
    an agent without a crew, `agent_id` for a call of none.
    """

    __tablename__ = "cost_days"
    workspace_id: str = tenant_id()
    day: date = Field(primary_key=True)
    agent_id: str = text_field(ID, primary_key=True, holds=NOTHING)
    crew_id: str = text_field(ID, primary_key=True, holds=NOTHING)
    model: str = text_field(LINE, primary_key=True, holds=NOTHING)
    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    calls: int = Field(default=0, sa_type=BigInteger)
    input_tokens: int = Field(default=0, sa_type=BigInteger)
    output_tokens: int = Field(default=0, sa_type=BigInteger)
    cached_input_tokens: int = Field(default=0, sa_type=BigInteger)
    cache_creation_tokens: int = Field(default=0, sa_type=BigInteger)
    cost_micros: int = Field(default=0, sa_type=BigInteger)
