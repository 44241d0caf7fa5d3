"""Who may create and edit agents: a role in the crew counts beside the workspace's (contract: rbac.notes)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import false, func, select
from sqlmodel import col

from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.crews import CrewMember
from resolvers.kernel import Action, Context, Id, Input, Subject, forbidden
from resolvers.kernel.admission.row_rules import Allowed, ByRole, ByUser, RowRule
from resolvers.kernel.ground.policy import ADMINS, GATES, higher, lowest

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
        raise forbidden(role=lowest(GATES[Action.CREATE]))


@dataclass(frozen=True)
class ByRoleInCrew(RowRule):
    """Members of the crew of an agent with one of these roles in it."""

    roles: frozenset[Role]

    async def holds(self, ctx: Context, row: Agent | None) -> bool:
        return row is not None and row.crew_id is not None and await crew_role(ctx, row.crew_id) in self.roles

    def condition(self, row: Any, scope: Any) -> Any:
        members, seen = scope.beside(CrewMember, row)
        mine = (members.c.crew_id == row.crew_id, members.c.user_id == scope.user_id, *seen)
        return func.coalesce(scope.scalar(select(members.c.role.in_(sorted(self.roles))).where(*mine)), false())


ITS_OWN = ByUser(Agent.created_by_user_id) | ByRoleInCrew(ADMINS)
may_edit = Allowed(ByRole(ADMINS) | ITS_OWN, "Not allowed to edit this agent")
"""OWNER and ADMIN may edit any agent; a MANAGER may edit agents that they created, and agents of crews that they
administer.

A MANAGER does not learn whether any other agent exists.
"""
