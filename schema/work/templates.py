"""GraphQL: templates of missions and of issue stages."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.work.templates import WorkflowTemplate
from resolvers.work import templates as template_ops
from schema.bridge.fields import mutation, node, query
from schema.bridge.results import DeletedType


@node(WorkflowTemplate)
class WorkflowTemplateType:
    """A pattern of tasks for missions, or a list of issue stages."""

    id: strawberry.ID
    name: str
    description: str | None
    template_json: str = strawberry.field(description="The definition as JSON text.")
    definition: JSON | None
    icon: str | None
    color: str | None
    is_builtin: bool
    version: int
    created_at: datetime
    updated_at: datetime


@strawberry.type
class TemplateQuery:
    mission_templates = query(template_ops.list_mission_templates, WorkflowTemplateType)
    mission_template = query(template_ops.get_mission_template, WorkflowTemplateType)
    workflow_templates = query(template_ops.list_workflow_templates, WorkflowTemplateType)
    workflow_template = query(template_ops.get_workflow_template, WorkflowTemplateType)


@strawberry.type
class TemplateMutation:
    create_mission_template = mutation(template_ops.create_mission_template, WorkflowTemplateType)
    update_mission_template = mutation(template_ops.update_mission_template, WorkflowTemplateType)
    delete_mission_template = mutation(template_ops.delete_mission_template, DeletedType)
    create_workflow_template = mutation(template_ops.create_workflow_template, WorkflowTemplateType)
    update_workflow_template = mutation(template_ops.update_workflow_template, WorkflowTemplateType)
    delete_workflow_template = mutation(template_ops.delete_workflow_template, DeletedType)
