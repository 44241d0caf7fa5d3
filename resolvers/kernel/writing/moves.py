"""Refused transitions of state machines."""

from enum import StrEnum
from typing import Any

from models.machines import Machine
from resolvers.errors import Code, Refusal


def _name(machine: Machine[Any, Any]) -> str:
    return machine.called or machine.model.__name__


def meanwhile(machine: Machine[Any, Any], state: StrEnum) -> Refusal:
    """The refusal of a transition of a row that another call has changed since it was read."""
    return Refusal(Code.CONFLICT, f"{_name(machine)} became {state} meanwhile; try again")


def no_way(machine: Machine[Any, Any], code: Code, seen: StrEnum, to: StrEnum) -> Refusal:
    """The refusal of a transition that the machine does not have. If the caller chose the state, it names the field,
    and the states that are `allowed`.
    """
    detail = f"{_name(machine)} is {seen}: it cannot become {to}"
    if code is not Code.BAD_REQUEST:
        return Refusal(code, detail)
    allowed = [state.value for state in machine.moves if state in machine.moves.get(seen, frozenset())]
    return Refusal(code, detail, fields={machine.column: f"cannot become {to}"}, extra={"allowed": allowed})
