"""Cases of credentials, for the tests that are made for every operation."""

from datetime import timedelta
from typing import Any

from models.actors import ActorType
from models.resources.credential_bindings import BindingScope, CredentialBinding, CredentialField
from models.resources.credentials import (
    Credential,
    CredentialCrew,
    CredentialEvent,
    CredentialEventType,
    CredentialRotation,
    CredentialStatus,
    CredentialType,
)
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.sealing import sealed_before
from tests.world import now


@entity
def credential(plot: Plot) -> Credential:
    return _credential(plot, "Key of the harbour")


@entity
def expired_credential(plot: Plot) -> Credential:
    return _credential(plot, "Key of the lock", status=CredentialStatus.EXPIRED)


def _credential(plot: Plot, name: str, **changes: Any) -> Credential:
    made = Credential(
        name=name,
        description="For the gate",
        type=CredentialType.USERPASS,
        provider="GITHUB",
        account_label="Harbour",
        account_email="harbour@example.com",
        username="harbour",
        token_expires_at="2030-01-01",
        tags=["sea"],
        last_checked_at=now(),
        last_error="Refused once",
        last_used_at=now(),
        last_used_ips=["192.0.2.1"],
        oauth_client_id="client",
        oauth_auth_url="https://example.com/authorize",
        oauth_token_url="https://example.com/token",
        oauth_scopes="read write",
        provisioned_for_service="harbour/gate",
        created_by_actor_type=ActorType.user,
        created_by_actor_id=plot.owner.user_id,
        **changes,
        **plot.here,
    )
    for column in ("value", "refresh_token", "oauth_client_secret"):
        made.__dict__[column] = sealed_before("open sesame", table=Credential, column=column, row_id=made.id)
    return made


@entity
def credential_crew(plot: Plot) -> CredentialCrew:
    return CredentialCrew(credential_id=plot["credential"].id, crew_id=plot["crew"].id, **plot.here)


@entity
def credential_event(plot: Plot) -> CredentialEvent:
    return CredentialEvent(
        credential_id=plot["credential"].id,
        event_type=CredentialEventType.CREATED,
        user_id=plot.owner.user_id,
        agent_id=plot["agent"].id,
        ip_address="192.0.2.1",
        details={"provider": "GITHUB"},
        **plot.here,
    )


@entity
def credential_rotation(plot: Plot) -> CredentialRotation:
    made = CredentialRotation(
        credential_id=plot["credential"].id,
        grace_seconds=60,
        rotated_at=now(),
        expires_at=now() + timedelta(days=1),
        rotated_by=plot.owner.user_id,
        **plot.here,
    )
    sealed = sealed_before("open before", table=CredentialRotation, column="old_value", row_id=made.id)
    made.__dict__["old_value"] = sealed
    return made


@entity
def credential_binding(plot: Plot) -> CredentialBinding:
    return CredentialBinding(
        credential_id=plot["credential"].id,
        scope=BindingScope.AGENT,
        agent_id=plot["agent"].id,
        slot="HARBOUR_KEY",
        **plot.here,
    )


@entity
def binding_of_crew(plot: Plot) -> CredentialBinding:
    owner = {"scope": BindingScope.CREW, "crew_id": plot["crew"].id}
    return CredentialBinding(credential_id=plot["credential"].id, slot="CREW_KEY", **owner, **plot.here)


@entity
def credential_field(plot: Plot) -> CredentialField:
    credential = plot["credential"]
    return CredentialField(credential_id=credential.id, key="account", is_secret=False, value="harbour", **plot.here)


OF_CREDENTIAL: dict[str, str] = {"id": "credential"}
REFERENCE = {"secret_ref": "https://bao.example.com/v1/secret/data/quay", "hosts": ["api.example.com"]}
SENT: dict[str, Any] = REFERENCE | {
    "name": "Key of the quay",
    "value": "open barley",
    "type": "SECRET",
    "tags": ["Land"],
}
RECIPES = {
    "credentials.get": Recipe(ids=OF_CREDENTIAL),
    "credentials.create": Recipe(
        SENT | {"created_by_actor_type": "user", "created_by_actor_id": None, "provisioned_for_service": None},
        chosen=frozenset({"created_by_actor_id", "oauth_client_id"}),
    ),
    "credentials.update": Recipe(SENT | {"username": "quay"}, ids=OF_CREDENTIAL),
    "credentials.delete": Recipe(ids=OF_CREDENTIAL),
    "credentials.rotate": Recipe({"value": "open millet", "grace_seconds": 5}, ids=OF_CREDENTIAL),
    "credentials.list_rotations": Recipe(ids=OF_CREDENTIAL),
    "credentials.cancel_rotation": Recipe(ids={"id": "credential_rotation"}),
    "credentials.test_stored": Recipe(ids=OF_CREDENTIAL),
    "credentials.test_value": Recipe({"value": "open oats", "provider": "NONE", "type": "SECRET"}),
    "internal.credentials.list": Recipe({"provider": "GITHUB"}),
    "internal.credentials.set_status": Recipe({"status": "ERROR", "last_error": "Refused"}, ids=OF_CREDENTIAL),
    "internal.credentials.create": Recipe(SENT, chosen=frozenset({"created_by_actor_id", "oauth_client_id"})),
    "internal.credentials.rotate": Recipe({"value": "open millet", "grace_seconds": 5}, ids=OF_CREDENTIAL),
    "credentials.audit": Recipe(ids=OF_CREDENTIAL),
    "agent_credentials.list": Recipe(ids={"agent_id": "agent"}),
    "agent_credentials.list_delivered": Recipe(ids={"agent_id": "agent"}),
    "agent_credentials.assign": Recipe(
        {"env_var_name": "GH_TOKEN", "priority": 3}, ids={"agent_id": "lead", "credential_id": "credential"}
    ),
    "agent_credentials.unassign": Recipe(ids={"agent_id": "agent", "assignment_id": "agent_credential"}),
    "credential_bindings.create": Recipe(
        {"slot": "gh-token", "scope": "CREW", "crew_id": lambda world: world.home["crew"].id, "agent_id": None},
        chosen=frozenset({"agent_id"}),
    ),
    **{
        f"credentials.{act}": Recipe(
            {"reason": "The gate does not open by itself"}, ids=OF_CREDENTIAL, refused=Code.FORBIDDEN
        )
        for act in ("reveal", "record_reveal")
    },
    "credentials.reveal_policy_set": Recipe({"enabled": False}),
    "credentials.set_sensitivity": Recipe({"sensitivity": "SEALED"}, ids=OF_CREDENTIAL),
    "credential_bindings.delete": Recipe(ids={"id": "credential_binding"}),
    "credential_bindings.resolve": Recipe(ids={"agent_id": "agent"}),
    "credential_fields.list": Recipe(ids=OF_CREDENTIAL),
    "credential_fields.create": Recipe({"key": "region", "value": "open rye"}, ids=OF_CREDENTIAL),
    "credential_fields.update": Recipe({"field_key": "account", "value": "open rye"}, ids=OF_CREDENTIAL),
    "credential_fields.delete": Recipe({"field_key": "account"}, ids=OF_CREDENTIAL),
    "credentials.default_env_var": Recipe({"provider": "GITHUB", "type": "API_KEY"}),
}
