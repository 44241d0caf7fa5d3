"""The metadata of runs: what programs note on a run, also after its end."""

from typing import Annotated, Any, Final

import orjson

from models.bounds import NOTES
from models.work.routine_runs import RoutineRun
from resolvers.kernel import ENDS, Action, ById, Code, Context, Output, Refusal, command, within
from resolvers.work.routine_runs.graph import RUN, UNDER_WAY

NOTHING: Final = "set, increment or append is required"
LARGE: Final = "The metadata would have more than 256 KiB"
LARGEST_NUMBER: Final = 1e15
Values = Annotated[dict[str, Any], within(NOTES), ENDS]


class UpdateRoutineRunMetadata(ById):
    """In this order: `set` replaces values; `increment` adds to numbers, of which any other value counts as 0; `append`
    adds to lists, and replaces any other value by a list.
    """

    set: Values = {}
    increment: Values = {}
    append: Values = {}


class RoutineRunMetadata(Output):
    """The metadata of a run."""

    metadata: dict[str, Any]


@command(
    "routine_runs.metadata",
    Action.CREATE,
    subject=RUN,
    locked=True,
    audit="routine_run.updated",
    errors=(Code.TOO_LARGE,),
)
async def update_routine_run_metadata(
    ctx: Context, run: RoutineRun, data: UpdateRoutineRunMetadata
) -> RoutineRunMetadata:
    """Update the metadata of a run of a routine.

    Also after its end. A run under way continues with the metadata with which it began. TOO_LARGE if it would have more
    than 256 KiB.
    """
    if not (data.set or data.increment or data.append):
        raise Refusal(Code.BAD_REQUEST, NOTHING)
    metadata = _changed(run.run_metadata, data)
    if len(orjson.dumps(metadata)) > NOTES:
        raise Refusal(Code.TOO_LARGE, LARGE)
    changes: dict[str, Any] = {"run_metadata": metadata}
    if run.status in UNDER_WAY and run.started_metadata is None:
        changes["started_metadata"] = run.run_metadata
    await ctx.update(RoutineRun, run.id, **changes)
    return RoutineRunMetadata(metadata=metadata)


def _changed(metadata: dict[str, Any], data: UpdateRoutineRunMetadata) -> dict[str, Any]:
    changed = metadata | data.set
    for key, amount in data.increment.items():
        if not _is_number(amount):
            raise Refusal(Code.BAD_REQUEST, "increment: amounts are numbers", fields={"increment": "must be numbers"})
        before = changed.get(key)
        total = (before if _is_number(before) else 0) + amount
        if not abs(total) <= LARGEST_NUMBER:
            raise Refusal(Code.BAD_REQUEST, "increment: out of range", fields={"increment": "is out of range"})
        changed[key] = total
    for key, value in data.append.items():
        before = changed.get(key)
        changed[key] = [*(before if isinstance(before, list) else []), value]
    return changed


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
