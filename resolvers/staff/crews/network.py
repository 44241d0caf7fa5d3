"""The network rules of a crew's processes, for the runtime."""

from dataclasses import dataclass

from sqlmodel import col

from models.staff.crews import Crew, NetworkMode
from resolvers.kernel import AcrossWorkspaces, across_workspaces


@dataclass(frozen=True, slots=True)
class CrewNetwork:
    """Without a crew, or when it is deleted: restricted, to nothing of its own."""

    mode: NetworkMode = NetworkMode.restricted
    allowed_domains: tuple[str, ...] = ()


async def network_of(workspace_id: str, crew_id: str | None) -> CrewNetwork:
    """As it is now."""

    if crew_id is None:
        return CrewNetwork()

    async def find(rows: AcrossWorkspaces) -> CrewNetwork:
        columns = ("network_mode", "allowed_domains")
        for row in await rows.within(workspace_id).select(Crew, col(Crew.id) == crew_id, columns=columns):
            return CrewNetwork(NetworkMode(row["network_mode"]), tuple(row["allowed_domains"]))
        return CrewNetwork()

    return await across_workspaces(find)
