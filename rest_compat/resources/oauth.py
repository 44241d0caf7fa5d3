"""REST: OAuth. The way back from an authorization server is a page for the person in the browser."""

import base64
import hashlib
import html
from collections.abc import Mapping

from resolvers.errors import Refusal
from resolvers.kernel.declarations.operation import Answer
from resolvers.resources.oauth import connecting, consents, discovery, providers
from rest_compat.http.errors import STATUS
from rest_compat.http.table import GET, POST, Reply, Request

BASE = "/api/v1/oauth"
SCRIPT = "try{window.opener&&window.opener.location.reload()}catch(e){}history.replaceState(null,'','/');window.close()"
PAGE = f"""<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<title>Crewship</title>
<p>The account is connected. This window can be closed.</p>
<script>{SCRIPT}</script>
""".encode()
_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
_POLICY = f"default-src 'none'; script-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'"
QUIET = [(b"cache-control", b"no-store")]
"""The address contains a code, which no cache may store. The page links nowhere and sends no referrer."""


def _connected(request: Request, answer: Answer) -> Reply:
    kind = [(b"content-type", b"text/html; charset=utf-8"), (b"content-security-policy", _POLICY.encode())]
    return Reply(200, PAGE, [*kind, *QUIET])


def _refuses(headers: Mapping[bytes, bytes], refusal: Refusal) -> Reply:
    """As text (contract: oauth.callback)."""
    text = html.escape(refusal.detail).encode()
    return Reply(STATUS[refusal.code], text, [(b"content-type", b"text/plain; charset=utf-8"), *QUIET])


ROUTES = (
    GET(f"{BASE}/providers", providers.list_oauth_providers, providers.OAuthProviders),
    POST(f"{BASE}/initiate", consents.initiate_oauth, consents.OAuthStarted),
    GET(f"{BASE}/callback", consents.finish_oauth, answers=_connected, refuses=_refuses, in_text=True),
    POST(f"{BASE}/exchange", consents.exchange_oauth, consents.OAuthConnected),
    POST(f"{BASE}/loopback", consents.start_loopback, consents.LoopbackStarted),
    POST(f"{BASE}/discover", discovery.discover_oauth, discovery.DiscoveryResult),
    POST(f"{BASE}/auto-connect", connecting.auto_connect, connecting.AutoConnected),
)
