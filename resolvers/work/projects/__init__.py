"""Projects and their milestones."""

from resolvers.kernel import Domain
from resolvers.work.projects.milestones import create_milestone, delete_milestone, list_milestones, update_milestone
from resolvers.work.projects.projects import (
    create_project,
    delete_project,
    find_projects,
    get_project,
    get_project_by_slug,
    list_projects,
    update_project,
)
from resolvers.work.projects.stats import AssigneeStat, LabelStat, ProjectStats, project_stats

DOMAIN = Domain("projects")
