"""Events for hooks: their payloads, the hooks that match, and the record of each in the journal.

Events of the outbox are followed, so that hooks behind the facts run at least once, in any process (docs/hooks.md).
The worker of a run runs hooks before a fact and hooks at tools.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import or_
from sqlmodel import col

from models.attention.approvals import Approval
from models.bounds import DESCRIPTION, LINE, cut
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.resources.budgets import Budget
from models.staff.agents import Agent
from models.staff.assignments import PeerConversation
from models.staff.hooks import Hook, HookEvent, HookHandler, HookOutcome
from models.staff.runs import Run
from models.work.missions import Assignment, AssignmentStatus
from resolvers.kernel import (
    NO_SURFACE,
    AcrossWorkspaces,
    Action,
    Bool,
    Context,
    Id,
    Input,
    Int,
    Notes,
    Text,
    across_workspaces,
    clock,
    command,
    constant,
    job,
)
from resolvers.kernel.background.followers import follow, news
from resolvers.staff.hooks.hooks import finds

BLOCKED: Final = "hook_blocked"
"""The `reason` in the metadata of a run that a hook kept from its start."""
OF_EVENTS: Final = {
    "run.completed": HookEvent.post_agent_stop,
    "run.failed": HookEvent.post_agent_stop,
    "approval.created": HookEvent.on_approval_requested,
    "budget.exceeded": HookEvent.on_budget_exceeded,
    "assignment.updated": HookEvent.post_task_delegation,
    "peer_conversation.updated": HookEvent.post_peer_conversation,
}
"""Types of the outbox, and the events of hooks that they are."""
FOLLOWED: Final = tuple(dict.fromkeys(OF_EVENTS.values()))
SHOWN: Final = ("id", "event", "handler_kind", "handler_config", "matcher", "blocking", "secret")
OF_PLACE: Final = ("id", "workspace_id", "event", "created_at")
MOST: Final = 500


class OfFiring(Input):
    """`kind`: a type of the outbox; `subject_id`: what it is about; `place`: its place in the outbox."""

    hook_id: Id
    kind: Id
    subject_id: Id
    place: Id


FIRE = job("hooks.fire", OfFiring, unique="{hook_id}:{place}", attempts=3)
"""Runs one hook for one event."""
FOLLOW = clock("hooks.follow", every=timedelta(seconds=1), when=news("hooks", Hook))
"""Looks in the outbox for events of hooks; without hooks it does nothing."""
LIVE: Final = (col(Hook.enabled), col(Hook.event).in_(FOLLOWED))


@dataclass(frozen=True, slots=True)
class Happening:
    """An event as hooks receive it. Ids are empty where it has none."""

    event: HookEvent
    workspace_id: str
    crew_id: str = ""
    agent_id: str = ""
    agent_slug: str = ""
    mission_id: str = ""
    tool_name: str = ""
    severity: str = "info"
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundHook:
    """A hook that is for an event. Its secret is sealed."""

    id: str
    event: HookEvent
    handler_kind: HookHandler
    handler_config: Mapping[str, Any]
    matcher: Mapping[str, Any]
    blocking: bool
    secret: Any = field(repr=False)

    async def fits(self, happening: Happening) -> bool:
        wanted = self.matcher
        given = {
            "agent_ids": happening.agent_id, "crew_ids": happening.crew_id, "severities": happening.severity,
        }  # fmt: skip
        if any(wanted.get(key) and value not in wanted[key] for key, value in given.items()):
            return False
        return not wanted.get("tools") or await finds(wanted["tools"], happening.tool_name)


async def hooks_at(happening: Happening) -> list[FoundHook]:
    """Enabled hooks of all crews or of the crew concerned whose matcher fits, oldest first."""
    of_crew = or_(col(Hook.crew_id).is_(None), col(Hook.crew_id) == happening.crew_id)
    these = (col(Hook.enabled), col(Hook.event) == constant(happening.event), of_crew)

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        here = rows.within(happening.workspace_id)
        oldest = (col(Hook.created_at), col(Hook.id))
        return await here.select(Hook, *these, columns=SHOWN, order_by=oldest, limit=MOST)

    found = []
    for row in await across_workspaces(find):
        hook = FoundHook(
            **{name: row[name] for name in SHOWN if name not in ("event", "handler_kind")},
            event=HookEvent(row["event"]),
            handler_kind=HookHandler(row["handler_kind"]),
        )
        if await hook.fits(happening):
            found.append(hook)
    return found


async def enqueue_happenings(rows: AcrossWorkspaces) -> bool:
    """Enqueues a job for each hook of each event. Returns whether there may be more.

    A hook is not run for events from before it was made: while there are no hooks, the place in the outbox stays.
    """
    events, more = await follow(rows, "hooks", Hook, LIVE, list(OF_EVENTS))
    hooks = await _hooks_of(rows, events) if events else []
    for event in events:
        subject = _subject_of(event)
        for hook in hooks:
            same = hook["workspace_id"] == event["workspace_id"] and hook["event"] == OF_EVENTS[event["type"]]
            if subject is not None and same and hook["created_at"] <= event["created_at"]:
                ids = {"hook_id": hook["id"], "kind": event["type"], "subject_id": subject}
                rows.enqueue(FIRE, event["workspace_id"], place=f"{event['xid']}-{event['seq']}", **ids)
    return more


async def _hooks_of(rows: AcrossWorkspaces, events: list[Any]) -> list[Any]:
    places = list({event["workspace_id"] for event in events})
    return await rows.everywhere.select(Hook, *LIVE, col(Hook.workspace_id).in_(places), columns=OF_PLACE)


def _subject_of(event: Any) -> str | None:
    """None for an event of work that begins."""
    payload = event["payload"]
    if payload.get("status") == AssignmentStatus.RUNNING:
        return None
    subject = payload.get("run_id") if event["type"].startswith("run.") else payload.get("id")
    return subject if isinstance(subject, str) else None


async def happening_of(ctx: Context, data: OfFiring) -> Happening | None:
    """None where its subject is gone, or no hook is to follow."""
    event, id = OF_EVENTS[data.kind], data.subject_id
    if event is HookEvent.post_agent_stop:
        return await _stopped(ctx, id)
    if event is HookEvent.on_approval_requested:
        approval = await ctx.select(Approval, col(Approval.id) == id, including_hidden=True).first()
        if approval is None:
            return None
        payload = {"approval_id": id, "kind": approval.kind, "reason": approval.reason, "run_id": approval.run_id}
        about: dict[str, Any] = {"mission_id": approval.mission_id, "tool_name": approval.tool or ""}
        return await _of_agent(ctx, event, approval.agent_id, payload, **about)
    if event is HookEvent.on_budget_exceeded:
        budget = await ctx.select(Budget, col(Budget.id) == id, including_hidden=True).first()
        if budget is None:
            return None
        payload = {"budget_id": id, "scope": budget.scope, "period": budget.period}
        about = {"mission_id": budget.mission_id, "crew_id": budget.crew_id, "severity": "warn"}
        return await _of_agent(ctx, event, budget.agent_id, payload, **about)
    if event is HookEvent.post_task_delegation:
        given = await ctx.select(Assignment, col(Assignment.id) == id, including_hidden=True).first()
        if given is None:
            return None
        return await _of_agent(ctx, event, given.assigned_to_id, {"assignment_id": id, "status": given.status})
    asked = await ctx.select(PeerConversation, col(PeerConversation.id) == id, including_hidden=True).first()
    if asked is None:
        return None
    return await _of_agent(ctx, event, asked.to_agent_id, {"conversation_id": id, "status": asked.status})


async def _stopped(ctx: Context, run_id: str) -> Happening | None:
    run = await ctx.select(Run, col(Run.id) == run_id, including_hidden=True).first()
    if run is None or (run.data or {}).get("reason") == BLOCKED:
        return None
    payload = {"run_id": run.id, "status": run.status, "error": run.error_message, "exit_code": run.exit_code}
    return await _of_agent(ctx, HookEvent.post_agent_stop, run.agent_id, payload, mission_id=run.mission_id)


async def _of_agent(
    ctx: Context,
    event: HookEvent,
    agent_id: str | None,
    payload: dict[str, Any],
    *,
    mission_id: str | None = None,
    tool_name: str = "",
    crew_id: str | None = None,
    severity: str = "info",
) -> Happening:
    """With the crew and the slug of the agent, even if it is deleted."""
    agent = None
    if agent_id:
        agent = await ctx.select(Agent, col(Agent.id) == agent_id, including_deleted=True).first()
    return Happening(
        event,
        ctx.workspace_id or "",
        crew_id=crew_id or (agent.crew_id if agent is not None else None) or "",
        agent_id=agent_id or "",
        agent_slug="" if agent is None else agent.slug,
        mission_id=mission_id or "",
        tool_name=tool_name,
        severity=severity,
        payload=payload,
    )


@dataclass(frozen=True, slots=True)
class Started:
    """The purpose of a run: ids of its mission and its assignment, and its trigger."""

    mission_id: str = ""
    assignment_id: str = ""
    trigger_type: str = ""


async def started_by(workspace_id: str, run_id: str) -> Started:
    async def find(rows: AcrossWorkspaces) -> Started:
        columns = ("mission_id", "assignment_id", "trigger_type")
        for run in await rows.within(workspace_id).select(Run, col(Run.id) == run_id, columns=columns):
            return Started(*[run[name] or "" for name in columns])
        return Started()

    return await across_workspaces(find)


class NoteHook(Input):
    """The outcome of a hook that has run."""

    hook_id: Id
    event: HookEvent
    handler_kind: HookHandler
    outcome: HookOutcome
    message: Annotated[str, Field(strict=True, max_length=DESCRIPTION)]
    latency_ms: Int
    blocking: Bool
    handler_payload: Notes
    crew_id: Id = ""
    agent_id: Id = ""
    mission_id: Id = ""
    tool_name: Text = ""


@command("hooks.note", Action.UPDATE, surfaces=NO_SURFACE)
async def note_hook(ctx: Context, data: NoteHook) -> None:
    """Record the outcome of a hook.

    For the runtime: the journal has an entry of each hook that has run, and another if it blocks.
    """
    note(ctx, data)


def note(ctx: Context, data: NoteHook) -> None:
    good = data.outcome is HookOutcome.passed
    about: dict[str, Any] = {key: getattr(data, key) or None for key in ("crew_id", "agent_id", "mission_id")}
    told = data.model_dump(exclude={"crew_id", "agent_id", "mission_id"}, mode="json")
    kinds = ["hook.fired", *(["hook.blocked"] if data.outcome is HookOutcome.block else [])]
    for kind in kinds:
        ctx.record(
            JournalEntry(
                entry_type=kind,
                severity=Severity.info if good else Severity.warn,
                actor_type=JournalActor.system,
                summary=cut(f"hook {data.hook_id} at {data.event}: {data.outcome}", LINE),
                payload=told,
                refs={"hook_id": data.hook_id},
                **about,
            )
        )
