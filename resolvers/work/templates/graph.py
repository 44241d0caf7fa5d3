"""The access to templates, and the common parts of both kinds."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import JSON, cast
from sqlmodel import col

from models import bounds
from models.people.workspaces import Workspace
from models.work.templates import WorkflowTemplate
from resolvers.kernel import EVERYONE, Action, Subject, derived, extend, graph, many, viewer_can

TAKEN = "A template with this name already exists in the workspace"
TEMPLATE = Subject(WorkflowTemplate, "id", called="Template")
BY_NAME = (col(WorkflowTemplate.is_builtin).desc(), col(WorkflowTemplate.name), col(WorkflowTemplate.id))


def _not_blank(name: str) -> str:
    if not name.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return name


TemplateName = Annotated[str, Field(strict=True, max_length=bounds.LABEL), AfterValidator(_not_blank)]


def _definition(template: Any, scope: Any) -> Any:
    return cast(template.template_json, JSON())


graph(
    WorkflowTemplate,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    definition=derived(dict | None, _definition),
    viewer_can=viewer_can(WorkflowTemplate),
)
extend(Workspace, workflow_templates=many(WorkflowTemplate, "workspace_id", order_by=BY_NAME))
