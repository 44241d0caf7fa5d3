"""REST: workspaces, their members, capabilities and invitations."""

from typing import Annotated

from pydantic import Field

from models.people.auth import User
from models.people.workspaces import Invitation, Membership, Role, Workspace
from resolvers.kernel.declarations.outputs import Success
from resolvers.people import workspaces
from resolvers.staff.crews import workspace_deletion
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, Fixed, From, Wire

WORKSPACE = "/api/v1/workspaces/{workspaceId}"


class WorkspaceCountsJSON(Wire, of=Workspace):
    crews: Annotated[int, From("crew_count")]
    agents: Annotated[int, From("agent_count")]
    members: Annotated[int, From("member_count")]


class WorkspaceJSON(Wire, of=Workspace):
    fields = """
        id name slug logo_url preferred_language created_at updated_at allow_privileged_credentials run_retention_days
        credential_audit_retention_days audit_log_retention_days counts
    """
    counts: WorkspaceCountsJSON = Field(alias="_count")


class CountedWorkspaceJSON(WorkspaceJSON, of=Workspace):
    crew_count: Annotated[int | None, Absent(zero=True)] = Field(default=None, alias="_count_crews")
    agent_count: Annotated[int | None, Absent(zero=True)] = Field(default=None, alias="_count_agents")
    member_count: Annotated[int | None, Absent(zero=True)] = Field(default=None, alias="_count_members")


class OwnWorkspaceJSON(CountedWorkspaceJSON, of=Workspace):
    current_user_role: Role = Field(alias="currentUserRole")
    current_user_capabilities: Annotated[list[str] | None, Absent()] = Field(
        default=None, alias="currentUserCapabilities"
    )


class UserJSON(Wire, of=User):
    fields = "id email full_name avatar_url"


class MemberJSON(Wire, of=Membership):
    fields = "id workspace_id user_id role created_at updated_at"


class ListedMemberJSON(MemberJSON, of=Membership):
    """`email` and `full_name` are repeated at the top level, for command-line clients."""

    user: UserJSON
    email: str
    full_name: str | None


class ChangedRoleJSON(Wire, of=Membership):
    fields = "status member_id role"
    status: Annotated[str, Fixed('"updated"')]
    member_id: Annotated[str, From("id")]


class InviterJSON(Wire, of=User):
    fields = "id email full_name"


class InvitationJSON(Wire, of=Invitation):
    fields = "id workspace_id email role invited_by token expires_at accepted_at created_at inviter"
    token: Annotated[str, From("shown_token")]
    inviter: InviterJSON


ROUTES = (
    GET("/api/v1/workspaces", workspaces.list_workspaces, list[OwnWorkspaceJSON]),
    POST("/api/v1/workspaces", workspaces.create_workspace, WorkspaceJSON, status=201),
    GET(WORKSPACE, workspaces.get_workspace, OwnWorkspaceJSON),
    PATCH(WORKSPACE, workspaces.update_workspace, CountedWorkspaceJSON),
    DELETE(WORKSPACE, workspace_deletion.delete_workspace, Success, with_body=True),
    GET(WORKSPACE + "/members", workspaces.list_members, list[ListedMemberJSON]),
    POST(WORKSPACE + "/members", workspaces.add_member, MemberJSON, status=201),
    POST(WORKSPACE + "/members/provision", workspaces.provision_member, workspaces.Provisioned, status=201),
    POST(WORKSPACE + "/members/accept", workspaces.accept_membership, MemberJSON),
    PATCH(WORKSPACE + "/members/{memberId}", workspaces.update_member_role, ChangedRoleJSON),
    DELETE(WORKSPACE + "/members/{memberId}", workspaces.remove_member, Success),
    GET(
        WORKSPACE + "/members/capabilities",
        workspaces.list_member_capabilities,
        list[workspaces.MemberCapabilities],
        envelope="members",
    ),
    GET(
        WORKSPACE + "/members/{memberId}/capabilities",
        workspaces.get_member_capabilities,
        workspaces.MemberCapabilities,
    ),
    PATCH(
        WORKSPACE + "/members/{memberId}/capabilities",
        workspaces.update_member_capabilities,
        workspaces.MemberCapabilities,
        body_limit=16 * 1024,
    ),
    GET(WORKSPACE + "/invitations", workspaces.list_invitations, list[InvitationJSON]),
    POST(WORKSPACE + "/invitations", workspaces.create_invitation, InvitationJSON, status=201),
    DELETE(WORKSPACE + "/invitations/{invitationId}", workspaces.delete_invitation, status=204),
    POST("/api/v1/auth/invitations/accept", workspaces.accept_invitation, workspaces.JoinedWorkspace),
    POST("/api/v1/auth/invitations/signup", workspaces.sign_up_invited, workspaces.InvitedAccount, status=201),
)
