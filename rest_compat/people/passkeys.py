"""REST: passkeys. The cookies of a login are set by the dispatcher."""

from models.people.passkeys import Passkey
from resolvers.people import passkeys
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Wire


class PasskeyJSON(Wire, of=Passkey):
    """`backed_up`: the authenticator stores a backup, as phones and password managers do."""

    fields = "id name backed_up created_at last_used_at"
    absent = "last_used_at"


PASSKEYS = "/api/v1/auth/passkeys"
ROUTES = (
    GET(PASSKEYS, passkeys.list_passkeys, list[PasskeyJSON]),
    POST(PASSKEYS, passkeys.register_passkey, PasskeyJSON, status=201),
    POST(f"{PASSKEYS}/options", passkeys.start_registration, passkeys.PasskeyOptions),
    GET(f"{PASSKEYS}/status", passkeys.get_passkey_status, passkeys.PasskeyStatus),
    PUT(f"{PASSKEYS}/required", passkeys.require_passkey, passkeys.PasskeyStatus),
    POST(f"{PASSKEYS}/sign-in/options", passkeys.start_passkey_sign_in, passkeys.PasskeyOptions),
    POST(f"{PASSKEYS}/sign-in", passkeys.sign_in_with_passkey, passkeys.SignedIn),
    PATCH(f"{PASSKEYS}/{{passkeyId}}", passkeys.rename_passkey, PasskeyJSON),
    DELETE(f"{PASSKEYS}/{{passkeyId}}", passkeys.delete_passkey, status=204),
)
