"""Cases of skills, for the tests that are made for every operation."""

from models.resources.skills import ScanStatus, Skill, SkillProposal
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now

SKILL_MD = """---
name: Reef knots
description: Use when two ropes of the same size are to be tied together.
license: MIT
tags: [rope]
---

# Reef knots
Left over right, right over left.
"""


@entity
def skill(plot: Plot) -> Skill:
    """The slug is another one in every workspace: it is unique on the instance."""
    slug = f"knots-{plot.workspace.id[-6:]}"
    return Skill(
        made_in=plot.workspace.id,
        name=slug,
        name_key=slug,
        slug=slug,
        display_name="Knots",
        description="Use when something has to hold.",
        author="Ann",
        icon="anchor",
        rating_avg=4.5,
        tags='["rope"]',
        tool_count=1,
        vendor="harbour",
        homepage="https://example.com/knots",
        license="MIT",
        spdx_license="MIT",
        scan_status=ScanStatus.FLAGGED,
        description_quality="Flagged: it is long.",
        content="# Knots",
        credential_requirements='["ROPE"]',
        mcp_server_command="rope",
        mcp_server_image="rope:1",
        mcp_transport="stdio",
        dependencies="[]",
        allowed_domains="[]",
        changelog="Shorter",
        security_score=7,
        last_used_at=now(),
        fingerprint="f",
    )


@entity
def skill_proposal(plot: Plot) -> SkillProposal:
    return SkillProposal(
        crew_id=plot["crew"].id,
        file_name="skill-bowlines.md",
        name="bowlines",
        description="Use when a rope has to hold a mast.",
        description_quality="Flagged: it is long.",
        scan_status=ScanStatus.FLAGGED,
        content=f"---\nname: bowlines-{plot.workspace.id}\n---\n# Bowlines\n",
        **plot.here,
    )


OF_SKILL: dict[str, str] = {"id": "skill"}
OF_AGENT: dict[str, str] = {"agent_id": "agent", "skill_id": "skill"}
RECIPES = {
    "agent_skills.assign": Recipe(ids={"agent_id": "lead", "skill_id": "skill"}),
    "agent_skills.remove": Recipe(ids=OF_AGENT),
    "skills.get": Recipe(ids=OF_SKILL),
    "skills.delete": Recipe(ids=OF_SKILL),
    "skills.bulk_import": Recipe({"git_url": "https://localhost/skills.git"}, refused=Code.BAD_GATEWAY),
    "skills.generate": Recipe({"slug": "hitches", "prompt": "Tie"}, refused=Code.PRECONDITION_FAILED),
    "internal.skills.generate": Recipe({"slug": "hitches", "prompt": "Tie"}, refused=Code.PRECONDITION_FAILED),
    "skills.proposed.approve": Recipe({"file_name": "skill-bowlines.md"}),
    "skills.proposed.reject": Recipe({"file_name": "skill-bowlines.md"}),
    "internal.skills.author": Recipe({"content": SKILL_MD}),
    "skills.import": Recipe({"content": SKILL_MD}),
}
