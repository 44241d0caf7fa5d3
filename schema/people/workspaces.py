"""GraphQL: the viewer, workspaces, their members, capabilities and invitations."""

import strawberry

from models.people.auth import User
from models.people.workspaces import Invitation, Membership, Workspace
from resolvers.people import workspaces as workspace_ops
from resolvers.staff.crews import workspace_deletion
from schema.bridge.fields import Edge, acts, mutation, node, query


@node(User)
class UserType:
    """A user with an account."""

    fields = "id email full_name avatar_url"


@node(Membership, name="Member")
class MemberType:
    """A user in a workspace."""

    fields = "id workspace_id user_id role accepted_at created_at updated_at user workspace viewer_can"
    viewer_can = acts()
    accepted_at = strawberry.field(description="When the user accepted the membership; null until they do.")
    user: Edge
    workspace: Edge


@node(Invitation)
class InvitationType:
    """An offer of membership that is not accepted yet. `token` is empty for members who cannot invite."""

    fields = "id workspace_id email role invited_by shown_token expires_at accepted_at created_at inviter"
    invited_by: strawberry.ID
    shown_token = strawberry.field(name="token")
    inviter: Edge


@node(Workspace)
class WorkspaceType:
    """A tenant that owns all other objects. `currentUserRole` is the caller's role in it."""

    fields = """
        id name slug logo_url preferred_language version created_at updated_at last_seen_at current_user_role
        current_user_capabilities allow_privileged_credentials run_retention_days credential_audit_retention_days
        audit_log_retention_days crew_count
        agent_count member_count members invitations labels crews agents chats runs inbox_items costs budgets issues
        missions projects saved_views recurring_issues triage_rules workflow_templates integrations approvals
    """
    last_seen_at = strawberry.field(description="When the caller last called `markSeen` here.")
    current_user_capabilities = strawberry.field(
        description="The caller's capabilities here, sorted by name; null without a membership."
    )
    allow_privileged_credentials = strawberry.field(description="True if crews may ask for privileged containers.")
    run_retention_days = strawberry.field(description="Days that ended runs are kept; null is the default.")
    credential_audit_retention_days = strawberry.field(
        description="Days that timelines of credentials are kept; null is the default, 0 is forever."
    )
    audit_log_retention_days = strawberry.field(
        description="Days that the audit log is kept, at least 90; null is the default, 0 is forever."
    )
    costs = strawberry.field(description="Entries of the last 30 days, newest first.")
    budgets = strawberry.field(description="All in the workspace.")
    integrations = strawberry.field(description="MCP servers of the whole workspace.")


@node(workspace_ops.Viewer)
class ViewerType:
    """The caller, with their own workspaces."""

    fields = "id email full_name avatar_url last_seen_at workspaces memberships"
    last_seen_at = strawberry.field(description="When the caller last called `markSeen`, in any workspace.")


@strawberry.type
class WorkspaceQuery:
    viewer = query(workspace_ops.get_viewer, ViewerType)
    viewer_operations = query(workspace_ops.list_viewer_operations)
    viewer_capabilities = query(workspace_ops.get_viewer_capabilities)
    workspaces = query(workspace_ops.list_workspaces, WorkspaceType)
    workspace = query(workspace_ops.get_workspace, WorkspaceType, places=("id", "slug"))
    members = query(workspace_ops.list_members, MemberType)
    find_members = query(workspace_ops.find_members, MemberType)
    members_capabilities = query(workspace_ops.list_member_capabilities)
    member_capabilities = query(workspace_ops.get_member_capabilities)
    invitations = query(workspace_ops.list_invitations, InvitationType)
    find_invitations = query(workspace_ops.find_invitations, InvitationType)


@strawberry.type
class WorkspaceMutation:
    mark_seen = mutation(workspace_ops.mark_seen)
    create_workspace = mutation(workspace_ops.create_workspace, WorkspaceType)
    update_workspace = mutation(workspace_ops.update_workspace, WorkspaceType)
    delete_workspace = mutation(workspace_deletion.delete_workspace)
    restore_workspace = mutation(workspace_deletion.restore_workspace, WorkspaceType)
    add_member = mutation(workspace_ops.add_member, MemberType)
    provision_member = mutation(workspace_ops.provision_member)
    update_member_role = mutation(workspace_ops.update_member_role, MemberType)
    remove_member = mutation(workspace_ops.remove_member)
    update_member_capabilities = mutation(workspace_ops.update_member_capabilities)
    create_invitation = mutation(workspace_ops.create_invitation, InvitationType)
    delete_invitation = mutation(workspace_ops.delete_invitation)
    accept_membership = mutation(workspace_ops.accept_membership, MemberType)
    accept_invitation = mutation(workspace_ops.accept_invitation)
    signup_by_invitation = mutation(workspace_ops.sign_up_invited)
