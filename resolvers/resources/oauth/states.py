"""A consent that is under way: begun by a user, and finished once, within 15 minutes."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, false, func, or_
from sqlmodel import col

from models.resources.credentials import Credential
from models.resources.oauth import OAuthState
from models.sealed import Sealed
from resolvers.identity.caller import KnownBrowser
from resolvers.instance.crypto import digest
from resolvers.kernel import AcrossWorkspaces, Code, Context, Refusal, across_workspaces, instance
from resolvers.people.sign_in_providers.attempts import browser_of
from resolvers.resources.oauth.client import authorization_url

LIFETIME: Final = timedelta(minutes=15)
UNKNOWN: Final = "This consent is unknown, finished, or older than 15 minutes; start again"


@dataclass(frozen=True, slots=True)
class Begun:
    auth_url: str
    state: str


@dataclass(frozen=True, slots=True)
class ConsentState:
    """The data of a state."""

    workspace_id: str
    credential_id: str
    user_id: str
    redirect_uri: str
    verifier: str


async def begin(ctx: Context, credential: Credential, redirect_uri: str, *, listens: bool = False) -> Begun:
    """Stores a new state and removes old ones. A cookie identifies the browser, unless a listener of this server
    `listens` for the answer.
    """
    browser = None if listens else browser_of(ctx) or secrets.token_hex(32)
    ctx.session = None if browser is None else KnownBrowser(browser)
    state, verifier = secrets.token_hex(32), secrets.token_urlsafe(32)
    now = await ctx.now()
    await ctx.delete_where(OAuthState, col(OAuthState.created_at) < now - LIFETIME)
    row = OAuthState(
        state_hash=digest(state), credential_id=credential.id, user_id=ctx.user_id, redirect_uri=redirect_uri
    )
    row.browser_hash = None if browser is None else digest(browser)
    place: Any = {"table": OAuthState, "column": "verifier", "row_id": row.id}
    row.verifier = await instance.vault.seal(verifier, **place, workspace_id=ctx.workspace_id)
    await ctx.insert(row)
    return Begun(authorization_url(credential, state=state, verifier=verifier, redirect_uri=redirect_uri), state)


async def claim(
    state: str,
    *,
    workspace_id: str | None = None,
    credential_id: str | None = None,
    user_id: str | None = None,
    browser: str | None = None,
    listener: str | None = None,
) -> ConsentState:
    """Claims a state in its own transaction, before the server is called, so the code is redeemed once even if a later
    step fails. An answer in another browser is refused and does not use up the state.
    """
    tied = (
        (OAuthState.workspace_id, workspace_id),
        (OAuthState.credential_id, credential_id),
        (OAuthState.user_id, user_id),
    )
    # it is proved by the browser that it was begun in, by that user, or by the one listener that was opened for it
    proofs: list[ColumnElement[bool]] = [false()]
    if browser is not None:
        proofs.append(col(OAuthState.browser_hash) == digest(browser))
    if user_id is not None:
        proofs.append(col(OAuthState.user_id) == user_id)
    if listener is not None:
        proofs.append(and_(col(OAuthState.browser_hash).is_(None), col(OAuthState.redirect_uri) == listener))

    async def remove(rows: AcrossWorkspaces) -> list[Any]:
        columns = ("id", "workspace_id", "credential_id", "user_id", "redirect_uri", "verifier")
        return await rows.everywhere.take(
            OAuthState,
            col(OAuthState.state_hash) == digest(state),
            col(OAuthState.created_at) > func.now() - LIFETIME,
            *[col(column) == value for column, value in tied if value is not None],
            or_(*proofs),
            columns=columns,
        )

    found = await across_workspaces(remove)
    if not found:
        raise Refusal(Code.BAD_REQUEST, UNKNOWN)
    (row,) = found
    sealed = Sealed(row["verifier"])
    verifier = await instance.vault.open(sealed, table=OAuthState, column="verifier", row_id=row["id"])
    return ConsentState(
        row["workspace_id"], row["credential_id"], row["user_id"], row["redirect_uri"], verifier.reveal()
    )
