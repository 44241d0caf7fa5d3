"""Versions of a routine: list, get, compare, and return to one."""

import asyncio
from typing import Annotated, Any, Final

from pydantic import Field
from sqlmodel import col

from models.work.saved_routines import RoutineStatus, RoutineVersion, SavedRoutine
from resolvers.kernel import (
    Action,
    Code,
    Context,
    Int,
    Output,
    Page,
    QueryScope,
    Row,
    command,
    invalid,
    procedure,
    query,
)
from resolvers.work.routines.definitions import read_definition
from resolvers.work.routines.events import CatalogueChange, RoutinesChanged
from resolvers.work.routines.graph import NEWEST_VERSION, ROUTINE, ByRoutineSlug, RoutineVersions
from resolvers.work.routines.needs import offered_to

MISSING: Final = "Version not found"
HIGHEST: Final = 9999
Number = Annotated[int, Field(ge=0, le=HIGHEST)]


class ListVersions(RoutineVersions, ByRoutineSlug):
    """Pagination of the versions of a routine."""


class VersionOfRoutine(ByRoutineSlug):
    """A version by its number."""

    version: Number


class CompareVersions(ByRoutineSlug):
    """Two versions by their numbers."""

    from_version: Number
    to_version: Number


class RollBackRoutine(ByRoutineSlug):
    """`target_version` is another name of `version`."""

    version: Annotated[Int, Field(ge=1)] | None = None
    target_version: Annotated[Int, Field(ge=1)] | None = None


class StepDifference(Output):
    """`change` is added, removed, changed or moved; `keys` are the keys of a changed step that differ."""

    id: str
    change: str
    keys: list[str]


class RoutineDiff(Output):
    """The differences between two versions: by step, and as a unified diff. `keys`: the other keys that differ."""

    slug: str
    from_version: int
    to_version: int
    from_hash: str
    to_hash: str
    identical: bool
    unified_diff: str
    keys: list[str]
    steps: list[StepDifference]


@query("routines.versions", Action.READ, subject=ROUTINE, tickets=False)
def list_routine_versions(scope: QueryScope, routine: Row[SavedRoutine], data: ListVersions) -> Page[RoutineVersion]:
    """List versions of a routine.

    Newest first.
    """
    return scope.children(routine, RoutineVersion, "routine_id").order_by(*NEWEST_VERSION).page(data)


@query("routines.version", Action.READ, subject=ROUTINE, tickets=False)
def get_routine_version(scope: QueryScope, routine: Row[SavedRoutine], data: VersionOfRoutine) -> Row[RoutineVersion]:
    """Get a version of a routine."""
    same = col(RoutineVersion.number) == data.version
    return scope.children(routine, RoutineVersion, "routine_id").where(same).one(MISSING)


async def _numbered(ctx: Context, routine: SavedRoutine, number: int) -> RoutineVersion:
    same = (col(RoutineVersion.routine_id) == routine.id, col(RoutineVersion.number) == number)
    return await ctx.select(RoutineVersion, *same).one(MISSING)


@procedure("routines.diff", Action.READ, subject=ROUTINE, late=True)
async def compare_routine_versions(ctx: Context, routine: SavedRoutine, data: CompareVersions) -> RoutineDiff:
    """Compare two versions of a routine.

    Returns the changes by step, and a unified diff of the definitions as JSON with sorted keys.
    """
    old = await _numbered(ctx, routine, data.from_version)
    new = await _numbered(ctx, routine, data.to_version)
    keys, steps, text = await asyncio.to_thread(_compared, old, new)
    return RoutineDiff(
        slug=routine.slug,
        from_version=old.number,
        to_version=new.number,
        from_hash=old.definition_hash,
        to_hash=new.definition_hash,
        identical=old.definition_hash == new.definition_hash,
        unified_diff=text,
        keys=keys,
        steps=steps,
    )


def _compared(old: RoutineVersion, new: RoutineVersion) -> tuple[list[str], list[StepDifference], str]:
    from models.work.routines.canonical import compare
    from models.work.routines.unified import unified

    change = compare(old.definition, new.definition)
    steps = [StepDifference(id=each.id, change=each.kind, keys=[*each.keys]) for each in change.steps]
    return [*change.keys], steps, unified(old.definition, new.definition, f"v{old.number}", f"v{new.number}")


async def head_at(ctx: Context, routine: SavedRoutine, version: RoutineVersion) -> dict[str, Any]:
    """The columns of the routine whose head is this version."""
    definition = await read_definition(version.source)
    offered = await offered_to(ctx, routine.author_crew_id)
    changes = definition.stored() | {"head_version": version.number, "risk_reasons": definition.risks(offered)}
    return changes


@command(
    "routines.rollback",
    Action.MANAGE,
    subject=ROUTINE,
    locked=True,
    audit="routine.rolled_back",
    emits=RoutinesChanged,
    errors=(Code.UNPROCESSABLE,),
    versioned=SavedRoutine,
)
async def roll_back_routine(ctx: Context, routine: SavedRoutine, data: RollBackRoutine) -> SavedRoutine:
    """Restore a version of a routine.

    It becomes the head; no version is added, and the status stays. UNPROCESSABLE if its definition is not valid any
    more.
    """
    number = data.version if data.version is not None else data.target_version
    if number is None:
        raise invalid("version", "is required")
    version = await _numbered(ctx, routine, number)
    changes = await head_at(ctx, routine, version)
    changes |= {"approved_version": number} if routine.status is RoutineStatus.active else {}
    ctx.emit(RoutinesChanged(reason=CatalogueChange.saved))
    return await ctx.edit(routine, **changes)
