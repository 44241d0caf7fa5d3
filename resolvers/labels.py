"""Labels of a workspace, for its issues."""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.labels import Label
from resolvers.kernel import EVERYONE, Action, ById, Code, Context, Deleted, Id, Input, NoInput, QueryScope, Refusal, Rows, command, graph, query

TAKEN = "A label with this name already exists"
LabelName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
Color = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)]
Group = Annotated[str, Field(strict=True, max_length=bounds.NAME)]

graph(Label, gate=Action.READ, scope="labels:read", visible=EVERYONE)


class CreateLabel(Input):
    name: LabelName
    color: Color
    label_group: Group | None = None


class UpdateLabel(Input):
    id: Id
    name: LabelName = ""
    color: Color = ""
    label_group: Group | None = None


@query("labels.list", Action.READ)
def list_labels(scope: QueryScope, data: NoInput) -> Rows[Label]:
    """Labels of the workspace, by name."""
    return scope.select(Label).order_by(col(Label.name))


@command("labels.create", Action.CREATE, errors=(Code.CONFLICT,))
async def create_label(ctx: Context, data: CreateLabel) -> Label:
    """Create a label; its name is unique in the workspace, case-sensitively."""
    return await ctx.insert(Label(**data.model_dump()), conflict=TAKEN)


@command("labels.update", Action.MANAGE, errors=(Code.NOT_FOUND, Code.CONFLICT), versioned=Label)
async def update_label(ctx: Context, data: UpdateLabel) -> Label:
    """Change a label; a field that is not sent stays, and null empties `label_group`."""
    changes = data.changes("id")
    if not changes:
        raise Refusal(Code.BAD_REQUEST, "There is nothing to update")
    return await ctx.update(Label, data.id, conflict=TAKEN, **changes)


@command("labels.delete", Action.MANAGE, errors=(Code.NOT_FOUND,), versioned=Label)
async def delete_label(ctx: Context, data: ById) -> Deleted:
    """Delete a label, and its links to issues."""
    label = await ctx.delete(Label, data.id)
    return Deleted(id=label.id)
