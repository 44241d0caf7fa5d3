"""The rules that schedules and webhooks of routines share: the routine that they name, its inputs, and the rights of
the member in whose name they start runs.
"""

import asyncio
from collections.abc import Set
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field
from sqlmodel import col

from models.bounds import ERROR, LABEL, PAYLOAD, cut
from models.people.workspaces import Membership
from models.work.saved_routines import LONGEST_SLUG, RoutineVersion, SavedRoutine
from resolvers.kernel import ENDS, Code, Context, Emptied, Id, Int, Refusal, invalid, within
from resolvers.kernel.declarations.operation import Operation
from resolvers.work.routine_runs.needs import check_needs
from resolvers.work.routine_runs.starting import check_active, prepared_run, version_of

if TYPE_CHECKING:
    from models.work.routines.preparing import PreparedRun

NO_TARGET: Final = "target_pipeline_slug or target_pipeline_id is required"
UNKNOWN: Final = "names no routine of the workspace"
NOT_MEMBER: Final = "The member in whose name it runs has left the workspace"
NO_RIGHT: Final = "The member in whose name it runs may no longer run routines"

RoutineSlug = Annotated[str, Field(strict=True, max_length=LONGEST_SLUG)]
TriggerName = Annotated[str, Field(strict=True, max_length=LABEL)]
MOST_INPUTS: Final = 16 << 10
"""Bytes of JSON: a list has the inputs of up to 500 triggers."""
TriggerInputs = Annotated[dict[str, Any], within(MOST_INPUTS), ENDS]
PinnedVersion = Annotated[Int, Field(ge=1)]
OptionalSlug = Emptied[RoutineSlug]
OptionalId = Emptied[Id]


@dataclass(frozen=True, slots=True)
class ReadyRun:
    """A run whose definition, inputs and needs were checked outside a transaction."""

    routine: SavedRoutine
    version: RoutineVersion
    prepared: "PreparedRun"
    pinned: bool


async def routine_named(ctx: Context, id: str | None, slug: str | None, *, key: str) -> SavedRoutine:
    """The routine of a body, in which the id counts more than the slug. BAD_REQUEST if there is none."""
    if id is None and slug is None:
        raise Refusal(Code.BAD_REQUEST, NO_TARGET, fields={f"{key}_slug": "is required"})
    named = col(SavedRoutine.slug) == slug if id is None else col(SavedRoutine.id) == id
    routine = await ctx.select(SavedRoutine, named).first()
    if routine is None:
        raise invalid(f"{key}_slug" if id is None else f"{key}_id", UNKNOWN)
    return routine


async def definition_of(ctx: Context, routine: SavedRoutine, number: int | None) -> RoutineVersion | None:
    """The version that a trigger would run; None if the pinned one does not exist."""
    at = col(RoutineVersion.number) == (routine.head_version if number is None else number)
    return await ctx.select(RoutineVersion, col(RoutineVersion.routine_id) == routine.id, at).first()


async def check_inputs(version: RoutineVersion | None, inputs: dict[str, Any], *, field: str) -> None:
    """BAD_REQUEST for inputs that the definition does not take. It is read beside the event loop."""
    if version is None:
        return
    await asyncio.to_thread(import_module, "models.work.routines.inputs")
    from models.work.routines.faults import RefusedRoutine
    from models.work.routines.inputs import RefusedInputs, merge_inputs
    from models.work.routines.reading import read_routine

    try:
        await asyncio.to_thread(lambda: merge_inputs(read_routine(version.source).routine, inputs))
    except RefusedInputs as refusal:
        fault = refusal.faults[0]
        raise invalid(field, cut(f"{fault.pointer.removeprefix('/')}: {fault.text}", ERROR)) from None
    except RefusedRoutine as refusal:
        raise invalid(field, cut(str(refusal), ERROR)) from None


async def ready_run(
    ctx: Context,
    routine_id: str,
    number: int | None,
    inputs: dict[str, Any],
    *,
    most: int = PAYLOAD,
    untyped: Set[str] = frozenset(),
) -> ReadyRun | None:
    """All that a start checks before its transaction; None for a deleted routine. Raises the Refusal of any start."""
    routine = await ctx.select(SavedRoutine, col(SavedRoutine.id) == routine_id).first()
    if routine is None:
        return None
    check_active(routine)
    version = await version_of(ctx, routine, routine.head_version if number is None else number)
    prepared = await prepared_run(ctx, routine, version, inputs, most=most, untyped=untyped)
    await check_needs(ctx, routine.author_crew_id, prepared.integrations, prepared.credentials)
    return ReadyRun(routine, version, prepared, number is not None)


async def check_member(ctx: Context, user_id: str | None, operation: Operation[Any]) -> None:
    """CONFLICT unless the user is a member who may call the operation; the membership is held until the end of the
    transaction.
    """
    own = col(Membership.user_id) == (user_id or "")
    member = await ctx.select(Membership, own, including_hidden=True).shared().first()
    if member is None:
        raise Refusal(Code.CONFLICT, NOT_MEMBER)
    try:
        operation.check_role(member.role, member.capabilities)
    except Refusal:
        raise Refusal(Code.CONFLICT, NO_RIGHT) from None
