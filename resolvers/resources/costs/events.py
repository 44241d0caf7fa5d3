"""Events about budgets on the channel of a workspace."""

from typing import Annotated

from models.resources.budgets import BudgetPeriod, BudgetScope
from resolvers.kernel import Event
from resolvers.kernel.declarations.events import Distinct


class BudgetCreated(Event, type="budget.created", channel="workspace:{workspace_id}"):
    """A budget was created."""

    id: str


class BudgetUpdated(Event, type="budget.updated", channel="workspace:{workspace_id}"):
    """A budget was updated."""

    id: str


class BudgetDeleted(Event, type="budget.deleted", channel="workspace:{workspace_id}"):
    """A budget was deleted."""

    id: str


class BudgetWarning(Event, type="budget.warning", channel="workspace:{workspace_id}"):
    """The soft limit of a budget was reached. Sent once a period."""

    id: str
    scope: Annotated[BudgetScope, Distinct("budget_scope")]
    period: BudgetPeriod


class BudgetExceeded(Event, type="budget.exceeded", channel="workspace:{workspace_id}"):
    """A budget is spent. Sent once a period."""

    id: str
    scope: Annotated[BudgetScope, Distinct("budget_scope")]
    period: BudgetPeriod


ALARMS = (BudgetWarning, BudgetExceeded)
"""The events, beside InboxItemUpdated, of operations that may find a budget at its limit."""
