"""Cases of the first run, for the tests that are made for every operation."""

from tests.generation.recipes import Recipe

RECIPES = {
    "onboarding.setup": Recipe(
        {"crew_name": "First Crew", "agent_name": "First Hand", "credential_value": "sk-ant-oat01-first"}
    )
}
PROSE = ("onboarding.setup",)
"""MANAGER and above, in a workspace that the caller does not name; whoever has none is told so."""
