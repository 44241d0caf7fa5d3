"""Checkpoints: a mission as it was, the changes since, and missions that continue from there (contract:
checkpoints).
"""

from datetime import UTC
from typing import Annotated, Any, ClassVar

from sqlalchemy import DateTime, func
from sqlalchemy import Text as SQLText
from sqlmodel import col

from models.base import new_id
from models.bounds import LABEL, cut
from models.oversight.journal import JournalActor, JournalEntry, JournalLine, Severity
from models.work.missions import (
    Assignment,
    AssignmentStatus,
    Checkpoint,
    Mission,
    MissionStatus,
    MissionTask,
    TaskStatus,
)
from resolvers.kernel import (
    EVERYONE,
    Absent,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Id,
    Input,
    Output,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Row,
    Subject,
    Text,
    command,
    constant,
    derived,
    extend,
    graph,
    many,
    one,
    query,
)
from resolvers.work.missions.actions import copies
from resolvers.work.missions.driving import tasks_of
from resolvers.work.missions.events import MissionUpdated

CLOSED = (TaskStatus.COMPLETED, TaskStatus.CANCELLED)
NO_ENTRY = "The mission has no journal entries yet"
MOST_DIVERGED = 10_000
MISSION = Subject(Mission, "mission_id")
CHECKPOINT = Subject(Checkpoint, "id")
NEWEST_FIRST = (col(Checkpoint.created_at).desc(), col(Checkpoint.id).desc())


def _exactly(row: Any, scope: Any) -> Any:
    """With its fractions, unlike other times."""
    in_utc = func.timezone(constant("UTC"), row["created_at"], type_=DateTime())
    return func.to_char(in_utc, constant('YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), type_=SQLText())


class PageOfCheckpoints(Paging):
    """A page of checkpoints, newest first."""

    page_maximum: ClassVar[int] = 200
    cut_to_default: ClassVar[bool] = True


class ListCheckpoints(PageOfCheckpoints):
    mission_id: Id


class CreateCheckpoint(Input):
    """A mission, and the label of the checkpoint."""

    mission_id: Id
    label: Text | None = None


class ForkCheckpoint(ById):
    """`label` of the new checkpoint."""

    label: Text | None = None


class CheckpointFork(Output):
    """A mission that continues from a checkpoint."""

    new_mission_id: str
    new_checkpoint_id: str


graph(
    Checkpoint,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    mission=one(Mission, "mission_id"),
    parent=one(Checkpoint, "fork_of"),
    created_at_exactly=derived(str, _exactly),
)
extend(Mission, checkpoints=many(Checkpoint, "mission_id", order_by=NEWEST_FIRST, input=PageOfCheckpoints))


@query("missions.checkpoints_list", Action.READ, subject=MISSION)
def list_checkpoints(scope: QueryScope, mission: Row[Mission], data: ListCheckpoints) -> Page[Checkpoint]:
    """List checkpoints of a mission.

    Newest first.
    """
    return scope.children(mission, Checkpoint, "mission_id").order_by(*NEWEST_FIRST).page(data)


@query("checkpoints.get", Action.READ, subject=CHECKPOINT)
def get_checkpoint(scope: QueryScope, checkpoint: Row[Checkpoint], data: ById) -> Row[Checkpoint]:
    """Get a checkpoint."""
    return checkpoint


@command(
    "missions.checkpoints_create", Action.UPDATE, audit="checkpoint.created", subject=MISSION, errors=(Code.CONFLICT,)
)
async def create_checkpoint(ctx: Context, mission: Mission, data: CreateCheckpoint) -> Checkpoint:
    """Create a checkpoint.

    The mission must have at least one journal entry.
    """
    newest_first = (col(JournalLine.at).desc(), col(JournalLine.id).desc())
    newest = await ctx.select(JournalLine, *_of(ctx, mission.id)).order_by(*newest_first).first()
    if newest is None:
        raise Refusal(Code.CONFLICT, NO_ENTRY)
    checkpoint = Checkpoint(
        crew_id=mission.crew_id,
        mission_id=mission.id,
        label=data.label or None,
        journal_cursor=newest.id,
        state=await _state(ctx, await tasks_of(ctx, mission.id)),
        created_by=ctx.user_id or None,
    )
    refs = {"checkpoint_id": checkpoint.id, "journal_cursor": checkpoint.journal_cursor, "mission_id": mission.id}
    payload = {"label": checkpoint.label or "", "checkpoint_id": checkpoint.id}
    ctx.record(_entry(ctx, mission, "checkpoint.created", "checkpoint created", refs, payload))
    return await ctx.insert(checkpoint)


def _of(ctx: Context, mission_id: str) -> tuple[Any, ...]:
    return col(JournalLine.place) == ctx.workspace_id, col(JournalLine.mission_id) == mission_id


def _entry(
    ctx: Context, mission: Mission, type: str, summary: str, refs: dict[str, Any], payload: dict[str, Any] | None = None
) -> JournalEntry:
    return JournalEntry(
        entry_type=type,
        severity=Severity.notice,
        actor_type=JournalActor.user,
        actor_id=ctx.user_id or None,
        crew_id=mission.crew_id,
        mission_id=mission.id,
        summary=summary,
        payload=payload,
        refs=refs,
    )


async def _state(ctx: Context, tasks: list[MissionTask]) -> dict[str, Any]:
    ids = [task.assignment_id for task in tasks if task.assignment_id is not None]
    running = (col(Assignment.id).in_(ids), col(Assignment.status) == AssignmentStatus.RUNNING)
    open_ = await ctx.select(Assignment, *running).order_by(col(Assignment.id)).all() if ids else []
    return {
        "agent_memory": {},
        "pending_tasks": sorted(task.id for task in tasks if task.status not in CLOSED),
        "open_assignments": [assignment.id for assignment in open_],
    }


class RestoredCheckpoint(Output):
    """The checkpoint as created. `created_at` has fractions of a second."""

    id: str
    workspace_id: str
    crew_id: str
    mission_id: str
    label: Annotated[str | None, Absent()]
    journal_cursor: str
    state: dict[str, Any]
    fork_of: Annotated[str | None, Absent()]
    created_by: Annotated[str | None, Absent()]
    created_at: str


class CheckpointRestored(Output):
    """`warn_divergence` are ids of journal entries of the mission since then, oldest first: at most ten thousand."""

    checkpoint: RestoredCheckpoint
    journal_cursor: str
    warn_divergence: list[str]


@command("checkpoints.restore", Action.UPDATE, audit="checkpoint.restored", subject=CHECKPOINT)
async def restore_checkpoint(ctx: Context, checkpoint: Checkpoint, data: ById) -> CheckpointRestored:
    """Restore a checkpoint.

    Reports what has happened since; missions and tasks are unchanged.
    """
    mission = await ctx.get(Mission, checkpoint.mission_id)
    since = (*_of(ctx, mission.id), col(JournalLine.id) > checkpoint.journal_cursor)
    newer = (
        await ctx.select(JournalLine, *since)
        .order_by(col(JournalLine.at), col(JournalLine.id))
        .limit(MOST_DIVERGED)
        .all()
    )
    refs = {
        "checkpoint_id": checkpoint.id,
        "journal_cursor": checkpoint.journal_cursor,
        "mission_id": mission.id,
        "divergence_count": len(newer),
    }
    ctx.record(_entry(ctx, mission, "checkpoint.restored", "checkpoint restored", refs))
    shown = checkpoint.model_dump(exclude={"created_at"})
    at = checkpoint.created_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return CheckpointRestored(
        checkpoint=RestoredCheckpoint(**shown, created_at=at),
        journal_cursor=checkpoint.journal_cursor,
        warn_divergence=[line.id for line in newer],
    )


@command("checkpoints.fork", Action.UPDATE, audit="checkpoint.forked", subject=CHECKPOINT, emits=MissionUpdated)
async def fork_checkpoint(ctx: Context, checkpoint: Checkpoint, data: ForkCheckpoint) -> CheckpointFork:
    """Fork a mission at a checkpoint.

    The new mission is PLANNING and has copies of the current tasks without their results.
    """
    parent = await ctx.get(Mission, checkpoint.mission_id)
    mission = Mission(
        crew_id=parent.crew_id,
        lead_agent_id=parent.lead_agent_id,
        trace_id=f"mission-{new_id()}",
        title=f"Fork: {cut(parent.title, LABEL - len('Fork: '))}",
        description=parent.description,
        plan=parent.plan,
    )
    rows = await tasks_of(ctx, parent.id)
    tasks = copies(rows, mission.id, await ctx.now())
    for task, copy in zip(rows, tasks, strict=True):
        copy.status, copy.max_iterations = task.status, None
    fork = Checkpoint(
        crew_id=parent.crew_id,
        mission_id=mission.id,
        label=data.label or f"fork of {checkpoint.id}",
        journal_cursor=checkpoint.journal_cursor,
        state=await _state(ctx, tasks),
        fork_of=checkpoint.id,
        created_by=ctx.user_id or None,
    )
    await ctx.insert(mission)
    await ctx.insert_all(tasks)
    refs = {
        "parent_mission": parent.id,
        "new_mission": mission.id,
        "fork_of": checkpoint.id,
        "new_checkpoint_id": fork.id,
        "journal_cursor": checkpoint.journal_cursor,
    }
    ctx.record(_entry(ctx, mission, "fork.created", "mission forked", refs))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=MissionStatus.PLANNING))
    await ctx.insert(fork)
    return CheckpointFork(new_mission_id=mission.id, new_checkpoint_id=fork.id)


@command("checkpoints.delete", Action.UPDATE, audit="checkpoint.deleted", subject=CHECKPOINT)
async def delete_checkpoint(ctx: Context, checkpoint: Checkpoint, data: ById) -> Deleted:
    """Delete a checkpoint.

    Missions forked from it are kept.
    """
    await ctx.delete(Checkpoint, checkpoint.id)
    return Deleted(id=checkpoint.id)
