"""What the processes of a crew may reach, for whoever carries out its work."""

from dataclasses import dataclass

from models.staff.crews import NetworkMode
from resolvers.kernel import AcrossWorkspaces, across_workspaces

FIND = """
    SELECT network_mode, ARRAY(SELECT jsonb_array_elements_text(allowed_domains::jsonb)) AS allowed_domains
    FROM crews WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL
"""


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
        for row in await rows.fetch(FIND, workspace_id, crew_id):
            return CrewNetwork(NetworkMode(row["network_mode"]), tuple(row["allowed_domains"]))
        return CrewNetwork()

    return await across_workspaces(find)
