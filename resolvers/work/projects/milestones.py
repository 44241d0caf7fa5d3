"""Milestones of a project."""

from typing import Annotated

from pydantic import Field
from sqlalchemy import func, select

from models import bounds
from models.work.projects import Milestone, MilestoneStatus, Project
from resolvers.kernel import (
    Action,
    ById,
    Context,
    Deleted,
    Description,
    Id,
    Input,
    Int,
    Patch,
    QueryScope,
    Row,
    Rows,
    Subject,
    command,
    query,
)
from resolvers.kernel.ground.inputs import INT32
from resolvers.work.projects.events import MilestoneCreated, MilestoneDeleted, MilestoneUpdated
from resolvers.work.projects.graph import IN_ORDER
from resolvers.work.projects.projects import Date

MilestoneName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
PROJECT = Subject(Project, "project_id")
MILESTONE = Subject(Milestone, "id")


class OfProject(Input):
    project_id: Id


class CreateMilestone(OfProject):
    """`target_date`: RFC 3339, a date."""

    name: MilestoneName
    description: Description | None = None
    target_date: Date | None = None
    status: MilestoneStatus = MilestoneStatus.active


class UpdateMilestone(Patch, ById):
    """Null clears the description and the date. `position` may be negative; several milestones can share a position."""

    name: Annotated[str, Field(strict=True, max_length=bounds.LABEL)]
    description: Description | None
    target_date: Date | None
    status: MilestoneStatus
    position: Int


@query("milestones.list", Action.READ, subject=PROJECT)
def list_milestones(scope: QueryScope, project: Row[Project], data: OfProject) -> Rows[Milestone]:
    """List milestones of a project.

    Sorted by position; ties by creation time.
    """
    return scope.children(project, Milestone, "project_id").order_by(*IN_ORDER)


@command(
    "milestones.create", Action.CREATE, audit="milestone.created", subject=PROJECT, locked=True, emits=MilestoneCreated
)
async def create_milestone(ctx: Context, project: Project, data: CreateMilestone) -> Milestone:
    """Create a milestone.

    It is placed after the existing milestones of the project.
    """
    own = ctx.table(Milestone)
    last = await ctx.report(select(func.coalesce(func.max(own.c.position), 0)).where(own.c.project_id == project.id))
    milestone = Milestone(**data.model_dump(), position=min(last[0][0] + 1, INT32))
    ctx.emit(MilestoneCreated(id=milestone.id, project_id=project.id))
    return await ctx.insert(milestone)


@command(
    "milestones.update",
    Action.CREATE,
    audit="milestone.updated",
    subject=MILESTONE,
    emits=MilestoneUpdated,
    versioned=Milestone,
)
async def update_milestone(ctx: Context, milestone: Milestone, data: UpdateMilestone) -> Milestone:
    """Update a milestone.

    Other milestones keep their positions.
    """
    ctx.emit(MilestoneUpdated(id=milestone.id, project_id=milestone.project_id))
    return await ctx.edit(milestone, **data.something())


@command(
    "milestones.delete",
    Action.MANAGE,
    audit="milestone.deleted",
    subject=MILESTONE,
    emits=MilestoneDeleted,
    versioned=Milestone,
)
async def delete_milestone(ctx: Context, milestone: Milestone, data: ById) -> Deleted:
    """Delete a milestone.

    Its issues are kept, without a milestone.
    """
    await ctx.delete(Milestone, milestone.id)
    ctx.emit(MilestoneDeleted(id=milestone.id, project_id=milestone.project_id))
    return Deleted(id=milestone.id)
