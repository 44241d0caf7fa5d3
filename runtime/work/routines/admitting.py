"""The begin of a queued run, in three transactions: a look, the start, and otherwise the record of its refusal."""

from functools import partial

from models.base import new_id
from resolvers.errors import Code, Refusal
from resolvers.work.routine_runs.admitting import look, refuse, start_queued
from resolvers.work.routine_runs.starting import CHANGED, limits_of, prepared_of
from runtime.engine.background import Work


async def admit(work: Work, run_id: str) -> bool:
    """Begins a run. False if it does not begin yet, or never will."""
    try:
        queued = await work.write(f"look {new_id()}", partial(look, run_id=run_id))
        if queued is None:
            return False
        until = queued.until
        if until is None and queued.version is not None:
            version, run = queued.version, queued.run
            limits = limits_of(run.inputs, restricted=run.restricted)
            prepared = await prepared_of(version.source, run.inputs, queued.overrides, **limits)
            begin = partial(start_queued, run_id=run_id, version=version, prepared=prepared)
            until = await work.write(f"start {new_id()}", begin)
    except Refusal as refusal:
        if refusal.code in (Code.UNAVAILABLE, Code.INTERNAL):
            raise
        if refusal.detail == CHANGED:
            work.again(work.now)
            return False
        await work.write(f"refuse {new_id()}", partial(refuse, run_id=run_id, reason=refusal.detail))
        return False
    if until is not None:
        work.again(until)
    return until is None
