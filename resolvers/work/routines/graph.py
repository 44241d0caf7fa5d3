"""Who reads routines, and what leads on from them."""

from typing import Annotated, Any, ClassVar

from pydantic import Field
from sqlalchemy import JSON, Text, case, cast, func, select
from sqlmodel import col

from models.attention.inbox import InboxItem, InboxKind, InboxState
from models.people.auth import User
from models.people.workspaces import Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.saved_routines import (
    LONGEST_SLUG,
    RoutineStatus,
    RoutineStepOverride,
    RoutineVersion,
    SavedRoutine,
)
from resolvers.kernel import (
    EVERYONE,
    Action,
    Input,
    Paging,
    Subject,
    constant,
    derived,
    extend,
    graph,
    many,
    of_parent,
    one,
    viewer_can,
)

PROPOSAL = "routineprop:"
ROUTINE = Subject(SavedRoutine, "slug", by="slug", called="Routine")
BY_NAME = (col(SavedRoutine.name), col(SavedRoutine.id))
NEWEST_VERSION = (col(RoutineVersion.number).desc(), col(RoutineVersion.id).desc())
BY_STEP = (col(RoutineStepOverride.step_id), col(RoutineStepOverride.id))


class ByRoutineSlug(Input):
    """A routine by its slug, which is unique in the workspace; an id is no slug."""

    slug: Annotated[str, Field(strict=True, max_length=LONGEST_SLUG)]


class RoutineVersions(Paging):
    """Pagination of versions, newest first."""

    page_default: ClassVar[int] = 100
    page_maximum: ClassVar[int] = 500
    cut_to_default: ClassVar[bool] = True


def proposal_of(workspace_id: str, slug: str) -> str:
    """The `source_id` of the inbox item of a proposed routine (contract: routine-governance, inbox)."""
    return f"{PROPOSAL}{workspace_id}:{slug}"


def _of_head(column: Any) -> Any:
    """A value of the version that runs."""

    def read(routine: Any, scope: Any) -> Any:
        version, own = scope.beside(RoutineVersion, routine)
        same = (version.c.routine_id == routine.id, version.c.number == routine.head_version)
        return scope.scalar(select(column(version.c)).where(*same, *own))

    return read


def as_sent(version: Any) -> Any:
    """JSON as it was sent, to the byte; YAML as JSON."""
    return case((version.is_json, cast(version.source, JSON())), else_=cast(version.definition, JSON()))


def _is_head(version: Any, scope: Any) -> Any:
    return scope.parent(SavedRoutine, version, "routine_id", "head_version") == version.number


def _item(routine: Any, scope: Any) -> Any:
    """The open inbox item of a proposed routine, if the caller may see it."""
    item, own = scope.beside(InboxItem, routine)
    source = constant(PROPOSAL).concat(routine.workspace_id).concat(constant(":")).concat(routine.slug)
    same = (item.c.kind == constant(InboxKind.escalation), item.c.source_id == source)
    is_open = item.c.state != constant(InboxState.resolved)
    return case(
        (
            routine.status == constant(RoutineStatus.proposed),
            scope.scalar(select(item.c.id).where(*same, is_open, *own)),
        )
    )


def _risks(routine: Any, scope: Any) -> Any:
    return case((routine.status == constant(RoutineStatus.proposed), routine.risk_reasons))


graph(
    SavedRoutine,
    gate=Action.READ,
    scope="routines:read",
    visible=EVERYONE,
    author_crew=one(Crew, "author_crew_id"),
    author_agent=one(Agent, "author_agent_id"),
    author_user=one(User, "author_user_id"),
    author_agent_name=of_parent(Agent, "author_agent_id", "name"),
    versions=many(RoutineVersion, "routine_id", order_by=NEWEST_VERSION, input=RoutineVersions),
    step_overrides=many(RoutineStepOverride, "routine_id", order_by=BY_STEP),
    definition=derived(dict[str, Any], _of_head(as_sent)),
    source=derived(str, _of_head(lambda version: version.source)),
    integrations_required=derived(list[str], lambda routine, _: routine.manifest["integrations"]),
    open_risk_reasons=derived(list[str] | None, _risks),
    inbox_item_id=derived(str | None, _item),
    viewer_can=viewer_can(SavedRoutine),
)
graph(
    RoutineVersion,
    gate=Action.READ,
    scope="routines:read",
    visible=EVERYONE,
    routine=one(SavedRoutine, "routine_id"),
    is_head=derived(bool, _is_head),
    summary=derived(str, lambda version, _: func.coalesce(version.change_summary, constant(""), type_=Text())),
    sent_definition=derived(dict[str, Any], lambda version, _: as_sent(version)),
)
graph(
    RoutineStepOverride,
    gate=Action.READ,
    scope="routines:read",
    visible=EVERYONE,
    routine=one(SavedRoutine, "routine_id"),
)
extend(Workspace, routines=many(SavedRoutine, "workspace_id", order_by=BY_NAME))
extend(Crew, routines=many(SavedRoutine, "author_crew_id", order_by=BY_NAME))
