"""Identifiers of issues in routes, and the numbers of new issues (contract: issues.behaviour.identifiers)."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Text as SQLText
from sqlalchemy import cast, func, or_, select
from sqlmodel import col

from models.staff.agents import Agent, AgentRole
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.kernel import Change, Context, Id, Input, Subject, Text, plus
from resolvers.kernel.store.changes import Need
from resolvers.work.issues.graph import IS_ISSUE

ISSUE = Subject(Mission, "identifier", by="identifier", where=IS_ISSUE, called="Issue")
ISSUE_BY_ID = Subject(Mission, where=IS_ISSUE, called="Issue")
ISSUE_IN_ANY_CASE = replace(ISSUE, any_case=True)
ISSUE_OF_CREW = Subject(
    Mission, "identifier", by="identifier", of=Subject(Crew, "crew_id"), where=IS_ISSUE, called="Issue"
)
IDENTIFIER_TAKEN = "missions_workspace_id_identifier_key"
PREFIX: Any = func.coalesce(
    func.nullif(col(Crew.issue_prefix), ""), func.upper(func.left(col(Crew.slug), 3)), type_=SQLText()
)
LEAD: Any = (
    select(col(Agent.id))
    .where(col(Agent.crew_id) == col(Crew.id), col(Agent.workspace_id) == col(Crew.workspace_id))
    .where(col(Agent.agent_role) == AgentRole.LEAD, col(Agent.deleted_at).is_(None))
    .scalar_subquery()
)
"""The lead of the crew."""
HAS_LEAD = Need(LEAD.is_not(None), "Crew has no LEAD agent")
IDENTIFIER: Any = PREFIX.concat("-").concat(cast(col(Crew.issue_counter), SQLText()))


class ByIdentifier(Input):
    """`identifier` is the prefix of the crew and a number, such as ENG-42; case-sensitive."""

    identifier: Text


class AsWritten(Input):
    """`identifier` is the prefix of the crew and a number, such as ENG-42, in any case."""

    identifier: Text


class OfCrew(ByIdentifier):
    """An issue of this crew. `identifier` is the prefix of the crew and a number, such as ENG-42; case-sensitive."""

    crew_id: Id


async def next_number(ctx: Context, crew: Crew) -> Change:
    """Takes the crew's next number with the insert of the issue.

    Several crews may share a prefix. If another crew has taken the next number, the operation is repeated and continues
    after the highest number of the prefix. The other crews wait meanwhile, so that none takes that number in between.
    """
    if ctx.attempt == 1:
        return Change(Crew, crew.id, needs=HAS_LEAD, issue_counter=plus(1))
    same = or_(col(Crew.id) == crew.id, _prefix_of(crew) == PREFIX)
    crews = await ctx.select(Crew, same, including_hidden=True).order_by(col(Crew.id)).locked().all()
    crew = next((each for each in crews if each.id == crew.id), crew)
    missions = ctx.table(Mission)
    named = missions.c.identifier == func.concat(_prefix_of(crew), "-", missions.c.number, type_=SQLText())
    highest = await ctx.report(select(func.coalesce(func.max(missions.c.number), 0)).where(named))
    return Change(Crew, crew.id, needs=HAS_LEAD, issue_counter=max(crew.issue_counter, highest[0][0]) + 1)


def _prefix_of(crew: Crew) -> str:
    return crew.issue_prefix or crew.slug[:3].upper()
