"""The caller's own account: its password, its email, and its end."""

from resolvers.kernel import Domain
from resolvers.people.account.email import EmailChanged, EmailChangeRequested, change_email, confirm_email
from resolvers.people.account.password import (
    LAST_PERSON,
    LOCKED,
    OWNS,
    REASON,
    WITHOUT,
    WRONG,
    PasswordChanged,
    change_password,
    delete_account,
)
from resolvers.people.account.profile import Profile, update_profile

DOMAIN = Domain("account", scopes=None)
