"""The caller, and the way from a person to the workspaces that person belongs to: there is no other."""

from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select
from sqlmodel import col

from models.base import alias_of, table_of
from models.people.auth import User
from models.people.workspaces import Membership, Workspace
from resolvers.kernel import (
    GRAPHQL_ONLY,
    NOW,
    Action,
    Context,
    NoInput,
    Output,
    QueryScope,
    Row,
    Tenancy,
    View,
    command,
    extend,
    many,
    people_only,
    query,
)
from resolvers.kernel.ground.scopes import OPEN
from resolvers.people.workspaces.workspaces import accepted_by, workspaces_of


class Viewer(View):
    """The user behind the credential."""

    id: str
    email: str
    full_name: str | None
    avatar_url: str | None
    last_seen_at: datetime | None


class Visit(Output):
    """The time of this visit, and of the one before; null for the first one."""

    seen_at: datetime
    last_seen_at: datetime | None


def _belongs(viewer: Any, workspace: Any) -> Any:
    return workspace.id.in_(workspaces_of(viewer.id).correlate(viewer.id.table))


def _of_live_workspace(viewer: Any, member: Any) -> Any:
    workspaces = table_of(Workspace)
    live = select(workspaces.c.id).where(workspaces.c.deleted_at.is_(None))
    return and_(member.user_id == viewer.id, member.workspace_id.in_(live))


def _accepted_first(viewer: Any, scope: Any) -> tuple[Any, ...]:
    return (col(Workspace.id).in_(accepted_by(viewer.id).correlate(viewer.id.table)).desc(),)


extend(
    Viewer,
    workspaces=many(Workspace, on=_belongs, order_by=col(Workspace.created_at).desc(), ahead=_accepted_first),
    memberships=many(
        Membership,
        on=_of_live_workspace,
        order_by=col(Membership.created_at).desc(),
        ahead=lambda viewer, scope: (col(Membership.accepted_at).is_not(None).desc(),),
    ),
)


@query("viewer.get", Action.SELF, tenancy=Tenancy.NONE, surfaces=GRAPHQL_ONLY, tickets=True, scopes=OPEN)
def get_viewer(scope: QueryScope, data: NoInput) -> Row[Viewer]:
    """Get the caller.

    Includes the caller's workspaces, newest first; memberships that the caller has not accepted come last.
    """
    users = table_of(User)
    own = alias_of(Membership)
    seen = select(func.max(own.c.seen_at)).where(own.c.user_id == users.c.id).correlate(users).scalar_subquery()
    shown = [users.c[name] for name in ("id", "email", "full_name", "avatar_url")]
    caller = select(*shown, seen.label("last_seen_at")).where(users.c.id == scope.user_id)
    return scope.view(Viewer, caller).one("User not found")


@command("viewer.mark_seen", Action.SELF, allow=people_only, surfaces=GRAPHQL_ONLY, scopes=None)
async def mark_seen(ctx: Context, data: NoInput) -> Visit:
    """Record a visit to the workspace.

    Returns the time of the caller's visit before: what is newer, the caller has not seen.
    """
    member = await ctx.select(Membership, col(Membership.user_id) == ctx.user_id).locked().one()
    before = member.seen_at
    seen = await ctx.update(Membership, member.id, seen_at=NOW)
    return Visit(seen_at=seen.seen_at, last_seen_at=before)
