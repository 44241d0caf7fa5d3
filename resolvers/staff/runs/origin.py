"""The origin of an agent's current work: members, or external content."""

from sqlmodel import col

from models.staff.runs import Run, RunStatus
from resolvers.kernel import (
    AcrossWorkspaces,
    Context,
    across_workspaces,
    constant,
)


async def works_for_strangers(workspace_id: str, agent_id: str) -> bool:
    """Returns true if the agent has a live run that external content has started."""

    async def find(rows: AcrossWorkspaces) -> bool:
        live = (col(Run.status) == constant(RunStatus.RUNNING), col(Run.restricted))
        return await rows.within(workspace_id).exists(Run, col(Run.agent_id) == agent_id, *live)

    return await across_workspaces(find)


async def is_restricted(ctx: Context, chat_id: str) -> bool:
    """Returns true if requests in a chat may come from outside: by its live run, or by its last one, part of which may
    still be on its way.
    """
    of_chat = ctx.select(Run, col(Run.chat_id) == chat_id, including_hidden=True)
    last = await of_chat.order_by(col(Run.began_at).desc(), col(Run.id).desc()).first()
    if last is None or last.restricted:
        return last is not None
    live = (col(Run.status) == RunStatus.RUNNING, col(Run.restricted).is_(True))
    return await of_chat.where(*live).exists()
