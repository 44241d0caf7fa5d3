"""REST: service accounts and their tokens."""

from models.people.service_accounts import ServiceAccount
from resolvers.people import service_accounts as accounts
from resolvers.people.auth.cli_tokens import CreatedCliToken, RevokedCliToken
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class ServiceAccountJSON(Wire, of=ServiceAccount):
    fields = "id name description role active created_by created_at updated_at deactivated_at"
    absent = "deactivated_at"


ACCOUNTS = "/api/v1/service-accounts"
ACCOUNT = f"{ACCOUNTS}/{{serviceAccountId}}"
ROUTES = (
    GET(ACCOUNTS, accounts.list_service_accounts, list[ServiceAccountJSON]),
    POST(ACCOUNTS, accounts.create_service_account, ServiceAccountJSON, status=201),
    GET(ACCOUNT, accounts.get_service_account, ServiceAccountJSON),
    PATCH(ACCOUNT, accounts.update_service_account, ServiceAccountJSON),
    DELETE(ACCOUNT, accounts.delete_service_account, status=204),
    POST(f"{ACCOUNT}/activate", accounts.activate_service_account, ServiceAccountJSON),
    POST(f"{ACCOUNT}/deactivate", accounts.deactivate_service_account, ServiceAccountJSON),
    GET(f"{ACCOUNT}/tokens", accounts.list_service_account_tokens, list[accounts.ServiceAccountToken]),
    POST(f"{ACCOUNT}/tokens", accounts.create_service_account_token, CreatedCliToken, status=201),
    POST(f"{ACCOUNT}/tokens/{{tokenId}}/rotate", accounts.rotate_service_account_token, CreatedCliToken),
    DELETE(f"{ACCOUNT}/tokens/{{tokenId}}", accounts.revoke_service_account_token, RevokedCliToken),
)
