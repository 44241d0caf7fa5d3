"""Who may create and edit agents: a role in the crew counts beside the workspace's (contract: rbac.notes)."""

from sqlmodel import col

from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.crews import CrewMember
from resolvers.kernel import Action, Context, Id, Input, Subject, forbidden
from resolvers.kernel.ground.policy import ADMINS, GATES, higher

EDITED = Subject(Agent, judged_first=True)
"""The agent that is changed: see `may_edit`."""


async def crew_role(ctx: Context, crew_id: str) -> Role | None:
    """The caller's own role in a crew of this workspace, if the crew gives one."""
    member = await ctx.select(
        CrewMember, col(CrewMember.crew_id) == crew_id, col(CrewMember.user_id) == ctx.user_id
    ).first()
    return None if member is None else member.role


class AgentsOfCrew(Input):
    crew_id: Id | None = None


async def may_create(ctx: Context, data: AgentsOfCrew | None) -> None:
    """Create, decided by the higher of the workspace role and the role in the crew that the body names.

    An unreadable body names no crew: every member sees its fault.
    """
    if ctx.may(Action.CREATE) or ctx.request.fault is not None or ctx.role is None:
        return
    role = await crew_role(ctx, data.crew_id) if data is not None and data.crew_id is not None else None
    if higher(ctx.role, role) not in GATES[Action.CREATE]:
        raise forbidden()


async def may_edit(ctx: Context, agent: Agent | None) -> None:
    """OWNER and ADMIN may edit any agent; a MANAGER may edit agents that they created, and agents of crews that they
    administer.

    A MANAGER does not learn whether any other agent exists.
    """
    if ctx.role not in ADMINS and not (agent is not None and await _is_theirs(ctx, agent)):
        raise forbidden("Not allowed to edit this agent")


async def _is_theirs(ctx: Context, agent: Agent) -> bool:
    if agent.created_by_user_id is not None and agent.created_by_user_id == ctx.user_id:
        return True
    return agent.crew_id is not None and await crew_role(ctx, agent.crew_id) in ADMINS
