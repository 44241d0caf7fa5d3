"""Projects: list, create, get, update, delete."""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.work.projects import Project, ProjectHealth, ProjectPriority, ProjectStatus
from resolvers.kernel import (
    GRAPHQL_ONLY,
    MOST_LISTED,
    Action,
    ById,
    Code,
    CommaList,
    Context,
    Deleted,
    Description,
    Filter,
    Id,
    Input,
    Order,
    Otherwise,
    Patch,
    QueryScope,
    Row,
    Rows,
    Subject,
    Text,
    at_most,
    command,
    query,
)
from resolvers.kernel.store.changes import Clash
from resolvers.kernel.writing.actors import check_actor
from resolvers.work.projects.events import ProjectCreated, ProjectDeleted, ProjectUpdated

TAKEN = Clash("A project with this slug already exists", "name")
SHORTEST_SLUG = 2
ProjectName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
Date = Annotated[str, Field(strict=True, max_length=bounds.NAME)]
Statuses = Annotated[list[ProjectStatus], at_most(MOST_LISTED), CommaList(ProjectStatus)]
PROJECT = Subject(Project, "id")


class ProjectSort(StrEnum):
    """The order of projects."""

    name = "name"
    created_at = "created_at"
    updated_at = "updated_at"


ORDERS = {sort: (col(getattr(Project, sort)), col(Project.id)) for sort in ProjectSort}


class ListProjects(Input):
    status: Annotated[Statuses | None, Filter(Project.status)] = None
    sort: Annotated[ProjectSort, Otherwise(ProjectSort.name), Order(ORDERS)] = ProjectSort.name


class CreateProject(Input):
    """`lead_id` is an agent or, if `lead_type` is user, a member of the workspace.

    With any other type it is an arbitrary text.
    """

    name: ProjectName
    description: Description | None = None
    icon: Text | None = None
    color: Text = "blue"
    status: ProjectStatus = ProjectStatus.backlog
    priority: ProjectPriority = ProjectPriority.none
    lead_type: Text | None = None
    lead_id: Id | None = None
    start_date: Date | None = None
    target_date: Date | None = None


class UpdateProject(Patch, ById):
    """Null clears the description, the icon, the lead and the dates. A new name changes the slug."""

    name: ProjectName
    description: Description | None
    icon: Text | None
    color: Text
    status: ProjectStatus
    priority: ProjectPriority
    health: ProjectHealth
    lead_type: Text | None
    lead_id: Id | None
    start_date: Date | None
    target_date: Date | None


def slug_of(name: str, id: str) -> str:
    """Lower case, spaces as hyphens, ASCII letters and digits alone; of a name that leaves too little, a part of the id
    (contract: projects.create).
    """
    letters = re.sub(r"[^a-z0-9-]", "", name.lower().replace(" ", "-"))
    slug = re.sub(r"-+", "-", letters).strip("-")
    return slug if len(slug) >= SHORTEST_SLUG else f"project-{id[-8:]}"


@query("projects.list", Action.READ)
def list_projects(scope: QueryScope, data: ListProjects) -> Rows[Project]:
    """List projects.

    Sorted by name by default; ties by id.
    """
    return scope.select(Project).matching(data)


find_projects = list_projects.paged("projects.find")


@query("projects.get", Action.READ, subject=PROJECT)
def get_project(scope: QueryScope, project: Row[Project], data: ById) -> Row[Project]:
    """Get a project.

    In GraphQL, `id` can be the slug.
    """
    return project


class ProjectBySlug(Input):
    """A slug is unique in the workspace, and case-sensitive."""

    slug: Text


@query("projects.get_by_slug", Action.READ, errors=(Code.NOT_FOUND,), surfaces=GRAPHQL_ONLY, names=get_project)
def get_project_by_slug(scope: QueryScope, data: ProjectBySlug) -> Row[Project]:
    """Get a project by its slug."""
    return scope.select(Project).where(col(Project.slug) == data.slug).one("Project not found")


@command("projects.create", Action.CREATE, audit="project.created", emits=ProjectCreated, errors=(Code.CONFLICT,))
async def create_project(ctx: Context, data: CreateProject) -> Project:
    """Create a project.

    The slug is derived from the name, and unique in the workspace.
    """
    await check_actor(ctx, "lead_id", data.lead_type, data.lead_id)
    project = Project(**data.model_dump())
    project.slug = slug_of(project.name, project.id)
    ctx.emit(ProjectCreated(id=project.id))
    return await ctx.insert(project, conflict=TAKEN)


@command(
    "projects.update",
    Action.CREATE,
    audit="project.updated",
    subject=PROJECT,
    emits=ProjectUpdated,
    errors=(Code.CONFLICT,),
    versioned=Project,
)
async def update_project(ctx: Context, project: Project, data: UpdateProject) -> Project:
    """Update a project."""
    changes = data.something()
    if changes.keys() & {"lead_type", "lead_id"}:
        # both are written, so the check holds even if another call changes one of them at this moment
        changes = {"lead_type": project.lead_type, "lead_id": project.lead_id} | changes
        await check_actor(ctx, "lead_id", changes["lead_type"], changes["lead_id"])
    if "name" in changes:
        changes["slug"] = slug_of(changes["name"], project.id)
    ctx.emit(ProjectUpdated(id=project.id))
    return await ctx.edit(project, conflict=TAKEN, **changes)


@command(
    "projects.delete", Action.MANAGE, audit="project.deleted", subject=PROJECT, emits=ProjectDeleted, versioned=Project
)
async def delete_project(ctx: Context, project: Project, data: ById) -> Deleted:
    """Delete a project.

    Deletes its milestones; its issues are kept, without a project.
    """
    await ctx.delete(Project, project.id)
    ctx.emit(ProjectDeleted(id=project.id))
    return Deleted(id=project.id)
