"""Patterns of tasks for missions: any JSON value under a name."""

from typing import Annotated, Any

import orjson

from models import bounds
from models.work.templates import WorkflowTemplate, new_pattern_id
from resolvers.kernel import (
    ENDS,
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
    within,
)
from resolvers.kernel.admission.row_rules import Allowed, Is
from resolvers.work.templates.events import WorkflowTemplateCreated, WorkflowTemplateDeleted, WorkflowTemplateUpdated
from resolvers.work.templates.graph import BY_NAME, TAKEN, TEMPLATE, TemplateName

BUILT_IN = "A built-in template cannot be changed or deleted"
Definition = Annotated[Any, within(bounds.CONFIG), ENDS]


class CreateMissionTemplate(Input):
    """`template_json` is any JSON value, including null; usually an object with name, description and steps."""

    name: TemplateName
    template_json: Definition | None
    description: Description | None = None
    icon: Text | None = None
    color: Text | None = None


class UpdateMissionTemplate(Patch, ById):
    """Null counts as absent."""

    name: TemplateName
    description: Description
    template_json: Definition
    icon: Text
    color: Text


not_built_in = Allowed(Is(WorkflowTemplate.is_builtin, False), BUILT_IN)


def _stored(values: dict[str, Any]) -> dict[str, Any]:
    written = orjson.dumps(values["template_json"]).decode() if "template_json" in values else None
    return values if written is None else values | {"template_json": written}


@query("templates.list", Action.READ)
def list_mission_templates(scope: QueryScope, data: NoInput) -> Rows[WorkflowTemplate]:
    """List mission templates.

    Built-in templates first, then sorted by name. Includes workflow templates.
    """
    return scope.select(WorkflowTemplate).order_by(*BY_NAME)


@query("templates.get", Action.READ, subject=TEMPLATE)
def get_mission_template(scope: QueryScope, template: Row[WorkflowTemplate], data: ById) -> Row[WorkflowTemplate]:
    """Get a mission template."""
    return template


@command(
    "templates.create",
    Action.CREATE,
    audit="workflow_template.created",
    emits=WorkflowTemplateCreated,
    errors=(Code.CONFLICT,),
)
async def create_mission_template(ctx: Context, data: CreateMissionTemplate) -> WorkflowTemplate:
    """Create a mission template.

    The name is unique in the workspace, among templates of both kinds.
    """
    template = WorkflowTemplate(id=new_pattern_id(), **_stored(data.model_dump()))
    ctx.emit(WorkflowTemplateCreated(id=template.id))
    return await ctx.insert(template, conflict=TAKEN)


@command(
    "templates.update",
    Action.CREATE,
    subject=TEMPLATE,
    allow=not_built_in,
    audit="workflow_template.updated",
    emits=WorkflowTemplateUpdated,
    errors=(Code.CONFLICT,),
    versioned=WorkflowTemplate,
)
async def update_mission_template(
    ctx: Context, template: WorkflowTemplate, data: UpdateMissionTemplate
) -> WorkflowTemplate:
    """Update a mission template.

    Built-in templates cannot be updated.
    """
    changes = _stored(data.sent())
    if not changes:
        return await ctx.unchanged(WorkflowTemplate, template.id)
    ctx.emit(WorkflowTemplateUpdated(id=template.id))
    return await ctx.edit(template, conflict=TAKEN, **changes)


@command(
    "templates.delete",
    Action.CREATE,
    subject=TEMPLATE,
    allow=not_built_in,
    audit="workflow_template.deleted",
    emits=WorkflowTemplateDeleted,
    versioned=WorkflowTemplate,
)
async def delete_mission_template(ctx: Context, template: WorkflowTemplate, data: ById) -> Deleted:
    """Delete a mission template.

    Built-in templates cannot be deleted.
    """
    await ctx.delete(WorkflowTemplate, template.id)
    ctx.emit(WorkflowTemplateDeleted(id=template.id))
    return Deleted(id=template.id)
