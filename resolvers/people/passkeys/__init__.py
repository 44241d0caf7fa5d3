"""Passkeys: registered by people for themselves, to sign in with them alone or after the password."""

from resolvers.kernel import Domain
from resolvers.people.passkeys.registration import (
    PasskeyOptions,
    PasskeyStatus,
    delete_passkey,
    get_passkey_status,
    list_passkeys,
    register_passkey,
    rename_passkey,
    require_passkey,
    start_registration,
)
from resolvers.people.passkeys.sign_in import SignedIn, sign_in_with_passkey, start_passkey_sign_in

DOMAIN = Domain("passkeys", scopes=None)
