"""REST: the caller's own account."""

from collections.abc import Mapping

from resolvers.errors import Code, Refusal
from resolvers.kernel.declarations.outputs import Success
from resolvers.people import account
from resolvers.people.account import avatars
from rest_compat.http.errors import refused
from rest_compat.http.table import DELETE, GET, PATCH, POST, Download, Reply, Upload

ME = "/api/v1/users/me"
PASSWORD = f"{ME}/password"


def _refuses(headers: Mapping[bytes, bytes], refusal: Refusal) -> Reply | None:
    """A wrong password is UNAUTHENTICATED here, without a reason that ends the session (users.change_password)."""
    if refusal.reason != account.REASON:
        return None
    return Reply(*refused(Refusal(Code.UNAUTHENTICATED, refusal.detail), PASSWORD))


ROUTES = (
    POST("/api/v1/auth/email", account.change_email, account.EmailChangeRequested, status=202),
    POST("/api/v1/auth/email/confirm", account.confirm_email, account.EmailChanged),
    POST("/api/v1/auth/password", account.change_password, account.PasswordChanged),
    POST("/api/v1/auth/account/delete", account.delete_account, Success),
    PATCH(ME, account.update_profile, account.Profile),
    POST(PASSWORD, account.change_password, account.PasswordChanged, refuses=_refuses),
    POST(
        f"{ME}/avatar",
        avatars.upload_avatar,
        account.Profile,
        body=Upload(avatars.MOST_SENT, instead_of="content", form=avatars.FIELD),
    ),
    DELETE(f"{ME}/avatar", avatars.delete_avatar, account.Profile),
    GET("/api/v1/users/{userId}/avatar", avatars.get_avatar, gives=Download()),
)
