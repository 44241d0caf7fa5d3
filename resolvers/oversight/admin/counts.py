"""An owner's view of the workspace: counts, members, and the workspace itself."""

from datetime import datetime
from typing import Any

from sqlalchemy import case, func, null, select

from models.base import table_of
from models.people.auth import User
from models.people.workspaces import Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from resolvers.kernel import Action, NoInput, QueryScope, Row, Rows, View, constant, extend, one, query

USERS = table_of(User)
RUNNING: Any = constant(RunStatus.RUNNING)
ONE: Any = constant(1)


class AdminStats(View):
    """Counters of the workspace. `users` are its members, `agents` and `crews` those that are not deleted; `running`
    are runs that have not ended.
    """

    workspaces: int
    users: int
    agents: int
    crews: int
    running: int


class AdminUser(View):
    """A member of the workspace, with the account. `created_at` is when the account was created."""

    id: str
    user_id: str
    email: str
    full_name: str | None
    avatar_url: str | None
    created_at: datetime
    role: Role
    workspace_id: str


class AdminWorkspace(View):
    """The workspace, with the numbers of its members, agents and crews."""

    id: str
    name: str
    slug: str
    created_at: datetime
    updated_at: datetime
    member_count: int
    agent_count: int
    crew_count: int


extend(AdminUser, workspace=one(Workspace, "workspace_id"))


@query("admin.stats", Action.OWNER, tickets=False)
def admin_stats(scope: QueryScope, data: NoInput) -> Row[AdminStats]:
    """Get counters of the workspace.

    Counts its members, agents, crews and runs.
    """

    def number(table: Any, *conditions: Any) -> Any:
        return scope.scalar(select(func.count()).select_from(table).where(*conditions))

    members, agents, crews, runs = (scope.table(model) for model in (Membership, Agent, Crew, Run))
    counters = {
        "users": number(members),
        "agents": number(agents),
        "crews": number(crews),
        "running": number(runs, runs.c.status == RUNNING),
    }
    counted = select(ONE.label("workspaces"), *[column.label(name) for name, column in counters.items()])
    return scope.view(AdminStats, counted).one("Workspace not found")


@query("admin.users", Action.OWNER, tickets=False)
def admin_users(scope: QueryScope, data: NoInput) -> Rows[AdminUser]:
    """List users of the workspace.

    Lists the members, the newest accounts first. For a member who has not accepted the membership, the email is omitted
    and the time is that of the membership.
    """
    member = scope.table(Membership)
    known = member.c.accepted_at.is_not(None)
    account = [
        USERS.c.id,
        USERS.c.id.label("user_id"),
        case((known, USERS.c.email), else_=constant("")).label("email"),
        USERS.c.full_name,
        case((known, USERS.c.avatar_url), else_=null()).label("avatar_url"),
        case((known, USERS.c.created_at), else_=member.c.created_at).label("created_at"),
    ]
    members = select(*account, member.c.role, member.c.workspace_id).join(member, member.c.user_id == USERS.c.id)
    return scope.view(AdminUser, members).order_by("-created_at", "id")


@query("admin.workspaces", Action.OWNER, tickets=False)
def admin_workspaces(scope: QueryScope, data: NoInput) -> Rows[AdminWorkspace]:
    """List workspaces to administer.

    Returns only the current workspace, with its counters.
    """
    workspace, counted = table_of(Workspace), {}
    for name, model in (("member_count", Membership), ("agent_count", Agent), ("crew_count", Crew)):
        rows = scope.table(model)
        counted[name] = scope.scalar(select(func.count()).select_from(rows)).label(name)
    columns = [workspace.c[name] for name in ("id", "name", "slug", "created_at", "updated_at")]
    current = select(*columns, *counted.values()).where(workspace.c.id == scope.workspace_id)
    return scope.view(AdminWorkspace, current).order_by("id")
