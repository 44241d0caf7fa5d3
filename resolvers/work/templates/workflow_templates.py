"""Stages that issues go through, under a name."""

from typing import Annotated

from sqlmodel import col

from models.work.templates import WorkflowTemplate
from resolvers.kernel import (
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Description,
    Input,
    NoInput,
    Patch,
    QueryScope,
    Row,
    Rows,
    Text,
    command,
    query,
)
from resolvers.rules.built_in_templates import restore_built_in_templates
from resolvers.work.templates.events import WorkflowTemplateCreated, WorkflowTemplateDeleted, WorkflowTemplateUpdated
from resolvers.work.templates.graph import TAKEN, TEMPLATE, TemplateName
from resolvers.work.templates.stages import HexColor, Stages

BY_AGE = (
    col(WorkflowTemplate.is_builtin).desc(),
    col(WorkflowTemplate.created_at),
    col(WorkflowTemplate.name),
    col(WorkflowTemplate.id),
)


class CreateWorkflowTemplate(Input):
    """`template_json` is JSON text: a list of stages. Each has a name, a type (open, started, completed, cancelled), a
    position from 1, and perhaps a color in hexadecimal. Names and positions are unique; exactly one stage is open, and
    at least one is completed.
    """

    name: TemplateName
    template_json: Stages
    description: Description | None = None
    icon: Text | None = None
    color: Text | None = None


class UpdateWorkflowTemplate(Patch, ById):
    """An empty text clears the description, the icon and the color. Null counts as absent."""

    name: TemplateName
    template_json: Stages
    description: Description
    icon: Text
    color: Annotated[Text, HexColor]


@query("workflow_templates.list", Action.READ)
def list_workflow_templates(scope: QueryScope, data: NoInput) -> Rows[WorkflowTemplate]:
    """List workflow templates.

    Built-in templates first, then oldest first. Includes mission templates, which have no stages.
    """
    return scope.select(WorkflowTemplate).order_by(*BY_AGE)


@query("workflow_templates.get", Action.READ, subject=TEMPLATE)
def get_workflow_template(scope: QueryScope, template: Row[WorkflowTemplate], data: ById) -> Row[WorkflowTemplate]:
    """Get a workflow template."""
    return template


@command(
    "workflow_templates.create",
    Action.CREATE,
    audit="workflow_template.created",
    emits=WorkflowTemplateCreated,
    errors=(Code.CONFLICT,),
)
async def create_workflow_template(ctx: Context, data: CreateWorkflowTemplate) -> WorkflowTemplate:
    """Create a workflow template.

    The name is unique in the workspace, among templates of both kinds.
    """
    template = WorkflowTemplate(**data.model_dump())
    ctx.emit(WorkflowTemplateCreated(id=template.id))
    return await ctx.insert(template, conflict=TAKEN)


@command(
    "workflow_templates.update",
    Action.CREATE,
    subject=TEMPLATE,
    audit="workflow_template.updated",
    emits=WorkflowTemplateUpdated,
    errors=(Code.CONFLICT,),
    versioned=WorkflowTemplate,
)
async def update_workflow_template(
    ctx: Context, template: WorkflowTemplate, data: UpdateWorkflowTemplate
) -> WorkflowTemplate:
    """Update a workflow template.

    Built-in templates can be updated. After a rename, the original reappears under its own name.
    """
    changes = {name: value if value or name == "name" else None for name, value in data.something().items()}
    ctx.emit(WorkflowTemplateUpdated(id=template.id))
    edited = await ctx.edit(template, conflict=TAKEN, **changes)
    if template.is_builtin and edited.name != template.name:
        await restore_built_in_templates(ctx)
    return edited


@command(
    "workflow_templates.delete",
    Action.CREATE,
    subject=TEMPLATE,
    audit="workflow_template.deleted",
    emits=WorkflowTemplateDeleted,
    versioned=WorkflowTemplate,
)
async def delete_workflow_template(ctx: Context, template: WorkflowTemplate, data: ById) -> Deleted:
    """Delete a workflow template.

    A built-in template reappears at once in its original form, with a new id.
    """
    await ctx.delete(WorkflowTemplate, template.id)
    if template.is_builtin:
        await restore_built_in_templates(ctx)
    ctx.emit(WorkflowTemplateDeleted(id=template.id))
    return Deleted(id=template.id)
