"""Missions themselves: list, get, create, update, delete."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field
from sqlmodel import col

from models import bounds
from models.base import new_id
from models.bounds import LINE, cut
from models.staff.agents import Agent, AgentRole
from models.staff.chats import Chat, ChatMode
from models.staff.crews import Crew
from models.work.missions import MISSION_STATES, Assignment, Mission, MissionStatus, MissionType
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    GRAPHQL_ONLY,
    MOST_LISTED,
    REST_ONLY,
    Action,
    Code,
    ConfigText,
    Context,
    Deleted,
    Filter,
    Id,
    Input,
    Order,
    Otherwise,
    Page,
    Patch,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Subject,
    at_most,
    command,
    constant,
    invalid,
    query,
)
from resolvers.people.workspaces.files import CHAT_GONE, speakers_in
from resolvers.work.missions.calling_off import WORK_IS_CALLED_OFF, call_off
from resolvers.work.missions.events import CrewMissionCreated, MissionStatusChanged, MissionUpdated
from resolvers.work.missions.graph import NEWEST_FIRST, FilterMissions
from resolvers.work.missions.holding import take_back
from resolvers.work.missions.moving import move_mission

NO_LEAD = "there is no such agent in this crew"
DELETABLE = (MissionStatus.PLANNING, MissionStatus.CANCELLED)
Statuses = Annotated[list[MissionStatus], at_most(MOST_LISTED)]
Title = Annotated[str, Field(strict=True, max_length=bounds.LABEL)]


class InCrew(Input):
    """A mission of this crew."""

    crew_id: Id
    id: Id


CREW = Subject(Crew, "crew_id")
MISSION = Subject(Mission, "id", of=CREW)


class ListMissions(FilterMissions):
    """Issues are missions, and listed as well. `include_tasks` adds the tasks of each mission to the answer of REST; in
    GraphQL they are a field.
    """

    include_tasks: Annotated[bool, BeforeValidator(lambda raw: raw is True or raw == "true")] = False


class ListCrewMissions(FilterMissions):
    """The list is empty if the crew does not exist."""

    page_default: ClassVar[int] = 20

    crew_id: Id


class MissionSort(StrEnum):
    """The order of a list of missions."""

    newest = "newest"
    oldest = "oldest"
    recently_changed = "recently_changed"


ORDERS = {
    MissionSort.newest: NEWEST_FIRST,
    MissionSort.oldest: (col(Mission.created_at), col(Mission.id)),
    MissionSort.recently_changed: (col(Mission.updated_at).desc(), col(Mission.id).desc()),
}


class FindMissions(ListMissions):
    """Filters are combined with AND. `status` is one status; unknown values match nothing."""

    crew_id: Annotated[Id | None, Filter(Mission.crew_id, leads=True)] = None
    lead_agent_id: Annotated[Id | None, Filter(Mission.lead_agent_id, leads=True)] = None
    statuses: Annotated[Statuses | None, Filter(Mission.status, leads=True)] = None
    mission_type: MissionType | None = None
    sort: Annotated[MissionSort, Otherwise(MissionSort.newest), Order(ORDERS)] = MissionSort.newest


class ByMission(Input):
    """A mission of any crew, or of this one."""

    id: Id
    crew_id: Id | None = None


class CreateMission(Input):
    """`lead_agent_id` is the LEAD of the crew. `workflow_template` is stored as sent."""

    crew_id: Id
    title: Annotated[Title, Field(min_length=1)]
    lead_agent_id: Annotated[Id, Field(min_length=1)]
    description: ConfigText | None = None
    workflow_template: ConfigText | None = None


class UpdateMission(Patch, InCrew):
    """Null counts as absent."""

    title: Title
    description: ConfigText
    plan: ConfigText
    status: MissionStatus


def _page(rows: Rows[Mission], data: FilterMissions) -> Page[Mission]:
    """The rows that the filters let through, in the order that they choose or newest first."""
    return rows.order_by(*NEWEST_FIRST).matching(data).page(data)


@query("missions.find", Action.READ, surfaces=GRAPHQL_ONLY)
def find_missions(scope: QueryScope, data: FindMissions) -> Page[Mission]:
    """List missions.

    Newest first, unless `sort` says otherwise. Issues are missions, too, and listed unless `mission_type` is another
    one.
    """
    rows = scope.select(Mission)
    if data.mission_type is not None:
        rows = rows.where(col(Mission.mission_type) == constant(data.mission_type))
    return _page(rows, data)


@query("missions.list_all", Action.READ, surfaces=REST_ONLY)
def list_all_missions(scope: QueryScope, data: ListMissions) -> Page[Mission]:
    """List missions.

    Newest first.
    """
    return _page(scope.select(Mission), data)


@query("missions.find_one", Action.READ, surfaces=GRAPHQL_ONLY, errors=(Code.NOT_FOUND,))
def find_mission(scope: QueryScope, data: ByMission) -> Row[Mission]:
    """Get a mission.

    With `crew_id`, only if it is a mission of that crew.
    """
    rows = scope.select(Mission).where(col(Mission.id) == data.id)
    if data.crew_id is not None:
        rows = rows.where(col(Mission.crew_id) == data.crew_id)
    return rows.one(MISSION.missing)


@query("missions.list", Action.READ)
def list_missions(scope: QueryScope, data: ListCrewMissions) -> Page[Mission]:
    """List missions of a crew.

    Newest first.
    """
    return _page(scope.children(scope.find(CREW, data), Mission, "crew_id"), data)


@query("missions.get", Action.READ, surfaces=REST_ONLY, subject=MISSION)
def get_mission(scope: QueryScope, mission: Row[Mission], data: InCrew) -> Row[Mission]:
    """Get a mission."""
    return mission


def chat_of(ctx: Context, mission: Mission, title: str) -> Chat:
    """The chat with the mission's id, to which its assignments belong."""
    return Chat(
        id=mission.id,
        agent_id=mission.lead_agent_id,
        title=cut(f"Mission: {title}", LINE),
        mode=ChatMode.MISSION,
        created_by=ctx.user_id or None,
    )


async def lead_in(ctx: Context, crew_id: str, agent_id: str) -> Agent:
    """A live agent of a live crew; else BAD_REQUEST (contract: missions.create)."""
    if await ctx.select(Crew, col(Crew.id) == crew_id).exists():
        agent = await ctx.select(Agent, col(Agent.id) == agent_id, col(Agent.crew_id) == crew_id).first()
        if agent is not None:
            return agent
    raise invalid("lead_agent_id", NO_LEAD)


@command("missions.create", Action.CREATE, audit="mission.created", emits=(CrewMissionCreated, MissionUpdated))
async def create_mission(ctx: Context, data: CreateMission) -> Mission:
    """Create a mission.

    Creates the mission in PLANNING: nothing runs until it is started. Its assignments belong to a chat with the
    same id.
    """
    lead = await lead_in(ctx, data.crew_id, data.lead_agent_id)
    if lead.agent_role is not AgentRole.LEAD:
        raise invalid("lead_agent_id", "the agent is not a LEAD")
    mission = Mission(trace_id=f"mission-{new_id()}", **data.model_dump())
    await ctx.insert(chat_of(ctx, mission, mission.title))
    ctx.emit(CrewMissionCreated(crew_id=mission.crew_id, id=mission.id, title=mission.title))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=MissionStatus.PLANNING))
    return await ctx.insert(mission)


@command(
    "missions.update",
    Action.CREATE,
    audit="mission.updated",
    subject=MISSION,
    locked=True,
    emits=(MissionStatusChanged, MissionUpdated, InboxItemUpdated, *WORK_IS_CALLED_OFF),
    errors=(Code.CONFLICT,),
    versioned=Mission,
)
async def update_mission(ctx: Context, mission: Mission, data: UpdateMission) -> Mission:
    """Update a mission.

    A new status must be reachable from the current one. COMPLETED, FAILED and CANCELLED set `completed_at`, any other
    status clears it. CANCELLED ends the runs of the agents that work on it. IN_PROGRESS does not start work: use
    `start`.
    """
    changes = data.sent()
    status = changes.pop("status", None)
    if status is None:
        return await ctx.edit(mission, **changes) if changes else await ctx.unchanged(Mission, mission.id)
    if not MISSION_STATES.stamped(status):
        changes["completed_at"] = None
    changes["started_at"] = None
    updated = await move_mission(ctx, MISSION_STATES, mission, status, refused=Code.BAD_REQUEST, **changes)
    if MISSION_STATES.stamped(status):
        await take_back(ctx, mission.id)
    if status is MissionStatus.CANCELLED:
        await call_off(ctx, mission.id)
    ctx.emit(MissionStatusChanged(id=mission.id, status=status))
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=status))
    return updated


@command("missions.delete", Action.CREATE, audit="mission.deleted", subject=MISSION, locked=True, versioned=Mission)
async def delete_mission(ctx: Context, mission: Mission, data: InCrew) -> Deleted:
    """Delete a mission.

    The mission must be in PLANNING or CANCELLED. Deletes its tasks and everything attached to it, and its chat
    unless assignments refer to it.
    """
    if mission.status not in DELETABLE:
        fault = f"Only missions in PLANNING or CANCELLED can be deleted; this one is {mission.status}"
        raise Refusal(Code.BAD_REQUEST, fault)
    await ctx.delete(Mission, mission.id)
    if not await ctx.select(Assignment, col(Assignment.chat_id) == mission.id).exists():
        for agent_id, _ in await ctx.report(speakers_in(mission.workspace_id, [mission.id])):
            ctx.enqueue(CHAT_GONE, agent_id=agent_id, chat_id=mission.id)
        await ctx.delete_where(Chat, col(Chat.id) == mission.id)
    return Deleted(id=mission.id)
