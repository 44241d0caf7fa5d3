"""Cases of hires, for the tests that are made for every operation."""

from tests.generation.recipes import Recipe

RECIPES = {
    "agents.hire": Recipe(
        {
            "crew_id": lambda world: world.home["crew"].id,
            "crew_slug": "",
            "template_slug": "devops-sre",
            "reason": "Look things up",
            "ttl_minutes": 60,
            "model": "o3",
        },
        ids={"crew_id": "crew", "parent_lead_id": "lead"},
    ),
    "agents.rehire": Recipe({"reason": "More", "ttl_minutes": 60}, ids={"agent_id": "ghost"}),
    "agents.approve_hire": Recipe(ids={"agent_id": "pending_agent"}),
}
