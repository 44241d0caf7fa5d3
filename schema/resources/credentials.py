"""GraphQL: credentials of a workspace. Only the answer of `revealCredential` contains a value."""

import strawberry

from models.resources.credential_bindings import CredentialBinding, CredentialField
from models.resources.credentials import AgentCredential, Credential, CredentialEvent, CredentialRotation
from resolvers.resources import credentials as credential_ops
from schema.bridge.fields import mutation, node, output, query

output(
    credential_ops.RotationEnded,
    name="CredentialRotationEnded",
    fields={"message": ("The rotation had already ended.")},
)
output(
    credential_ops.TestResult,
    name="CredentialTest",
    fields={
        "status": "The provider's status code; 0 if no provider was asked or answered.",
        "supported": "False if no check exists.",
    },
)


@node(Credential, name="Credential")
class CredentialNode:
    """A secret for agents. Its value can be written, and read by `revealCredential` only."""

    fields = """
        id workspace_id name description type provider status scope crew_id crew_ids account_label account_email
        username token_expires_at security_level last_checked_at last_error last_used_at last_used_ips tags
        oauth_client_id oauth_auth_url oauth_token_url oauth_scopes agent_count agent_ids agent_names assignments
        security_level_label sensitivity testable mcp_used created_by_actor_type created_by_actor_id
        provisioned_for_service secret_ref hosts endpoint_url on_runners fields bindings created_at updated_at version
    """
    crew_id = strawberry.field(description="The first of `crewIds`.")
    crew_ids: list[str] = strawberry.field(description="Crews whose members see the credential.")
    token_expires_at = strawberry.field(description="The value as sent.")
    last_used_ips = strawberry.field(description="Newest first, at most five.")
    oauth_client_id: str | None
    agent_count = strawberry.field(description="Assignments, including assignments of deleted agents.")
    agent_ids: list[strawberry.ID] = strawberry.field(description="The ids of `agentNames`, in the same order.")
    security_level_label = strawberry.field(description="The level in words, such as `L1 · low`.")
    testable = strawberry.field(description="True if the provider can be asked whether the value is valid.")
    mcp_used = strawberry.field(description="True if a binding to an MCP server uses it.")
    secret_ref = strawberry.field(description="The location of the value in an external store.")
    on_runners = strawberry.field(description="True if runners of agents that have it receive the value.")
    endpoint_url = strawberry.field(description="The base address in a value of type ENDPOINT_URL.")
    hosts = strawberry.field(description="Hosts that receive the value; empty if the provider determines them.")


@node(AgentCredential)
class AgentCredentialType:
    """A credential in the environment of an agent. Every member can see the assignment; `credential` is null for
    members who cannot see it.
    """

    fields = """
        id agent_id agent credential_id credential credential_name credential_type credential_provider credential_status
        env_var_name priority created_at expires_at expired lease_source lease_issued_at grant_source
    """
    expires_at = strawberry.field(description="The end of a lease.")
    priority = strawberry.field(description="Among credentials of the same variable, the lowest number wins.")


@node(CredentialBinding)
class CredentialBindingType:
    """A credential in a slot: a variable of one agent, of the agents of a crew, or of all agents."""

    fields = "id credential_id credential credential_name scope crew_id crew agent_id agent slot created_at"
    slot = strawberry.field(description="The variable, in canonical form.")
    crew_id = strawberry.field(description="For scope CREW alone.")
    agent_id = strawberry.field(description="For scope AGENT alone.")


@node(CredentialField)
class CredentialFieldType:
    """A further value of a credential."""

    fields = "id key is_secret ordinal value created_at updated_at"
    value = strawberry.field(description="Null for a secret field.")


@node(CredentialEvent)
class CredentialEventNode:
    """An entry of a credential's timeline."""

    fields = (
        "id credential_id event_type user_id agent_id ip_address details occurred_at actor_kind actor_id actor_name"
    )
    actor_id = strawberry.field(description="Empty for the system.")
    actor_name = strawberry.field(description="Empty if it is unknown.")


@node(CredentialRotation)
class CredentialRotationType:
    """A replaced value: the previous value is valid until `expiresAt`."""

    fields = "id credential_id grace_seconds rotated_at expires_at rotated_by status old_value_gone"
    rotated_by: strawberry.ID | None
    old_value_gone = strawberry.field(description="True if the previous value was deleted.")


@strawberry.type
class CredentialQuery:
    credentials = query(credential_ops.list_credentials, CredentialNode)
    newest_credentials = query(credential_ops.list_newest, CredentialNode)
    agent_delivered_credentials = query(credential_ops.list_delivered)
    find_credentials = query(credential_ops.find_credentials, CredentialNode)
    credential = query(credential_ops.get_credential, CredentialNode)
    agent_credentials = query(credential_ops.list_assignments, AgentCredentialType)
    credential_events = query(credential_ops.list_events, CredentialEventNode)
    credential_rotations = query(credential_ops.list_rotations, CredentialRotationType)
    credential_fields = query(credential_ops.list_fields, CredentialFieldType)
    credential_bindings = query(credential_ops.list_bindings, CredentialBindingType)
    find_credential_bindings = query(credential_ops.find_bindings, CredentialBindingType)
    agent_credential_slots = query(credential_ops.resolve_slots)
    credential_reveal_policy = query(credential_ops.get_reveal_policy)
    default_env_var = query(credential_ops.default_env_var)


@strawberry.type
class CredentialMutation:
    test_credential_value = mutation(credential_ops.test_value)
    create_credential = mutation(credential_ops.create_credential, CredentialNode)
    update_credential = mutation(credential_ops.update_credential, CredentialNode)
    allow_credential_on_runners = mutation(credential_ops.allow_on_runners, CredentialNode)
    delete_credential = mutation(credential_ops.delete_credential)
    assign_credential = mutation(credential_ops.assign_credential, AgentCredentialType)
    unassign_credential = mutation(credential_ops.unassign_credential)
    rotate_credential = mutation(credential_ops.rotate_credential, CredentialRotationType)
    cancel_credential_rotation = mutation(credential_ops.cancel_rotation)
    add_credential_field = mutation(credential_ops.add_field, CredentialFieldType)
    update_credential_field = mutation(credential_ops.update_field, CredentialFieldType)
    delete_credential_field = mutation(credential_ops.delete_field)
    create_credential_binding = mutation(credential_ops.create_binding, CredentialBindingType)
    delete_credential_binding = mutation(credential_ops.delete_binding)
    reveal_credential = mutation(credential_ops.reveal_credential)
    set_credential_reveal_policy = mutation(credential_ops.set_reveal_policy)
    set_credential_sensitivity = mutation(credential_ops.set_sensitivity)
    test_credential = mutation(credential_ops.test_stored)
