"""REST: the caller's own account."""

from resolvers.kernel.declarations.outputs import Success
from resolvers.people import account
from rest_compat.http.table import POST

ROUTES = (
    POST("/api/v1/auth/email", account.change_email, account.EmailChangeRequested, status=202),
    POST("/api/v1/auth/email/confirm", account.confirm_email, account.EmailChanged),
    POST("/api/v1/auth/password", account.change_password, Success),
    POST("/api/v1/auth/account/delete", account.delete_account, Success),
)
