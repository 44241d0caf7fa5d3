"""REST: login, sessions, accounts and tokens. The cookies of a login are set by the dispatcher."""

from typing import Annotated, Any
from urllib.parse import parse_qsl, quote

import orjson

from models.people.auth import CliToken
from resolvers.errors import Code, Reason, Refusal
from resolvers.instance.addresses import same_host
from resolvers.kernel.declarations.operation import Answer
from resolvers.kernel.ground.inputs import BODY
from resolvers.people.auth import accounts, cli_tokens, login, sessions, token_rotation, ws_tickets
from rest_compat.http.dispatch import body_of
from rest_compat.http.errors import JSON
from rest_compat.http.table import DELETE, GET, POST, Absent, From, Reply, Request, Wire

LOGIN_BODY_LIMIT = 16 * 1024  # bytes (contract: auth.login)
_FORM_FIELDS = 100


class CliTokenJSON(Wire, of=CliToken):
    """`expires_soon`: within a week, or in the last quarter of a lifetime of less than four weeks."""

    fields = "id name tier created_at expires_at last_used_at revoked_at scopes rotated_at expires_soon"
    absent = "expires_at last_used_at revoked_at rotated_at"
    scopes: Annotated[list[str] | None, From("limited_to"), Absent()]


# ---- reading ---------------------------------------------------------------------------------------------------------


def _login_fields(request: Request) -> tuple[dict[str, Any], bool] | None:
    """The body's fields, and whether it is JSON; None when it is neither JSON nor a form, or too long (a 400 here)."""
    if len(request.body) > LOGIN_BODY_LIMIT:
        return None
    media = request.headers.get(b"content-type", b"").lower()
    try:
        if b"json" in media or request.body.lstrip()[:1] == b"{":
            fields = orjson.loads(request.body)
            return (fields, True) if isinstance(fields, dict) else None
        if media.startswith(b"multipart/"):
            return None
        return dict(
            parse_qsl(request.body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FORM_FIELDS)
        ), False
    except ValueError:  # of either parser, and of bytes that are no text
        return None


def _reads_login(request: Request) -> dict[str, Any]:
    found = _login_fields(request)
    if found is None:
        request.fault = Refusal(Code.BAD_REQUEST, BODY)
        return {}
    fields, is_json = found
    query = {"callbackUrl": request.query["callbackUrl"]} if "callbackUrl" in request.query else {}
    return query | {name: value for name, value in fields.items() if name != "callbackUrl" or not is_json}


def _wants_json(request: Request) -> bool:
    fields, is_json = _login_fields(request) or ({}, True)
    asked = request.query | fields
    return is_json or asked.get("redirect") == "false" or asked.get("json") == "true"


def _reads_refresh(request: Request) -> dict[str, Any]:
    """Nothing, and only from pages of this host: an allowed origin elsewhere may call the API, not exchange tokens."""
    headers = request.headers
    if not same_host(headers.get(b"origin"), headers.get(b"referer"), headers.get(b"host", b"").decode("latin-1")):
        raise Refusal(Code.FORBIDDEN, Reason.session_invalid.value, reason=Reason.session_invalid.value)
    return {}


def _reads_bootstrap(request: Request) -> dict[str, Any]:
    """The command line sends the secret of the one-time link as a header."""
    raw, header = body_of(request), request.headers.get(b"x-setup-token")
    return raw if header is None else {"setup_token": header.decode("latin-1")} | raw


# ---- answering -------------------------------------------------------------------------------------------------------


def _answers_login(request: Request, answer: Answer) -> Reply:
    if _wants_json(request):
        return Reply(200, answer.body or b"", [JSON])
    result = orjson.loads(answer.body or b"{}")
    error = login.PASSKEY_REQUIRED if result.get("passkey_required") else login.FAILURE
    return _redirect(result["url"] if result["ok"] else f"/login?error={error}")


def _answers_signin_page(request: Request, answer: Answer) -> Reply:
    return _redirect(orjson.loads(answer.body or b"{}")["location"])


def _answers_error_page(request: Request, answer: Answer) -> Reply:
    """A page for browsers, which list text/html; everybody else gets the JSON."""
    vary = (b"vary", b"Accept")
    if b"text/html" not in request.headers.get(b"accept", b"").lower():
        return Reply(200, answer.body or b"", [JSON, vary])
    made = _redirect(f"/login?error={quote(orjson.loads(answer.body or b'{}')['error'], safe='')}")
    made.headers.append(vary)
    return made


def _redirect(location: str) -> Reply:
    """A Location is ASCII: other characters are percent-encoded, and encoded ones stay."""
    return Reply(302, b"", [(b"location", quote(location, safe="/?#[]@!$&'()*+,;=:%~").encode())])


ROUTES = (
    GET("/api/auth/csrf", login.create_csrf_token, login.CsrfToken),
    GET("/api/auth/providers", login.list_providers, login.Providers),
    GET("/api/auth/session", sessions.get_session, sessions.CurrentSession),
    POST(
        "/api/auth/callback/credentials",
        login.log_in,
        login.LoginResult,
        reads=_reads_login,
        answers=_answers_login,
        redirects="A form is redirected to the requested page, or back to the login page.",
    ),
    POST("/api/auth/token/refresh", sessions.refresh_session, sessions.RefreshedSession, reads=_reads_refresh),
    GET("/api/auth/signin", login.find_signin_page, status=302, answers=_answers_signin_page),
    POST("/api/auth/signout", sessions.sign_out, sessions.SignedOut),
    GET(
        "/api/auth/error",
        login.describe_login_error,
        login.LoginError,
        answers=_answers_error_page,
        redirects="A browser is redirected to the login page.",
    ),
    POST("/api/v1/bootstrap", accounts.bootstrap, accounts.Bootstrapped, status=201, reads=_reads_bootstrap),
    POST("/api/v1/auth/signup", accounts.sign_up, accounts.Account, status=201),
    GET("/api/v1/auth/sessions", sessions.list_sessions, list[sessions.ActiveSession]),
    POST("/api/v1/auth/sessions/{id}/revoke", sessions.revoke_session, sessions.RevokedSession),
    POST("/api/v1/auth/cli-token", cli_tokens.create_cli_token, cli_tokens.CreatedCliToken, optional_body=True),
    GET("/api/v1/auth/cli-token/validate", cli_tokens.validate_cli_token, cli_tokens.ValidCliToken),
    GET("/api/v1/auth/cli-tokens", cli_tokens.list_cli_tokens, list[CliTokenJSON], envelope="data"),
    DELETE("/api/v1/auth/cli-tokens/{tokenId}", cli_tokens.revoke_cli_token, cli_tokens.RevokedCliToken),
    POST("/api/v1/auth/cli-tokens/{tokenId}/rotate", token_rotation.rotate_cli_token, cli_tokens.CreatedCliToken),
    GET("/api/v1/ws-token", ws_tickets.create_ws_token, ws_tickets.WsToken),
)
