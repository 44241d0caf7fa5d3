"""Values of one operation that its input model does not determine, for the table RECIPES in its domain's `cases.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resolvers.errors import Code


@dataclass(frozen=True)
class Recipe:
    """`values`: fields of a valid input; a callable gets the world of the cases. `ids`: field -> key of an entity,
    where the name does not say it.

    `chosen`: fields that are called like a reference and name nothing that is there: the caller chooses the id of what
    is made. `refused`: how a valid input is refused in a world that is in use; `person` makes the call when the owner
    cannot. `cookies`: what a browser sends along.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    chosen: frozenset[str] = frozenset()
    person: str = "owner"
    refused: Code | None = None
    cookies: Callable[[Any], dict[str, str]] | None = None


PASSWORD = "correct horse battery"  # of the owner, too

# By the name of the field, for every operation.
VALUES: dict[str, Any] = {
    "email": "new@example.com",
    "password": PASSWORD,
    "preferred_language": "English",
    "role": "MEMBER",
}
