"""A routine as a bundle: exported from one workspace, imported into another."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
from sqlmodel import col

from models import bounds
from models.staff.crews import Crew
from models.work.saved_routines import RoutineAuthorType, RoutineOrigin, RoutineVersion, SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    ENDS,
    Absent,
    Action,
    Code,
    Context,
    Description,
    Id,
    Input,
    Output,
    Ref,
    Refusal,
    Text,
    command,
    procedure,
    within,
)
from resolvers.work.routines.definitions import DefinitionText, RoutineDefinition, read_definition
from resolvers.work.routines.events import RoutinesChanged
from resolvers.work.routines.graph import NEWEST_VERSION, ROUTINE, ByRoutineSlug
from resolvers.work.routines.saving import SLUG, RoutineName
from resolvers.work.routines.storing import Wanted, drafted, stored

FORMAT: Final = "crewship-pipeline-bundle/v1"
UNKNOWN_FORMAT: Final = f"The format must be {FORMAT}"
NO_SLUG: Final = "pipeline.slug: must be lower-case letters, digits, - and _, at most 64"
LONGEST_HISTORY: Final = 8 << 20
"""Characters of the definitions of a history; older versions are left out."""
MOST_READ: Final = 50
HINT: Final = "The author crew must have the agents that the definition names"
SOURCE: Final = "source_workspace_id"
_SLUG: Final = re.compile(SLUG[1:-1])
Metadata = Annotated[dict[str, Any], within(bounds.NOTES), ENDS]


class ExportRoutine(ByRoutineSlug):
    """`include_history`: 1 or true adds former versions, newest first."""

    include_history: Literal["1", "true"] | bool | None = None


class BundledRoutine(Output):
    """The routine of a bundle."""

    name: str
    description: str
    slug: str
    dsl_version: str
    definition: Any


class BundleMetadata(Output):
    """Where a bundle is from."""

    exported_at: datetime
    source_workspace_id: str
    definition_hash: str
    head_version: int


class BundledVersion(Output):
    """A version in a bundle."""

    version: int
    definition_hash: str
    definition: Any
    change_summary: Annotated[str | None, Absent()]
    parent_version: Annotated[int | None, Absent()]
    created_at: datetime


class RoutineBundle(Output):
    """A routine with its definition, for another workspace."""

    format: str
    pipeline: BundledRoutine
    metadata: BundleMetadata
    history: Annotated[list[BundledVersion] | None, Absent()] = None


class RoutineInBundle(Input):
    """`slug` is the name, if it is absent."""

    name: RoutineName = ""
    definition: DefinitionText = ""
    slug: Text = ""
    description: Description = ""
    dsl_version: Text = ""


class ImportRoutine(Input):
    """`author_crew_id`: the crew whose agents, integrations and credentials the steps use."""

    format: Text
    pipeline: RoutineInBundle
    metadata: Metadata = {}
    author_crew_id: Annotated[Id, Ref(Crew)]


@procedure("routines.export", Action.READ, subject=ROUTINE)
async def export_routine(ctx: Context, routine: SavedRoutine, data: ExportRoutine) -> RoutineBundle:
    """Export a routine as a bundle.

    A history has at most the last 50 versions.
    """
    of_routine = col(RoutineVersion.routine_id) == routine.id
    head = await ctx.select(RoutineVersion, of_routine, col(RoutineVersion.number) == routine.head_version).one()
    history = None
    if data.include_history:
        versions = await ctx.select(RoutineVersion, of_routine).order_by(*NEWEST_VERSION).limit(MOST_READ).all()
        history = [_bundled(version) for version in _shortened(versions)]
    return RoutineBundle(
        format=FORMAT,
        pipeline=BundledRoutine(
            name=routine.name,
            description=routine.description or "",
            slug=routine.slug,
            dsl_version=routine.dsl_version,
            definition=_written(head),
        ),
        metadata=BundleMetadata(
            exported_at=await ctx.now(),
            source_workspace_id=routine.workspace_id,
            definition_hash=head.definition_hash,
            head_version=head.number,
        ),
        history=history,
    )


def _shortened(versions: list[RoutineVersion]) -> list[RoutineVersion]:
    kept, length = [], 0
    for version in versions:
        length += len(version.source)
        if length > LONGEST_HISTORY:
            break
        kept.append(version)
    return kept


def _bundled(version: RoutineVersion) -> BundledVersion:
    return BundledVersion(
        version=version.number,
        definition_hash=version.definition_hash,
        definition=_written(version),
        change_summary=version.change_summary,
        parent_version=version.parent_version,
        created_at=version.created_at,
    )


def _written(version: RoutineVersion) -> Any:
    """JSON as it was sent; YAML as JSON."""
    return orjson.Fragment(version.source) if version.is_json else version.definition


def _wanted(data: ImportRoutine, slug: str, definition: RoutineDefinition) -> Wanted:
    source = data.metadata.get(SOURCE)
    return Wanted(
        slug=slug,
        definition=definition,
        name=data.pipeline.name,
        description=data.pipeline.description or None,
        author_crew_id=data.author_crew_id,
        author_agent_id=None,
        change_summary=None,
        origin=RoutineOrigin.imported,
        author_type=RoutineAuthorType.imported,
        author_id=bounds.cut(f"workspace:{source if isinstance(source, str) else ''}", bounds.ID),
    )


@command(
    "routines.import",
    Action.CREATE,
    audit="routine.imported",
    emits=(RoutinesChanged, InboxItemUpdated),
    errors=(Code.CONFLICT, Code.UNPROCESSABLE),
    late=True,
)
async def import_routine(ctx: Context, data: ImportRoutine) -> SavedRoutine:
    """Import a routine from a bundle.

    A routine with this slug gets a new version. The definition passes the checks and the review of one that is saved,
    without the test.
    """
    if data.format != FORMAT:
        raise Refusal(Code.BAD_REQUEST, UNKNOWN_FORMAT, extra={"format": data.format})
    bundled = data.pipeline
    for name in ("name", "definition"):
        if not getattr(bundled, name):
            raise Refusal(Code.BAD_REQUEST, f"pipeline.{name}: is required", fields={f"pipeline.{name}": "is required"})
    slug = bundled.slug or bundled.name
    if not _SLUG.fullmatch(slug):
        raise Refusal(Code.BAD_REQUEST, NO_SLUG, fields={"pipeline.slug": "is no slug"})
    try:
        definition = await read_definition(bundled.definition)
        await ctx.begin()
        draft = await drafted(ctx, _wanted(data, slug, definition))
    except Refusal as refusal:
        if refusal.code is Code.UNPROCESSABLE:
            raise refusal.with_fields({}, {"hint": HINT}) from None
        raise
    return await stored(ctx, draft)
