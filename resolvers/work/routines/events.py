"""Events about routines."""

from enum import StrEnum
from typing import Annotated

from resolvers.kernel import Event
from resolvers.kernel.declarations.events import Distinct


class CatalogueChange(StrEnum):
    """The reason for which clients read the routines again."""

    saved = "saved"
    approved = "approved"
    rejected = "rejected"
    disabled = "disabled"
    enabled = "enabled"
    deleted = "deleted"


class RoutinesChanged(Event, type="pipeline.saved", channel="workspace:{workspace_id}"):
    """A routine was saved, restored to a version, reviewed, switched on or off, or deleted."""

    reason: Annotated[CatalogueChange, Distinct("change")]
