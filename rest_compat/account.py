"""REST: the caller's own account."""

from resolvers import account
from resolvers.kernel.outputs import Success
from rest_compat.table import POST

ROUTES = (
    POST("/api/v1/auth/password", account.change_password, Success),
    POST("/api/v1/auth/account/delete", account.delete_account, Success),
)
