"""GraphQL: accounts, sessions and tokens. Signing in and out sets the cookies of the browser."""

import strawberry

from models.people.auth import CliToken
from resolvers.people.auth import accounts, login, token_rotation, ws_tickets
from resolvers.people.auth import cli_tokens as cli_token_ops
from resolvers.people.auth import sessions as session_ops
from schema.bridge.fields import mutation, node, output, query

output(login.LoginResult, name="SignInResult")


@node(CliToken)
class CliTokenType:
    """A CLI token of the caller, without its value."""

    fields = "id name tier created_at expires_at last_used_at revoked_at scopes rotated_at expires_soon"
    scopes = strawberry.field(
        description="Scopes of the token; if empty, the token has all permissions of its user.",
    )
    rotated_at = strawberry.field(description="The time at which another token replaced this one.")
    expires_soon = strawberry.field(
        description="Within a week, or in the last quarter of a lifetime of less than four weeks.",
    )


@strawberry.type
class AuthQuery:
    csrf_token = query(login.create_csrf_token)
    sessions = query(session_ops.list_sessions)
    cli_tokens = query(cli_token_ops.list_cli_tokens, CliTokenType)
    validate_cli_token = query(cli_token_ops.validate_cli_token)
    ws_token = query(ws_tickets.create_ws_token)


@strawberry.type
class AuthMutation:
    bootstrap = mutation(accounts.bootstrap)
    signup = mutation(accounts.sign_up)
    sign_in = mutation(login.log_in)
    sign_out = mutation(session_ops.sign_out)
    refresh_session = mutation(session_ops.refresh_session)
    revoke_session = mutation(session_ops.revoke_session)
    create_cli_token = mutation(cli_token_ops.create_cli_token)
    rotate_cli_token = mutation(token_rotation.rotate_cli_token)
    revoke_cli_token = mutation(cli_token_ops.revoke_cli_token)
