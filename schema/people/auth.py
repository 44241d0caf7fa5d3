"""GraphQL: accounts, sessions and tokens. Signing in and out with a browser's cookies is REST."""

from datetime import datetime

import strawberry

from models.people.auth import CliToken, TokenTier
from resolvers.people.auth import accounts, token_rotation, ws_tickets
from resolvers.people.auth import cli_tokens as cli_token_ops
from resolvers.people.auth import sessions as session_ops
from schema.bridge.fields import mutation, node, output, query
from schema.bridge.results import CreatedCliTokenType, RevokedCliTokenType


@node(CliToken)
class CliTokenType:
    """A CLI token of the caller, without its value."""

    id: strawberry.ID
    name: str
    tier: TokenTier
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    scopes: list[str] = strawberry.field(
        description="Scopes of the token; if empty, the token has all permissions of its user.",
    )
    rotated_at: datetime | None = strawberry.field(description="When another token took the place of this one.")
    expires_soon: bool = strawberry.field(
        description="Within a week, or in the last quarter of a lifetime of less than four weeks.",
    )


@output(cli_token_ops.ValidCliToken)
class ValidCliTokenType:
    valid: bool
    user_id: strawberry.ID
    user_email: str


@output(session_ops.ActiveSession)
class ActiveSessionType:
    id: strawberry.ID
    created_at: datetime
    last_used_at: datetime
    user_agent: str | None
    ip: str | None
    is_current: bool


@output(session_ops.RevokedSession)
class RevokedSessionType:
    """The session has ended; `isCurrent` marks the session of this request."""

    ok: bool
    id: strawberry.ID
    is_current: bool


@output(accounts.Bootstrapped)
class BootstrappedType:
    user_id: strawberry.ID
    email: str
    workspace_id: strawberry.ID
    cli_token: str


@output(accounts.Account)
class AccountType:
    id: strawberry.ID
    email: str


@output(ws_tickets.WsToken)
class WsTokenType:
    token: str


@strawberry.type
class AuthQuery:
    sessions = query(session_ops.list_sessions, ActiveSessionType)
    cli_tokens = query(cli_token_ops.list_cli_tokens, CliTokenType)
    validate_cli_token = query(cli_token_ops.validate_cli_token, ValidCliTokenType)
    ws_token = query(ws_tickets.create_ws_token, WsTokenType)


@strawberry.type
class AuthMutation:
    bootstrap = mutation(accounts.bootstrap, BootstrappedType)
    signup = mutation(accounts.sign_up, AccountType)
    revoke_session = mutation(session_ops.revoke_session, RevokedSessionType)
    create_cli_token = mutation(cli_token_ops.create_cli_token, CreatedCliTokenType)
    rotate_cli_token = mutation(token_rotation.rotate_cli_token, CreatedCliTokenType)
    revoke_cli_token = mutation(cli_token_ops.revoke_cli_token, RevokedCliTokenType)
