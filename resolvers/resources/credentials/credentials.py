"""Credentials: list, get, update, delete, and the default variable of each."""

from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, Field
from sqlalchemy import or_
from sqlmodel import col

from models import bounds
from models.resources.credential_bindings import CredentialField
from models.resources.credentials import (
    ROTATION_STATES,
    Credential,
    CredentialCrew,
    CredentialEventType,
    CredentialRotation,
    CredentialScope,
    CredentialStatus,
    CredentialType,
    RotationStatus,
)
from models.staff.crews import Crew
from resolvers.kernel import (
    GRAPHQL_ONLY,
    MOST_LISTED,
    Action,
    ById,
    Code,
    CommaList,
    Context,
    Description,
    Emptied,
    Filter,
    Id,
    Input,
    Output,
    Page,
    Paging,
    Patch,
    QueryScope,
    Ref,
    Refusal,
    Row,
    Subject,
    Success,
    Tenancy,
    Text,
    at_most,
    command,
    contains,
    invalid,
    procedure,
    query,
)
from resolvers.resources.credentials.graph import IN_ORDER
from resolvers.resources.credentials.hosts import Hosts, check_hosts
from resolvers.resources.credentials.probes import is_testable
from resolvers.resources.credentials.references import SecretRef
from resolvers.resources.credentials.shapes import (
    NEEDS_VALUE,
    Account,
    CredentialName,
    SecretText,
    Tags,
    check_username,
    check_value,
    endpoint_columns,
    ends_of,
    kept_tags,
)
from resolvers.resources.credentials.vault import sealed, tell, unbind

CREDENTIAL = Subject(Credential, "id")
TAKEN = "Credential with this name already exists"
MOST_CREWS = 100
ENV_VARS: Final = {
    "GITHUB": "GH_TOKEN",
    "GITLAB": "GITLAB_TOKEN",
    "VERCEL": "VERCEL_TOKEN",
    "AWS": "AWS_ACCESS_KEY_ID",
    "KUBERNETES": "KUBECONFIG",
}
Crews = Annotated[
    list[Annotated[Id, Ref(Crew)]], at_most(MOST_CREWS), AfterValidator(lambda ids: list(dict.fromkeys(ids)))
]
States = Annotated[list[CredentialStatus], at_most(MOST_LISTED), CommaList(CredentialStatus)]
Types = Annotated[list[CredentialType], at_most(MOST_LISTED), CommaList(CredentialType)]
Level = Annotated[int, Field(strict=True, ge=1, le=4)]


def _named_or_described(part: Any) -> Any:
    return or_(contains(Credential.name)(part), contains(Credential.description)(part))


def _tagged(tag: Any) -> Any:
    tags: Any = col(Credential.tags)
    return tags.has_key(tag)


def _plain(tag: str | None) -> str | None:
    return None if tag is None else tag.strip().lower()


class ListCredentials(Paging):
    """A page of credentials: 100 by default, at most 500. `search` is a part of the name or description; letter case
    does not matter. `tag` is one of the tags.
    """

    page_default = 100
    page_maximum = 500

    search: Annotated[Text | None, Filter(_named_or_described)] = None
    tag: Annotated[Text | None, AfterValidator(_plain), Filter(_tagged)] = None


class FindCredentials(Paging):
    """`status` and `type` match one of several values. `search` is a part of the name; letter case does not matter."""

    page_maximum: ClassVar[int] = 100

    status: Annotated[States | None, Filter(Credential.status, leads=True)] = None
    type: Annotated[Types | None, Filter(Credential.type, leads=True)] = None
    search: Annotated[Text | None, Filter(contains(Credential.name))] = None


class UpdateCredential(Patch, ById):
    """Null clears. `crew_ids` replaces the crews; `crew_id` alone means a list of one; with crews the scope is
    CREW, without WORKSPACE. Empty values are ignored. Changing `hosts` or `secret_ref` requires the value.
    """

    name: CredentialName
    description: Description | None
    value: SecretText
    type: CredentialType
    provider: Text
    scope: Text
    crew_id: Annotated[Emptied[Id], Ref(Crew)]
    crew_ids: Crews | None
    tags: Tags | None
    account_label: Text | None
    account_email: Account | None
    username: Account | None
    token_expires_at: Text | None
    security_level: Level
    secret_ref: Emptied[SecretRef]
    hosts: Hosts | None


class EnvVarOfProvider(Input):
    """Compared letter for letter."""

    provider: Annotated[str, Field(strict=True, max_length=bounds.LINE)] = ""
    type: Annotated[str, Field(strict=True, max_length=bounds.LINE)] = ""


class DefaultEnvVar(Output):
    """`env_var` is empty if there is no convention. `testable`: the provider can be asked about values of the type."""

    env_var: str
    testable: bool


@query("credentials.list", Action.READ, tickets=False)
def list_credentials(scope: QueryScope, data: ListCredentials) -> Page[Credential]:
    """List credentials.

    Sorted by type, then newest first; ties by id. Managers see all credentials; other members see credentials of
    the workspace and of their crews. Values are never returned.
    """
    return scope.select(Credential).matching(data).order_by(*IN_ORDER).page(data)


@query("credentials.find", Action.READ, surfaces=GRAPHQL_ONLY, tickets=False)
def find_credentials(scope: QueryScope, data: FindCredentials) -> Page[Credential]:
    """List credentials by state, type and name.

    Sorted as `credentials`; filters are combined with AND.
    """
    return scope.select(Credential).matching(data).order_by(*IN_ORDER).page(data)


@query("credentials.get", Action.READ, subject=CREDENTIAL, tickets=False)
def get_credential(scope: QueryScope, credential: Row[Credential], data: ById) -> Row[Credential]:
    """Get a credential.

    The value is not included.
    """
    return credential


@procedure("credentials.default_env_var", Action.NONE, tenancy=Tenancy.NONE)
async def default_env_var(ctx: Context, data: EnvVarOfProvider) -> DefaultEnvVar:
    """Get the usual variable of a provider.

    Returns the environment variable that command-line tools read for the provider.
    """
    return DefaultEnvVar(env_var=ENV_VARS.get(data.provider, ""), testable=is_testable(data.provider, data.type))


@command(
    "credentials.update",
    Action.UPDATE,
    audit="credential.updated",
    subject=CREDENTIAL,
    locked=True,
    errors=(Code.CONFLICT,),
    versioned=Credential,
)
async def update_credential(ctx: Context, credential: Credential, data: UpdateCredential) -> Credential:
    """Update a credential.

    A new value takes effect at once and makes the credential ACTIVE; the old value is deleted. Rotate to keep the old
    value for a while.
    """
    changes = {name: sent for name, sent in data.something().items() if (name, sent) != ("value", "")}
    if not changes:
        raise Refusal(Code.BAD_REQUEST, "There is nothing to update: an empty value changes nothing")
    value = changes.pop("value", "")
    if "hosts" in changes:
        changes["hosts"] = changes["hosts"] or []
    _check(credential, changes, value)
    if "tags" in changes:
        changes["tags"] = kept_tags(changes["tags"])
    await _move(ctx, credential.id, changes)
    changes |= endpoint_columns(credential, value, changes)
    if value:
        changes |= {"value": await sealed(ctx, credential.id, "value", value), "last_error": None}
        changes |= {"status": CredentialStatus.ACTIVE} | ends_of(credential)
        tell(ctx, credential.id, CredentialEventType.ROTATE, mode="inline", rotated_by=ctx.user_id or None)
    return await ctx.edit(credential, conflict=TAKEN, **changes)


def _check(credential: Credential, changes: dict[str, Any], value: str) -> None:
    """Checks the rules of the type for the changed credential."""
    type = changes.get("type", credential.type)
    check_username(type, changes.get("username", credential.username))
    hosts = changes.get("hosts", credential.hosts)
    check_hosts(type, hosts)
    if hosts != credential.hosts and not value:
        raise invalid(
            "value", "is required when hosts change: only a caller who knows the value chooses where it is sent"
        )
    reference = changes.get("secret_ref", credential.secret_ref)
    if reference != credential.secret_ref and not value:
        # else a hidden value could be sent anywhere, or given to agents
        raise invalid("value", "is required to change secret_ref")
    if reference is not None:
        return
    if value:
        check_value(type, value)
    elif type in NEEDS_VALUE and type is not credential.type:
        raise invalid("value", f"is required to make it a credential of type {type}")


async def _move(ctx: Context, id: str, changes: dict[str, Any]) -> None:
    """Moves the credential to other crews, if they were sent."""
    if not {"crew_id", "crew_ids"} & changes.keys():
        return
    first = changes.pop("crew_id", None)
    crews = changes.pop("crew_ids", [first] if first else [])
    await ctx.delete_where(CredentialCrew, col(CredentialCrew.credential_id) == id)
    await ctx.insert_all(links(id, crews or []))
    changes["scope"] = CredentialScope.CREW.value if crews else CredentialScope.WORKSPACE.value


def links(id: str, crews: list[str]) -> list[CredentialCrew]:
    return [CredentialCrew(credential_id=id, crew_id=crew, position=place) for place, crew in enumerate(crews)]


@command("credentials.delete", Action.MANAGE, audit="credential.deleted", subject=CREDENTIAL, versioned=Credential)
async def delete_credential(ctx: Context, credential: Credential, data: ById) -> Success:
    """Delete a credential.

    Deletes the value and the fields; agents no longer get them. Assignments stay listed until a new credential has the
    same name, bindings until they are deleted.
    """
    await ctx.update(Credential, credential.id, value=None, refresh_token=None, oauth_client_secret=None)
    kept = col(CredentialRotation.credential_id) == credential.id
    await ctx.move_all(ROTATION_STATES, RotationStatus.CANCELLED, kept, old_value=None)
    await ctx.delete_where(CredentialField, col(CredentialField.credential_id) == credential.id)
    await unbind(ctx, credential.id)
    await ctx.delete(Credential, credential.id)
    tell(ctx, credential.id, CredentialEventType.REVOKE, deleted_by=ctx.user_id or None, soft_delete=True)
    return Success()
