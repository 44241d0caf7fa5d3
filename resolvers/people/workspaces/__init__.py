"""Workspaces, their members and what these may do, invitations, and the caller's own view."""

from resolvers.kernel import Domain
from resolvers.people.workspaces.acceptance import (
    InvitedAccount,
    JoinedWorkspace,
    accept_invitation,
    accept_membership,
    sign_up_invited,
)
from resolvers.people.workspaces.invitations import (
    create_invitation,
    delete_invitation,
    find_invitations,
    list_invitations,
)
from resolvers.people.workspaces.member_capabilities import (
    MemberCapabilities,
    get_member_capabilities,
    list_member_capabilities,
    update_member_capabilities,
)
from resolvers.people.workspaces.members import (
    AssignableRole,
    add_member,
    assigned,
    find_members,
    list_members,
    remove_member,
    update_member_role,
)
from resolvers.people.workspaces.provisioning import Provisioned, provision_member
from resolvers.people.workspaces.rights import get_viewer_capabilities, list_viewer_operations
from resolvers.people.workspaces.viewer import Viewer, get_viewer, mark_seen
from resolvers.people.workspaces.workspaces import create_workspace, get_workspace, list_workspaces, update_workspace

DOMAIN = Domain("workspaces", scopes="workspace")
