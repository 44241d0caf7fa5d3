"""GraphQL: passkeys. A sign-in sets the cookies of a login."""

import strawberry

from models.people.passkeys import Passkey
from resolvers.people import passkeys as passkey_ops
from schema.bridge.fields import mutation, node, output, query

output(passkey_ops.SignedIn, name="PasskeySignedIn")


@node(Passkey)
class PasskeyType:
    """A passkey of the caller."""

    fields = "id name backed_up created_at last_used_at"
    backed_up = strawberry.field(description="The authenticator stores a backup, as phones and password managers do.")


@strawberry.type
class PasskeyQuery:
    passkeys = query(passkey_ops.list_passkeys, PasskeyType)
    passkey_status = query(passkey_ops.get_passkey_status)


@strawberry.type
class PasskeyMutation:
    start_passkey_registration = mutation(passkey_ops.start_registration)
    register_passkey = mutation(passkey_ops.register_passkey, PasskeyType)
    rename_passkey = mutation(passkey_ops.rename_passkey, PasskeyType)
    delete_passkey = mutation(passkey_ops.delete_passkey)
    require_passkey = mutation(passkey_ops.require_passkey)
    start_passkey_sign_in = mutation(passkey_ops.start_passkey_sign_in)
    sign_in_with_passkey = mutation(passkey_ops.sign_in_with_passkey)
