"""REST: crew templates."""

from resolvers.staff import crew_templates
from rest_compat.http.table import GET, POST

ROUTES = (
    GET("/api/v1/crew-templates", crew_templates.list_crew_templates, list[crew_templates.CrewTemplate]),
    GET("/api/v1/crew-templates/{slug}", crew_templates.get_crew_template, crew_templates.CrewTemplate),
    POST(
        "/api/v1/crew-templates/{slug}/deploy",
        crew_templates.deploy_crew_template,
        crew_templates.DeployedCrew,
        status=201,
    ),
    POST("/api/v1/crew-ai-suggest", crew_templates.suggest_crew, crew_templates.CrewSuggestion),
)
