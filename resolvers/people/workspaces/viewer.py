"""The caller, and the way from a person to the workspaces that person belongs to: there is no other."""

from typing import Any

from sqlalchemy import and_, select
from sqlmodel import col

from models.base import table_of
from models.people.auth import User
from models.people.workspaces import Membership, Workspace
from resolvers.kernel import GRAPHQL_ONLY, Action, NoInput, QueryScope, Row, Tenancy, View, extend, many, query
from resolvers.kernel.ground.scopes import OPEN
from resolvers.people.workspaces.workspaces import accepted_by, workspaces_of


class Viewer(View):
    """The user behind the credential."""

    id: str
    email: str
    full_name: str | None
    avatar_url: str | None


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
    caller = select(users.c.id, users.c.email, users.c.full_name, users.c.avatar_url).where(users.c.id == scope.user_id)
    return scope.view(Viewer, caller).one("User not found")
