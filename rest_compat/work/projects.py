"""REST: projects and their milestones."""

from models.work.projects import Milestone, Project
from resolvers.work import projects
from resolvers.work.projects.stats import ProjectStats
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class ProjectJSON(Wire, of=Project):
    fields = """
        id workspace_id name slug description icon color status priority health lead_type lead_id lead_name start_date
        target_date created_at updated_at issue_count done_count progress
    """
    absent = "lead_name"


class MilestoneJSON(Wire, of=Milestone):
    fields = "id project_id name description target_date status position issue_count done_count created_at updated_at"


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
