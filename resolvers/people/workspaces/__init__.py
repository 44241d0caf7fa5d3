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
    CreateInvitation,
    create_invitation,
    delete_invitation,
    list_invitations,
)
from resolvers.people.workspaces.member_capabilities import (
    MemberCapabilities,
    UpdateMemberCapabilities,
    get_member_capabilities,
    list_member_capabilities,
    update_member_capabilities,
)
from resolvers.people.workspaces.members import (
    AddMember,
    AssignableRole,
    add_member,
    assigned,
    list_members,
    remove_member,
)
from resolvers.people.workspaces.viewer import Viewer, get_viewer
from resolvers.people.workspaces.workspaces import (
    CreateWorkspace,
    UpdateWorkspace,
    create_workspace,
    get_workspace,
    list_workspaces,
    update_workspace,
)

DOMAIN = Domain("workspaces", scopes="workspace")

__all__ = [
    "AddMember",
    "AssignableRole",
    "CreateInvitation",
    "CreateWorkspace",
    "InvitedAccount",
    "JoinedWorkspace",
    "MemberCapabilities",
    "UpdateMemberCapabilities",
    "UpdateWorkspace",
    "Viewer",
    "accept_invitation",
    "accept_membership",
    "add_member",
    "assigned",
    "create_invitation",
    "create_workspace",
    "delete_invitation",
    "get_member_capabilities",
    "get_viewer",
    "get_workspace",
    "list_invitations",
    "list_member_capabilities",
    "list_members",
    "list_workspaces",
    "remove_member",
    "sign_up_invited",
    "update_member_capabilities",
    "update_workspace",
]
