"""REST: crews, their members, connections and policies."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from models.people.auth import User
from models.people.workspaces import Role
from models.staff.crews import (
    AutonomyLevel,
    BehaviorMode,
    ConnectionDirection,
    ConnectionStatus,
    Crew,
    CrewConnection,
    CrewMember,
    NetworkMode,
)
from resolvers.kernel.declarations.outputs import Success
from resolvers.staff import crews
from resolvers.staff.crews import avatars, files, git, images, parts, policies, provisioning
from resolvers.staff.crews.capabilities import CrewCapabilities
from resolvers.staff.crews.members import MemberRoleUpdated
from resolvers.staff.crews.provisioning import ProvisionStatus
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, Download, From, Null, Upload, Wire

Optional = Annotated[str | None, Absent()]


class CrewCountJSON(Wire, of=Crew):
    agents: Annotated[int, From("agent_count")]
    members: Annotated[int, From("member_count")]


class CrewFieldsJSON(Wire, of=Crew):
    """What all answers with a crew share."""

    id: str
    workspace_id: str
    name: str
    slug: str
    description: str | None
    color: str | None
    icon: str | None
    avatar_style: str | None
    container_memory_mb: int
    container_cpus: float
    container_ttl_hours: int | None
    network_mode: NetworkMode
    allowed_domains: list[str]
    mcp_config_json: Optional
    escalation_config: Optional
    runtime_image: Optional
    devcontainer_config: Optional
    mise_config: Optional
    cached_image: Optional
    config_hash: Optional
    max_ephemeral_agents: int
    created_at: datetime
    updated_at: datetime
    count: CrewCountJSON = Field(alias="_count")


class CrewJSON(CrewFieldsJSON):
    services_json: Optional
    issue_prefix: str | None


class ListedCrewJSON(CrewFieldsJSON):
    services_json: Optional
    issue_prefix: Annotated[None, Null()]


class UpdatedCrewJSON(CrewFieldsJSON):
    issue_prefix: Annotated[None, Null()]


class MemberUserJSON(Wire, of=User):
    id: str
    email: str
    full_name: str | None
    avatar_url: str | None


class AddedMemberJSON(Wire, of=CrewMember):
    id: str
    crew_id: str
    user_id: str
    created_at: datetime
    user: MemberUserJSON


class CrewMemberJSON(AddedMemberJSON):
    role: Annotated[Role | None, Absent()]


class CrewConnectionJSON(Wire, of=CrewConnection):
    id: str
    workspace_id: str
    from_crew_id: str
    from_crew_name: str
    from_crew_slug: str
    to_crew_id: str
    to_crew_name: str
    to_crew_slug: str
    direction: ConnectionDirection
    status: ConnectionStatus
    created_at: datetime
    updated_at: datetime


class ConnectionCreatedJSON(Wire, of=CrewConnection):
    id: str


class ProvisionStatusJSON(Wire, of=Crew):
    """Fields of a build are absent until one exists."""

    status: Annotated[ProvisionStatus, From("provision_status")]
    devcontainer_config: str | None
    cached_image: str | None
    config_hash: str | None
    agents_pending_restart: int
    error: Annotated[str | None, From("build_error"), Absent()]
    step: Annotated[int | None, From("build_step"), Absent()]
    total: Annotated[int | None, From("build_total"), Absent()]
    message: Annotated[str | None, From("build_message"), Absent()]
    steps: Annotated[list[str] | None, From("build_steps"), Absent()]
    log_tail: Annotated[list[str] | None, From("build_log"), Absent()]
    started_at: Annotated[str | None, From("build_started_at"), Absent()]
    completed_at: Annotated[str | None, From("build_completed_at"), Absent()]


class PolicyJSON(Wire, of=Crew):
    """Who set the policy, when and why are absent until it is set."""

    crew_id: Annotated[str, From("id")]
    autonomy_level: AutonomyLevel
    behavior_mode: BehaviorMode
    set_by_user_id: Annotated[str | None, From("policy_set_by_user_id"), Absent()]
    set_at: Annotated[datetime | None, From("policy_set_at"), Absent()]
    reason: Annotated[str | None, From("policy_reason"), Absent()]


ROUTES = (
    GET("/api/v1/crews", crews.list_crews, list[ListedCrewJSON]),
    POST("/api/v1/crews", crews.create_crew, ListedCrewJSON, status=201),
    GET("/api/v1/crews/{crewId}", crews.get_crew, CrewJSON),
    PATCH("/api/v1/crews/{crewId}", crews.update_crew, UpdatedCrewJSON),
    PUT("/api/v1/crews/{crewId}", crews.replace_crew, UpdatedCrewJSON),
    DELETE("/api/v1/crews/{crewId}", crews.delete_crew, Success),
    GET("/api/v1/crews/{crewId}/capabilities", crews.get_capabilities, CrewCapabilities),
    GET("/api/v1/crews/{crewId}/provision", crews.get_provision_status, ProvisionStatusJSON),
    POST("/api/v1/crews/{crewId}/provision", provisioning.provision_crew, provisioning.ProvisionStarted, status=202),
    POST("/api/v1/crews/{crewId}/rebuild", provisioning.rebuild_crew, provisioning.ProvisionStarted, status=202),
    POST("/api/v1/crews/{crewId}/restart-agents", provisioning.restart_agents, provisioning.Restarted),
    GET("/api/v1/cache/images", images.list_cache_images, images.CacheImages),
    DELETE("/api/v1/cache/images/{tag}", images.delete_cache_image, images.CacheDeleted),
    GET("/api/v1/crews/{crewId}/members", crews.list_members, list[CrewMemberJSON]),
    POST("/api/v1/crews/{crewId}/members", crews.add_member, AddedMemberJSON, status=201),
    PATCH("/api/v1/crews/{crewId}/members/{memberId}", crews.update_member, MemberRoleUpdated),
    DELETE("/api/v1/crews/{crewId}/members/{memberId}", crews.remove_member, Success),
    GET("/api/v1/crews/{crewId}/files", files.list_crew_files, list[files.FileInfo]),
    GET("/api/v1/crews/{crewId}/files/download", files.download_crew_file, gives=Download()),
    PUT(
        "/api/v1/crews/{crewId}/files/save",
        files.save_crew_file,
        files.FileSaved,
        body=Upload(files.MOST, instead_of="content"),
    ),
    GET("/api/v1/crews/{crewId}/git-diff", git.git_diff, git.GitDiff),
    GET("/api/v1/policies", policies.list_policies, list[PolicyJSON]),
    GET("/api/v1/crews/{crewId}/policy", policies.get_policy, PolicyJSON),
    PUT("/api/v1/crews/{crewId}/policy", policies.set_policy, PolicyJSON),
    POST("/api/v1/crews/{crewId}/apply-avatar-style", avatars.apply_avatar_style, avatars.AvatarsChanged),
    GET("/api/v1/features/catalog", parts.list_features, parts.FeatureCatalog),
    GET("/api/v1/runtimes/catalog", parts.list_runtimes, parts.RuntimeCatalog),
    GET("/api/v1/crew-connections", crews.list_connections, list[CrewConnectionJSON]),
    POST("/api/v1/crew-connections", crews.create_connection, ConnectionCreatedJSON, status=201),
    DELETE("/api/v1/crew-connections/{connectionId}", crews.delete_connection, status=204),
)
