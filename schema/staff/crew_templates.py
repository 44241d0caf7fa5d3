"""GraphQL: crew templates."""

import strawberry

from resolvers.staff import crew_templates as crew_template_ops
from schema.bridge.fields import mutation, output, query

output(
    crew_template_ops.CrewTemplateAgent,
    fields={"agent_role": str, "cli_adapter": str, "llm_provider": str, "tool_profile": str},
)


@strawberry.type
class CrewTemplateQuery:
    crew_templates = query(crew_template_ops.list_crew_templates)
    crew_template = query(crew_template_ops.get_crew_template)


@strawberry.type
class CrewTemplateMutation:
    deploy_crew_template = mutation(crew_template_ops.deploy_crew_template)
    suggest_crew = mutation(crew_template_ops.suggest_crew)
