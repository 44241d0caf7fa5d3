"""Fields of issues and of what makes them. The contract takes any text for them; GraphQL takes what they are for."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from models import bounds
from models.actors import ActorType
from resolvers.kernel import Text
from resolvers.kernel.ground.stricter import InGraph, one_of


class IssuePriority(StrEnum):
    """The priority of an issue, in ascending order."""

    none = "none"
    low = "low"
    medium = "medium"
    high = "high"
    urgent = "urgent"


PRIORITIES: Final = tuple(priority.value for priority in IssuePriority)
NO_DAY: Final = "must be a day, such as 2030-01-31"


def _day(value: Any, _: Mapping[str, Any]) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        return None if date.fromisoformat(value).isoformat() == value else NO_DAY
    except ValueError:
        return NO_DAY


Priority = Annotated[Text, one_of(*PRIORITIES)]
Day = Annotated[str, Field(strict=True, max_length=bounds.NAME), InGraph(_day)]
AssigneeType = Annotated[Text, one_of(ActorType.agent, ActorType.user)]
