"""For whom an agent works at the moment."""

from typing import Final

from models.runs import BY_WEBHOOK
from resolvers.kernel import AcrossWorkspaces, across_workspaces

_WORKS: Final = """
    SELECT FROM runs WHERE workspace_id = $1 AND agent_id = $2 AND status = 'RUNNING' AND trigger_type = $3 LIMIT 1
"""


async def works_for_a_webhook(workspace_id: str, agent_id: str) -> bool:
    """Whether something that anybody may have written has begun a run of the agent which goes on."""

    async def find(rows: AcrossWorkspaces) -> bool:
        return bool(await rows.fetch(_WORKS, workspace_id, agent_id, BY_WEBHOOK))

    return await across_workspaces(find)
