"""Cases of agents, for the tests that are made for every operation."""

from datetime import timedelta
from typing import Any

from models.resources.credentials import AgentCredential
from models.resources.skills import AgentSkill
from models.staff.agent_avatars import AgentAvatar
from models.staff.agents import Agent, AgentRole, AgentStatus, LeadMode, LlmProvider
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.sealing import sealed_before
from tests.world import now


def _agent(plot: Plot, slug: str, **changes: Any) -> Agent:
    given: dict[str, Any] = {
        "name": slug.title(),
        "slug": slug,
        "description": "An example",
        "role_title": "Engineer",
        "llm_provider": LlmProvider.ANTHROPIC,
        "llm_model": "model",
        "system_prompt": "Be brief",
        "persona": "You like tea",
        "avatar_seed": slug,
        "avatar_style": "bottts",
        "avatar_digest": "0" * 16,
        "crew_id": plot["crew"].id,
        "created_by_user_id": plot.owner.user_id,
    }
    return Agent(**(given | changes), **plot.here)


@entity
def lead(plot: Plot) -> Agent:
    return _agent(plot, "lead", agent_role=AgentRole.LEAD, lead_mode=LeadMode.active)


@entity
def agent(plot: Plot) -> Agent:
    """Works for the lead."""
    made = _agent(plot, "hand", parent_lead_id=plot["lead"].id)
    made.__dict__["webhook_secret"] = sealed_before("5e" * 32, table=Agent, column="webhook_secret", row_id=made.id)
    return made


@entity
def pending_agent(plot: Plot) -> Agent:
    """Hired, and waiting for an approval."""
    return _agent(
        plot,
        "pending",
        parent_lead_id=plot["lead"].id,
        status=AgentStatus.PENDING_REVIEW,
        ephemeral=True,
        expires_at=now() + timedelta(hours=1),
        hire_reason="Help",
    )


@entity
def ghost(plot: Plot) -> Agent:
    """Hired once; its time is over."""
    past = now() - timedelta(hours=1)
    return _agent(
        plot,
        "ghost",
        parent_lead_id=plot["lead"].id,
        ephemeral=True,
        expires_at=past,
        expired_at=past,
        hire_reason="Help",
    )


@entity
def free_agent(plot: Plot) -> Agent:
    """Of a crew that decides by itself; its own learning is off."""
    return _agent(plot, "cook", crew_id=plot["free_crew"].id)


@entity
def agent_avatar(plot: Plot) -> AgentAvatar:
    return AgentAvatar(agent_id=plot["agent"].id, svg=SVG, **plot.here)


@entity
def agent_skill(plot: Plot) -> AgentSkill:
    return AgentSkill(agent_id=plot["agent"].id, skill_id=plot["skill"].id, config="{}", **plot.here)


@entity
def agent_credential(plot: Plot) -> AgentCredential:
    agent, given = plot["agent"], plot["credential"]
    return AgentCredential(agent_id=agent.id, credential_id=given.id, env_var_name="TOKEN", **plot.here)


IDS = {"lead_agent_id": "lead", "parent_lead_id": "lead"}
PROSE = frozenset(
    {
        "agents.avatar_store",
        "agents.avatar_delete",
        "agents.create",
        "agents.update",
        "agents.delete",
        "agents.peers_get",
        "agents.peers_delete",
    }
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="3" fill="#123"/></svg>'
RECIPES = dict.fromkeys(
    ("agents.peers_get", "agents.peers_delete"), Recipe({"user_id": lambda world: world.home.owner.user_id})
) | {
    "agents.avatar_store": Recipe({"svg": SVG}, ids={"id": "lead"}),
    "agents.get_by_slug": Recipe({"slug": lambda world: world.home["agent"].slug}),
    "agents.learning_set": Recipe({"enabled": True, "reason": "Trusted"}),
    "models.list": Recipe({"provider": "GOOGLE"}),
    "agents.persona_suggest": Recipe(ids={"agent_id": "free_agent"}),
    "agents.files_download": Recipe(refused=Code.NOT_FOUND),
}
