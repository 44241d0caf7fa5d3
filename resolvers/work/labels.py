"""Labels of a workspace, for its issues."""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.work.labels import Label
from resolvers.kernel import (
    EVERYONE,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Domain,
    Input,
    NoInput,
    Patch,
    QueryScope,
    Rows,
    Subject,
    command,
    graph,
    query,
)

DOMAIN = Domain("labels")

LABEL = Subject(Label, "id")
TAKEN = "A label with this name already exists"
LabelName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
Color = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)]
Group = Annotated[str, Field(strict=True, max_length=bounds.NAME)]

graph(Label, gate=Action.READ, scope="labels:read", visible=EVERYONE)


class CreateLabel(Input):
    """`color`: a color such as `#2f81f7`. `label_group`: the heading under which clients list the label."""

    name: LabelName
    color: Color
    label_group: Group | None = None


class UpdateLabel(Patch, ById):
    """Null clears `label_group`."""

    name: LabelName
    color: Color
    label_group: Group | None


@query("labels.list", Action.READ)
def list_labels(scope: QueryScope, data: NoInput) -> Rows[Label]:
    """List labels.

    Sorted by name.
    """
    return scope.select(Label).order_by(col(Label.name))


@command("labels.create", Action.CREATE, audit="label.created", errors=(Code.CONFLICT,))
async def create_label(ctx: Context, data: CreateLabel) -> Label:
    """Create a label.

    The name is unique in the workspace, case-sensitive.
    """
    return await ctx.insert(Label(**data.model_dump()), conflict=TAKEN)


@command("labels.update", Action.MANAGE, audit="label.updated", errors=(Code.NOT_FOUND, Code.CONFLICT), versioned=Label)
async def update_label(ctx: Context, data: UpdateLabel) -> Label:
    """Update a label.

    Omitted fields stay unchanged.
    """
    changes = data.something()  # said of an unknown label, too (contract: labels.update)
    label: Label = await ctx.find(LABEL)
    return await ctx.edit(label, conflict=TAKEN, **changes)


@command("labels.delete", Action.MANAGE, audit="label.deleted", subject=LABEL, versioned=Label)
async def delete_label(ctx: Context, label: Label, data: ById) -> Deleted:
    """Delete a label.

    Also removes it from issues.
    """
    await ctx.delete(Label, label.id)
    return Deleted(id=label.id)
