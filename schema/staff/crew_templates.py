"""GraphQL: crew templates."""

from datetime import datetime

import strawberry

from models.staff.agents import AgentRole
from resolvers.staff import crew_templates as crew_template_ops
from schema.bridge.fields import mutation, output, query


@output(crew_template_ops.CrewTemplateAgent)
class CrewTemplateAgentType:
    """An agent of the crew. In the crew that is made its slug ends with the crew's."""

    name: str
    slug: str
    role_title: str
    agent_role: str
    cli_adapter: str
    llm_provider: str
    llm_model: str
    tool_profile: str
    system_prompt: str


@output(crew_template_ops.CrewTemplate)
class CrewTemplateType:
    """A crew to be made, with its agents; the first one is its LEAD."""

    id: strawberry.ID
    name: str
    slug: str
    description: str | None
    icon: str | None
    color: str | None
    category: str
    agents: list[CrewTemplateAgentType]
    is_builtin: bool
    created_at: datetime


@output(crew_template_ops.DeployedCrew)
class DeployedCrewType:
    """The crew that was made of a template, and its agents."""

    crew_id: strawberry.ID
    crew_name: str
    crew_slug: str
    agent_count: int
    agent_ids: list[strawberry.ID]


@output(crew_template_ops.SuggestedAgent)
class SuggestedAgentType:
    """An agent of a crew that is suggested."""

    name: str
    slug: str
    role_title: str
    agent_role: AgentRole
    system_prompt: str


@output(crew_template_ops.CrewSuggestion)
class CrewSuggestionType:
    """A crew that a model suggests: nothing of it is created. One of the agents is the LEAD."""

    crew_name: str
    crew_slug: str
    description: str
    agents: list[SuggestedAgentType]


@strawberry.type
class CrewTemplateQuery:
    crew_templates = query(crew_template_ops.list_crew_templates, CrewTemplateType)
    crew_template = query(crew_template_ops.get_crew_template, CrewTemplateType)


@strawberry.type
class CrewTemplateMutation:
    deploy_crew_template = mutation(crew_template_ops.deploy_crew_template, DeployedCrewType)
    suggest_crew = mutation(crew_template_ops.suggest_crew, CrewSuggestionType)
