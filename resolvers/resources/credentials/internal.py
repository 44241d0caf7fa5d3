"""Operations on credentials for programs around agents, over the internal API, on behalf of a user."""

from functools import partial
from typing import Annotated, Any, Final

from sqlalchemy import or_, select
from sqlmodel import col

from models.people.workspaces import Capability, Membership, Role, Workspace
from models.resources.credentials import Credential, CredentialRotation, CredentialStatus, CredentialType
from resolvers.kernel import (
    REST_ONLY,
    Absent,
    AcrossWorkspaces,
    Action,
    Auth,
    ById,
    Code,
    ConfigText,
    Context,
    Entity,
    Input,
    Output,
    Refusal,
    Tenancy,
    Text,
    across_workspaces,
    command,
    constant,
    forbidden,
    invalid,
    procedure,
)
from resolvers.kernel.declarations.events import Time
from resolvers.kernel.ground.policy import ADMINS, effective, lowest
from resolvers.resources.credentials.creation import CreateCredential, add_credential
from resolvers.resources.credentials.given import note_uses
from resolvers.resources.credentials.references import values_of
from resolvers.resources.credentials.rotation import RotateCredential, rotate
from resolvers.resources.credentials.shapes import SecretText, endpoint_columns, ends_of
from resolvers.resources.credentials.vault import sealed

SETTABLE: Final = (
    CredentialStatus.ACTIVE, CredentialStatus.EXPIRED, CredentialStatus.RATE_LIMITED, CredentialStatus.REVOKED,
    CredentialStatus.ERROR,
)  # fmt: skip
LISTED = (
    "id",
    "workspace_id",
    "name",
    "type",
    "provider",
    "token_expires_at",
    "account_label",
    "status",
    "value",
    "refresh_token",
    "secret_ref",
)
KEYS = [constant(kind) for kind in (CredentialType.AI_CLI_TOKEN, CredentialType.API_KEY)]
SHOWN = ("ACTIVE", "EXPIRED", "ERROR", "RATE_LIMITED")
MOST = 10_000


class ListInternal(Input):
    """`include_values` has an effect only for calls from this machine."""

    provider: Text = ""
    include_values: Text = ""


class InternalCredential(Output):
    """Values are present only for callers on this machine; a slot has no value."""

    id: str
    workspace_id: str
    name: str
    type: str
    provider: str
    access_token: Annotated[str | None, Absent()] = None
    refresh_token: Annotated[str | None, Absent()] = None
    token_expires_at: str | None
    account_label: str | None
    status: str


class SetStatus(ById):
    """Tokens are sealed; `last_error` is stored as it was sent."""

    status: CredentialStatus
    last_error: ConfigText | None = None
    access_token: SecretText = ""
    refresh_token: SecretText = ""
    token_expires_at: Text | None = None


class StatusSet(Output):
    id: str
    status: CredentialStatus
    last_checked_at: Time


async def _for(ctx: Context, capability: Capability) -> None:
    """Checks that the user whom the program names, with a signature, has the capability; the call continues as this
    user.
    """
    named = ctx.caller.on_behalf
    if named is None or not named.signed_for(ctx.workspace_id or ""):
        raise Refusal(Code.UNAUTHENTICATED, "X-Caller-User-Id and its X-Caller-Signature are required")
    member = await ctx.select(Membership, col(Membership.user_id) == named.user_id).first()
    if member is None:
        raise forbidden(role=lowest(ADMINS), capability=capability)
    granted = member.capabilities is not None and capability in effective(Role(member.role), member.capabilities)
    if member.role not in ADMINS and not granted:
        raise forbidden(role=lowest(ADMINS), capability=capability)
    ctx.user_id = named.user_id


async def may_create(ctx: Context) -> None:
    await _for(ctx, Capability.credential_create)


async def may_rotate(ctx: Context) -> None:
    await _for(ctx, Capability.credential_rotate)


@procedure(
    "internal.credentials.list",
    Action.NONE,
    auth=Auth.INTERNAL,
    tenancy=Tenancy.NONE,
    late=True,
    errors=(Code.FORBIDDEN,),
)
async def list_internal(ctx: Context, data: ListInternal) -> list[InternalCredential]:
    """List keys of providers (for runtimes of agents).

    Sorted by type, oldest first. Covers one workspace, or all with the master token. Returns values of ACTIVE
    credentials to callers on this machine only, and records this in their timelines once a minute. Credentials that
    cannot be decrypted are omitted.
    """
    with_values = data.include_values == "true" and ctx.caller.from_loopback
    place = ctx.request.place or ctx.caller.bound
    if place is None and not ctx.caller.any_workspace:
        raise forbidden()
    statuses = [CredentialStatus.ACTIVE.value] if with_values else list(SHOWN)

    async def find(rows: AcrossWorkspaces) -> list[Any]:
        provider, own = col(Credential.provider), (col(Credential.created_at), col(Credential.id))
        conditions = [
            col(Credential.type).in_(KEYS),
            provider != constant("NONE"),
            col(Credential.status).in_(statuses),
        ]
        if place is not None:
            named = rows.everywhere.table(Workspace, including_deleted=True).c
            found_place = select(named.id).where(or_(named.id == place, named.slug == place)).scalar_subquery()
            conditions.append(col(Credential.workspace_id) == found_place)
        if data.provider:
            conditions.append(provider == data.provider)
        found = await rows.everywhere.select(
            Credential, *conditions, columns=LISTED, order_by=(col(Credential.type), *own), limit=MOST
        )
        used = [row["id"] for row in found if row["value"] is not None]
        if with_values:
            await note_uses(rows.everywhere, used, None, "sidecar_fetch")
        return found

    rows = await across_workspaces(find)
    if not with_values:
        return [_shown(row) for row in rows]
    values, refresh = await values_of(rows), await values_of(rows, "refresh_token")
    return [_shown(row, *pair) for row, *pair in zip(rows, values, refresh, strict=True)]


def _shown(row: Any, access_token: str | None = None, refresh_token: str | None = None) -> InternalCredential:
    shown = {name: row[name] for name in InternalCredential.model_fields if name in row}
    return InternalCredential(**shown | {"access_token": access_token, "refresh_token": refresh_token})


@command(
    "internal.credentials.set_status",
    Action.NONE,
    audit="credential.status_set",
    auth=Auth.INTERNAL,
    tenancy=Entity(Credential, "id"),
    errors=(Code.NOT_FOUND,),
)
async def set_status(ctx: Context, data: SetStatus) -> StatusSet:
    """Set the status of a credential (for agents' runtimes)."""
    if data.status not in SETTABLE:
        raise invalid("status", f"must be one of {', '.join(SETTABLE)}")
    changes: dict[str, Any] = {"status": data.status, "last_checked_at": await ctx.now()}
    for column, text in (("value", data.access_token), ("refresh_token", data.refresh_token)):
        if text:
            changes[column] = await sealed(ctx, data.id, column, text)
    if data.access_token:
        before = await ctx.get(Credential, data.id)
        changes |= ends_of(before) | endpoint_columns(before, data.access_token, {})
    changes |= {
        name: value for name in ("last_error", "token_expires_at") if (value := getattr(data, name)) is not None
    }
    credential = await ctx.update(Credential, data.id, **changes)
    assert credential.last_checked_at is not None
    return StatusSet(id=credential.id, status=credential.status, last_checked_at=credential.last_checked_at)


on_behalf = partial(command, action=Action.NONE, auth=Auth.INTERNAL, surfaces=REST_ONLY)
"""A program's command for the user whom it names."""


@on_behalf(
    "internal.credentials.create",
    audit="credential.created",
    allow=may_create,
    errors=(Code.UNAUTHENTICATED, Code.CONFLICT),
)
async def create_internal(ctx: Context, data: CreateCredential) -> Credential:
    """Create a credential on behalf of a user.

    The named user must be an administrator or have the capability.
    """
    return await add_credential(ctx, data, administers=True)


@on_behalf(
    "internal.credentials.rotate",
    audit="credential.rotated",
    allow=may_rotate,
    errors=(Code.UNAUTHENTICATED, Code.NOT_FOUND, Code.CONFLICT),
)
async def rotate_internal(ctx: Context, data: RotateCredential) -> CredentialRotation:
    """Rotate a credential on behalf of a user.

    The named user must be an administrator or have the capability.
    """
    return await rotate(ctx, data)
