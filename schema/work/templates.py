"""GraphQL: templates of missions and of issue stages."""

import strawberry

from models.work.templates import WorkflowTemplate
from resolvers.work import templates as template_ops
from schema.bridge.fields import acts, mutation, node, query


@node(WorkflowTemplate)
class WorkflowTemplateType:
    """A pattern of tasks for missions, or a list of issue stages."""

    fields = (
        "id name description template_json definition icon color is_builtin version created_at updated_at viewer_can"
    )
    viewer_can = acts()
    template_json = strawberry.field(description="The definition as JSON text.")


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
    delete_mission_template = mutation(template_ops.delete_mission_template)
    create_workflow_template = mutation(template_ops.create_workflow_template, WorkflowTemplateType)
    update_workflow_template = mutation(template_ops.update_workflow_template, WorkflowTemplateType)
    delete_workflow_template = mutation(template_ops.delete_workflow_template)
