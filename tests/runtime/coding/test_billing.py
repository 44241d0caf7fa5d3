"""Calls with a login are billed at a flat rate, and cost nothing."""

from types import SimpleNamespace
from typing import Any

from models.resources.costs import BillingMode
from models.staff.agents import LlmProvider
from resolvers.staff.runs.booking import Charge
from runtime.coding.account import Booking
from runtime.coding.adapter import Model, _AgentRun
from runtime.coding.metering import usage_of
from runtime.runs.keys import ProviderKey
from tests.every import each_of


@each_of(
    ("of_login", "cost", "charged"),
    [
        (True, None, (0, BillingMode.flat_rate)),
        (False, 0.5, (500_000, BillingMode.metered)),
        (False, None, (None, BillingMode.metered)),
    ],
)
def test_the_billing_of_a_call(of_login: bool, cost: float | None, charged: tuple[int | None, BillingMode]) -> None:
    charges = list[Charge]()
    key, address = ProviderKey(None, None), "https://api.anthropic.com"
    model = Model(LlmProvider.ANTHROPIC, "Anthropic", "m", address, key, "KEY", of_login=of_login)
    run: Any = SimpleNamespace(model=model, sink=SimpleNamespace(charge=charges.append))
    _AgentRun._booked(run, Booking("m", usage_of(10, 5), cost=cost, ms=1, counted=True))
    (charge,) = charges
    assert (charge.cost_micros, charge.billing_mode) == charged
