"""Crews that are made in one step."""

from resolvers.kernel import Domain
from resolvers.staff.crew_templates.catalog import CrewTemplate, CrewTemplateAgent
from resolvers.staff.crew_templates.deployment import (
    DeployedCrew,
    deploy_crew_template,
    get_crew_template,
    list_crew_templates,
)
from resolvers.staff.crew_templates.suggesting import CrewSuggestion, suggest_crew

DOMAIN = Domain("crew_templates", scopes="crews")
