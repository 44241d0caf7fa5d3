"""The catalog of skills: its readers, the edges of a skill, and its deletion."""

from typing import Annotated, Any

from pydantic import BeforeValidator
from sqlalchemy import Text as SQLText
from sqlalchemy import and_, func, or_, select, true
from sqlmodel import col

from models.base import table_of
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.resources.skills import AgentSkill, Skill, SkillSource
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import (
    EVERYONE,
    Action,
    ById,
    Context,
    Filter,
    Id,
    Input,
    Output,
    QueryScope,
    Row,
    Rows,
    Subject,
    Text,
    View,
    command,
    constant,
    contains,
    derived,
    extend,
    forbidden,
    graph,
    many,
    one,
    query,
    reads,
    sums_up,
)
from resolvers.kernel.reader import Derived
from resolvers.rules.agent_pictures import stored_picture

SKILL = Subject(Skill, "id")
NOT_YOURS = "Only the workspace that created the skill can change it"
BUNDLED = "A bundled skill cannot be changed"
IN_ORDER = (col(Skill.maturity_rank), col(Skill.name), col(Skill.id))
ONE: Any = constant(1)
Installed = Annotated[bool | None, BeforeValidator(lambda raw: True if raw is True or raw == "1" else None)]
"""`1`, or nothing at all."""


def _found(search: Any) -> Any:
    return or_(*[contains(column)(search) for column in (Skill.name, Skill.display_name, Skill.description)])


class ListSkills(Input):
    """`installed` (`1`): enabled on an agent of the workspace; `installed_for_agent_id`, on that one.

    `search` is found in name, display name and description, ASCII letters in either case.
    """

    category: Annotated[Text | None, Filter(Skill.category)] = None
    source: Annotated[Text | None, Filter(Skill.source)] = None
    vendor: Annotated[Text | None, Filter(Skill.vendor)] = None
    maturity: Annotated[Text | None, Filter(Skill.maturity)] = None
    runtime: Annotated[Text | None, Filter(Skill.runtime)] = None
    search: Annotated[Text | None, Filter(_found)] = None
    installed: Installed = None
    installed_for_agent_id: Id | None = None


class InstalledAgent(View):
    """An agent of the workspace that has the skill, and its crew."""

    agent_id: str
    agent_slug: str
    agent_name: str
    avatar_seed: str | None
    avatar_style: str | None
    avatar_url: str | None
    crew_id: str | None
    crew_slug: str | None
    crew_name: str | None
    crew_color: str | None
    crew_icon: str | None
    crew_avatar_style: str | None


class SkillUsage(View):
    """The use of a skill by agents of one workspace; `id` is of both."""

    id: str
    agent_count: int


class SkillDeleted(Output):
    """The skill was deleted and removed from all agents."""

    deleted: bool = True
    skill_id: str


def _assigned(skill: Any, scope: Any) -> tuple[Any, Any, list[Any]]:
    """The assignments of a skill to live agents of the workspace of the call: the catalog is of none."""
    ties, own = scope.beside(AgentSkill, scope)
    agent, seen = scope.beside(Agent, scope)
    found = [*own, *seen, ties.c.skill_id == skill.id, agent.c.id == ties.c.agent_id]
    return ties, agent, found


def _agent_count() -> Derived:
    def counted(skill: Any, scope: Any) -> Any:
        ties, agent, found = _assigned(skill, scope)
        return scope.scalar(select(func.count()).select_from(ties.join(agent, true())).where(*found))

    return derived(int, counted)


def _usage(skill: Any, scope: Any) -> Any:
    ties, agent, found = _assigned(skill, scope)
    id = func.concat(skill.id, constant(":"), scope.workspace_id, type_=SQLText())
    counted = select(id.label("id"), func.count().label("agent_count"))
    return counted.select_from(ties.join(agent, true())).where(*found)


def _installed_on(skill: Any, scope: Any) -> Any:
    ties, agent, found = _assigned(skill, scope)
    crew, seen = scope.beside(Crew, scope)
    told = {
        "agent_id": agent.c.id,
        "agent_slug": agent.c.slug,
        "agent_name": agent.c.name,
        "avatar_seed": agent.c.avatar_seed,
        "avatar_style": agent.c.avatar_style,
        "avatar_url": stored_picture(agent.c),
        **{f"crew_{name}": crew.c[name] for name in ("id", "slug", "name", "color", "icon", "avatar_style")},
    }
    joined = ties.join(agent, true()).outerjoin(crew, (crew.c.id == agent.c.crew_id) & and_(true(), *seen))
    return (
        select(*[column.label(name) for name, column in told.items()]).select_from(joined).where(*found, ties.c.enabled)
    )


def _has_agent_of(crew: Any, skill: Any) -> Any:
    """True if an agent of the crew has the skill."""
    ties, agent = table_of(AgentSkill).alias(), table_of(Agent).alias()
    found = [
        agent.c.workspace_id == crew["workspace_id"],
        agent.c.crew_id == crew["id"],
        agent.c.deleted_at.is_(None),
        ties.c.workspace_id == agent.c.workspace_id,
        ties.c.agent_id == agent.c.id,
        ties.c.skill_id == skill["id"],
        ties.c.enabled,
    ]
    made = select(ONE).select_from(ties.join(agent, true())).where(*found)
    return made.correlate(crew["id"].table, skill["id"].table).exists()


graph(
    Skill,
    gate=Action.READ,
    scope="skills:read",
    visible=EVERYONE,
    agent_count=_agent_count(),
    usage=sums_up(SkillUsage, _usage),
    installed_on=reads(InstalledAgent, _installed_on, order_by=("agent_name", "agent_id")),
)
graph(SkillUsage, gate=Action.READ, scope="skills:read", visible=EVERYONE)
graph(InstalledAgent, gate=Action.READ, scope="agents:read", visible=EVERYONE)
extend(AgentSkill, agent=one(Agent, "agent_id"), skill=one(Skill, "skill_id"))
extend(
    Agent,
    skills=many(AgentSkill, "agent_id", order_by=(col(AgentSkill.created_at), col(AgentSkill.id))),
)
extend(Crew, skills=many(Skill, on=_has_agent_of, order_by=IN_ORDER))


@query("skills.list", Action.READ)
def list_skills(scope: QueryScope, data: ListSkills) -> Rows[Skill]:
    """List skills.

    The catalog belongs to the instance: bundled skills and skills of all workspaces. Sorted by maturity
    (OFFICIAL, CURATED, COMMUNITY, EXPERIMENTAL); ties by name.
    """
    rows = scope.select(Skill).matching(data)
    if data.installed_for_agent_id is not None:
        rows = rows.where(_enabled_on(scope, data.installed_for_agent_id))
    elif data.installed is not None:
        rows = rows.where(_enabled_on(scope))
    return rows.order_by(*IN_ORDER)


find_skills = list_skills.paged("skills.find")


def _enabled_on(scope: QueryScope, agent_id: Any = None) -> Any:
    ties, agent, found = _assigned(table_of(Skill).c, scope)
    found = [*found, ties.c.enabled] if agent_id is None else [*found, ties.c.enabled, agent.c.id == agent_id]
    made = select(ONE).select_from(ties.join(agent, true())).where(*found)
    return made.correlate(table_of(Skill), *scope._outer).exists()


@query("skills.get", Action.READ, subject=SKILL)
def get_skill(scope: QueryScope, skill: Row[Skill], data: ById) -> Row[Skill]:
    """Get a skill, with its text."""
    return skill


@command("skills.delete", Action.MANAGE, audit="skill.deleted", subject=SKILL, versioned=Skill)
async def delete_skill(ctx: Context, skill: Skill, data: ById) -> SkillDeleted:
    """Delete a skill.

    Removes it from all agents. Bundled skills and skills of other workspaces cannot be deleted.
    """
    if skill.source is SkillSource.BUNDLED:
        raise forbidden(BUNDLED)
    if skill.made_in != ctx.workspace_id:
        raise forbidden(NOT_YOURS)
    await ctx.delete(Skill, skill.id)
    tell(ctx, "skill.deleted", f"skill deleted: {skill.slug}", Severity.notice, skill_id=skill.id)
    return SkillDeleted(skill_id=skill.id)


def tell(
    ctx: Context,
    type: str,
    summary: str,
    severity: Severity = Severity.info,
    *,
    crew_id: str | None = None,
    of_agent: str | None = None,
    by: JournalActor | None = None,
    **payload: Any,
) -> None:
    """Adds an entry to the journal; `by` names the actor if it is not the caller."""
    ctx.record(
        JournalEntry(
            entry_type=type,
            severity=severity,
            actor_type=by or (JournalActor.user if ctx.user_id else JournalActor.system),
            actor_id=ctx.user_id or None,
            crew_id=crew_id,
            agent_id=of_agent,
            summary=summary,
            payload=payload,
        )
    )
