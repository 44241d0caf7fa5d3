"""Cases of sessions and tokens, for the tests that are made for every operation."""

import hashlib
from datetime import timedelta
from typing import Any

from models.people.auth import CliToken, Session
from resolvers.instance.crypto import TokenKind
from resolvers.kernel import Code, instance
from tests.generation.entities import Plot, entity
from tests.generation.recipes import PASSWORD, Recipe
from tests.world import now


@entity
def session(plot: Plot) -> Session:
    return Session(
        id="s_" + hashlib.sha256(plot.owner.user_id.encode()).hexdigest(),
        user_id=plot.owner.user_id,
        expires_at=now() + timedelta(days=1),
    )


@entity
def cli_token(plot: Plot) -> CliToken:
    hash = hashlib.sha256(f"token of {plot.workspace.id}".encode()).hexdigest()
    return CliToken(
        user_id=plot.owner.user_id,
        name="laptop",
        token_hash=hash,
        expires_at=now() + timedelta(days=1),
        last_used_at=now(),
    )


def _login(world: Any) -> dict[str, str]:
    return {"authjs.csrf-token": CSRF}


def _refresh(world: Any) -> dict[str, str]:
    user_id, session_id = world.home.owner.user_id, world.home["session"].id
    token, _ = instance.signer.sign(
        TokenKind.refresh, user_id=user_id, session_id=session_id, lifetime=timedelta(hours=1)
    )
    return {"authjs.refresh-token": token}


CSRF = "ab" * 32
IDS = {"token_id": "cli_token"}
RECIPES = {
    "auth.bootstrap": Recipe(refused=Code.GONE),
    "auth.login": Recipe(
        {"email": lambda world: world.home.owner.email, "password": PASSWORD, "csrfToken": CSRF}, cookies=_login
    ),
    "auth.refresh": Recipe(cookies=_refresh),
}
ANONYMOUS = frozenset(
    {
        "auth.bootstrap",
        "auth.csrf",
        "auth.email_confirm",
        "auth.error_page",
        "auth.forgot",
        "auth.google_callback",
        "auth.google_redirect",
        "auth.google_status",
        "auth.login",
        "auth.pair_redeem",
        "auth.providers",
        "auth.refresh",
        "auth.reset",
        "auth.session",
        "auth.signin_page",
        "auth.signout",
        "auth.signup",
    }
)
