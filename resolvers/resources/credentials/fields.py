"""Fields: further values of a credential, secret or clear."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.resources.credential_bindings import CredentialField
from models.resources.credentials import Credential
from models.sealed import Sealed
from resolvers.instance.vault import Unopenable
from resolvers.kernel import (
    Action,
    Bool,
    ById,
    Code,
    Context,
    Int,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Success,
    command,
    extend,
    graph,
    instance,
    invalid,
    log,
    many,
    query,
)
from resolvers.kernel.declarations.row_events import heard, of_action
from resolvers.kernel.ground.inputs import TRIMMED
from resolvers.kernel.store.across import Everywhere
from resolvers.resources.credentials.credentials import CREDENTIAL
from resolvers.resources.credentials.graph import is_credential_seen

KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
OWN: Final = frozenset({"username", "value", "password"})
MOST_FIELDS: Final = 32
MISSING: Final = "Field not found"
TAKEN: Final = "The credential has a field with this key"
FULL: Final = f"a credential has at most {MOST_FIELDS} fields"
IN_ORDER = (col(CredentialField.ordinal), col(CredentialField.key))


def _key(key: str) -> str:
    if not KEY.fullmatch(key):
        raise PydanticCustomError("key", "must have lower-case letters, digits and _ only, and start with a letter")
    if key in OWN:
        raise PydanticCustomError("key", f"must not be {key}, which is a value of its own")
    return key


def _filled(value: str) -> str:
    if not value:
        raise PydanticCustomError("value", "must not be empty")
    if len(value.encode(errors="surrogatepass")) > bounds.SECRET:
        raise PydanticCustomError("value", f"must have at most {bounds.SECRET:,} bytes")
    return value


FieldKey = Annotated[str, Field(strict=True, max_length=bounds.NAME), AfterValidator(_key), TRIMMED]
FieldValue = Annotated[str, Field(strict=True, max_length=bounds.SECRET, repr=False), AfterValidator(_filled)]


class AddField(ById):
    """A field is secret unless `is_secret` is false. `ordinal` is the place among the fields: by default, their number.
    A value has at most 65,536 bytes.
    """

    key: FieldKey
    value: FieldValue
    is_secret: Bool = True
    ordinal: Int | None = None


class UpdateField(ById):
    """The value is required. `is_secret` and `ordinal` stay as they are if absent."""

    field_key: FieldKey
    value: FieldValue
    is_secret: Bool | None = None
    ordinal: Int | None = None


class DeleteField(ById):
    """The credential, and the key of the field."""

    field_key: Annotated[str, Field(strict=True, max_length=bounds.NAME)]


graph(CredentialField, gate=Action.READ, scope="credentials:read", visible=is_credential_seen)
heard(CredentialField, lambda field, changed: of_action(Action.UPDATE))
extend(Credential, fields=many(CredentialField, "credential_id", order_by=IN_ORDER))


@query("credential_fields.list", Action.READ, subject=CREDENTIAL, tickets=False)
def list_fields(scope: QueryScope, credential: Row[Credential], data: ById) -> Rows[CredentialField]:
    """List fields of a credential.

    Sorted by `ordinal`, then by key. The value of a secret field is null.
    """
    return scope.children(credential, CredentialField, "credential_id").order_by(*IN_ORDER)


@command(
    "credential_fields.create",
    Action.CREATE,
    audit="credential_field.created",
    subject=CREDENTIAL,
    locked=True,
    errors=(Code.CONFLICT,),
)
async def add_field(ctx: Context, credential: Credential, data: AddField) -> CredentialField:
    """Add a field to a credential.

    Agents that get the credential in a variable get the field in one that begins with its name, such as
    `DB_ACCOUNT` for the key `account` of `DB`. At most 32 fields.
    """
    there = ctx.select(CredentialField, col(CredentialField.credential_id) == credential.id)
    keys = [field.key for field in await there.limit(MOST_FIELDS).all()]
    if len(keys) >= MOST_FIELDS and data.key not in keys:
        raise invalid("key", FULL)
    ordinal = len(keys) if data.ordinal is None else data.ordinal
    field = CredentialField(credential_id=credential.id, key=data.key, is_secret=data.is_secret, ordinal=ordinal)
    for name, value in (await _stored(ctx, field.id, data.value, data.is_secret)).items():
        setattr(field, name, value)
    return await ctx.insert(field, conflict=TAKEN)


@command("credential_fields.update", Action.CREATE, audit="credential_field.updated", subject=CREDENTIAL, locked=True)
async def update_field(ctx: Context, credential: Credential, data: UpdateField) -> CredentialField:
    """Update a field of a credential.

    A key cannot be changed.
    """
    field = await _field(ctx, credential, data.field_key)
    secret = field.is_secret if data.is_secret is None else data.is_secret
    changes: dict[str, Any] = {"is_secret": secret} | await _stored(ctx, field.id, data.value, secret)
    if data.ordinal is not None:
        changes["ordinal"] = data.ordinal
    return await ctx.edit(field, **changes)


@command("credential_fields.delete", Action.CREATE, audit="credential_field.deleted", subject=CREDENTIAL, locked=True)
async def delete_field(ctx: Context, credential: Credential, data: DeleteField) -> Success:
    """Delete a field of a credential."""
    field = await _field(ctx, credential, data.field_key)
    await ctx.delete(CredentialField, field.id)
    return Success()


async def _field(ctx: Context, credential: Credential, key: str) -> CredentialField:
    same = (col(CredentialField.credential_id) == credential.id, col(CredentialField.key) == key)
    field = await ctx.select(CredentialField, *same).first()
    if field is None:
        raise Refusal(Code.NOT_FOUND, MISSING)
    return field


async def _stored(ctx: Context, id: str, value: str, secret: bool) -> dict[str, Any]:
    """The columns of a value: sealed or clear, never both."""
    if not secret:
        return {"value": value, "sealed": None}
    place: Any = {"table": CredentialField, "column": "sealed", "row_id": id}
    return {"value": None, "sealed": await instance.vault.seal(value, **place, workspace_id=ctx.workspace_id)}


async def fields_of(here: Everywhere, ids: Sequence[str]) -> list[Any]:
    """The fields of credentials, in order."""
    if not ids:
        return []
    return await here.select(
        CredentialField,
        col(CredentialField.credential_id).in_(list(ids)),
        columns=("id", "credential_id", "key", "is_secret", "value", "sealed"),
        order_by=IN_ORDER,
        limit=len(ids) * MOST_FIELDS,
    )


async def values_of_fields(rows: Sequence[Any]) -> list[str | None]:
    """The values of rows of fields, in order; None for one that cannot be opened."""
    return [await _value_of(row) for row in rows]


async def _value_of(row: Any) -> str | None:
    if not row["is_secret"]:
        return row["value"]  # type: ignore[no-any-return]
    try:
        place = {"table": CredentialField, "column": "sealed", "row_id": row["id"]}
        return (await instance.vault.open(Sealed(row["sealed"]), **place)).reveal()
    except Unopenable:
        log.warning("credential cannot be opened", credential_id=row["credential_id"], column="field")
        return None
