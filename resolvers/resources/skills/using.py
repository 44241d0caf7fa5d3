"""Uses of skills by agents: the catalog counts them, and the journal records them."""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models.oversight.journal import JournalActor, JournalEntry
from models.resources.skills import AgentSkill, Skill
from models.staff.agents import Agent
from resolvers.kernel import NO_SURFACE, NOW, Action, Caller, Code, Context, Id, Input, Ref, Text, command, plus

SERVICE = "runtime"
READS = "read_file"
"""The tool by which an agent takes up a skill: it reads its SKILL.md."""


class NoteUse(Input):
    agent_id: Annotated[Id, Ref(Agent)]
    run_id: Id
    slug: Annotated[Text, Field(min_length=1)]


@command("skills.note_use", Action.UPDATE, errors=(Code.NOT_FOUND,), surfaces=NO_SURFACE)
async def note_use(ctx: Context, data: NoteUse) -> None:
    """Record that an agent uses a skill.

    One that it does not have any more counts for nothing.
    """
    agent = await ctx.get(Agent, data.agent_id)
    skill = await ctx.select(Skill, col(Skill.slug) == data.slug).first()
    if skill is None:
        return
    has = (col(AgentSkill.agent_id) == agent.id, col(AgentSkill.skill_id) == skill.id, col(AgentSkill.enabled))
    if not await ctx.select(AgentSkill, *has).exists():
        return
    used = await ctx.update(Skill, skill.id, usage_count=plus(1), last_used_at=NOW)
    ctx.record(
        JournalEntry(
            entry_type="skill.invoked",
            actor_type=JournalActor.agent,
            actor_id=agent.id,
            crew_id=agent.crew_id,
            agent_id=agent.id,
            trace_id=data.run_id,
            summary=f"{agent.name} uses the skill {skill.slug}",
            payload={
                "skill_id": skill.id, "skill_slug": skill.slug, "agent_id": agent.id, "tool_name": READS,
                "exit_code": 0, "usage_count": used.usage_count,
            },
        )
    )  # fmt: skip


async def tell_of_use(workspace_id: str, agent_id: str, run_id: str, slug: str) -> None:
    used = {"agent_id": agent_id, "run_id": run_id, "slug": slug}
    await note_use(Caller.service(SERVICE, workspace_id, run_id), used)
