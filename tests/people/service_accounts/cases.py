"""Cases of service accounts, for the tests that are made for every operation."""

import hashlib
from datetime import timedelta
from typing import Any

from models.people.auth import CliToken, User
from models.people.service_accounts import ServiceAccount
from models.people.workspaces import Role
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def service_user(plot: Plot) -> User:
    id = f"sa_{plot.workspace.id[1:]}"
    return User(id=id, email=f"{id}@service-accounts.invalid", full_name="Deployments")


@entity
def service_account(plot: Plot) -> ServiceAccount:
    user = plot["service_user"]
    return ServiceAccount(
        id=user.id,
        name="Deployments",
        description="Ships what is built",
        role=Role.MEMBER,
        created_by=plot.owner.user_id,
        deactivated_at=now(),
        **plot.here,
    )


@entity
def service_account_token(plot: Plot) -> CliToken:
    hash = hashlib.sha256(f"service token of {plot.workspace.id}".encode()).hexdigest()
    return CliToken(
        user_id=plot["service_account"].id,
        name="pipeline",
        token_hash=hash,
        scopes=["*"],
        expires_at=now() + timedelta(days=1),
        last_used_at=now(),
    )


OF_ACCOUNT = {"service_account_id": "service_account"}
OF_TOKEN = OF_ACCOUNT | {"token_id": "service_account_token"}
UNSCOPED: dict[str, Any] = {"scopes": ["crews:read"]}
RECIPES = {
    "service_accounts.tokens.create": Recipe(UNSCOPED, ids=OF_ACCOUNT),
    "service_accounts.tokens.list": Recipe(ids=OF_ACCOUNT),
    "service_accounts.tokens.revoke": Recipe(ids=OF_TOKEN),
    "service_accounts.tokens.rotate": Recipe(ids=OF_TOKEN),
}
