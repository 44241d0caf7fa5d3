"""Cases of projects, for the tests that are made for every operation."""

from models.projects import Milestone, Project
from tests.generation.entities import Plot, entity


@entity
def project(plot: Plot) -> Project:
    return Project(
        name="Voyage",
        slug="voyage",
        description="Around the cape",
        icon="anchor",
        lead_type="agent",
        lead_id=plot["agent"].id,
        start_date="2030-01-01",
        target_date="2030-06-01",
        **plot.here,
    )


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
