"""Cases of crews, for the tests that are made for every operation."""

from typing import Any

from models.people.workspaces import Role
from models.staff.crews import AutonomyLevel, Crew, CrewConnection, CrewMember
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


def _crew(plot: Plot, slug: str, **changes: Any) -> Crew:
    return Crew(
        name=slug.title(),
        slug=slug,
        description="Keeps the engine running",
        color="#112233",
        icon="anchor",
        avatar_style="bottts",
        persona="We like tea",
        container_ttl_hours=4,
        allowed_domains=["example.com"],
        mcp_config_json="{}",
        created_by=plot.owner.user_id,
        **changes,
        **plot.here,
    )


@entity
def crew(plot: Plot) -> Crew:
    return _crew(plot, "engine")


@entity
def second_crew(plot: Plot) -> Crew:
    """Has neither members nor agents."""
    return _crew(plot, "deck")


@entity
def third_crew(plot: Plot) -> Crew:
    return _crew(plot, "bridge")


@entity
def free_crew(plot: Plot) -> Crew:
    """Its agents decide by themselves."""
    return _crew(plot, "galley", autonomy_level=AutonomyLevel.full)


@entity
def crew_member(plot: Plot) -> CrewMember:
    return CrewMember(crew_id=plot["crew"].id, user_id=plot.owner.user_id, role=Role.VIEWER, **plot.here)


@entity
def crew_connection(plot: Plot) -> CrewConnection:
    return CrewConnection(from_crew_id=plot["crew"].id, to_crew_id=plot["second_crew"].id, **plot.here)


IDS = {"from_crew_id": "crew", "to_crew_id": "third_crew"}
WITHOUT_CONTAINERS = (
    "crews.provision", "crews.provision.rebuild", "crews.restart_agents", "cache.images.list", "crews.container_start",
    "crews.image_status", "crews.refresh_image",
)  # fmt: skip
RECIPES = dict.fromkeys(WITHOUT_CONTAINERS, Recipe(refused=Code.UNAVAILABLE)) | {
    "cache.images.delete": Recipe({"tag": "crewship-cache:1"}, refused=Code.UNAVAILABLE),
    "crews.get_by_slug": Recipe({"slug": lambda world: world.home["crew"].slug}),
    "crews.avatar.apply": Recipe({"avatar_style": "thumbs"}),
    "crews.container_stop": Recipe(refused=Code.BAD_GATEWAY),
    "crews.files.delete": Recipe({"path": "notes/gone.txt"}),
    "crews.files.download": Recipe(refused=Code.NOT_FOUND),
    "policies.put": Recipe(values={"autonomy_level": "full", "behavior_mode": "warn", "reason": "Trusted crew"}),
}
