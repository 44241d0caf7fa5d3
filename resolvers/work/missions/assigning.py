"""Assignments between agents, over the internal API, and their events on the chat in which they were given."""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.work.missions import Assignment, AssignmentStatus
from resolvers.kernel import (
    Action,
    Auth,
    Code,
    Context,
    Entity,
    Id,
    Input,
    Output,
    Refusal,
    command,
    forbidden,
    job,
    procedure,
)
from resolvers.staff.assignments.events import (
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentUpdated,
)
from resolvers.staff.runs.assignments import RunOfAssignment
from resolvers.staff.runs.lifecycle import check_can_work
from resolvers.staff.runs.origin import is_restricted
from resolvers.work.missions.dispatching import GONE, WORK_IS_GIVEN, are_connected, give, waiting_in_crew

MOST_WAITING: Final = 200
"""Assignments that wait in a crew. Missions do not ask: they have as many tasks as they may."""
FULL: Final = f"{MOST_WAITING} assignments already wait in this crew"
NO_TARGET: Final = "target agent not found"
NO_CHAT: Final = "chat not found"
NO_WAY: Final = "crews are not connected — create a crew connection first"
MISSING: Final = "assignment not found"
ENDED_BADLY: Final = "The assignment failed"

TELL = job("missions.tell", RunOfAssignment, emits=(AssignmentCompleted, AssignmentFailed, AssignmentUpdated))
"""Reports the end of an assignment where it was given."""


class CreateAssignment(Input):
    """`crew_id` is the crew of the target; `chat_id` is a chat of the assigning agent."""

    crew_id: Annotated[Id, Field(min_length=1)]
    workspace_id: Annotated[Id, Field(min_length=1)]
    chat_id: Annotated[Id, Field(min_length=1)]
    target_slug: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)]
    task: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.CONFIG)]


class AssignmentGiven(Output):
    """The assignment's status shows whether work has begun."""

    assignment_id: str
    status: Literal[AssignmentStatus.PENDING] = AssignmentStatus.PENDING


class GivenAssignment(Output):
    """A piece of work, its status and its result."""

    id: str
    workspace_id: str
    chat_id: str | None
    assigned_by_id: str
    assigned_to_id: str
    task: str
    status: AssignmentStatus
    started_at: datetime | None
    finished_at: datetime | None
    result_summary: str | None
    error_message: str | None
    created_at: datetime


class OneAssignment(Input):
    id: Id


@command(
    "internal.assignments.create",
    Action.NONE,
    audit="assignment.created",
    auth=Auth.INTERNAL,
    emits=(AssignmentCreated, *WORK_IS_GIVEN),
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def create_assignment(ctx: Context, data: CreateAssignment) -> AssignmentGiven:
    """Give an agent work (for agents).

    Assigns work from the chat's agent to an agent of its crew or of a connected crew. The target runs when its crew has
    capacity; the result is posted in the chat and stored with the assignment.
    """
    target = await ctx.select(
        Agent, col(Agent.crew_id) == data.crew_id, col(Agent.slug) == data.target_slug, including_hidden=True
    ).one(NO_TARGET)
    chat = await ctx.select(Chat, col(Chat.id) == data.chat_id, including_hidden=True).locked().one(NO_CHAT)
    giver = await ctx.select(Agent, col(Agent.id) == chat.agent_id, including_deleted=True).one()
    if giver.deleted_at is not None:
        raise Refusal(Code.CONFLICT, GONE)
    if not await are_connected(ctx, giver.crew_id, target):
        raise forbidden(NO_WAY)
    check_can_work(target)
    if await waiting_in_crew(ctx, target) >= MOST_WAITING:
        raise Refusal(Code.CONFLICT, FULL)
    restricted = await is_restricted(ctx, chat.id)
    assignment = await give(ctx, chat, giver.id, target, data.task, restricted=restricted)
    ctx.audit("ASSIGNMENT", assignment.id, crew_id=data.crew_id, agent_id=giver.id, target_id=target.id)
    ctx.emit(AssignmentCreated(chat_id=chat.id, id=assignment.id, target=target.slug, task=data.task))
    return AssignmentGiven(assignment_id=assignment.id)


@procedure(
    "internal.assignments.get",
    Action.NONE,
    auth=Auth.INTERNAL,
    tenancy=Entity(Assignment, "id"),
    errors=(Code.NOT_FOUND,),
)
async def get_assignment(ctx: Context, data: OneAssignment) -> GivenAssignment:
    """Get an assignment (for agents)."""
    assignment = await ctx.get(Assignment, data.id, missing=MISSING)
    return GivenAssignment(**{name: getattr(assignment, name) for name in GivenAssignment.model_fields})


async def tell(ctx: Context, assignment_id: str) -> None:
    """Notifies listeners of the chat, and of the work of the workspace."""
    assignment = await ctx.select(Assignment, col(Assignment.id) == assignment_id).first()
    if assignment is None or assignment.finished_at is None:
        return
    target = await ctx.select(Agent, col(Agent.id) == assignment.assigned_to_id, including_deleted=True).one()
    done = assignment.status is AssignmentStatus.COMPLETED
    if assignment.chat_id is not None:
        told = {"chat_id": assignment.chat_id, "id": assignment.id, "target": target.slug}
        if done:
            ctx.emit(AssignmentCompleted(**told, result=assignment.result_summary or ""))
        else:
            ctx.emit(AssignmentFailed(**told, error=assignment.error_message or ENDED_BADLY))
    status = AssignmentStatus.COMPLETED if done else AssignmentStatus.FAILED
    ctx.emit(AssignmentUpdated(id=assignment.id, status=status, target=target.slug))
