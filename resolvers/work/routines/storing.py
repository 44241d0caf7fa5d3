"""Storing of a definition: the checks that a saved and an imported one pass, its review, and its version."""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import LINE, cut
from models.people.auth import User
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.work.saved_routines import (
    RoutineAuthorType,
    RoutineOrigin,
    RoutineStatus,
    RoutineVersion,
    SavedRoutine,
)
from resolvers.attention.inbox.putting import put, settle
from resolvers.kernel import Context, invalid
from resolvers.work.routines.definitions import RoutineDefinition
from resolvers.work.routines.events import CatalogueChange, RoutinesChanged
from resolvers.work.routines.graph import proposal_of
from resolvers.work.routines.needs import check_actions, check_agents, check_calls, offered_to

TAKEN: Final = "A routine with this slug already exists"
NO_CREW: Final = "requires an author_crew_id: the agent is one of that crew"
OTHER_CREW: Final = "must name an agent of the author crew"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A definition to store under a slug. A name, a description, a crew or an agent of None stays as it is."""

    slug: str
    definition: RoutineDefinition
    name: str | None
    description: str | None
    author_crew_id: str | None
    author_agent_id: str | None
    change_summary: str | None
    origin: RoutineOrigin
    author_type: RoutineAuthorType
    author_id: str
    without_review: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A definition that passed the checks. `known`: the routine of the slug, which may be deleted."""

    wanted: Wanted
    known: SavedRoutine | None
    crew_id: str | None
    agent_id: str | None

    @property
    def live(self) -> SavedRoutine | None:
        return None if self.known is None or self.known.deleted_at is not None else self.known


async def drafted(ctx: Context, wanted: Wanted) -> Draft:
    """Raises BAD_REQUEST or UNPROCESSABLE. From here on no other call stores a routine of the workspace: calls between
    routines must stay without a cycle.
    """
    await ctx.lock(f"routines of {ctx.workspace_id}")
    found = ctx.select(SavedRoutine, col(SavedRoutine.slug) == wanted.slug, including_deleted=True)
    known = await found.locked().first()
    live = None if known is None or known.deleted_at is not None else known
    crew_id = wanted.author_crew_id or (live.author_crew_id if live else None)
    await check_agents(ctx, wanted.definition, crew_id)
    agent_id = await _author_agent(ctx, wanted.author_agent_id, crew_id, live)
    if agent_id is None:
        check_actions(wanted.definition)
    await check_calls(ctx, wanted.slug, wanted.definition)
    return Draft(wanted, known, crew_id, agent_id)


async def stored(ctx: Context, draft: Draft) -> SavedRoutine:
    """The routine with the definition as its head: a new version, unless the routine has one with the same bytes."""
    wanted, known, live = draft.wanted, draft.known, draft.live
    reasons = wanted.definition.risks(await offered_to(ctx, draft.crew_id))
    by_agent = wanted.author_type is RoutineAuthorType.agent
    status = _status(live, reasons, without_review=wanted.without_review, by_agent=by_agent)
    routine = known or SavedRoutine(slug=wanted.slug, **wanted.definition.stored())
    number, version = await _numbered(ctx, wanted, routine, known)
    changes = wanted.definition.stored() | {
        "status": status,
        "risk_reasons": reasons,
        "head_version": number,
        "authored_via": wanted.origin,
        "author_crew_id": draft.crew_id,
        "author_agent_id": draft.agent_id,
        "author_user_id": ctx.user_id if wanted.author_type is RoutineAuthorType.user else None,
    }
    changes |= {"approved_version": number} if status is RoutineStatus.active else {}
    changes |= {} if wanted.name is None else {"name": wanted.name}
    changes |= {} if wanted.description is None else {"description": wanted.description or None}
    source = proposal_of(ctx.workspace_id or "", wanted.slug)
    if status is RoutineStatus.proposed:
        await _propose(ctx, source, routine, wanted, reasons, number, live)
    elif live is not None:
        await settle(ctx, InboxKind.escalation, source, "superseded")
    ctx.emit(RoutinesChanged(reason=CatalogueChange.saved))
    if known is None:
        made = await ctx.insert(_with(routine, changes), conflict=TAKEN)
    else:
        made = await ctx.edit(known if live is not None else await _restored(ctx, known), **changes)
    if version is not None:
        await ctx.insert_all([version])  # ahead of the answer, which shows it
    return made


def _with(routine: SavedRoutine, values: dict[str, Any]) -> SavedRoutine:
    for name, value in values.items():
        setattr(routine, name, value)
    return routine


async def _restored(ctx: Context, routine: SavedRoutine) -> SavedRoutine:
    """A deleted routine under its old id, as one that has never run (contract: routines.save)."""
    cleared: dict[str, Any] = {"invocation_count": 0, "last_invoked_at": None, "last_invocation_status": None}
    cleared |= {"deleted_at": None, "approved_version": None, "description": None, "name": ""}
    await ctx.update_where(SavedRoutine, col(SavedRoutine.id) == routine.id, including_deleted=True, **cleared)
    return await ctx.get(SavedRoutine, routine.id)


async def _numbered(
    ctx: Context, wanted: Wanted, routine: SavedRoutine, known: SavedRoutine | None
) -> tuple[int, RoutineVersion | None]:
    """The number of the version, and the version if the routine does not have it."""
    last = 0
    if known is not None:
        versions = ctx.table(RoutineVersion)
        of_routine = versions.c.routine_id == known.id
        same = versions.c.definition_hash == wanted.definition.hash
        if found := await ctx.report(select(versions.c.number).where(of_routine, same)):
            return int(found[0][0]), None
        last = (await ctx.report(select(func.coalesce(func.max(versions.c.number), 0)).where(of_routine)))[0][0]
    return last + 1, RoutineVersion(
        routine_id=routine.id,
        number=last + 1,
        definition_hash=wanted.definition.hash,
        dsl_version=wanted.definition.routine.dsl_version,
        source=wanted.definition.source,
        is_json=wanted.definition.is_json,
        definition=wanted.definition.value,
        author_type=wanted.author_type,
        author_id=wanted.author_id,
        parent_version=None if known is None else known.head_version,
        change_summary=wanted.change_summary or None,
    )


async def _author_agent(ctx: Context, asked: str | None, crew_id: str | None, live: SavedRoutine | None) -> str | None:
    """The agent that steps act as: the one asked for, or the stored one, while it is of the author crew."""
    id = asked or (live.author_agent_id if live is not None else None)
    if id is None:
        return None
    if crew_id is None:
        if asked:
            raise invalid("author_agent_id", NO_CREW)
        return None
    if await ctx.select(Agent, col(Agent.id) == id, col(Agent.crew_id) == crew_id).exists():
        return id
    if asked:
        raise invalid("author_agent_id", OTHER_CREW)
    return None


# ---- review ----------------------------------------------------------------------------------------------------------


def _status(
    live: SavedRoutine | None, reasons: list[str], *, without_review: bool, by_agent: bool = False
) -> RoutineStatus:
    """contract: routine-governance, behaviour.by_a_person and by_an_agent"""
    if live is not None and live.status is RoutineStatus.disabled:
        return RoutineStatus.disabled
    if without_review or not reasons:
        return RoutineStatus.active
    was_active = live is not None and live.status is RoutineStatus.active
    if live is not None and was_active and {*reasons} <= {*live.risk_reasons} and not by_agent:
        return RoutineStatus.active
    return RoutineStatus.proposed


async def _propose(
    ctx: Context,
    source: str,
    routine: SavedRoutine,
    wanted: Wanted,
    reasons: list[str],
    number: int,
    live: SavedRoutine | None,
) -> None:
    """One item for a routine, renewed by each proposal (contract: routine-governance, inbox)."""
    manifest = wanted.definition.manifest
    payload: dict[str, Any] = {
        "kind": "routine_proposal",
        "slug": wanted.slug,
        "pipeline_id": routine.id,
        "author_crew_id": wanted.author_crew_id or routine.author_crew_id or "",
        "risk_reasons": reasons,
        "to_version": number,
    }
    payload |= {"from_version": live.head_version} if live is not None else {}
    needed = {
        "credentials_required": [f"{each['type']}:{each.get('scope', '')}" for each in manifest["credentials"]],
        "integrations_required": manifest["integrations"],
        "egress_targets": wanted.definition.routine.egress_targets,
    }
    payload |= {name: values[:100] for name, values in needed.items() if values}
    author = await ctx.select(User, col(User.id) == ctx.user_id).first() if ctx.user_id else None
    person = "Routine author" if author is None else f"Routine author ({author.email})"
    is_agent = wanted.author_type is RoutineAuthorType.agent
    await put(
        ctx,
        InboxKind.escalation,
        source,
        subject=None,
        anew=True,
        target_role=Role.MANAGER,
        title=cut(f"Routine proposed for review: {wanted.slug}", LINE * 3),
        body_md=(
            f"The routine `{wanted.slug}` needs an approval before it runs, because of: {', '.join(reasons)[:2000]}."
            " Approve or reject it."
        ),
        sender_type=SenderType.pipeline,
        sender_name=cut("Agent routine author" if is_agent else person, LINE),
        priority=InboxPriority.high,
        blocking=True,
        payload=payload,
    )
