"""Who may create and edit agents: where a role in the crew counts beside the role in the workspace (contract:
rbac.notes).
"""

from sqlmodel import col

from models.agents import Agent
from models.crews import CrewMember
from models.workspaces import Role
from resolvers.kernel import ADMINS, GATES, Action, Code, Context, Raw, Refusal, forbidden, higher

MISSING = "Agent not found"


async def crew_role(ctx: Context, crew_id: str) -> Role | None:
    """The caller's own role in a crew of this workspace, if the crew gives one."""
    member = await ctx.select(
        CrewMember, col(CrewMember.crew_id) == crew_id, col(CrewMember.user_id) == ctx.user_id
    ).first()
    return None if member is None else member.role


async def may_create(ctx: Context, raw: Raw) -> None:
    """Create, judged on the higher of the workspace role and the role in the crew that the body names.

    Without a readable body there is no crew to judge on: an unreadable one is told to every member.
    """
    if ctx.may(Action.CREATE) or ctx.caller.malformed or ctx.role is None:
        return
    crew_id = raw.get("crew_id")
    role = await crew_role(ctx, crew_id) if isinstance(crew_id, str) else None
    if higher(ctx.role, role) not in GATES[Action.CREATE]:
        raise forbidden()


async def may_edit(ctx: Context, raw: Raw) -> None:
    """Any agent for OWNER and ADMIN; for a MANAGER those they created, and those of crews they administer.

    A MANAGER is not told whether an agent that is not theirs exists.
    """
    agent = await ctx.select(Agent, col(Agent.id) == str(raw.get("id"))).first()
    if ctx.role not in ADMINS and not (agent is not None and await _is_theirs(ctx, agent)):
        raise forbidden("Not allowed to edit this agent")
    if agent is None:
        raise Refusal(Code.NOT_FOUND, MISSING)


async def _is_theirs(ctx: Context, agent: Agent) -> bool:
    if agent.created_by_user_id is not None and agent.created_by_user_id == ctx.user_id:
        return True
    return agent.crew_id is not None and await crew_role(ctx, agent.crew_id) in ADMINS
