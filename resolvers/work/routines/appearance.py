"""The name, the look and the tags of a routine: its definition and its versions stay."""

from typing import Annotated, Any, Final

from pydantic import Field

from models import bounds
from models.work.saved_routines import LONGEST_SLUG, MOST_TAGS, SavedRoutine
from resolvers.kernel import (
    TRIMMED,
    Action,
    Code,
    Context,
    Description,
    Emptied,
    Output,
    Patch,
    Refusal,
    Text,
    at_most,
    command,
)
from resolvers.work.routines.catalogue import Tag, normalised
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug

FULL: Final = f"A routine has at most {MOST_TAGS} tags"
MOST_SENT: Final = 100
Look = Annotated[str, TRIMMED, Field(strict=True, max_length=LONGEST_SLUG)]


class UpdateRoutine(Patch, ByRoutineSlug):
    """An empty description clears it."""

    name: Annotated[str, Field(strict=True, max_length=bounds.LABEL)]
    description: Emptied[Description]


class SetRoutineAppearance(Patch, ByRoutineSlug):
    """An empty text clears the icon or the color; an absent one stays."""

    icon: Emptied[Look]
    color: Emptied[Look]


class AddRoutineTags(ByRoutineSlug):
    """Tags are stored in lower case, without blanks around them; blank ones are left out."""

    tags: Annotated[list[Tag], Field(min_length=1), at_most(MOST_SENT)]


class RemoveRoutineTag(ByRoutineSlug):
    """A tag that the routine does not have is no error."""

    tag: Text


class RoutineTags(Output):
    """The tags of a routine, sorted; null if there are none."""

    tags: list[str] | None


class RoutineTagRemoved(Output):
    """The routine does not have the tag."""

    ok: bool = True


@command("routines.update", Action.CREATE, subject=ROUTINE, audit="routine.updated", versioned=SavedRoutine)
async def update_routine(ctx: Context, routine: SavedRoutine, data: UpdateRoutine) -> SavedRoutine:
    """Update the name or the description of a routine.

    Its slug, its definition and its versions stay.
    """
    return await ctx.edit(routine, **data.something())


@command("routines.appearance", Action.CREATE, subject=ROUTINE, audit="routine.updated", versioned=SavedRoutine)
async def set_routine_appearance(ctx: Context, routine: SavedRoutine, data: SetRoutineAppearance) -> SavedRoutine:
    """Set the icon and the color of a routine.

    Its definition and its versions stay.
    """
    changes: dict[str, Any] = {name: value or None for name, value in data.sent().items()}
    if not changes:
        return await ctx.unchanged(SavedRoutine, routine.id)
    return await ctx.edit(routine, **changes)


@command("routines.tags_add", Action.CREATE, subject=ROUTINE, locked=True, audit="routine.updated")
async def add_routine_tags(ctx: Context, routine: SavedRoutine, data: AddRoutineTags) -> RoutineTags:
    """Add tags to a routine.

    At most 20 in all: BAD_REQUEST adds none.
    """
    tags = sorted({*routine.tags, *filter(None, data.tags)})
    if len(tags) > MOST_TAGS:
        raise Refusal(Code.BAD_REQUEST, FULL, fields={"tags": f"must be at most {MOST_TAGS} in all"})
    if tags != routine.tags:
        await ctx.update(SavedRoutine, routine.id, tags=tags)
    return RoutineTags(tags=tags or None)


@command("routines.tags_remove", Action.CREATE, subject=ROUTINE, locked=True, audit="routine.updated")
async def remove_routine_tag(ctx: Context, routine: SavedRoutine, data: RemoveRoutineTag) -> RoutineTagRemoved:
    """Remove a tag from a routine."""
    left = [tag for tag in routine.tags if tag != normalised(data.tag)]
    if left != routine.tags:
        await ctx.update(SavedRoutine, routine.id, tags=left)
    return RoutineTagRemoved()
