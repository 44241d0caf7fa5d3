"""The operation by which a runner reports its calls: begun, output, ended.

Each report renews the lease of its call. A report that arrives twice counts once, and one for a call that the runner no
longer holds is answered with `goes_on` false: the runner ends the command.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Self

import orjson
from pydantic import Field, model_validator
from sqlmodel import col

from models.bounds import ID
from models.sealed import Sealed
from models.staff.runners import MOST_PIECE, MOST_PIECES, MOST_STORED, Runner, RunnerCall, RunnerCallState
from models.staff.runs import Run, RunStatus
from resolvers.kernel import REST_ONLY, Action, Auth, Code, Context, Input, Output, Topic, at_most, command, instance
from resolvers.staff.runners.calls import CALL_LEASE, ToolOutcome
from resolvers.staff.runners.polling import MOST_AT_ONCE
from resolvers.staff.runners.sessions import OfProcess, process_of

HELD = frozenset({RunnerCallState.TAKEN, RunnerCallState.RUNNING})


class CallReport(Input):
    """`seq` numbers the pieces of output from 1; 0 sends none. A piece is stored when the one before it was shown. No
    further one is stored when the pieces of the call would exceed 81,536 characters. `outcome` ends the call.
    """

    id: Annotated[str, Field(strict=True, min_length=1, max_length=ID)]
    seq: Annotated[int, Field(strict=True, ge=0, le=MOST_PIECES)] = 0
    output: Annotated[str, Field(strict=True, max_length=MOST_PIECE)] = ""
    outcome: ToolOutcome | None = None


class ReportCalls(OfProcess):
    """The first report of a call begins it: the runner does nothing before the answer. A call has one report."""

    calls: Annotated[list[CallReport], at_most(MOST_AT_ONCE)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len({report.id for report in self.calls}) < len(self.calls):
            raise ValueError("calls: each call can be reported once")
        return self


class CallState(Output):
    """`goes_on`: the runner holds the call. `seq`: the last piece of output that was stored."""

    id: str
    goes_on: bool
    seq: int


class CallStates(Output):
    calls: list[CallState]


@command(
    "runners.report", Action.NONE, auth=Auth.NONE, errors=(Code.UNAUTHENTICATED, Code.CONFLICT), surfaces=REST_ONLY,
    secret=True, late=True,
)  # fmt: skip
async def report_calls(ctx: Context, data: ReportCalls) -> CallStates:
    """Record the progress of calls (for runners).

    Renews the lease of each call. A call that the runner no longer holds, or whose run has ended, does not go on.
    """
    runner = await process_of(ctx, data)
    ids = sorted({report.id for report in data.calls})
    own = (col(RunnerCall.runner_id) == runner.id, col(RunnerCall.id).in_(ids))
    found = {call.id: call for call in await ctx.select(RunnerCall, *own).order_by(col(RunnerCall.id)).locked().all()}
    live = (col(Run.id).in_([call.run_id for call in found.values()]), col(Run.status) == RunStatus.RUNNING)
    runs = {run.id for run in await ctx.select(Run, *live, col(Run.cancel_requested_at).is_(None)).all()}
    now = await ctx.now()
    states = []
    for report in data.calls:
        call = found.get(report.id)
        if call is None or call.run_id not in runs or not _is_held(call, runner, now):
            states.append(CallState(id=report.id, goes_on=False, seq=0 if call is None else call.seq))
            continue
        changes = await _changes(call, report, now)
        await ctx.update_where(RunnerCall, col(RunnerCall.id) == call.id, **changes)
        seq = changes.get("seq", call.seq)
        states.append(CallState(id=call.id, goes_on=report.outcome is None, seq=seq))
        if changes.keys() & {"shown", "outcome"}:
            ctx.ring(Topic.runners, call.id)
    return CallStates(calls=states)


def _is_held(call: RunnerCall, runner: Runner, now: datetime) -> bool:
    until = call.leased_until
    return call.state in HELD and call.generation == runner.generation and until is not None and until > now


async def _changes(call: RunnerCall, report: CallReport, now: datetime) -> dict[str, Any]:
    changes: dict[str, Any] = {"state": RunnerCallState.RUNNING, "leased_until": now + CALL_LEASE}
    if report.outcome is not None:
        text = orjson.dumps(report.outcome.model_dump()).decode()
        ended = {"state": RunnerCallState.ENDED, "leased_until": now + timedelta(days=1)}
        return ended | {"outcome": await _sealed(call, "outcome", text)}
    size = call.shown_size + len(report.output)
    if report.output and report.seq == call.seq + 1 and call.taken == call.seq and size <= MOST_STORED:
        shown = await _sealed(call, "shown", report.output)
        changes |= {"seq": report.seq, "shown": shown, "shown_size": size}
    return changes


async def _sealed(call: RunnerCall, column: str, text: str) -> Sealed:
    return await instance.vault.seal(
        text, table=RunnerCall, column=column, row_id=call.id, workspace_id=call.workspace_id
    )
