"""What is asked of an operation, by whatever surface."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resolvers.errors import Refusal
from resolvers.instance.store import Arriving
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.reader import Shape

Raw = Mapping[str, Any]
"""An input before it is validated: by the names of its fields, whatever the surface calls them."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call. Nothing that comes of it is written here: see Answer.

    `place`: id or slug of the workspace; `also`: its other names in the request, which have to name the same one.
    `if_version`: the version that the row has to have. `key`: an idempotency key.
    `fault`: why what was sent could not be read, which is told only to somebody who may send it. `upload`: the body,
    where the operation receives it itself.
    """

    raw: Raw
    shape: Shape | None = None
    slots: tuple[Input, ...] = ()
    place: str | None = None
    also: tuple[str, ...] = ()
    if_version: int | None = None
    key: str | None = None
    fault: Refusal | None = None
    upload: Arriving | None = None
