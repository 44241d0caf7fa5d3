"""REST: projects and their milestones."""

from typing import Annotated

from models.work.projects import Milestone, Project
from resolvers.work import projects
from resolvers.work.projects.stats import ProjectStats
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, Wire


class ProjectJSON(Wire, of=Project):
    id: str
    workspace_id: str
    name: str
    slug: str
    description: str | None
    icon: str | None
    color: str
    status: str
    priority: str
    health: str
    lead_type: str | None
    lead_id: str | None
    lead_name: Annotated[str | None, Absent()]
    start_date: str | None
    target_date: str | None
    created_at: str
    updated_at: str
    issue_count: int
    done_count: int
    progress: int


class MilestoneJSON(Wire, of=Milestone):
    id: str
    project_id: str
    name: str
    description: str | None
    target_date: str | None
    status: str
    position: int
    issue_count: int
    done_count: int
    created_at: str
    updated_at: str


ROUTES = (
    GET("/api/v1/projects", projects.list_projects, list[ProjectJSON]),
    POST("/api/v1/projects", projects.create_project, ProjectJSON, status=201),
    GET("/api/v1/projects/{projectId}", projects.get_project, ProjectJSON),
    PATCH("/api/v1/projects/{projectId}", projects.update_project, ProjectJSON),
    DELETE("/api/v1/projects/{projectId}", projects.delete_project, status=204),
    GET("/api/v1/projects/{projectId}/stats", projects.project_stats, ProjectStats),
    GET("/api/v1/projects/{projectId}/milestones", projects.list_milestones, list[MilestoneJSON]),
    POST("/api/v1/projects/{projectId}/milestones", projects.create_milestone, MilestoneJSON, status=201),
    PATCH("/api/v1/milestones/{milestoneId}", projects.update_milestone, MilestoneJSON),
    DELETE("/api/v1/milestones/{milestoneId}", projects.delete_milestone, status=204),
)
