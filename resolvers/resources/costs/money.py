"""Amounts of money: stored in millionths of a US dollar; inputs and answers are in dollars."""

import math
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Float as SQLFloat
from sqlalchemy import cast, func

from resolvers.kernel import Float, constant

MILLION = 1_000_000
LARGEST = 1_000_000_000.0
Usd = Annotated[Float, Field(ge=1 / MILLION, le=LARGEST)]


def micros_of(dollars: float) -> int:
    return round(dollars * MILLION)


def micros(dollars: float | None) -> int | None:
    """Millionths of a US dollar, rounded up: what costs anything is not free."""
    return None if dollars is None else math.ceil(round(dollars * MILLION, 3))


def dollars(micros: Any) -> Any:
    """The value of a column or a sum in dollars."""
    return cast(micros, SQLFloat) / constant(MILLION)


def sum_of(column: Any) -> Any:
    return func.coalesce(func.sum(column), constant(0))


def shown(micros: int) -> str:
    """For people: cents, and more digits if the amount is below a cent."""
    whole = micros / MILLION
    return f"${whole:,.2f}" if micros % 10_000 == 0 or whole >= 1 else f"${whole:.6f}".rstrip("0")
