"""Service accounts of a workspace, and their tokens."""

from resolvers.kernel import Domain
from resolvers.people.service_accounts.accounts import (
    activate_service_account,
    create_service_account,
    deactivate_service_account,
    delete_service_account,
    get_service_account,
    list_service_accounts,
    update_service_account,
)
from resolvers.people.service_accounts.tokens import (
    ServiceAccountToken,
    create_service_account_token,
    list_service_account_tokens,
    revoke_service_account_token,
    rotate_service_account_token,
)

DOMAIN = Domain("service_accounts", scopes=None)
