"""Consolidation: a model derives rules from the journal of a crew, which become memories, or proposals of memories.

The model is that of the slot `curator`. An administrator who starts a run has the rules written at once. Rules of
scheduled runs are proposed if the server (CREWSHIP_CONSOLIDATE_HITL) or the policy of the crew requires it.
"""

import re
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from sqlalchemy import Text as SQLText
from sqlalchemy import column, func, literal, null, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col

from models.base import new_id
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.staff.crews import Crew
from resolvers.kernel import (
    Absent,
    AcrossWorkspaces,
    Action,
    Bool,
    Code,
    Context,
    Id,
    Input,
    Int,
    Output,
    Refusal,
    Text,
    clock,
    command,
    job,
)
from resolvers.oversight.keeper.evaluation import model_of
from resolvers.oversight.memory.owners import crew_named
from resolvers.oversight.system.aux_models import AuxSlot
from resolvers.rules.durations import parse_duration

SINCE: Final = timedelta(days=1)
LONGEST_SINCE: Final = timedelta(days=365)
LASTS: Final = timedelta(minutes=10)
NO_MODEL: Final = "no summarizer configured, skipping"
RUNNING: Final = "A consolidation of this workspace is running"
TRIGGERED, COMPLETED = "system.consolidation_triggered", "system.consolidation_completed"
SKIPPED: Final = "skipped-no-summarizer"
ACTOR: Final = "consolidator"
_DAYS: Final = re.compile(r"([0-9]{1,6})([dw])")
MOST_CREWS: Final = 200
LOOK: Final = clock("memory.consolidation", every=timedelta(hours=6))
PORTION: Final = 500


def _since(raw: Any) -> Any:
    """Unreadable and not positive ones mean the default (contract: consolidate.run)."""
    if raw is None or not isinstance(raw, str):
        return raw
    text = raw.strip()
    days = _DAYS.fullmatch(text)
    try:
        seconds = int(days[1]) * (86_400 if days[2] == "d" else 604_800) if days else parse_duration(text) // 10**9
    except ValueError:
        seconds = 0
    return str(seconds if 0 < seconds <= LONGEST_SINCE.total_seconds() else int(SINCE.total_seconds()))


class RunConsolidation(Input):
    """`since` is a duration such as 12h, 3d or 1w; other values mean 24h. Without `crew_id` all crews take part."""

    crew_id: Id = ""
    since: Annotated[Text, BeforeValidator(_since)] = str(int(SINCE.total_seconds()))


class OfConsolidation(Input):
    """A run. `crew_id` is empty for all crews; `since` is in seconds."""

    worker_id: Id
    crew_id: Id = ""
    since: Id


class OfScheduled(Input):
    """A crew whose time has come."""

    crew_id: Id


class ConsolidationStarted(Output):
    """A run that was accepted. `note` says why nothing happens."""

    accepted: bool = True
    triggered: Annotated[bool | None, Absent()] = None
    worker_id: Annotated[str | None, Absent()] = None
    note: Annotated[str | None, Absent()] = None


CONSOLIDATE: Final = job("memory.consolidate", OfConsolidation, unique="{worker_id}", attempts=3)
CONSOLIDATE_CREW: Final = job("memory.consolidate_crew", OfScheduled, unique="{crew_id}", serial=True, attempts=3)


@command(
    "consolidate.run",
    Action.MANAGE,
    audit="consolidate.run",
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def run_consolidation(ctx: Context, data: RunConsolidation) -> ConsolidationStarted:
    """Start a consolidation of memories.

    A job has a model derive rules from the journal of each crew, and appends them to its memory. Without a model for
    the curator nothing happens, and `note` says so. CONFLICT while another run of the workspace works.
    """
    if data.crew_id:
        await crew_named(ctx, data.crew_id)
    if model_of(AuxSlot.curator) is None:
        _record(ctx, TRIGGERED, "no-summarizer-skip", {"reason": "no-summarizer-skip", "worker_id": ""})
        _completed(ctx, SKIPPED, "", 0, 0)
        ctx.audit("consolidation", None, crew_id=data.crew_id, status=SKIPPED, crews_run=0, rules_appended=0)
        return ConsolidationStarted(note=NO_MODEL)
    await ctx.lock(f"consolidation of {ctx.workspace_id}")
    if await _running(ctx):
        raise Refusal(Code.CONFLICT, RUNNING)
    worker_id = f"csd_{new_id()[-12:]}"
    _record(ctx, TRIGGERED, "manual", {"reason": "manual", "worker_id": worker_id})
    ctx.audit("consolidation", None, crew_id=data.crew_id, status="started", worker_id=worker_id)
    ctx.enqueue(CONSOLIDATE, worker_id=worker_id, crew_id=data.crew_id, since=data.since)
    return ConsolidationStarted(triggered=True, worker_id=worker_id)


async def _running(ctx: Context) -> bool:
    """Returns true if a run has begun within ten minutes, and has not ended."""
    asked = {"types": [TRIGGERED, COMPLETED], "since": (await ctx.now() - LASTS).isoformat()}
    columns = [column(name, SQLText()) for name in ("kind", "row_id")]
    page = func.journal_page(ctx.workspace_id, literal(asked, JSONB()), null(), null(), 50)
    ids = [row["row_id"] for row in await ctx.report(select(*page.table_valued(*columns).c)) if row["kind"]]
    found = await ctx.select(JournalEntry, col(JournalEntry.id).in_(ids)).all() if ids else []
    ended = {(entry.payload or {}).get("worker_id") for entry in found if entry.entry_type == COMPLETED}
    begun = {(entry.payload or {}).get("worker_id") for entry in found if entry.entry_type == TRIGGERED}
    return bool(begun - ended - {"", None})


def _record(ctx: Context, entry_type: str, said: str, payload: dict[str, Any]) -> None:
    ends = entry_type == COMPLETED
    ctx.record(
        JournalEntry(
            entry_type=entry_type,
            severity=Severity.notice if ends else Severity.info,
            actor_type=JournalActor.system if ends else JournalActor.user,
            actor_id=ACTOR if ends else ctx.user_id or None,
            summary=f"consolidation {'completed' if ends else 'triggered'} ({said})",
            payload=payload,
        )
    )


def _completed(ctx: Context, status: str, worker_id: str, crews: int, rules: int) -> None:
    _record(
        ctx,
        COMPLETED,
        status,
        {"status": status, "worker_id": worker_id, "crews_run": crews, "rules_appended": rules},
    )


async def complete(ctx: Context, worker_id: str, crews_run: int, rules_appended: int) -> None:
    """The end of a run: the next one may begin."""
    _completed(ctx, "ok", worker_id, crews_run, rules_appended)


async def crews_of(ctx: Context, crew_id: str) -> list[str]:
    """The crews that take part in a run."""
    which = (col(Crew.id) == crew_id,) if crew_id else ()
    found = await ctx.select(Crew, *which).order_by(col(Crew.id)).limit(MOST_CREWS).all()
    return [crew.id for crew in found]


async def enqueue_scheduled(rows: AcrossWorkspaces, after: str) -> str:
    """Enqueues a job for each of the next crews; returns the id of the last one, or nothing at the end."""
    if model_of(AuxSlot.curator) is None:
        return ""
    found = await rows.everywhere.select(Crew, col(Crew.id) > after, order_by=col(Crew.id), limit=PORTION)
    for row in found:
        rows.enqueue(CONSOLIDATE_CREW, row["workspace_id"], crew_id=row["id"])
    return found[-1]["id"] if len(found) == PORTION else ""


class ConsolidateCrew(Input):
    """A crew, and the seconds that the journal is read back. `by_hand`: an administrator has started it."""

    crew_id: Id
    since: Annotated[Int, Field(ge=1)]
    by_hand: Bool = False


class CrewConsolidated(Output):
    """`run`: a model was asked; `rules` is the number of rules that were written or proposed."""

    run: bool = False
    rules: int = 0
