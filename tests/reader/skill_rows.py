"""Seeded skills, proposals of such and servers of the registry."""

from collections.abc import Iterator
from typing import Any

from sqlmodel import SQLModel

from models.resources.mcp_registry import McpRegistryServer, TrustTier
from models.resources.skills import AgentSkill, Skill, SkillMaturity, SkillProposal
from models.staff.agents import Agent
from models.staff.crews import Crew


def taught(sower: Any, agents: list[Agent]) -> Iterator[SQLModel]:
    """Skills of this workspace, and which agents have them; and servers of the registry."""
    for number in range(10):
        name = f"{sower.text()[:40]}/{number} {sower.workspace.id}"
        named = {"id": name, "name": name, "display_name": sower.text(), "description": sower.text()}
        tier = sower.random.choice(list(TrustTier))
        yield McpRegistryServer(
            is_featured=sower.random.random() < 0.3, trust_tier=tier, synced_at=sower.time(), **named
        )
    for number in range(15):
        name = f"skill {number} {sower.workspace.id}"
        told = {"name": name, "name_key": name, "slug": name, "display_name": sower.text()}
        maturity = sower.random.choice(list(SkillMaturity))
        skill = Skill(description=sower.maybe(sower.text()), maturity=maturity, made_in=sower.workspace.id, **told)
        yield skill
        for agent in sower.random.sample(agents, 2):
            enabled = sower.random.random() < 0.7
            yield AgentSkill(agent_id=agent.id, skill_id=skill.id, enabled=enabled, **sower.here)


def proposed(sower: Any, crews: list[Crew]) -> Iterator[SQLModel]:
    for crew in crews:
        for number in range(sower.random.randrange(4)):
            told = {"name": sower.text(), "description": sower.text(), "content": sower.text()}
            yield SkillProposal(crew_id=crew.id, file_name=f"skill-{9 - number}.md", **told, **sower.here)
