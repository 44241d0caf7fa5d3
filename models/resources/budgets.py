"""Budgets for model calls: the limit, the spending, and the reservations of live runs."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, SmallInteger, UniqueConstraint, text
from sqlmodel import Field

from models.base import (
    TenantRow,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    stored_at,
    tenant_id,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import ID, NAME
from models.personal_data import NOTHING

SUBJECTS = ("crew_id", "agent_id", "mission_id")


class BudgetScope(StrEnum):
    """The scope of a budget. An issue is also a mission."""

    workspace = "workspace"
    crew = "crew"
    agent = "agent"
    mission = "mission"


class BudgetPeriod(StrEnum):
    """A day begins at midnight UTC."""

    day = "day"
    total = "total"


class Budget(TenantTable, Versioned, Timestamps, table=True):
    """An amount of money for model calls, of a workspace, or of the crew, agent or mission that it names. Amounts are
    in millionths of a US dollar.

    `warned_in` and `exceeded_in` are the spans (see BudgetSpend) in which people have been notified, `reached_at` is
    the last time.
    """

    __bookkeeping__: ClassVar = frozenset({"warned_in", "exceeded_in", "reached_at"})
    __tablename__ = "budgets"
    __table_args__ = (
        tenant_key(),
        *[belongs_to(key, f"{key.removesuffix('_id')}s", ondelete="CASCADE") for key in SUBJECTS],
        UniqueConstraint("workspace_id", *SUBJECTS, "period", postgresql_nulls_not_distinct=True),
        CheckConstraint(
            "num_nonnulls(crew_id, agent_id, mission_id) = CASE scope WHEN 'workspace' THEN 0 ELSE 1 END"
            " AND CASE scope WHEN 'crew' THEN crew_id IS NOT NULL WHEN 'agent' THEN agent_id IS NOT NULL"
            " WHEN 'mission' THEN mission_id IS NOT NULL ELSE true END",
            name="subject",
        ),
        CheckConstraint(
            "amount_micros > 0 AND reservation_micros > 0 AND soft_limit_percent BETWEEN 1 AND 100", name="amounts"
        ),
        Index("budgets_list_idx", "workspace_id", "created_at", "id"),
        Index(
            "budgets_reached_idx", "workspace_id", "reached_at", "id", postgresql_where=text("reached_at IS NOT NULL")
        ),
        *[
            Index(
                f"budgets_{key}_idx",
                "workspace_id",
                key,
                "created_at",
                "id",
                postgresql_where=text(f"{key} IS NOT NULL"),
            )
            for key in SUBJECTS
        ],
    )
    scope: BudgetScope = enum_field(BudgetScope)
    crew_id: str | None = None
    agent_id: str | None = None
    mission_id: str | None = None
    period: BudgetPeriod = enum_field(BudgetPeriod)
    amount_micros: int = Field(sa_type=BigInteger)
    reservation_micros: int = Field(sa_type=BigInteger)
    soft_limit_percent: int | None = None
    hard_stop: bool = True
    warned_in: str | None = text_field(NAME, default=None, holds=NOTHING)
    exceeded_in: str | None = text_field(NAME, default=None, holds=NOTHING)
    reached_at: datetime | None = time_field(default=None)


class BudgetSpend(TenantRow, table=True):
    """The spending of a budget in a `span`, which is a day of UTC or `total`: over the rows of all slots (see
    models.resources.costs). It has no foreign key: a call is booked even if the budget is deleted meanwhile.
    """

    __tablename__ = "budget_spends"
    workspace_id: str = tenant_id()
    budget_id: str = text_field(ID, primary_key=True, holds=NOTHING)
    span: str = text_field(NAME, primary_key=True, holds=NOTHING)
    slot: int = Field(primary_key=True, sa_type=SmallInteger)
    micros: int = Field(sa_type=BigInteger)


class CallReservation(TenantTable, table=True):
    """The reservation of a model call outside runs, until it is booked. It counts until `expires_at`, because a process
    that died releases nothing.
    """

    __tablename__ = "call_reservations"
    __table_args__ = (
        UniqueConstraint("call_id", "budget_id"),
        belongs_to("budget_id", "budgets", ondelete="CASCADE"),
        Index("call_reservations_budget_id_idx", "workspace_id", "budget_id"),
    )
    call_id: str = text_field(ID, holds=NOTHING)
    budget_id: str
    micros: int = Field(sa_type=BigInteger)
    expires_at: datetime = time_field()


class RunReservation(TenantRow, table=True):
    """The reservation of a live run in a budget: `granted_micros` before it starts, of which `micros` is left. A
    trigger removes it when the run ends, in any way.
    """

    __tablename__ = "run_reservations"
    __table_args__ = (
        belongs_to("run_id", "runs", ondelete="CASCADE"),
        belongs_to("budget_id", "budgets", ondelete="CASCADE"),
        Index("run_reservations_budget_id_idx", "workspace_id", "budget_id"),
    )
    workspace_id: str = tenant_id()
    run_id: str = Field(primary_key=True)
    budget_id: str = Field(primary_key=True)
    granted_micros: int = Field(sa_type=BigInteger)
    micros: int = Field(sa_type=BigInteger)
    created_at: datetime = stored_at()
