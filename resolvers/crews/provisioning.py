"""The build of a crew's image. This server runs agents' commands without containers: it builds none."""

from enum import StrEnum
from typing import Any

from sqlalchemy import Text as SQLText
from sqlalchemy import case, literal_column
from sqlmodel import col

from models.crews import Crew
from resolvers.crews.members import ByCrew
from resolvers.kernel import Action, Code, QueryScope, Row, derived, extend, query


class ProvisionStatus(StrEnum):
    idle = "idle"
    pending = "pending"
    running = "running"
    completed = "completed"
    failed = "failed"


def _status(crew: Any, _: QueryScope) -> Any:
    completed, idle = (
        literal_column(f"'{status.value}'", SQLText()) for status in (ProvisionStatus.completed, ProvisionStatus.idle)
    )
    return case((crew.cached_image.is_not(None), completed), else_=idle)


extend(Crew, provision_status=derived(ProvisionStatus, _status))


@query("crews.provision.status", Action.READ, errors=(Code.NOT_FOUND,))
def get_provision_status(scope: QueryScope, data: ByCrew) -> Row[Crew]:
    """Get the build status of a crew's image.

    Completed if the crew has an image, otherwise idle: this server builds no images.
    """
    return scope.select(Crew).where(col(Crew.id) == data.crew_id).one("crew not found")
