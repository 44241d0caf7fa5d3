"""The health of what a workspace or a crew remembers, computed from its journal (contract: memory.behaviour.health)."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Text as SQLText
from sqlalchemy import column, func, literal, null, select
from sqlalchemy.dialects.postgresql import JSONB

from resolvers.kernel import Action, Code, Context, Id, Input, Output, procedure
from resolvers.oversight.memory.owners import crew_named

DAYS: Final = 7
TYPES: Final = 8
"""Different types of entries within 30 days that count as complete."""
WEIGHTS: Final = {"freshness": 0.25, "coverage": 0.25, "coherence": 0.20, "efficiency": 0.15, "reachability": 0.15}


class OfHealth(Input):
    """The crew, or the whole workspace."""

    crew_id: Id = ""


class HealthMetrics(Output):
    """Each from 0 to 100."""

    freshness: float
    coverage: float
    coherence: float
    efficiency: float
    reachability: float


class HealthDetails(Output):
    """The numbers that the metrics are computed from."""

    freshness_recent_24h: float
    freshness_baseline_daily: float
    coverage_distinct_types: float
    coherence_relations: float
    coherence_embeddings: float
    efficiency_archived: float
    efficiency_live: float
    reachability_connected: float


class MemoryHealth(Output):
    """The health of a memory. `overall` is the weighted mean of the metrics; `crew_id` is empty for the workspace."""

    workspace_id: str
    crew_id: str
    computed_at: datetime
    overall: float
    metrics: HealthMetrics
    details: HealthDetails


@procedure("memory.health", Action.READ, errors=(Code.NOT_FOUND,))
async def get_memory_health(ctx: Context, data: OfHealth) -> MemoryHealth:
    """Get the health of memories.

    Computed from the journal of the workspace or of one crew: new entries, their kinds, and how they are connected.
    """
    if data.crew_id:
        await crew_named(ctx, data.crew_id)
    now = await ctx.now()
    recent = await _count(ctx, data.crew_id, now - timedelta(days=1))
    weekly = await _count(ctx, data.crew_id, now - timedelta(days=DAYS))
    month = now - timedelta(days=30)
    live = await _count(ctx, data.crew_id, month)
    kinds = await _kinds(ctx, data.crew_id, month) if live else 0
    daily = weekly / DAYS
    metrics = HealthMetrics(
        freshness=100.0 * min(1.0, recent / daily) if daily else 100.0,
        coverage=100.0 * min(1.0, kinds / TYPES),
        # No entries are embedded: the search is of words.
        coherence=0.0,
        # Nothing is archived: what retention removes is gone.
        efficiency=0.0 if live else 100.0,
        reachability=0.0,
    )
    return MemoryHealth(
        workspace_id=ctx.workspace_id or "",
        crew_id=data.crew_id,
        computed_at=now.astimezone(UTC),
        overall=sum(share * getattr(metrics, name) for name, share in WEIGHTS.items()),
        metrics=metrics,
        details=HealthDetails(
            freshness_recent_24h=recent,
            freshness_baseline_daily=daily,
            coverage_distinct_types=kinds,
            coherence_relations=0,
            coherence_embeddings=0,
            efficiency_archived=0,
            efficiency_live=live,
            reachability_connected=0,
        ),
    )


def _asked(crew_id: str, since: datetime, **more: Any) -> dict[str, Any]:
    crews = {"crews": [crew_id]} if crew_id else {}
    return {"since": since.isoformat()} | crews | more


async def _count(ctx: Context, crew_id: str, since: datetime) -> int:
    which = literal(_asked(crew_id, since), JSONB())
    ((found,),) = await ctx.report(select(func.journal_count(ctx.workspace_id, which)))
    return int(found)


async def _kinds(ctx: Context, crew_id: str, since: datetime) -> int:
    """The number of types, up to TYPES: each look is for one entry of a type that was not found before."""
    known = list[str]()
    columns = [column(name, SQLText()) for name in ("kind", "entry_type")]
    while len(known) < TYPES:
        which = literal(_asked(crew_id, since, without=known), JSONB())
        found = func.journal_page(ctx.workspace_id, which, null(), null(), 1).table_valued(*columns)
        rows = await ctx.report(select(*found.c))
        if not rows or not rows[0]["kind"]:
            break
        known.append(rows[0]["entry_type"])
    return len(known)
