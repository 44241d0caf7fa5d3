"""GraphQL: the viewer, workspaces, their members, capabilities and invitations."""

from datetime import datetime

import strawberry

from models.people.auth import User
from models.people.workspaces import Invitation, Membership, Role, Workspace
from resolvers.people import workspaces as workspace_ops
from schema.bridge.fields import Edge, Edges, mutation, node, output, query
from schema.bridge.results import SuccessType


@node(User)
class UserType:
    """A user with an account."""

    id: strawberry.ID
    email: str
    full_name: str | None
    avatar_url: str | None


@node(Membership, name="Member")
class MemberType:
    """A user in a workspace."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    user_id: strawberry.ID
    role: Role
    accepted_at: datetime | None = strawberry.field(
        description="When the user accepted the membership; null until they do."
    )
    created_at: datetime
    updated_at: datetime
    user: Edge
    workspace: Edge


@node(Invitation)
class InvitationType:
    """An offer of membership that is not accepted yet. `token` is empty for members who cannot invite."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    email: str
    role: Role
    invited_by: strawberry.ID
    shown_token: str = strawberry.field(name="token")
    expires_at: datetime
    accepted_at: datetime | None
    created_at: datetime
    inviter: Edge


@node(Workspace)
class WorkspaceType:
    """A tenant, which everything else belongs to. `currentUserRole` is the role of the caller in it."""

    id: strawberry.ID
    name: str
    slug: str
    logo_url: str | None
    preferred_language: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    current_user_role: Role | None
    crew_count: int
    agent_count: int
    member_count: int
    members: Edges
    invitations: Edges
    labels: Edges
    crews: Edges
    agents: Edges
    chats: Edges
    runs: Edges
    inbox_items: Edges
    costs: Edges = strawberry.field(description="Of the last 30 days, newest first.")
    budgets: Edges = strawberry.field(description="All of the workspace.")
    issues: Edges
    missions: Edges
    projects: Edges
    saved_views: Edges
    recurring_issues: Edges
    triage_rules: Edges
    workflow_templates: Edges
    integrations: Edges = strawberry.field(description="MCP servers of the whole workspace.")
    approvals: Edges


@node(workspace_ops.Viewer)
class ViewerType:
    """The caller, with their own workspaces."""

    id: strawberry.ID
    email: str
    full_name: str | None
    avatar_url: str | None
    workspaces: Edges
    memberships: Edges


@output(workspace_ops.MemberCapabilities)
class MemberCapabilitiesType:
    """Capabilities of a member by name, such as `issue.create`, including the default of the role."""

    user_id: strawberry.ID
    role: Role
    capabilities: list[str]


@output(workspace_ops.JoinedWorkspace)
class JoinedWorkspaceType:
    workspace_id: strawberry.ID
    workspace_slug: str
    workspace_name: str
    role: Role


@output(workspace_ops.InvitedAccount)
class InvitedAccountType:
    id: strawberry.ID
    email: str
    workspace_id: strawberry.ID
    workspace_slug: str
    workspace_name: str
    role: Role


@strawberry.type
class WorkspaceQuery:
    viewer = query(workspace_ops.get_viewer, ViewerType)
    workspaces = query(workspace_ops.list_workspaces, WorkspaceType)
    workspace = query(workspace_ops.get_workspace, WorkspaceType, places=("id", "slug"))
    members = query(workspace_ops.list_members, MemberType)
    members_capabilities = query(workspace_ops.list_member_capabilities, MemberCapabilitiesType)
    member_capabilities = query(workspace_ops.get_member_capabilities, MemberCapabilitiesType)
    invitations = query(workspace_ops.list_invitations, InvitationType)


@strawberry.type
class WorkspaceMutation:
    create_workspace = mutation(workspace_ops.create_workspace, WorkspaceType)
    update_workspace = mutation(workspace_ops.update_workspace, WorkspaceType)
    add_member = mutation(workspace_ops.add_member, MemberType)
    remove_member = mutation(workspace_ops.remove_member, SuccessType)
    update_member_capabilities = mutation(workspace_ops.update_member_capabilities, MemberCapabilitiesType)
    create_invitation = mutation(workspace_ops.create_invitation, InvitationType)
    delete_invitation = mutation(workspace_ops.delete_invitation, SuccessType)
    accept_membership = mutation(workspace_ops.accept_membership, MemberType)
    accept_invitation = mutation(workspace_ops.accept_invitation, JoinedWorkspaceType)
    signup_by_invitation = mutation(workspace_ops.sign_up_invited, InvitedAccountType)
