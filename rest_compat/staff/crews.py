"""REST: crews, their members, connections and policies."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from models.people.auth import User
from models.people.workspaces import Role
from models.staff.crews import AutonomyLevel, BehaviorMode, Crew, CrewConnection, CrewMember
from resolvers.kernel.declarations.outputs import Success
from resolvers.staff import crews
from resolvers.staff.crews import (
    avatars,
    credential_gaps,
    files,
    freshness,
    git,
    images,
    parts,
    policies,
    provisioning,
    running,
    starting,
)
from resolvers.staff.crews.capabilities import CrewCapabilities
from resolvers.staff.crews.members import MemberRoleUpdated
from resolvers.staff.crews.provisioning import ProvisionStatus
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, Download, From, Null, Upload, Wire

Optional = Annotated[str | None, Absent()]


class CrewCountJSON(Wire, of=Crew):
    agents: Annotated[int, From("agent_count")]
    members: Annotated[int, From("member_count")]


class CrewFieldsJSON(Wire, of=Crew):
    """The common fields of answers with a crew."""

    fields = """
        id workspace_id name slug description color icon avatar_style container_memory_mb container_cpus
        container_ttl_hours network_mode allowed_domains mcp_config_json escalation_config runtime_image
        devcontainer_config mise_config cached_image config_hash max_ephemeral_agents created_at updated_at count
    """
    absent = "mcp_config_json escalation_config runtime_image devcontainer_config mise_config cached_image config_hash"
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
    fields = "id email full_name avatar_url"


class AddedMemberJSON(Wire, of=CrewMember):
    fields = "id crew_id user_id created_at user"
    user: MemberUserJSON


class CrewMemberJSON(AddedMemberJSON):
    role: Annotated[Role | None, Absent()]


class CrewConnectionJSON(Wire, of=CrewConnection):
    fields = """
        id workspace_id from_crew_id from_crew_name from_crew_slug to_crew_id to_crew_name to_crew_slug direction status
        created_at updated_at
    """


class ConnectionCreatedJSON(Wire, of=CrewConnection):
    id: str


class ProvisionStatusJSON(Wire, of=Crew):
    """Fields of a build are absent until one exists."""

    fields = """
        status devcontainer_config cached_image config_hash agents_pending_restart error step total message steps
        log_tail started_at completed_at
    """
    status: Annotated[ProvisionStatus, From("provision_status")]
    error: Annotated[str | None, From("build_error"), Absent()]
    step: Annotated[int | None, From("build_step"), Absent()]
    total: Annotated[int | None, From("build_total"), Absent()]
    message: Annotated[str | None, From("build_message"), Absent()]
    steps: Annotated[list[str] | None, From("build_steps"), Absent()]
    log_tail: Annotated[list[str] | None, From("build_log"), Absent()]
    started_at: Annotated[str | None, From("build_started_at"), Absent()]
    completed_at: Annotated[str | None, From("build_completed_at"), Absent()]


class PolicyJSON(Wire, of=Crew):
    """Author, time and reason are absent until the policy is set."""

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
    POST("/api/v1/crews/{crewId}/container-start", starting.start_containers, starting.ContainerStarted),
    POST("/api/v1/crews/{crewId}/container-stop", starting.stop_containers, starting.ContainerStopped),
    GET("/api/v1/crews/{crewId}/container-status", running.get_container_status, running.ContainerStatus),
    GET("/api/v1/crews/{crewId}/containers", running.list_containers, running.LiveContainers),
    GET("/api/v1/crews/{crewId}/services", running.list_services, running.LiveServices),
    GET(
        "/api/v1/crews/{crewId}/credential-readiness",
        credential_gaps.get_credential_readiness,
        credential_gaps.CredentialReadiness,
    ),
    GET("/api/v1/crews/{crewId}/image-status", freshness.get_image_status, freshness.ImageStatus),
    POST("/api/v1/crews/{crewId}/refresh-image", freshness.refresh_image, freshness.ImageRefreshed),
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
    DELETE("/api/v1/crews/{crewId}/files/delete", files.delete_crew_file, files.FileDeleted),
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
