"""GraphQL: passkeys. A sign-in sets the cookies of a login."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.people.passkeys import Passkey
from resolvers.people import passkeys as passkey_ops
from schema.bridge.fields import mutation, node, output, query
from schema.bridge.results import DeletedType


@node(Passkey)
class PasskeyType:
    """A passkey of the caller."""

    id: strawberry.ID
    name: str
    backed_up: bool = strawberry.field(
        description="The authenticator keeps a copy elsewhere, as phones and password managers do."
    )
    created_at: datetime
    last_used_at: datetime | None


@output(passkey_ops.PasskeyOptions)
class PasskeyOptionsType:
    """Options for `navigator.credentials`: parse them with `parseCreationOptionsFromJSON` of PublicKeyCredential, or
    with `parseRequestOptionsFromJSON` for a sign-in.
    """

    options: JSON


@output(passkey_ops.PasskeyStatus)
class PasskeyStatusType:
    """How the caller signs in. `available`: this server has a public URL that passkeys can be registered for."""

    available: bool
    required: bool
    passkeys: int


@output(passkey_ops.SignedIn, name="PasskeySignedIn")
class SignedInType:
    user_id: strawberry.ID
    email: str


@strawberry.type
class PasskeyQuery:
    passkeys = query(passkey_ops.list_passkeys, PasskeyType)
    passkey_status = query(passkey_ops.get_passkey_status, PasskeyStatusType)


@strawberry.type
class PasskeyMutation:
    start_passkey_registration = mutation(passkey_ops.start_registration, PasskeyOptionsType)
    register_passkey = mutation(passkey_ops.register_passkey, PasskeyType)
    rename_passkey = mutation(passkey_ops.rename_passkey, PasskeyType)
    delete_passkey = mutation(passkey_ops.delete_passkey, DeletedType)
    require_passkey = mutation(passkey_ops.require_passkey, PasskeyStatusType)
    start_passkey_sign_in = mutation(passkey_ops.start_passkey_sign_in, PasskeyOptionsType)
    sign_in_with_passkey = mutation(passkey_ops.sign_in_with_passkey, SignedInType)
