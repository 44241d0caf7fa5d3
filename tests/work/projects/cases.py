"""Cases of projects, for the tests that are made for every operation."""

from models.work.projects import Milestone, Project
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe

RECIPES = {"projects.get_by_slug": Recipe({"slug": lambda world: world.home["project"].slug})}


def _project(plot: Plot, name: str, **lead: str) -> Project:
    return Project(
        name=name,
        slug=name.lower(),
        description="Around the cape",
        icon="anchor",
        start_date="2030-01-01",
        target_date="2030-06-01",
        **lead,
        **plot.here,
    )


@entity
def project(plot: Plot) -> Project:
    return _project(plot, "Voyage", lead_type="agent", lead_id=plot["agent"].id)


@entity
def project_of_user(plot: Plot) -> Project:
    return _project(plot, "Return", lead_type="user", lead_id=plot.owner.user_id)


@entity
def milestone(plot: Plot) -> Milestone:
    return Milestone(
        project_id=plot["project"].id,
        name="Half way",
        description="The cape",
        target_date="2030-03-01",
        position=1,
        **plot.here,
    )


IDS = {"lead_id": "agent"}
