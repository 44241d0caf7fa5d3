"""REST: sign-in providers. Browsers are sent to them and come back, so that people get pages where others get JSON."""

from collections.abc import Mapping
from functools import partial
from urllib.parse import quote

import orjson

from models.people.sign_in_providers import LinkedIdentity
from resolvers.errors import Refusal
from resolvers.identity import cookies
from resolvers.kernel.declarations.operation import Answer
from resolvers.people.sign_in_providers import identities, sign_in
from rest_compat.http.table import DELETE, GET, Reply, Request, Wire

START, CALLBACK = "OAuthSignin", "OAuthCallback"
"""Reasons of a failed sign-in if the refusal has none of its own: codes of Auth.js."""


class LinkedIdentityJSON(Wire, of=LinkedIdentity):
    """`email` is the latest address from the provider."""

    fields = "id provider issuer subject email created_at used_at"


def _sent_on(answer: Answer, *headers: tuple[bytes, bytes]) -> Reply:
    """A Location is ASCII: other characters are percent-encoded, and encoded ones stay."""
    location = quote(orjson.loads(answer.body or b"{}")["location"], safe="/?#[]@!$&'()*+,;=:%~")
    return Reply(307, b"", [(b"location", location.encode()), *headers])


def _answers_start(request: Request, answer: Answer) -> Reply:
    browser = orjson.loads(answer.body or b"{}")["browser"]
    return _sent_on(answer, (b"set-cookie", cookies.set_browser(browser, https=request.caller.https).encode()))


def _answers_callback(request: Request, answer: Answer) -> Reply:
    return _sent_on(answer)


def _refuses(otherwise: str, headers: Mapping[bytes, bytes], refusal: Refusal) -> Reply | None:
    """Browsers, which list text/html, go back to the login page (contract: auth.error_page)."""
    if b"text/html" not in headers.get(b"accept", b"").lower():
        return None
    location = f"/login?error={quote(refusal.reason or otherwise, safe='')}"
    return Reply(302, b"", [(b"location", location.encode()), (b"vary", b"Accept")])


BACK = "A browser that cannot be signed in is redirected to the login page, with `error`."
AUTH = "/api/v1/auth"
TO = {"answers": _answers_start, "refuses": partial(_refuses, START), "redirects": BACK}
FROM = {"answers": _answers_callback, "refuses": partial(_refuses, CALLBACK), "redirects": BACK}
ROUTES = (
    GET(f"{AUTH}/oidc", sign_in.list_sign_in_providers, list[sign_in.SignInProviderInfo]),
    GET(f"{AUTH}/oidc/{{provider}}/redirect", sign_in.start_sign_in, status=307, **TO),
    GET(f"{AUTH}/oidc/{{provider}}/callback", sign_in.finish_sign_in, status=307, **FROM),
    GET(f"{AUTH}/google/status", sign_in.get_google_status, sign_in.GoogleStatus),
    GET(f"{AUTH}/google/redirect", sign_in.start_google, status=307, **TO),
    GET(f"{AUTH}/google/callback", sign_in.finish_google, status=307, **FROM),
    GET(f"{AUTH}/identities", identities.list_linked_identities, list[LinkedIdentityJSON]),
    DELETE(f"{AUTH}/identities/{{id}}", identities.unlink_identity, status=204),
)
