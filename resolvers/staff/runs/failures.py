"""Inbox items for managers about failed runs that no user started in a chat: of schedules, webhooks, programs
(contract: extras.inbox_sources). Failures of a mission's agents are reported with the mission.
"""

from typing import Final

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import DESCRIPTION, LINE, cut
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.runs import Run
from resolvers.attention.inbox.putting import put
from resolvers.kernel import Context

BY_PERSON: Final = "USER"


async def tell_of_failure(ctx: Context, run: Run, agent: Agent) -> None:
    """Once a run. The operation declares InboxItemUpdated."""
    if run.trigger_type == BY_PERSON or run.assignment_id is not None:
        return
    await put(
        ctx,
        InboxKind.failed_run,
        run.id,
        subject=run,
        target_role=Role.MANAGER,
        title=cut(f"A run of {agent.name} failed", LINE * 3),
        body_md=None if run.error_message is None else cut(run.error_message, DESCRIPTION),
        sender_type=SenderType.agent,
        sender_id=agent.id,
        sender_name=cut(agent.name, LINE),
        avatar_seed=agent.avatar_seed,
        avatar_style=agent.avatar_style,
        priority=InboxPriority.high,
        payload={
            "run_id": run.id,
            "agent_id": agent.id,
            "crew_id": agent.crew_id,
            "chat_id": run.chat_id,
            "trigger_type": run.trigger_type,
            "status": run.status,
        },
    )
