"""The state of routines: texts that a routine keeps between its runs, one set for each schedule and one for all other
runs. Steps write them (`state_write`), and administrators repair them.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field
from sqlalchemy import case, func, select
from sqlmodel import col

from models.bounds import PAYLOAD, PROMPT
from models.work.saved_routines import LONGEST_KEY, RoutineStateEntry, SavedRoutine
from resolvers.kernel import Action, Code, Context, Domain, Id, Output, Refusal, command, constant, procedure
from resolvers.rules.redaction import Redactor
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug

DOMAIN = Domain("routine_state", scopes="routines")
LARGEST_SET: Final = PAYLOAD // 8
"""Bytes of keys and values: they fit into a run when they are escaped as JSON, too."""
MOST_KEYS: Final = 1_000
LARGEST_STATE: Final = PAYLOAD
"""Bytes of all sets of a routine. An answer has them all."""
MOST_ENTRIES: Final = 5_000
LARGE_SET: Final = f"the routine would keep more than {LARGEST_SET:,} bytes of state"
LARGE_STATE: Final = f"all states of the routine would have more than {LARGEST_STATE:,} bytes"
MANY_KEYS: Final = f"the state would have more than {MOST_KEYS:,} keys"
MANY_ENTRIES: Final = f"all states of the routine would have more than {MOST_ENTRIES:,} keys"
NO_KEY: Final = "The state has no such key"


def _short(key: str) -> str:
    if len(key.encode(errors="replace")) > LONGEST_KEY:
        raise ValueError(f"must have at most {LONGEST_KEY} bytes")
    return key


StateKey = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_KEY), AfterValidator(_short)]


class GetRoutineState(ByRoutineSlug):
    """`schedule_id`: one set alone; empty for that of runs without a schedule."""

    schedule_id: Id | None = None


class InRoutineState(ByRoutineSlug):
    """`schedule_id` is not looked up; empty means runs without a schedule."""

    schedule_id: Id = ""


class OfStateKey(InRoutineState):
    """A value of a set, by its key of at most 128 bytes."""

    key: StateKey


class SetRoutineState(OfStateKey):
    """A value is text."""

    value: Annotated[str, Field(strict=True, max_length=PROMPT)] = ""


class StateEntry(Output):
    """A value of the state. Texts that look like secrets are redacted."""

    key: str
    value: str
    updated_at: datetime


class StateBucket(Output):
    """The values that runs of one schedule share, by key. `schedule_id` is empty for all other runs."""

    schedule_id: str
    entries: list[StateEntry]


class RoutineState(Output):
    """The values that a routine keeps between its runs, by schedule."""

    slug: str
    buckets: list[StateBucket]


class RoutineStateSet(Output):
    """The value, as later runs read it."""

    slug: str
    schedule_id: str
    key: str
    value: str


class RoutineStateKeyDeleted(Output):
    """The key has no value any more."""

    slug: str
    schedule_id: str
    key: str
    deleted: Literal[True] = True


class RoutineStateCleared(Output):
    """The number of removed keys."""

    slug: str
    schedule_id: str
    removed: int


@procedure("routine_state.get", Action.READ, subject=ROUTINE)
async def get_routine_state(ctx: Context, routine: SavedRoutine, data: GetRoutineState) -> RoutineState:
    """Get the state of a routine.

    Returns the values that it keeps between its runs. Texts that look like secrets are redacted; runs read them as they
    are.
    """
    of_routine = [col(RoutineStateEntry.routine_id) == routine.id]
    if data.schedule_id is not None:
        of_routine.append(col(RoutineStateEntry.schedule_id) == data.schedule_id)
    found = await ctx.select(RoutineStateEntry, *of_routine).all()
    return RoutineState(slug=routine.slug, buckets=await asyncio.to_thread(_buckets, found))


def _buckets(found: list[RoutineStateEntry]) -> list[StateBucket]:
    """In a thread: a large state takes tenths of a second."""
    redactor = Redactor()
    in_order = sorted(found, key=lambda entry: (entry.schedule_id, entry.key))
    return [
        StateBucket(schedule_id=schedule_id, entries=[_shown(entry, redactor) for entry in entries])
        for schedule_id, entries in groupby(in_order, lambda entry: entry.schedule_id)
    ]


def _shown(entry: RoutineStateEntry, redactor: Redactor) -> StateEntry:
    """A value under a telling name, such as a password, is judged by it."""
    value = redactor.redact_json({entry.key: entry.value})
    return StateEntry(key=entry.key, value=next(iter(value.values())), updated_at=entry.updated_at)


@command(
    "routine_state.set",
    Action.MANAGE,
    subject=ROUTINE,
    audit="routine.state_set",
    errors=(Code.UNPROCESSABLE,),
)
async def set_routine_state(ctx: Context, routine: SavedRoutine, data: SetRoutineState) -> RoutineStateSet:
    """Set a value of the state of a routine.

    Later runs read it; a run under way keeps the state with which it began. UNPROCESSABLE if a set would have more
    than 1,000 keys or 128 KiB, or all sets of the routine more than 5,000 keys or 1 MiB.
    """
    await keep_state(ctx, routine.id, data.schedule_id, {data.key: data.value})
    ctx.audit("ROUTINE", routine.id, key=data.key, schedule_id=data.schedule_id)
    return RoutineStateSet(slug=routine.slug, schedule_id=data.schedule_id, key=data.key, value=data.value)


@command("routine_state.delete_key", Action.MANAGE, subject=ROUTINE, audit="routine.state_key_deleted")
async def delete_routine_state_key(ctx: Context, routine: SavedRoutine, data: OfStateKey) -> RoutineStateKeyDeleted:
    """Delete a value of the state of a routine.

    NOT_FOUND if the set has no such key.
    """
    of_key = col(RoutineStateEntry.key) == data.key
    if not await ctx.delete_where(RoutineStateEntry, *_set_of(routine.id, data.schedule_id), of_key):
        raise Refusal(Code.NOT_FOUND, NO_KEY)
    ctx.audit("ROUTINE", routine.id, key=data.key, schedule_id=data.schedule_id)
    return RoutineStateKeyDeleted(slug=routine.slug, schedule_id=data.schedule_id, key=data.key)


@command("routine_state.clear", Action.MANAGE, subject=ROUTINE, audit="routine.state_cleared")
async def clear_routine_state(ctx: Context, routine: SavedRoutine, data: InRoutineState) -> RoutineStateCleared:
    """Remove a set of the state of a routine.

    Removes one set: of a schedule, or of runs without one. An empty set is no error.
    """
    removed = await ctx.delete_where(RoutineStateEntry, *_set_of(routine.id, data.schedule_id))
    if removed:
        ctx.audit("ROUTINE", routine.id, schedule_id=data.schedule_id, removed=removed)
    return RoutineStateCleared(slug=routine.slug, schedule_id=data.schedule_id, removed=removed)


def _set_of(routine_id: str, schedule_id: str) -> tuple[Any, Any]:
    return col(RoutineStateEntry.routine_id) == routine_id, col(RoutineStateEntry.schedule_id) == schedule_id


async def read_state(ctx: Context, routine_id: str, schedule_id: str) -> dict[str, str]:
    """The state as it is now, for a run that begins."""
    found = await ctx.select(RoutineStateEntry, *_set_of(routine_id, schedule_id)).all()
    return {entry.key: entry.value for entry in found}


async def keep_state(ctx: Context, routine_id: str, schedule_id: str, values: Mapping[str, str]) -> None:
    """Writes values for later runs. Raises a Refusal if the state becomes too large for these; writers of one routine
    wait for each other, so that two of them do not pass the limit together.
    """
    await ctx.lock(f"state of {routine_id}")
    for key, value in values.items():
        entry = RoutineStateEntry(routine_id=routine_id, schedule_id=schedule_id, key=key, value=value)
        await ctx.upsert(entry, "workspace_id", "routine_id", "schedule_id", "key")
    kept = ctx.table(RoutineStateEntry).c
    size = func.octet_length(kept.key) + func.octet_length(kept.value)
    here = kept.schedule_id == schedule_id
    sizes = [func.sum(size), func.count(), func.sum(case((here, size), else_=constant(0))), func.count().filter(here)]
    ((whole, entries, of_set, keys),) = await ctx.report(select(*sizes).where(kept.routine_id == routine_id))
    for number, most, text in (
        (of_set, LARGEST_SET, LARGE_SET),
        (keys, MOST_KEYS, MANY_KEYS),
        (whole, LARGEST_STATE, LARGE_STATE),
        (entries, MOST_ENTRIES, MANY_ENTRIES),
    ):
        if (number or 0) > most:
            raise Refusal(Code.UNPROCESSABLE, text)
