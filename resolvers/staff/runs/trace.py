"""The trace of a run: its state, and its spans, for runs of every trigger."""

from typing import Annotated, Any, ClassVar

from sqlalchemy import Float as SQLFloat
from sqlalchemy import Text as SQLText
from sqlalchemy import and_, case, cast, func, null
from sqlmodel import col

from models.attention.approvals import Approval
from models.staff.run_spans import RunSpan, SpanKind
from models.staff.runs import Run, RunStatus
from resolvers.kernel import (
    EVERYONE,
    NO_SURFACE,
    Action,
    Code,
    CommaList,
    Filter,
    Id,
    Page,
    Paging,
    QueryScope,
    at_most,
    constant,
    derived,
    extend,
    graph,
    many,
    one,
    precise,
    query,
)
from resolvers.kernel.background.following import DIGITS, Followed
from resolvers.kernel.reader.filters import MOST_LISTED
from resolvers.staff.runs.lifecycle import MISSING
from resolvers.staff.runs.listing import ListRuns, narrowed, newest_first

RUNNING: Any = constant(RunStatus.RUNNING)
THOUSAND: Any = constant(1000)


Kinds = Annotated[list[SpanKind], at_most(MOST_LISTED), CommaList(SpanKind)]


class ListSpans(Paging):
    """Spans in the order in which they begin: 100 by default, at most 500. `kind` is one kind or several."""

    page_default: ClassVar[int] = 100
    page_maximum: ClassVar[int] = 500

    kind: Annotated[Kinds | None, Filter(RunSpan.kind)] = None


class SpansAsSeen(Paging):
    """Changes of spans after the position of `after`."""

    page_default: ClassVar[int] = 100
    backwards: ClassVar[bool] = False

    run_id: Id


def waits(run: Any) -> Any:
    """The condition that the run waits for an approval."""
    return and_(run.status == RUNNING, run.waits_for.is_not(None), run.waits_since.is_not(None))


def _milliseconds(seconds: Any) -> Any:
    return func.round(cast(seconds * THOUSAND, SQLFloat))


def _seconds(later: Any, earlier: Any) -> Any:
    return cast(func.extract("epoch", later - earlier), SQLFloat)


def _waited(run: Any, scope: Any) -> Any:
    return _milliseconds(run.waited + case((waits(run), _seconds(func.now(), run.waits_since)), else_=constant(0)))


def _duration(row: Any, scope: Any) -> Any:
    return _milliseconds(_seconds(row.finished_at, row.started_at))


def _of_run(seq: Any) -> Any:
    """The id of a span: of its run, and its number there."""
    return lambda span, scope: case(
        (span[seq].is_not(None), func.concat(span.run_id, constant(":"), span[seq], type_=SQLText())), else_=null()
    )


extend(
    Run,
    waits_for_approval=one(Approval, on=lambda run, other: and_(other.id == run.waits_for, waits(run))),
    waiting_since=derived(Any, lambda run, scope: case((waits(run), run.waits_since), else_=null())),
    waited_ms=derived(float, _waited),
    duration_ms=derived(float | None, _duration),
    parent=one(Run, "parent_id"),
    children=many(Run, "parent_id", order_by=newest_first, narrow=narrowed, input=ListRuns),
    original=one(Run, "retry_of"),
    spans=many(RunSpan, "run_id", order_by=(col(RunSpan.seq),), input=ListSpans),
)
graph(
    RunSpan,
    gate=Action.READ,
    scope="agents:read",  # as the log of an agent
    visible=EVERYONE,
    id=derived(str, _of_run("seq")),
    parent_id=derived(str | None, _of_run("parent_seq")),
    begins=precise("started_at"),
    ends=precise("finished_at"),
    duration_ms=derived(float | None, _duration),
    run=one(Run, "run_id"),
    approval=one(Approval, "approval_id"),
)


@query("runs.spans_as_seen", Action.READ, surfaces=NO_SURFACE, errors=(Code.NOT_FOUND,))
def list_spans_as_seen(scope: QueryScope, data: SpansAsSeen) -> Page[RunSpan]:
    """List spans of a run in the order of their last changes.

    Below the oldest transaction that runs, so that nothing appears before what was listed.
    """
    horizon = func.lpad(cast(func.events_horizon(), SQLText()), constant(DIGITS), constant("0"))
    spans = scope.select(RunSpan).where(col(RunSpan.run_id) == data.run_id, col(RunSpan.changed) < horizon)
    run = scope.select(Run).where(col(Run.id) == data.run_id).one(MISSING)
    return spans.order_by(col(RunSpan.changed), unique=True).under(run).page(data)


RUN_EVENTS = Followed(list_spans_as_seen, news="run_news", by="run_id")
