"""The pages a person sees in a browser: chat, login, account, GraphiQL, API reference, and the files they need.

Every file is part of this package, so the pages work without any network. Assets are found at import; a page that names
one which does not exist fails there. Only names found then are served, so no request path ever reaches the file system.
What an asset holds is kept from its first request on: many processes are never asked for a page.
"""

import gzip
import hashlib
import html
import re
import threading
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

STATIC = Path(__file__).parent / "static"

UI_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",  # graphiql.css embeds its fonts
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
"""The contract's `security_headers.ui`: this origin only, inline script and style allowed, no eval. The pages set it
themselves as two of them live at paths (`/graphql`, `/api/docs`) whose other answers carry the API's stricter policy.
"""

OWN_CONTENT_SECURITY_POLICY = UI_CONTENT_SECURITY_POLICY.replace(" 'unsafe-inline'", "")
TERMINAL_CONTENT_SECURITY_POLICY = OWN_CONTENT_SECURITY_POLICY.replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
"""xterm.js colours what is shown by styles that it writes as text."""

# Fixed here: the `mimetypes` module also reads the machine's own tables, and with nosniff a wrong type stops a script.
MEDIA_TYPES = {
    ".css": "text/css",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


@dataclass(frozen=True)
class Asset:
    path: Path
    gzipped: bool
    media_type: str
    digest: str
    _one: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @cached_property
    def body(self) -> bytes:
        return self.path.read_bytes()

    async def plain(self) -> bytes:
        """The uncompressed bytes, made when a client first asks for them, by one thread, and kept."""
        if not self.gzipped:
            return self.body
        if "_plain" not in self.__dict__:
            await to_thread.run_sync(self._unpack)
        return self._plain

    def _unpack(self) -> bytes:
        with self._one:
            return self._plain

    @cached_property
    def _plain(self) -> bytes:
        return gzip.decompress(self.body)


def _read_assets(root: Path) -> dict[str, Asset]:
    """Asset by its name in URLs; `vendor/react.js` for the stored file `vendor/react.js.gz`."""
    assets = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        gzipped = path.suffix == ".gz"
        name = path.relative_to(root).as_posix().removesuffix(".gz")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        assets[name] = Asset(path, gzipped, MEDIA_TYPES[Path(name).suffix], digest)
    return assets


ASSETS = _read_assets(STATIC / "assets")


def _version() -> str:
    try:
        return metadata.version("crewship")
    except metadata.PackageNotFoundError:  # a source tree on the path, nothing installed
        return "(source)"


def _read_page(name: str) -> str:
    """The page with the digest of each asset in its URL, which is what lets a browser keep the asset for good."""
    text = (STATIC / name).read_text(encoding="utf-8").replace("{{version}}", html.escape(_version()))
    return re.sub(r'"/static/([^"]+)"', lambda match: f'"/static/{match[1]}?v={ASSETS[match[1]].digest}"', text)


def _page(text: str, policy: str = UI_CONTENT_SECURITY_POLICY, **headers: str) -> HTMLResponse:
    return HTMLResponse(text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-cache", **headers})


_HOME, _GRAPHIQL, _REFERENCE, _NOT_FOUND = (
    _read_page(name) for name in ("home.html", "graphiql.html", "reference.html", "not-found.html")
)


def graphiql(request: Request) -> Response:
    """GraphiQL, for a `GET /graphql` that prefers text/html."""
    return _page(_GRAPHIQL, Vary="Accept")


async def home(request: Request) -> Response:
    """The landing page; also `/login`, where its script reads `callbackUrl` and `error` from the address."""
    return _page(_HOME)


async def reference(request: Request) -> Response:
    return _page(_REFERENCE)


async def asset(request: Request) -> Response:
    return await _send(request, request.path_params["name"])


async def favicon(request: Request) -> Response:
    return await _send(request, "favicon.ico")


async def robots(request: Request) -> Response:
    return await _send(request, "robots.txt")


async def not_found(request: Request, _missing: Exception) -> Response:
    """For a browser that goes to a page, one; for everything else (a script of a page, a client) a line of text."""
    if "text/html" in request.headers.get("accept", ""):
        answer = _page(_NOT_FOUND, OWN_CONTENT_SECURITY_POLICY, Vary="Accept")
        answer.status_code = 404
        return answer
    return PlainTextResponse("Not Found", 404, headers={"Vary": "Accept"})


async def _send(request: Request, name: str) -> Response:
    found = ASSETS.get(name)
    if found is None:
        raise HTTPException(404)
    keep = "public, max-age=31536000, immutable" if request.query_params.get("v") == found.digest else "no-cache"
    # weak, because the compressed and the plain form share it
    headers = {"ETag": f'W/"{found.digest}"', "Cache-Control": keep, "Vary": "Accept-Encoding"}
    if found.digest in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if found.gzipped and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = found.body, "gzip"
    else:
        body = await found.plain()
    return Response(body, media_type=found.media_type, headers=headers)


def _own(path: str, name: str, policy: str = OWN_CONTENT_SECURITY_POLICY) -> Route:
    """A page that brings neither script nor style in its text."""
    text = _read_page(name)

    async def endpoint(request: Request) -> Response:
        return _page(text, policy)

    return Route(path, endpoint, name=path)


routes: list[BaseRoute] = [
    Route("/", home),
    Route("/login", home),
    _own("/forgot", "forgot.html"),
    # where mailed links lead
    _own("/reset-password", "reset.html"),
    _own("/confirm-email", "confirm-email.html"),
    _own("/decision", "decision.html"),
    _own("/invitation", "invitation.html"),
    _own("/welcome", "welcome.html"),
    _own("/account", "account.html"),
    _own("/terminal", "terminal.html", TERMINAL_CONTENT_SECURITY_POLICY),
    Route("/api/docs", reference),
    Route("/favicon.ico", favicon),
    Route("/robots.txt", robots),
    Route("/static/{name:path}", asset),
]
"""Everything but GraphiQL, which shares its path with the GraphQL endpoint and is called from there."""
