"""New credentials: checks, the recorded creator, and the removal of a deleted credential with the same name."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlmodel import col

from models import bounds
from models.actors import ActorType
from models.people.workspaces import Capability
from models.resources.credentials import (
    Credential,
    CredentialEventType,
    CredentialScope,
    CredentialStatus,
    CredentialType,
)
from models.staff.crews import Crew
from resolvers.kernel import (
    Action,
    Bool,
    Code,
    Context,
    Description,
    Emptied,
    Id,
    Input,
    Ref,
    Text,
    Url,
    command,
    forbidden,
    invalid,
)
from resolvers.kernel.ground.policy import ADMINS, lowest
from resolvers.resources.credentials.credentials import TAKEN, Crews, Level, links
from resolvers.resources.credentials.hosts import Hosts, check_hosts
from resolvers.resources.credentials.references import SecretRef
from resolvers.resources.credentials.shapes import (
    SERVICE,
    Account,
    CredentialName,
    SecretText,
    Tags,
    check_username,
    check_value,
    default_if_empty,
    endpoint_columns,
    kept_tags,
)
from resolvers.resources.credentials.vault import sealed, tell

AUTO_MANAGED = "AUTO_MANAGED"


class CreateCredential(Input):
    """Write-only: `value`, `refresh_token` and `oauth_client_secret`.

    `value` is required unless the type is OAUTH2, or `pending` creates a slot without a value. With crews the
    scope is CREW. `created_by_actor_*` and `provisioned_for_service` name the user or service that it is created
    for; only administrators can name others. `security_level` is from 1 (low) to 4 (critical). With
    `secret_ref`, https://<host>/v1/<mount>/data/<path>#<key>, the value is kept in a KV store (version 2) of
    OpenBao or HashiCorp Vault, and `value` is the token that reads it. `hosts` (SECRET only) lists at most 10
    public DNS names: with the keeper on, a command gets a placeholder, which the proxy replaces by the value in
    requests to these hosts.
    """

    name: CredentialName
    value: SecretText = ""
    description: Description | None = None
    type: Annotated[CredentialType, default_if_empty(CredentialType.SECRET.value)] = CredentialType.SECRET
    provider: Annotated[Text, default_if_empty("NONE")] = "NONE"
    scope: Annotated[Text, default_if_empty(CredentialScope.WORKSPACE.value)] = CredentialScope.WORKSPACE.value
    crew_id: Annotated[Emptied[Id], Ref(Crew)] = None
    crew_ids: Crews = []
    tags: Tags = []
    account_label: Text | None = None
    account_email: Account | None = None
    username: Account | None = None
    token_expires_at: Text | None = None
    security_level: Level = 1
    refresh_token: SecretText = ""
    oauth_client_id: Url | None = None
    oauth_client_secret: SecretText = ""
    oauth_auth_url: Url | None = None
    oauth_token_url: Url | None = None
    oauth_scopes: Url | None = None
    secret_ref: Emptied[SecretRef] = None
    hosts: Hosts = []
    pending: Bool = False
    created_by_actor_type: Annotated[ActorType, default_if_empty(ActorType.user.value)] = ActorType.user
    created_by_actor_id: Emptied[Id] = None
    provisioned_for_service: Annotated[
        Annotated[str, Field(strict=True, max_length=bounds.LINE)] | None,
        BeforeValidator(lambda raw: raw.strip() or None if isinstance(raw, str) else raw),
    ] = None


@command(
    "credentials.create",
    Action.CREATE,
    audit="credential.created",
    errors=(Code.FORBIDDEN, Code.CONFLICT),
    or_capability=Capability.credential_create,
)
async def create_credential(ctx: Context, data: CreateCredential) -> Credential:
    """Create a credential.

    The value is encrypted and never returned. The name is unique in the workspace, case-sensitive. A deleted
    credential of the same name is permanently removed with its assignments.
    """
    return await add_credential(ctx, data, administers=ctx.may(Action.MANAGE))


async def add_credential(ctx: Context, data: CreateCredential, *, administers: bool) -> Credential:
    """`administers`: the caller may name another creator."""
    _check(data)
    actor_id = _attributed(ctx, data, administers)
    crews = list(dict.fromkeys([*data.crew_ids, *([data.crew_id] if data.crew_id else [])]))
    kept = data.model_dump(
        include={
            "name", "description", "type", "provider", "account_label", "account_email", "username",
            "token_expires_at", "secret_ref", "hosts", "created_by_actor_type", "provisioned_for_service",
        }
    )  # fmt: skip
    credential = Credential(
        **kept,
        **_of_client(data),
        scope=CredentialScope.CREW.value if crews else data.scope,
        status=CredentialStatus.ACTIVE if data.value else CredentialStatus.PENDING,
        tags=kept_tags(data.tags),
        security_level=data.security_level,
        created_by_actor_id=actor_id,
    )
    credential.endpoint_url = endpoint_columns(credential, data.value, {}).get("endpoint_url")
    for column in ("value", "refresh_token", "oauth_client_secret"):
        stored = column != "oauth_client_secret" or credential.oauth_client_id is not None
        if stored and (text := getattr(data, column)):
            setattr(credential, column, await sealed(ctx, credential.id, column, text))
    await _release_name(ctx, data.name)
    await ctx.insert(credential, conflict=TAKEN)
    await ctx.insert_all(links(credential.id, crews))
    tell(
        ctx,
        credential.id,
        CredentialEventType.CREATED,
        actor_id if data.created_by_actor_type is ActorType.agent else None,
        created_by=ctx.user_id or None,
        provider=data.provider,
        type=data.type,
    )
    return credential


def _check(data: CreateCredential) -> None:
    if not data.value and not data.pending and (data.type is not CredentialType.OAUTH2):
        raise invalid("value", "is required")
    check_hosts(data.type, data.hosts)
    if data.value or not data.pending:
        check_username(data.type, data.username)
    if data.value and data.secret_ref is None:
        check_value(data.type, data.value)


def _of_client(data: CreateCredential) -> dict[str, Any]:
    """The columns of the OAuth client, for OAUTH2 only."""
    if data.type is not CredentialType.OAUTH2 or not data.oauth_client_id:
        return {}
    return data.model_dump(include={"oauth_client_id", "oauth_auth_url", "oauth_token_url", "oauth_scopes"})


def _attributed(ctx: Context, data: CreateCredential, administers: bool) -> str | None:
    """The recorded creator (contract: credentials.create, created_by_actor_id)."""
    kind, named = data.created_by_actor_type, data.created_by_actor_id
    own = kind is ActorType.user and named in (None, ctx.user_id)
    if not own and not administers:
        raise forbidden("Only an administrator can record another creator of a credential", role=lowest(ADMINS))
    if kind is ActorType.agent and named is None:
        raise invalid("created_by_actor_id", "is required where created_by_actor_type is agent")
    if kind is ActorType.system and named is not None:
        raise invalid("created_by_actor_id", "must be empty if created_by_actor_type is system")
    service = data.provisioned_for_service
    if service is not None:
        if data.provider != AUTO_MANAGED or kind is not ActorType.system:
            raise invalid("provisioned_for_service", f"is for credentials of {AUTO_MANAGED}, made by the system")
        if SERVICE.fullmatch(service) is None:
            raise invalid("provisioned_for_service", "must be <crew>/<service>, both as in host names")
    return (named or ctx.user_id or None) if kind is ActorType.user else named


async def _release_name(ctx: Context, name: str) -> None:
    """Removes a deleted credential of the name for good, with its assignments; if the new one is refused, the removal
    is rolled back.
    """
    deleted = (col(Credential.name) == name, col(Credential.deleted_at).is_not(None))
    if await ctx.select(Credential, *deleted, including_deleted=True, including_hidden=True).exists():
        await ctx.delete_where(Credential, *deleted, including_hidden=True)
