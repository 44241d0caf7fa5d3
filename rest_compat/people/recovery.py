"""REST: recovery of an account."""

from resolvers.people import recovery
from rest_compat.http.table import POST

ROUTES = (
    POST("/api/v1/auth/forgot", recovery.request_password_reset, recovery.PasswordResetRequested, optional_body=True),
    POST("/api/v1/auth/reset", recovery.reset_password, recovery.PasswordSet),
)
