"""REST: templates of missions and of issue stages."""

from typing import Annotated, Any

from models.work.templates import WorkflowTemplate
from resolvers.work import templates
from rest_compat.http.table import DELETE, GET, PATCH, POST, From, Wire


class MissionTemplateJSON(Wire, of=WorkflowTemplate):
    fields = "id workspace_id name description template_json icon color is_builtin created_at updated_at"
    template_json: Annotated[Any, From("definition")]


class MissionTemplateIdJSON(Wire, of=WorkflowTemplate):
    id: str


class WorkflowTemplateJSON(Wire, of=WorkflowTemplate):
    fields = "id name description template_json icon color is_builtin created_at updated_at"


ROUTES = (
    GET("/api/v1/templates", templates.list_mission_templates, list[MissionTemplateJSON]),
    POST("/api/v1/templates", templates.create_mission_template, MissionTemplateIdJSON, status=201),
    GET("/api/v1/templates/{templateId}", templates.get_mission_template, MissionTemplateJSON),
    PATCH("/api/v1/templates/{templateId}", templates.update_mission_template, MissionTemplateIdJSON),
    DELETE("/api/v1/templates/{templateId}", templates.delete_mission_template, status=204),
    GET("/api/v1/workflow-templates", templates.list_workflow_templates, list[WorkflowTemplateJSON]),
    POST("/api/v1/workflow-templates", templates.create_workflow_template, WorkflowTemplateJSON, status=201),
    GET("/api/v1/workflow-templates/{id}", templates.get_workflow_template, WorkflowTemplateJSON),
    PATCH("/api/v1/workflow-templates/{id}", templates.update_workflow_template, WorkflowTemplateJSON),
    DELETE("/api/v1/workflow-templates/{id}", templates.delete_workflow_template, status=204),
)
