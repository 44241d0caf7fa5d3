"""The access to projects and milestones, and their edges."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Integer, case, cast, func, null, select
from sqlmodel import col

from models.actors import ActorType
from models.people.workspaces import Workspace
from models.work.missions import Mission, MissionStatus, MissionType
from models.work.projects import Milestone, Project
from resolvers.kernel import EVERYONE, Action, actor, actor_name, constant, derived, extend, graph, many, one
from resolvers.kernel.reader import Derived

HUNDRED: Any = constant(100)
IS_ISSUE = (col(Mission.mission_type) == MissionType.issue,)
DONE = (MissionStatus.DONE, MissionStatus.COMPLETED)
IN_ORDER = (col(Milestone.position), col(Milestone.created_at))


def assigned_name(type_key: str, id_key: str) -> Derived:
    """The name of the user or agent that was chosen. Under any other type the id is a mere text: the system, which does
    things and has a name for that, cannot be chosen.
    """
    actor = actor_name(type_key, id_key)

    def named(row: Any, scope: Any) -> Any:
        chosen = row[type_key] != constant(ActorType.system)
        return case((chosen, actor.expression(row, scope)), else_=null())

    return Derived(actor.type, named, actor.parent)


class IssueCounts:
    """Numbers of the issues that name a row in `key`."""

    def __init__(self, key: str, *done: MissionStatus) -> None:
        self._key, self._done = key, done

    def _counted(self, made: Callable[[Any], Any]) -> Derived:
        def number(row: Any, scope: Any) -> Any:
            issue, own = scope.beside(Mission, row)
            kind = issue.c.mission_type == constant(MissionType.issue)
            return scope.scalar(select(made(issue)).select_from(issue).where(issue.c[self._key] == row.id, kind, *own))

        return derived(int, number)

    def _is_done(self, issue: Any) -> Any:
        return issue.c.status.in_([constant(status) for status in self._done])

    def all(self) -> Derived:
        return self._counted(lambda issue: func.count())

    def done(self) -> Derived:
        return self._counted(lambda issue: func.count().filter(self._is_done(issue)))

    def progress(self) -> Derived:
        """Per cent done, rounded down; 0 without issues."""

        def per_cent(issue: Any) -> Any:
            share = func.count().filter(self._is_done(issue)) * HUNDRED / func.nullif(func.count(), constant(0))
            return cast(func.floor(func.coalesce(share, constant(0))), Integer)

        return self._counted(per_cent)


of_project = IssueCounts("project_id", *DONE, MissionStatus.REVIEW)
of_milestone = IssueCounts("milestone_id", *DONE)

graph(
    Project,
    gate=Action.READ,
    scope="projects:read",
    visible=EVERYONE,
    lead=actor("lead_type", "lead_id"),
    lead_name=assigned_name("lead_type", "lead_id"),
    issue_count=of_project.all(),
    done_count=of_project.done(),
    progress=of_project.progress(),
    milestones=many(Milestone, "project_id", order_by=IN_ORDER),
)
graph(
    Milestone,
    gate=Action.READ,
    scope="projects:read",
    visible=EVERYONE,
    issue_count=of_milestone.all(),
    done_count=of_milestone.done(),
    project=one(Project, "project_id"),
)
extend(Workspace, projects=many(Project, "workspace_id", order_by=(col(Project.name), col(Project.id))))
