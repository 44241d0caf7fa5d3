"""The resource usage of crews' containers, and the agents that wait for a newer image (contract: container.stats)."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import func, select
from sqlmodel import col

from models.staff.crews import Crew
from resolvers.kernel import (
    NO_SURFACE,
    AcrossWorkspaces,
    Action,
    Context,
    Id,
    Input,
    Int,
    Text,
    at_most,
    clock,
    command,
    constant,
)
from resolvers.kernel.store.across import supplied
from resolvers.staff.crews.events import ContainerMeasured

MEASURE = clock("crews.measure", every=timedelta(seconds=5))
MOST: Final = 500
"""The most containers of a workspace in one answer; the rest is left out."""
Count = Annotated[Int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0, le=2**63 - 1)]
Share = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class MeasuredContainer(Input):
    """Memory and traffic are in bytes."""

    container_id: Text
    crew_id: Id
    cpu_percent: Share
    memory_used: Bytes
    memory_limit: Bytes
    memory_percent: Share
    net_rx_bytes: Bytes
    net_tx_bytes: Bytes
    pids: Count


class ReportContainers(Input):
    containers: Annotated[list[MeasuredContainer], at_most(MOST)]


@command("crews.report_containers", Action.UPDATE, emits=ContainerMeasured, surfaces=NO_SURFACE)
async def report_containers(ctx: Context, data: ReportContainers) -> None:
    """Record what containers of crews use."""
    for each in data.containers:
        ctx.emit(ContainerMeasured(**each.model_dump(), timestamp=datetime.now(UTC)))


async def note_pending(rows: AcrossWorkspaces, agents: Mapping[str, int]) -> None:
    """Stores the number of agents of each crew whose container has an older image; 0 for all other crews."""
    pending = col(Crew.agents_pending_restart)
    crews = rows.everywhere.table(Crew, "id", "agents_pending_restart", including_deleted=True).c
    given = supplied(Crew, id=list(agents), agents_pending_restart=list(agents.values()))
    known = select(crews.id).where(crews.agents_pending_restart > constant(0)).union(select(given.c.id)).subquery()
    counted = (
        select(known.c.id, func.coalesce(given.c.agents_pending_restart, constant(0)).label("agents"))
        .select_from(known.outerjoin(given, given.c.id == known.c.id))
        .subquery()
    )
    changed = (col(Crew.id) == counted.c.id, pending != counted.c.agents)
    await rows.everywhere.update_where(Crew, *changed, including_deleted=True, agents_pending_restart=counted.c.agents)
