"""GraphQL: crews, their members, connections, capabilities and policies."""

import strawberry

from models.staff.crews import Crew, CrewConnection, CrewMember
from resolvers.staff import crews as crew_ops
from resolvers.staff.crews import (
    avatars,
    capabilities,
    credential_gaps,
    files,
    freshness,
    git,
    images,
    members,
    parts,
    policies,
    provisioning,
    running,
    starting,
)
from schema.bridge.fields import Edge, mutation, node, output, query

output(files.FileInfo, fields={"size": float})
output(freshness.ImageStatus, fields={"reason": str})
output(members.MemberRoleUpdated, name="CrewMemberRoleUpdated")
output(capabilities.OfferedDatastore, name="CrewDatastore")
output(capabilities.OfferedTool, name="CrewTool")
output(capabilities.OfferedContainer, name="CrewContainer")
output(capabilities.OfferedIntegration, name="CrewIntegrationTools")
output(capabilities.OfferedAgent, name="CrewAgentName")
output(capabilities.OfferedCode, name="CodeRuntimes")
output(capabilities.OfferedRuntimes, name="CrewRuntimes")
output(capabilities.CrewCapabilities, fields={"routine_schema": strawberry.field(name="schema")})


@node(CrewMember)
class CrewMemberType:
    """A user in a crew. `role` raises the workspace role in this crew; with null the workspace role applies."""

    fields = "id workspace_id crew_id user_id role created_at user crew"
    user: Edge


@node(Crew)
class CrewType:
    """A team of agents and the container they work in.

    `mcpConfigJson`, `escalationConfig`, `devcontainerConfig` and `servicesJson` are JSON as text, `miseConfig` is TOML
    or JSON, each as the client sent it; all but `escalationConfig` are null below MANAGER. `cachedImage` and
    `configHash` are set by a finished build of the container's image.
    """

    fields = """
        id workspace_id name slug description color icon avatar_style crew_persona container_memory_mb container_cpus
        container_ttl_hours network_mode allowed_domains mcp_config_json escalation_config runtime_image
        devcontainer_config mise_config services_json cached_image config_hash provision_status issue_prefix
        issue_counter max_ephemeral_agents autonomy_level behavior_mode policy_set_by_user_id policy_set_at
        policy_reason created_by created_at updated_at version agent_count member_count agents members issues costs
        budgets approvals skills skill_proposals credentials integrations escalations recurring_issues missions
    """
    crew_persona = strawberry.field(name="persona")
    provision_status = strawberry.field(description="Status of the last build of the image.")
    created_by: strawberry.ID | None
    version = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")
    costs = strawberry.field(description="Entries of the last 30 days, newest first.")
    skills = strawberry.field(description="Skills that agents of the crew have.")
    skill_proposals = strawberry.field(description="Skills proposed by its agents, undecided.")
    credentials = strawberry.field(description="Credentials visible to the crew's members.")
    integrations = strawberry.field(description="MCP servers of the crew.")


@node(CrewConnection, name="CrewLink")
class CrewLinkType:
    """Permission for one crew to talk to another: `crewConnections` of the REST API.

    Deleted crews are null; their names are kept.
    """

    fields = """
        id workspace_id from_crew_id from_crew_name from_crew_slug from_crew to_crew_id to_crew_name to_crew_slug
        to_crew direction status created_at updated_at
    """


@strawberry.type
class CrewQuery:
    crews = query(crew_ops.list_crews, CrewType)
    crew = query(crew_ops.get_crew, CrewType)
    crew_by_slug = query(crew_ops.get_crew_by_slug, CrewType)
    crew_provision = query(crew_ops.get_provision_status, CrewType)
    crew_capabilities = query(crew_ops.get_capabilities)
    crew_members = query(crew_ops.list_members, CrewMemberType)
    crew_connections = query(crew_ops.list_connections, CrewLinkType)
    feature_catalog = query(parts.list_features)
    runtime_catalog = query(parts.list_runtimes)
    cache_images = query(images.list_cache_images)
    crew_policies = query(policies.list_policies, CrewType)
    crew_files = query(files.list_crew_files)
    crew_git_diff = query(git.git_diff)
    crew_policy = query(policies.get_policy, CrewType)
    crew_container_status = query(running.get_container_status)
    crew_containers = query(running.list_containers)
    crew_services = query(running.list_services)
    crew_credential_readiness = query(credential_gaps.get_credential_readiness)
    crew_image_status = query(freshness.get_image_status)


@strawberry.type
class CrewMutation:
    create_crew = mutation(crew_ops.create_crew, CrewType)
    update_crew = mutation(crew_ops.update_crew, CrewType)
    replace_crew = mutation(crew_ops.replace_crew, CrewType)
    delete_crew = mutation(crew_ops.delete_crew)
    add_crew_member = mutation(crew_ops.add_member, CrewMemberType)
    update_crew_member = mutation(crew_ops.update_member)
    remove_crew_member = mutation(crew_ops.remove_member)
    create_crew_connection = mutation(crew_ops.create_connection, CrewLinkType)
    delete_crew_connection = mutation(crew_ops.delete_connection)
    provision_crew = mutation(provisioning.provision_crew)
    rebuild_crew = mutation(provisioning.rebuild_crew)
    restart_crew_agents = mutation(provisioning.restart_agents)
    delete_cache_image = mutation(images.delete_cache_image)
    start_crew_container = mutation(starting.start_containers)
    stop_crew_container = mutation(starting.stop_containers)
    refresh_crew_image = mutation(freshness.refresh_image)
    save_crew_file = mutation(files.save_crew_file)
    delete_crew_file = mutation(files.delete_crew_file)
    apply_crew_avatar_style = mutation(avatars.apply_avatar_style)
    set_crew_policy = mutation(policies.set_policy, CrewType)
