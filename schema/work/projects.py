"""GraphQL: projects, their milestones and statistics."""

import strawberry

from models.work.projects import Milestone, Project
from resolvers.work import projects as project_ops
from schema.bridge.fields import Edge, mutation, node, output, query

output(project_ops.AssigneeStat, name="ProjectAssigneeStat", fields={"agent_id": str})
output(project_ops.LabelStat, name="ProjectLabelStat")
output(
    project_ops.ProjectStats,
    fields={
        "by_status": "Number of issues by status, for statuses that occur.",
        "crews": "Slugs of the crews that the issues belong to.",
    },
)


@node(Project)
class ProjectType:
    """A goal shared by issues of several crews."""

    fields = """
        id workspace_id name slug description icon color status priority health lead_type lead_id lead lead_name
        start_date target_date created_at updated_at version issue_count done_count progress milestones issues
        recurring_issues
    """
    slug = strawberry.field(description="Derived from the name; unique in the workspace.")
    lead_type = strawberry.field(description="user, agent, or an arbitrary text.")
    lead_id: str | None
    lead = strawberry.field(description="Null unless it is a member of the workspace or an agent.")
    lead_name = strawberry.field(description="Null unless the lead is a user or an agent.")
    start_date = strawberry.field(description="A text as sent; by convention YYYY-MM-DD.")
    done_count = strawberry.field(description="Issues that are DONE, COMPLETED or in REVIEW.")
    progress = strawberry.field(description="Percentage of issues that are done, rounded down.")


@node(Milestone)
class MilestoneType:
    """A stage of a project."""

    fields = """
        id project_id project name description target_date status position issue_count done_count created_at updated_at
        version issues
    """
    project: Edge
    done_count = strawberry.field(description="Issues that are DONE or COMPLETED.")


@strawberry.type
class ProjectQuery:
    projects = query(project_ops.list_projects, ProjectType)
    find_projects = query(project_ops.find_projects, ProjectType)
    project = query(project_ops.get_project, ProjectType)
    project_by_slug = query(project_ops.get_project_by_slug, ProjectType)
    project_stats = query(project_ops.project_stats)
    milestones = query(project_ops.list_milestones, MilestoneType)


@strawberry.type
class ProjectMutation:
    create_project = mutation(project_ops.create_project, ProjectType)
    update_project = mutation(project_ops.update_project, ProjectType)
    delete_project = mutation(project_ops.delete_project)
    create_milestone = mutation(project_ops.create_milestone, MilestoneType)
    update_milestone = mutation(project_ops.update_milestone, MilestoneType)
    delete_milestone = mutation(project_ops.delete_milestone)
