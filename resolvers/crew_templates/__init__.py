"""Crews that are made in one step."""

from resolvers.crew_templates.catalog import CrewTemplate, CrewTemplateAgent
from resolvers.crew_templates.deployment import (
    DeployedCrew,
    deploy_crew_template,
    get_crew_template,
    list_crew_templates,
)

__all__ = [
    "CrewTemplate", "CrewTemplateAgent", "DeployedCrew", "deploy_crew_template", "get_crew_template",
    "list_crew_templates",
]  # fmt: skip
