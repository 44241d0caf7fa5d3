"""Which agent has which skill."""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models.resources.skills import AgentSkill, Skill
from models.staff.agents import Agent
from resolvers.kernel import (
    Absent,
    Action,
    Code,
    ConfigText,
    Context,
    Id,
    Input,
    Output,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Subject,
    command,
    query,
)
from resolvers.kernel.store.changes import Clash
from resolvers.resources.skills.catalog import tell
from resolvers.resources.skills.events import AgentSkillAssigned, AgentSkillUnassigned

AGENT = Subject(Agent, "agent_id")
ASSIGNMENT = Subject(AgentSkill, "skill_id", by="skill_id", of=AGENT, called="Skill of the agent")
UNKNOWN = "Skill not found"
NEWEST_LAST = (col(AgentSkill.created_at), col(AgentSkill.id))


class SkillsOfAgent(Input):
    agent_id: Id


class AssignSkill(SkillsOfAgent):
    """`config` is any text, by convention JSON."""

    skill_id: Annotated[Id, Field(min_length=1)]
    config: ConfigText | None = None


class RemoveSkill(SkillsOfAgent):
    """The skill to remove."""

    skill_id: Id


class SkillAssigned(Output):
    """The assignment; `already_assigned` is true if the agent already had the skill, and null or absent otherwise."""

    id: str
    already_assigned: Annotated[bool | None, Absent()] = None


class SkillUnassigned(Output):
    """The deleted assignment."""

    agent_id: str
    skill_id: str


@query("agent_skills.list", Action.READ, subject=AGENT)
def list_agent_skills(scope: QueryScope, agent: Row[Agent], data: SkillsOfAgent) -> Rows[AgentSkill]:
    """List skills of an agent.

    Sorted by time of assignment, oldest first.
    """
    return scope.children(agent, AgentSkill, "agent_id").order_by(*NEWEST_LAST)


@command(
    "agent_skills.assign",
    Action.CREATE,
    audit="agent_skill.assigned",
    subject=AGENT,
    emits=AgentSkillAssigned,
    errors=(Code.CONFLICT,),
    again="agent_skills_agent_id_skill_id_key",
)
async def assign_skill(ctx: Context, agent: Agent, data: AssignSkill) -> SkillAssigned:
    """Assign a skill to an agent.

    The agent can read it from its next run. Idempotent.
    """
    skill = await ctx.select(Skill, col(Skill.id) == data.skill_id).first()
    if skill is None:
        raise Refusal(Code.CONFLICT, UNKNOWN, taken=("skill_id",))
    own = (col(AgentSkill.agent_id) == agent.id, col(AgentSkill.skill_id) == skill.id)
    before = await ctx.select(AgentSkill, *own).first()
    if before is not None:
        return SkillAssigned(id=before.id, already_assigned=True)
    given = await ctx.insert(
        AgentSkill(agent_id=agent.id, skill_id=skill.id, config=data.config), conflict=Clash(UNKNOWN, "skill_id")
    )
    tell(ctx, "skill.assigned", "skill assigned to agent", of_agent=agent.id, skill_id=skill.id)
    ctx.emit(AgentSkillAssigned(agent_id=agent.id, skill_id=skill.id))
    return SkillAssigned(id=given.id)


@command(
    "agent_skills.remove", Action.CREATE, audit="agent_skill.removed", subject=ASSIGNMENT, emits=AgentSkillUnassigned
)
async def remove_skill(ctx: Context, assignment: AgentSkill, data: RemoveSkill) -> SkillUnassigned:
    """Remove a skill from an agent.

    Active runs keep it.
    """
    await ctx.delete(AgentSkill, assignment.id)
    tell(ctx, "skill.unassigned", "skill unassigned from agent", of_agent=data.agent_id, skill_id=data.skill_id)
    ctx.emit(AgentSkillUnassigned(agent_id=data.agent_id, skill_id=data.skill_id))
    return SkillUnassigned(agent_id=data.agent_id, skill_id=data.skill_id)
