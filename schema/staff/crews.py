"""GraphQL: crews, their members, connections, capabilities and policies."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

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
from resolvers.staff import crews as crew_ops
from resolvers.staff.crews import avatars, capabilities, files, git, images, members, parts, policies, provisioning
from resolvers.staff.crews.git import GitDiffStatus
from resolvers.staff.crews.provisioning import ProvisionStatus
from schema.bridge.fields import Edge, Edges, mutation, node, output, query
from schema.bridge.results import DeletedType, FileInfoType, FileSavedType, SuccessType


@node(CrewMember)
class CrewMemberType:
    """A user in a crew. `role` raises the workspace role in this crew; with null the workspace role applies."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID
    user_id: strawberry.ID
    role: Role | None
    created_at: datetime
    user: Edge
    crew: Edge | None


@node(Crew)
class CrewType:
    """A team of agents and the container they work in.

    `mcpConfigJson`, `escalationConfig`, `devcontainerConfig` and `servicesJson` are JSON as text, `miseConfig` is TOML
    or JSON, each as the client sent it; all but `escalationConfig` are null below MANAGER. `cachedImage` and
    `configHash` are set by a finished build of the container's image.
    """

    id: strawberry.ID
    workspace_id: strawberry.ID
    name: str
    slug: str
    description: str | None
    color: str | None
    icon: str | None
    avatar_style: str | None
    crew_persona: Edge | None = strawberry.field(name="persona")
    container_memory_mb: int
    container_cpus: float
    container_ttl_hours: int | None
    network_mode: NetworkMode
    allowed_domains: list[str]
    mcp_config_json: str | None
    escalation_config: str | None
    runtime_image: str | None
    devcontainer_config: str | None
    mise_config: str | None
    services_json: str | None
    cached_image: str | None
    config_hash: str | None
    provision_status: ProvisionStatus = strawberry.field(description="Status of the last build of the image.")
    issue_prefix: str | None
    issue_counter: int
    max_ephemeral_agents: int
    autonomy_level: AutonomyLevel
    behavior_mode: BehaviorMode
    policy_set_by_user_id: strawberry.ID | None
    policy_set_at: datetime | None
    policy_reason: str | None
    created_by: strawberry.ID | None
    created_at: datetime
    updated_at: datetime
    version: int = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")
    agent_count: int
    member_count: int
    agents: Edges
    members: Edges
    issues: Edges
    costs: Edges = strawberry.field(description="Of the last 30 days, newest first.")
    budgets: Edges
    approvals: Edges
    skills: Edges = strawberry.field(description="Skills that agents of the crew have.")
    skill_proposals: Edges = strawberry.field(description="Skills that its agents have written, undecided.")
    credentials: Edges = strawberry.field(description="Those that the members of the crew see.")
    integrations: Edges = strawberry.field(description="MCP servers of the crew.")
    escalations: Edges
    recurring_issues: Edges
    missions: Edges


@node(CrewConnection, name="CrewLink")
class CrewLinkType:
    """Permission for one crew to talk to another: `crewConnections` of the REST API.

    Deleted crews are null; their names are kept.
    """

    id: strawberry.ID
    workspace_id: strawberry.ID
    from_crew_id: strawberry.ID
    from_crew_name: str
    from_crew_slug: str
    from_crew: Edge | None
    to_crew_id: strawberry.ID
    to_crew_name: str
    to_crew_slug: str
    to_crew: Edge | None
    direction: ConnectionDirection
    status: ConnectionStatus
    created_at: datetime
    updated_at: datetime


@output(members.MemberRoleUpdated, name="CrewMemberRoleUpdated")
class MemberRoleUpdatedType:
    """`role` is empty if the workspace role applies again."""

    status: str
    role: str


@output(capabilities.OfferedDatastore, name="CrewDatastore")
class OfferedDatastoreType:
    """A database next to the crew's container. `host` is the service name; `port` is empty if none is declared."""

    type: str
    name: str
    host: str
    port: str


@output(capabilities.OfferedTool, name="CrewTool")
class OfferedToolType:
    """A command on the PATH of the container."""

    type: str
    name: str


@output(capabilities.OfferedContainer, name="CrewContainer")
class OfferedContainerType:
    """Datastores in the order of services_json; tools by name."""

    datastores: list[OfferedDatastoreType]
    tools: list[OfferedToolType]


@output(capabilities.OfferedIntegration, name="CrewIntegrationTools")
class OfferedIntegrationType:
    """An enabled MCP server and its enabled tools, by name."""

    id: strawberry.ID
    name: str
    display_name: str | None
    tools: list[str]


@output(capabilities.OfferedAgent, name="CrewAgentName")
class OfferedAgentType:
    """An agent that a routine can refer to."""

    slug: str
    name: str


@output(capabilities.OfferedCode, name="CodeRuntimes")
class OfferedCodeType:
    """Languages of code steps: evaluated ones, and ones reserved but not run yet."""

    wired: list[str]
    reserved_unwired: list[str]


@output(capabilities.OfferedRuntimes, name="CrewRuntimes")
class OfferedRuntimesType:
    """`scriptInterpreters` is an object that maps a file suffix to a command."""

    code: OfferedCodeType
    script_interpreters: JSON


@output(capabilities.CrewCapabilities)
class CrewCapabilitiesType:
    """What a crew's container, integrations and agents offer, and the JSON Schema of routines."""

    crew_id: strawberry.ID
    crew_slug: str
    container: OfferedContainerType
    integrations: list[OfferedIntegrationType]
    agents: list[OfferedAgentType]
    runtimes: OfferedRuntimesType
    routine_schema: JSON = strawberry.field(name="schema")


@output(provisioning.ProvisionStarted)
class ProvisionStartedType:
    """A build of an image has begun."""

    status: str
    message: str


@output(provisioning.Restarted)
class RestartedType:
    """How many agents of the crew begin their next run in a new container."""

    restarted: int


@output(images.CacheImage)
class CacheImageType:
    """`createdAt` is in Unix seconds; `referencedBy` are slugs of crews of the workspace."""

    tag: str
    size: int
    created_at: int
    referenced_by: list[str]


@output(images.CacheImages)
class CacheImagesType:
    """Images that were built for crews."""

    images: list[CacheImageType]


@output(images.CacheDeleted)
class CacheDeletedType:
    """An image that was deleted."""

    tag: str
    status: str


@output(avatars.AvatarsChanged)
class AvatarsChangedType:
    updated: int
    style: str | None
    reset: bool | None


@output(parts.CatalogFeature)
class CatalogFeatureType:
    ref: str
    name: str
    description: str
    category: parts.CatalogCategory
    icon: str
    size_hint: str
    publisher: str
    tier: parts.PublisherTier


@output(parts.CatalogRuntime)
class CatalogRuntimeType:
    name: str
    tool: str
    description: str | None
    category: parts.CatalogCategory
    icon: str
    versions: list[str] | None
    default_version: str | None


@output(parts.FeatureCatalog)
class FeatureCatalogType:
    features: list[CatalogFeatureType]


@output(parts.RuntimeCatalog)
class RuntimeCatalogType:
    runtimes: list[CatalogRuntimeType]


@output(git.GitChangedFile)
class GitChangedFileType:
    """A file that differs, with the numbers of changed lines; both are 0 for a binary file."""

    path: str
    status: GitDiffStatus
    additions: int
    deletions: int


@output(git.GitDiff)
class GitDiffType:
    """`diff` is a patch, cut off at 256 KiB: `truncated` then. Without a repository there is nothing but `isRepo`, and
    `error` where that could not be known.
    """

    is_repo: bool
    files: list[GitChangedFileType] | None
    diff: str | None
    truncated: bool | None
    error: str | None


@strawberry.type
class CrewQuery:
    crews = query(crew_ops.list_crews, CrewType)
    crew = query(crew_ops.get_crew, CrewType)
    crew_provision = query(crew_ops.get_provision_status, CrewType)
    crew_capabilities = query(crew_ops.get_capabilities, CrewCapabilitiesType)
    crew_members = query(crew_ops.list_members, CrewMemberType)
    crew_connections = query(crew_ops.list_connections, CrewLinkType)
    feature_catalog = query(parts.list_features, FeatureCatalogType)
    runtime_catalog = query(parts.list_runtimes, RuntimeCatalogType)
    cache_images = query(images.list_cache_images, CacheImagesType)
    crew_policies = query(policies.list_policies, CrewType)
    crew_files = query(files.list_crew_files, FileInfoType)
    crew_git_diff = query(git.git_diff, GitDiffType)
    crew_policy = query(policies.get_policy, CrewType)


@strawberry.type
class CrewMutation:
    create_crew = mutation(crew_ops.create_crew, CrewType)
    update_crew = mutation(crew_ops.update_crew, CrewType)
    replace_crew = mutation(crew_ops.replace_crew, CrewType)
    delete_crew = mutation(crew_ops.delete_crew, SuccessType)
    add_crew_member = mutation(crew_ops.add_member, CrewMemberType)
    update_crew_member = mutation(crew_ops.update_member, MemberRoleUpdatedType)
    remove_crew_member = mutation(crew_ops.remove_member, SuccessType)
    create_crew_connection = mutation(crew_ops.create_connection, CrewLinkType)
    delete_crew_connection = mutation(crew_ops.delete_connection, DeletedType)
    provision_crew = mutation(provisioning.provision_crew, ProvisionStartedType)
    rebuild_crew = mutation(provisioning.rebuild_crew, ProvisionStartedType)
    restart_crew_agents = mutation(provisioning.restart_agents, RestartedType)
    delete_cache_image = mutation(images.delete_cache_image, CacheDeletedType)
    save_crew_file = mutation(files.save_crew_file, FileSavedType)
    apply_crew_avatar_style = mutation(avatars.apply_avatar_style, AvatarsChangedType)
    set_crew_policy = mutation(policies.set_policy, CrewType)
