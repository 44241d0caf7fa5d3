"""The daily review of skills (contract: internal.keeper.skill_review, and skills, states.SkillLifecycle).

What nobody uses ages by the rules of the contract, whoever has a model. The model of the `curator` judges each skill
about which something is new: it was used since the last review, it was never looked at, or it is about to age. Of the
others it would say what it has said. A skill is reviewed in the workspace that has made it; those of a release are not.
"""

from datetime import datetime, time, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import func, or_, select
from sqlmodel import col

from models.bounds import DESCRIPTION, cut
from models.oversight.journal import JournalEntry
from models.oversight.keeper import KeeperDecision
from models.resources.skills import AgentSkill, ScanStatus, Skill, SkillLifecycle, SkillVerification
from models.staff.agents import Agent
from models.staff.runs import Run, RunStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    NO_SURFACE,
    AcrossWorkspaces,
    Action,
    Caller,
    Code,
    CompletionFailed,
    Context,
    Id,
    Input,
    Refusal,
    clock,
    command,
    instance,
    job,
    log,
)
from resolvers.oversight.keeper.evaluating import model_of
from resolvers.oversight.keeper.nights import last_at
from resolvers.oversight.keeper.skill_review import ReviewSkill, proposed_of, review_of
from resolvers.oversight.system.aux_models import AuxSlot
from resolvers.rules.redaction import Redactor

SERVICE: Final = "keeper"
AT: Final = time(3)
"""In UTC, daily (contract)."""
LOOK: Final = clock("keeper.skill_review", every=timedelta(minutes=10))
PORTION: Final = 500
LOOKS_BACK: Final = timedelta(days=30)
MOST_USES: Final = 1_000
MOST_NAMES, MOST_FAILURES = 20, 5


class OfSkill(Input):
    skill_id: Id


REVIEW: Final = job("keeper.review_skill", OfSkill, unique="{skill_id}", fair=True, attempts=3)


class SkillUses(NamedTuple):
    """Of a skill, lately, by agents of the workspace that reviews it."""

    stats: dict[str, Any]
    failures: list[str]


async def look_at_skills(rows: AcrossWorkspaces) -> int:
    """The next of those that nobody has looked at since three o'clock; how many they were."""
    now, asks = instance.clock.now(), model_of(AuxSlot.curator) is not None
    found = await _due(rows, last_at(AT, now))
    states = list[SkillLifecycle]()
    for row in found:
        before, used = SkillLifecycle(row["lifecycle_state"]), row["last_used_at"]
        states.append(proposed_of(before, used, row["assignments"], now))
        if asks and (states[-1] is not before or _is_news(used, row["reviewed_at"])):
            rows.enqueue(REVIEW, row["made_in"], skill_id=row["id"])
    seen = [{"reviewed_at": now, "lifecycle_state": state} for state in states]
    await rows.everywhere.update_each(Skill, dict(zip([row["id"] for row in found], seen, strict=True)))
    return len(found)


async def _due(rows: AcrossWorkspaces, since: datetime) -> list[Any]:
    """Locked, with how many agents have each."""
    given, agents = rows.everywhere.table(AgentSkill).c, rows.everywhere.table(Agent).c
    assignments = select(func.count()).where(
        given.skill_id == col(Skill.id),
        given.enabled,
        agents.workspace_id == given.workspace_id,
        agents.id == given.agent_id,
    )
    columns = ("id", "made_in", "lifecycle_state", "last_used_at", "reviewed_at")
    reviewed = col(Skill.reviewed_at)
    return await rows.everywhere.select(
        Skill,
        col(Skill.made_in).is_not(None),
        or_(reviewed.is_(None), reviewed < since),
        columns=(*columns, assignments.scalar_subquery().label("assignments")),
        order_by=(reviewed.nulls_first(), col(Skill.id)),
        limit=PORTION,
        skip_locked=True,
    )


def _is_news(used: datetime | None, reviewed: datetime | None) -> bool:
    return reviewed is None or (used is not None and used > reviewed)


@command(
    "keeper.review_own_skill",
    Action.UPDATE,
    emits=InboxItemUpdated,
    errors=(Code.NOT_FOUND, Code.UNAVAILABLE),
    surfaces=NO_SURFACE,
    late=True,
)
async def review_own_skill(ctx: Context, data: OfSkill) -> None:
    """Review a skill of the workspace.

    A skill that is denied loses its verification. One that is allowed gets it if agents have used it, and its text was
    scanned and found clean: of anything else the model knows what its author says.
    """
    skill = await ctx.get(Skill, data.skill_id)
    if skill.made_in != ctx.workspace_id:
        raise Refusal(Code.NOT_FOUND, "The workspace has not created such a skill")
    agents = await _assigned(ctx, skill)
    uses = await _uses(ctx, skill)
    verdict = await review_of(ctx, _asked(ctx, skill, agents, uses))
    judged = _verified(skill, verdict.decision, uses)
    if judged is not skill.verification:
        await ctx.update(Skill, skill.id, verification=judged)


async def review_daily(workspace_id: str, skill_id: str, key: str) -> None:
    """What became impossible meanwhile (a deleted skill, a model that was taken away) is left out."""
    try:
        await review_own_skill(Caller.service(SERVICE, workspace_id), {"skill_id": skill_id})
    except (Refusal, CompletionFailed) as error:
        log.warning("a skill was not reviewed", skill_id=skill_id, cause=str(error))


def _verified(skill: Skill, decision: KeeperDecision, uses: SkillUses) -> SkillVerification:
    if decision is KeeperDecision.DENY or skill.scan_status is ScanStatus.FLAGGED:
        return SkillVerification.UNVERIFIED
    known = skill.scan_status is ScanStatus.CLEAN and uses.stats["InvocationCount"] > 0
    return SkillVerification.VERIFIED if decision is KeeperDecision.ALLOW and known else skill.verification


def _asked(ctx: Context, skill: Skill, agents: list[str], uses: SkillUses) -> ReviewSkill:
    return ReviewSkill(
        workspace_id=ctx.workspace_id or "",
        skill_id=skill.id,
        skill_name=cut(skill.name, 200),
        skill_description=skill.description or "",
        lifecycle_state=skill.lifecycle_state,
        last_used_at="" if skill.last_used_at is None else skill.last_used_at.isoformat(),
        assignments=len(agents),
        assigned_agents=agents[:MOST_NAMES],
        stats=uses.stats,
        failure_snippets=uses.failures,
    )


async def _assigned(ctx: Context, skill: Skill) -> list[str]:
    ties, agents = ctx.table(AgentSkill).c, ctx.table(Agent).c
    found = await ctx.report(
        select(agents.name)
        .where(ties.skill_id == skill.id, ties.enabled, agents.id == ties.agent_id)
        .order_by(agents.name, agents.id)
        .limit(100)
    )
    return [cut(row["name"], 200) for row in found]


async def _uses(ctx: Context, skill: Skill) -> SkillUses:
    """The newest that the journal tells of, and the runs among them that have failed."""
    entries, runs = ctx.table(JournalEntry).c, ctx.table(Run).c
    since = await ctx.now() - LOOKS_BACK
    of_skill = (
        entries.entry_type == "skill.invoked",
        entries.payload["skill_id"].astext == skill.id,
        entries.created_at > since,
    )
    newest = (
        select(entries.trace_id, entries.created_at)
        .where(*of_skill)
        .order_by(entries.created_at.desc())
        .limit(MOST_USES)
        .subquery()
    )
    failed = (runs.id == newest.c.trace_id, runs.status.in_((RunStatus.FAILED, RunStatus.TIMEOUT)))
    ((count, last),) = await ctx.report(select(func.count(), func.max(newest.c.created_at)).select_from(newest))
    ((errors,),) = await ctx.report(select(func.count()).select_from(newest).where(*failed))
    told = await ctx.report(
        select(runs.error_message)
        .where(*failed, runs.error_message.is_not(None))
        .order_by(newest.c.created_at.desc())
        .limit(MOST_FAILURES)
    )
    redactor = Redactor()
    stats = {
        "InvocationCount": count,
        "ErrorCount": errors,
        "LastUsedAt": None if last is None else last.isoformat(),
        "LookbackDays": LOOKS_BACK.days,
    }
    return SkillUses(stats, [cut(redactor.redact(row["error_message"]), DESCRIPTION) for row in told])
