"""The progress of a project: its issues by state, assignee and label, and the crews that work on them."""

from typing import Any

from sqlalchemy import Text, and_, cast, func, literal, select

from models.actors import ActorType
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.issues import IssueLabel
from models.work.labels import Label
from models.work.missions import Mission, MissionStatus, MissionType
from models.work.projects import Project
from resolvers.kernel import Action, ById, Context, Output, procedure
from resolvers.work.projects.projects import PROJECT

DONE = [MissionStatus.DONE, MissionStatus.COMPLETED, MissionStatus.REVIEW]
MOST_ROWS = 1000  # assignees, labels or crews, the busiest first


class AssigneeStat(Output):
    """Issues of a project by agent. `agent_id` is empty and the name is Unassigned for issues that are not assigned to
    an agent.
    """

    agent_id: str
    agent_name: str
    total: int
    completed: int


class LabelStat(Output):
    """Issues of a project by label."""

    label_name: str
    color: str
    count: int


class ProjectStats(Output):
    """Statistics of the issues of a project. DONE, COMPLETED and REVIEW count as completed. `crews` are slugs; each
    list has at most a thousand entries.
    """

    total_issues: int
    completed_issues: int
    by_status: dict[str, int]
    by_assignee: list[AssigneeStat]
    by_label: list[LabelStat]
    crews: list[str]


@procedure("projects.stats", Action.READ, subject=PROJECT)
async def project_stats(ctx: Context, project: Project, data: ById) -> ProjectStats:
    """Get statistics of a project.

    Counts the issues of the project.
    """
    missions = ctx.table(Mission)
    issues = (
        select(missions)
        .where(missions.c.project_id == project.id, missions.c.mission_type == MissionType.issue)
        .cte("issues")
    )
    statuses = {
        row[0]: row[1]
        for row in await ctx.report(
            select(issues.c.status, func.count()).group_by(issues.c.status).order_by(issues.c.status)
        )
    }
    return ProjectStats(
        total_issues=sum(statuses.values()),
        completed_issues=sum(statuses.get(status, 0) for status in DONE),
        by_status=statuses,
        by_assignee=await _assignees(ctx, issues),
        by_label=await _labels(ctx, issues),
        crews=await _crews(ctx, issues),
    )


async def _assignees(ctx: Context, issues: Any) -> list[AssigneeStat]:
    agents = ctx.table(Agent, including_deleted=True)
    is_agent = and_(
        agents.c.id == issues.c.assignee_id, func.coalesce(issues.c.assignee_type, "").in_(["", ActorType.agent.value])
    )
    id, name = (
        func.coalesce(agents.c.id, cast(literal(""), Text)),
        func.coalesce(agents.c.name, cast(literal("Unassigned"), Text)),
    )
    completed = func.count().filter(issues.c.status.in_(DONE))
    grouped = (
        select(id, name, func.count(), completed).select_from(issues.outerjoin(agents, is_agent)).group_by(id, name)
    )
    rows = await ctx.report(grouped.order_by(func.count().desc(), name, id).limit(MOST_ROWS))
    return [AssigneeStat(agent_id=row[0], agent_name=row[1], total=row[2], completed=row[3]) for row in rows]


async def _labels(ctx: Context, issues: Any) -> list[LabelStat]:
    ties, labels = ctx.table(IssueLabel), ctx.table(Label)
    joined = issues.join(ties, ties.c.mission_id == issues.c.id).join(labels, labels.c.id == ties.c.label_id)
    grouped = (
        select(labels.c.name, labels.c.color, func.count())
        .select_from(joined)
        .group_by(labels.c.id, labels.c.name, labels.c.color)
    )
    rows = await ctx.report(grouped.order_by(func.count().desc(), labels.c.name).limit(MOST_ROWS))
    return [LabelStat(label_name=row[0], color=row[1], count=row[2]) for row in rows]


async def _crews(ctx: Context, issues: Any) -> list[str]:
    crews = ctx.table(Crew)
    named = select(crews.c.slug).where(crews.c.id.in_(select(issues.c.crew_id))).order_by(crews.c.slug).limit(MOST_ROWS)
    return [row[0] for row in await ctx.report(named)]
