"""The clock of recurring issues: finds rows that are due, and creates their issues.

A tick enqueues a job for each row that is due, in portions. The job creates the issue and moves the row's `next_run` in
one transaction, under the row's lock: a second job in any process finds that the row is no longer due.
"""

from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlmodel import col

from models.actors import ActorType
from models.staff.crews import Crew
from models.work.issues import IssueLabel
from models.work.missions import AuthoredVia
from models.work.recurring_issues import RecurringIssue
from resolvers.kernel import AcrossWorkspaces, Actor, Context, Id, Input, Refusal, clock, job, log
from resolvers.kernel.background.clocks import Write, each_due
from resolvers.kernel.writing.actors import check_actor
from resolvers.work.issues.changing import fits_project, known_labels
from resolvers.work.issues.events import IssueCreatedByService
from resolvers.work.issues.issues import MOST_LABELS, new_issue
from resolvers.work.recurring_issues.events import RecurringIssueUpdated
from resolvers.work.recurring_issues.schedules import next_of

ATTEMPTS = 5
COPIED = {
    "title", "description", "priority", "project_id", "milestone_id", "assignee_type", "assignee_id"
}  # fmt: skip


class OfRecurringIssue(Input):
    recurring_id: Id


LOOK = clock("recurring_issues.due", every=timedelta(seconds=30))
FIRE = job(
    "recurring_issues.fire",
    OfRecurringIssue,
    unique="{recurring_id}",
    attempts=ATTEMPTS,
    emits=(IssueCreatedByService, RecurringIssueUpdated),
)


async def look(write: Write, now: datetime) -> None:
    """A job for each row that is due, the oldest first."""

    def enqueue(rows: AcrossWorkspaces, row: Any) -> None:
        rows.enqueue(FIRE, row["workspace_id"], recurring_id=row["id"])

    await each_due(write, now, RecurringIssue, "next_run", col(RecurringIssue.enabled), enqueue=enqueue)


async def fire(ctx: Context, recurring_id: str, now: datetime, *, attempt: int = 1) -> None:
    """Creates the issue of a row that is due, and sets the next time. A refused issue, for example in a crew without a
    lead, is skipped.
    """
    recurring = await _due(ctx, recurring_id, now)
    if recurring is None:
        return
    ctx.attempt = attempt  # the second one counts behind the highest number of the prefix
    made: dict[str, Any] = {"last_run": now, "run_count": recurring.run_count + 1}
    try:
        await _make(ctx, recurring)
    except Refusal as refusal:
        if refusal.constraint is not None:  # nothing can be written in this transaction any more
            raise
        log.warning("a recurring issue was not created", recurring_issue=recurring_id, cause=str(refusal))
        made = {}
    await _go_on(ctx, recurring, now, **made)


async def skip(ctx: Context, recurring_id: str, now: datetime) -> None:
    """Leaves out an issue that cannot be made, so that the next one is."""
    recurring = await _due(ctx, recurring_id, now)
    if recurring is not None:
        await _go_on(ctx, recurring, now)


async def _due(ctx: Context, recurring_id: str, now: datetime) -> RecurringIssue | None:
    """Locks and returns the row, or None if another job was first."""
    recurring = await ctx.select(RecurringIssue, col(RecurringIssue.id) == recurring_id).locked().first()
    if recurring is None or not recurring.enabled or recurring.next_run is None or recurring.next_run > now:
        return None
    if next_of(recurring, now) is None:
        await ctx.update(RecurringIssue, recurring.id, enabled=False, next_run=None)
        ctx.emit(RecurringIssueUpdated(id=recurring.id))
        return None
    return recurring


async def _go_on(ctx: Context, recurring: RecurringIssue, now: datetime, **made: Any) -> None:
    """Moves `next_run`. All missed times count as one. If this process's clock is behind the one that found the row
    due, the row is still not due twice.
    """
    assert recurring.next_run is not None
    following = next_of(recurring, max(now, recurring.next_run))
    await ctx.update(RecurringIssue, recurring.id, next_run=following, **made)


async def _make(ctx: Context, recurring: RecurringIssue) -> None:
    crew = await ctx.get(Crew, recurring.crew_id)
    await check_actor(ctx, "assignee_id", recurring.assignee_type, recurring.assignee_id)
    await fits_project(ctx, recurring.milestone_id, recurring.project_id)
    labels = await known_labels(ctx, labels_in(recurring.labels_json))
    author = None if recurring.created_by is None else Actor(ActorType.user, recurring.created_by)
    issue = await new_issue(ctx, crew, author, AuthoredVia.recurring, **recurring.model_dump(include=COPIED))
    await ctx.flush()
    ctx.record(*[IssueLabel(mission_id=issue.id, label_id=label) for label in labels])
    ctx.emit(IssueCreatedByService(id=issue.id, identifier=issue.identifier or "", title=issue.title))


def labels_in(text: str | None) -> list[str]:
    """The ids in the client's stored text; none if it is not a list of texts."""
    try:
        ids = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        return []
    known = [id for id in ids if isinstance(id, str)] if isinstance(ids, list) else []
    return list(dict.fromkeys(known))[:MOST_LABELS]
