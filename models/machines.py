"""State machines: the transitions between the states of a row (contract: states)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, TypeVar

from sqlmodel import SQLModel

from models.base import enums_of, table_of

M = TypeVar("M", bound=SQLModel)
S = TypeVar("S", bound=StrEnum)

MACHINES: "list[Machine[SQLModel, StrEnum]]" = []


@dataclass(frozen=True, eq=False)
class Machine(Generic[M, S]):
    """The states in one column of a model, and the transitions of each. A model may have several, and two of them may
    share a column, each with states of its own.

    `stamps`: columns that take the time of the change, each with the states that set it. `called`: what refusals call
    the row, if not by the name of its model.
    """

    model: type[M]
    column: str
    moves: Mapping[S, frozenset[S]]
    stamps: Mapping[str, frozenset[S]] = field(default_factory=lambda: MappingProxyType({}))
    called: str = ""

    def __post_init__(self) -> None:
        name, columns = self.model.__name__, table_of(self.model).c
        states = {state for state in dict(enums_of(self.model)).get(self.column, {}).values() if state is not None}
        if missing := [column for column in (self.column, *self.stamps) if column not in columns]:
            raise TypeError(f"{name} has no column {missing[0]}")
        if not states or not self.moves.keys() <= states:
            raise TypeError(
                f"{name}.{self.column}: a machine says of each of its states, and of no other, where it leads"
            )
        if not self.moves.keys() >= set().union(*self.moves.values(), *self.stamps.values()):
            raise TypeError(f"{name}.{self.column}: a machine leads to its own states alone")
        MACHINES.append(self)  # type: ignore[arg-type]

    def before(self, to: S) -> list[S]:
        """The states that lead to this one."""
        return [state for state, following in self.moves.items() if to in following]

    def beyond(self, state: S, through: frozenset[S]) -> frozenset[S]:
        """The other states that this one leads to, by stages of which those in between are all in `through`."""
        found, left = set[S](), [state]
        while left:
            new = self.moves[left.pop()] - found
            found |= new
            left += new & through
        return frozenset(found - {state})

    def stamped(self, to: S) -> list[str]:
        """The columns that take the time of a change to this state."""
        return [column for column, states in self.stamps.items() if to in states]
