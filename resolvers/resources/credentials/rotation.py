"""A new value, beside which the one before stays good for a while."""

from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import and_, case, func
from sqlmodel import col

from models.people.workspaces import Capability
from models.resources.credentials import (
    ROTATION_STATES,
    Credential,
    CredentialEventType,
    CredentialRotation,
    CredentialStatus,
    CredentialType,
    RotationStatus,
)
from models.sealed import Sealed
from resolvers.instance.vault import Unopenable
from resolvers.kernel import (
    EVERYONE,
    Absent,
    AcrossWorkspaces,
    Action,
    ById,
    Code,
    Context,
    Id,
    Notes,
    Output,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Row,
    Url,
    clock,
    command,
    constant,
    derived,
    graph,
    instance,
    invalid,
    query,
    shown_as,
)
from resolvers.resources.credentials.credentials import CREDENTIAL
from resolvers.resources.credentials.endpoints import Endpoint, endpoint_of, merged
from resolvers.resources.credentials.shapes import SecretPart, endpoint_columns, ends_of, not_blank
from resolvers.resources.credentials.vault import opened, sealed, tell

A_DAY, A_WEEK = 86_400, 604_800
NEWEST_FIRST = (col(CredentialRotation.rotated_at).desc(), col(CredentialRotation.id).desc())
UNDECIDED = "The credential waits for approval: decide its escalation first"
EXPIRE = clock("credentials.expire_rotations", every=timedelta(minutes=5))
PORTION = 1_000


class RotateCredential(ById):
    """The previous value stays valid for `grace_seconds`: a day by default, a week at most; with 0 it is deleted.

    For ENDPOINT_URL, `endpoint_base_url`, `endpoint_auth_token` and `endpoint_headers` replace parts of the stored
    value, and `value` may be absent.
    """

    value: Annotated[SecretPart, AfterValidator(not_blank)] | None = Field(default=None, repr=False)
    grace_seconds: Annotated[int, Field(strict=True, ge=0, le=A_WEEK)] = A_DAY
    endpoint_base_url: Url | None = None
    endpoint_auth_token: SecretPart | None = Field(default=None, repr=False)
    endpoint_headers: Notes | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _has_a_value(self) -> "RotateCredential":
        if self.value is None and not self.parts():
            raise PydanticCustomError("value", "value is required", {"field": "value"})
        return self

    def parts(self) -> bool:
        """True if parts of an endpoint are sent."""
        sent = (self.endpoint_base_url, self.endpoint_auth_token, self.endpoint_headers)
        return any(part is not None for part in sent)


class ListRotations(Paging):
    """A page of rotations: 100 by default, at most 500."""

    page_default: ClassVar[int] = 100
    page_maximum: ClassVar[int] = 500

    id: Id


class OfRotation(ById):
    """`id` is the id of the rotation."""


class RotationEnded(Output):
    """`message`: the rotation had already ended."""

    status: RotationStatus
    message: Annotated[str | None, Absent()] = None


def _shown(rotation: Any) -> Any:
    """The status: a rotation ends on time, and not when the clock comes to it."""
    over = (rotation.status == constant(RotationStatus.ACTIVE), rotation.expires_at < func.now())
    return case((and_(*over), constant(RotationStatus.EXPIRED)), else_=rotation.status)


graph(
    CredentialRotation,
    gate=Action.READ,
    scope="credentials:read",
    visible=EVERYONE,
    old_value_gone=derived(bool, lambda rotation, _: _shown(rotation) != constant(RotationStatus.ACTIVE)),
)
shown_as(CredentialRotation, status=lambda rotation, _: _shown(rotation))


@command(
    "credentials.rotate",
    Action.MANAGE,
    audit="credential.rotated",
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    or_capability=Capability.credential_rotate,
)
async def rotate_credential(ctx: Context, data: RotateCredential) -> CredentialRotation:
    """Rotate a credential.

    The new value takes effect at once and makes the credential ACTIVE. Several rotations can overlap. Refused while
    the credential waits for approval.
    """
    return await rotate(ctx, data)


async def rotate(ctx: Context, data: RotateCredential) -> CredentialRotation:
    credential = await ctx.get(Credential, data.id, lock=True)
    if credential.status is CredentialStatus.PENDING_APPROVAL:
        raise Refusal(Code.CONFLICT, UNDECIDED)
    now = await ctx.now()
    rotation = CredentialRotation(
        credential_id=credential.id,
        grace_seconds=data.grace_seconds,
        rotated_at=now,
        expires_at=now + timedelta(seconds=data.grace_seconds),
        rotated_by=ctx.user_id or None,
    )
    rotation.old_value = await _kept(ctx, credential, rotation) if data.grace_seconds else None
    text = await _new_value(credential, data)
    value = await sealed(ctx, credential.id, "value", text)
    changes = {"value": value, "status": CredentialStatus.ACTIVE, "last_error": None} | ends_of(credential)
    changes |= endpoint_columns(credential, text, {})
    await ctx.update(Credential, credential.id, **changes)
    ctx.audit("CREDENTIAL", credential.id, rotation_id=rotation.id, grace_seconds=data.grace_seconds)
    told: dict[str, Any] = {"rotation_id": rotation.id, "grace_seconds": data.grace_seconds}
    tell(ctx, credential.id, CredentialEventType.ROTATE, **told, rotated_by=ctx.user_id or None)
    return await ctx.insert(rotation)


async def _new_value(credential: Credential, data: RotateCredential) -> str:
    """The value that is sent; of an endpoint, with the parts that are sent, beside those that are stored."""
    if not data.parts():
        return data.value or ""
    if credential.type is not CredentialType.ENDPOINT_URL or credential.secret_ref is not None:
        raise invalid("endpoint_base_url", "is for a credential of type ENDPOINT_URL")
    before = data.value
    if before is None and credential.value is not None:
        try:
            before = (await opened(credential.id, "value", credential.value)).reveal()
        except Unopenable:
            raise invalid("value", "is required: the stored value cannot be opened") from None
    known = endpoint_of(before) if before else Endpoint("", "", {})
    return merged(known, data.endpoint_base_url, data.endpoint_auth_token, data.endpoint_headers).text()


async def _kept(ctx: Context, credential: Credential, rotation: CredentialRotation) -> Sealed | None:
    """The previous value, sealed for its new place; None for an empty slot, or if the value cannot be opened."""
    if credential.value is None:
        return None
    try:
        old = (await opened(credential.id, "value", credential.value)).reveal()
    except Unopenable:
        return None
    return await instance.vault.seal(
        old, table=CredentialRotation, column="old_value", row_id=rotation.id, workspace_id=ctx.workspace_id
    )


@query("credentials.list_rotations", Action.READ, subject=CREDENTIAL, tickets=False)
def list_rotations(scope: QueryScope, credential: Row[Credential], data: ListRotations) -> Page[CredentialRotation]:
    """List rotations of a credential.

    Newest first, for members who can see the credential. Rotations by deleted users are omitted.
    """
    rows = scope.select(CredentialRotation).where(col(CredentialRotation.credential_id) == data.id)
    return rows.where(col(CredentialRotation.rotated_by).is_not(None)).order_by(*NEWEST_FIRST).page(data)


@command(
    "credentials.cancel_rotation",
    Action.MANAGE,
    audit="credential.rotation_cancelled",
    errors=(Code.NOT_FOUND,),
    or_capability=Capability.credential_rotate,
)
async def cancel_rotation(ctx: Context, data: OfRotation) -> RotationEnded:
    """Cancel a rotation.

    Deletes the previous value. Idempotent.
    """
    found = await ctx.select(CredentialRotation, col(CredentialRotation.id) == data.id).locked().first()
    rotation = found or await ctx.get(CredentialRotation, data.id, missing="Rotation not found")
    await ctx.get(Credential, rotation.credential_id, missing="Rotation not found")
    ctx.audit("CREDENTIAL", rotation.credential_id, rotation_id=rotation.id)
    over = rotation.status is RotationStatus.ACTIVE and rotation.expires_at <= await ctx.now()
    if over or rotation.status is not RotationStatus.ACTIVE:
        status = RotationStatus.EXPIRED if over else rotation.status
        return RotationEnded(status=status, message="The rotation had already ended")
    await ctx.move(ROTATION_STATES, rotation, RotationStatus.CANCELLED, old_value=None)
    return RotationEnded(status=RotationStatus.CANCELLED)


async def end_overdue(rows: AcrossWorkspaces) -> int:
    """Ends expired rotations and removes their values; returns the number."""
    ended = await rows.everywhere.claim(
        CredentialRotation,
        col(CredentialRotation.status) == constant(RotationStatus.ACTIVE),
        col(CredentialRotation.expires_at) <= func.now(),
        order_by=col(CredentialRotation.expires_at),
        limit=PORTION,
        status=RotationStatus.EXPIRED,
        old_value=None,
    )
    return len(ended)
