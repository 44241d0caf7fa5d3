"""A call of an operation, independent of the surface."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resolvers.errors import Refusal
from resolvers.instance.store import Arriving
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.reader import Shape

Raw = Mapping[str, Any]
"""An input before validation, by the names of its fields, whichever names the surface uses."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call. It is immutable; results are in Answer.

    `place`: id or slug of the workspace; `also`: its other names in the request, which must name the same one.
    `if_version`: the version that the row must have. `key`: an idempotency key. `fault`: why the body could not be
    read; only callers who may send it see this. `upload`: the body, if the operation receives it itself.
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
