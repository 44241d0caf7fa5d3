"""GraphQL: projects, their milestones and statistics."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.work.projects import Milestone, MilestoneStatus, Project, ProjectHealth, ProjectPriority, ProjectStatus
from resolvers.work import projects as project_ops
from schema.bridge.fields import Edge, Edges, mutation, node, output, query
from schema.bridge.results import DeletedType


@node(Project)
class ProjectType:
    """A goal shared by issues of several crews."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    name: str
    slug: str = strawberry.field(description="Derived from the name; unique in the workspace.")
    description: str | None
    icon: str | None
    color: str
    status: ProjectStatus
    priority: ProjectPriority
    health: ProjectHealth
    lead_type: str | None = strawberry.field(description="user, agent, or an arbitrary text.")
    lead_id: str | None
    lead: Edge | None = strawberry.field(description="Null unless it is a member of the workspace or an agent.")
    lead_name: str | None = strawberry.field(description="Null unless the lead is a user or an agent.")
    start_date: str | None = strawberry.field(description="A text as sent; by convention YYYY-MM-DD.")
    target_date: str | None
    created_at: datetime
    updated_at: datetime
    version: int
    issue_count: int
    done_count: int = strawberry.field(description="Issues that are DONE, COMPLETED or in REVIEW.")
    progress: int = strawberry.field(description="Percentage of issues that are done, rounded down.")
    milestones: Edges
    issues: Edges
    recurring_issues: Edges


@node(Milestone)
class MilestoneType:
    """A stage of a project."""

    id: strawberry.ID
    project_id: strawberry.ID
    project: Edge
    name: str
    description: str | None
    target_date: str | None
    status: MilestoneStatus
    position: int
    issue_count: int
    done_count: int = strawberry.field(description="Issues that are DONE or COMPLETED.")
    created_at: datetime
    updated_at: datetime
    version: int
    issues: Edges


@output(project_ops.AssigneeStat, name="ProjectAssigneeStat")
class AssigneeStatType:
    """Issues of a project by agent; issues that are not assigned to an agent have an empty id."""

    agent_id: str
    agent_name: str
    total: int
    completed: int


@output(project_ops.LabelStat, name="ProjectLabelStat")
class LabelStatType:
    """Issues of a project by label."""

    label_name: str
    color: str
    count: int


@output(project_ops.ProjectStats)
class ProjectStatsType:
    """Statistics of the issues of a project. DONE, COMPLETED and REVIEW count as completed."""

    total_issues: int
    completed_issues: int
    by_status: JSON = strawberry.field(description="Number of issues by status, for statuses that occur.")
    by_assignee: list[AssigneeStatType]
    by_label: list[LabelStatType]
    crews: list[str] = strawberry.field(description="Slugs of the crews that the issues belong to.")


@strawberry.type
class ProjectQuery:
    projects = query(project_ops.list_projects, ProjectType)
    project = query(project_ops.get_project, ProjectType)
    project_stats = query(project_ops.project_stats, ProjectStatsType)
    milestones = query(project_ops.list_milestones, MilestoneType)


@strawberry.type
class ProjectMutation:
    create_project = mutation(project_ops.create_project, ProjectType)
    update_project = mutation(project_ops.update_project, ProjectType)
    delete_project = mutation(project_ops.delete_project, DeletedType)
    create_milestone = mutation(project_ops.create_milestone, MilestoneType)
    update_milestone = mutation(project_ops.update_milestone, MilestoneType)
    delete_milestone = mutation(project_ops.delete_milestone, DeletedType)
