"""Notices of runs for people, in their inbox: steps of the type `notify`."""

from typing import Any, Final

from sqlmodel import col

from models.attention.inbox import InboxItem, InboxKind, InboxPriority, SenderType
from models.bounds import DESCRIPTION, LINE, cut
from models.people.workspaces import Membership, Role
from models.staff.crews import Crew, CrewMember
from models.work.routine_runs import RoutineRun
from models.work.saved_routines import SavedRoutine
from resolvers.attention.inbox.putting import put
from resolvers.kernel import Context
from resolvers.work.routine_runs.recording import held_run, warn

MOST_OF_RUN: Final = 20
"""Notices of one run to one recipient (contract: routines-dsl.notify)."""
LONGEST_TITLE: Final = 120


async def notify(
    ctx: Context,
    routine: SavedRoutine,
    run_id: str,
    path: str,
    to: str,
    *,
    title: str,
    body: str,
    priority: str,
    category: str | None,
) -> str:
    """The output of the step. A recipient who is not there is replaced by the workspace, with a warning on the run."""
    run = await held_run(ctx, run_id)
    targets, is_known = await _targets(ctx, run, to.strip())
    item: dict[str, Any] = {
        "title": cut(" ".join(title.split()), LONGEST_TITLE) or cut(" ".join(body.split()), LONGEST_TITLE),
        "body_md": cut(body, DESCRIPTION) or None,
        "sender_type": SenderType.pipeline,
        "sender_name": cut(routine.name or routine.slug, LINE),
        "priority": InboxPriority(priority),
        "payload": {"subkind": "routine_update", "pipeline_run_id": run_id, "step_id": path, "category": category},
    }
    sent = 0
    for target, suffix in targets:
        if await _has_room(ctx, run_id, target):
            await put(ctx, InboxKind.message, f"{run_id}:{path}{suffix}", subject=None, **target, **item)
            sent += 1
    if not is_known:
        await warn(ctx, run_id, f"notify:{path}", "The recipient was not found; the notice went to the workspace")
        return f"notified:degraded:{run_id}:{path}"
    return f"notified:{run_id}:{path}" if sent else "notified:capped"


async def _targets(ctx: Context, run: RoutineRun, to: str) -> tuple[list[tuple[dict[str, Any], str]], bool]:
    """The recipients, each with the end of its item's name, and whether the named one was found."""
    everyone: list[tuple[dict[str, Any], str]] = [({}, "")]
    kind, _, name = to.partition(":")
    if kind == "role" and name.upper() in (Role.OWNER, Role.MANAGER):
        return [({"target_role": Role(name.upper())}, "")], True
    if kind == "trigger":
        return ([({"target_user_id": run.invoking_user_id}, "")] if run.invoking_user_id else everyone), True
    if kind == "user":
        is_member = await ctx.select(Membership, col(Membership.user_id) == name).exists()
        return ([({"target_user_id": name}, "")], True) if is_member else (everyone, False)
    if kind == "crew":
        crew = await ctx.select(Crew, col(Crew.slug) == name).first()
        of_crew = [] if crew is None else await ctx.select(CrewMember, col(CrewMember.crew_id) == crew.id).all()
        people = [({"target_user_id": member.user_id}, f":{member.user_id}") for member in of_crew]
        return (people, True) if people else (everyone, False)
    return everyone, to in ("", "workspace")


async def _has_room(ctx: Context, run_id: str, target: dict[str, Any]) -> bool:
    of_run = (
        col(InboxItem.kind) == InboxKind.message,
        col(InboxItem.source_id).startswith(f"{run_id}:", autoescape=True),
        col(InboxItem.target_user_id).is_not_distinct_from(target.get("target_user_id")),
        col(InboxItem.target_role).is_not_distinct_from(target.get("target_role")),
    )
    return await ctx.select(InboxItem, *of_run, including_hidden=True).count() < MOST_OF_RUN
