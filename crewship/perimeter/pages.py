"""The pages for browsers: login, GraphiQL, API reference, and their files.

Every file is part of this package, so the pages need no other network access. Assets are found at import; a page that
names a missing one fails there. Only names found then are served, so no request path reaches the file system. The
content of an asset is loaded with its first request, because many processes never serve a page.
"""

import gzip
import hashlib
import html
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from crewship.perimeter import console
from crewship.perimeter.compression import takes_gzip

STATIC = Path(__file__).parents[1] / "static"

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
    """A file, and `text` where it is served as something else than it is stored. `needs`: modules that it imports."""

    path: Path
    gzipped: bool
    media_type: str
    digest: str
    text: str | None = None
    needs: tuple[str, ...] = ()
    _one: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @cached_property
    def stored(self) -> bytes:
        return self.path.read_bytes() if self.text is None else self.text.encode()

    async def plain(self) -> bytes:
        return await self._made("_plain") if self.gzipped else self.stored

    async def packed(self) -> bytes:
        return self.stored if self.gzipped else await self._made("_packed")

    async def _made(self, name: str) -> bytes:
        """Another form of the bytes, made when a client first asks for it, by one thread, and kept."""
        if name not in self.__dict__:
            await to_thread.run_sync(self._make, name)
        return bytes(getattr(self, name))

    def _make(self, name: str) -> None:
        with self._one:
            getattr(self, name)

    @cached_property
    def _plain(self) -> bytes:
        return gzip.decompress(self.stored)

    @cached_property
    def _packed(self) -> bytes:
        return gzip.compress(self.stored, mtime=0)


_IMPORT = re.compile(r'(\bfrom |^import )"\./([\w./-]+)"', re.MULTILINE)


def _read_assets(root: Path) -> dict[str, Asset]:
    """Asset by its name in URLs; `vendor/react.js` for the stored file `vendor/react.js.gz`."""
    paths = {
        path.relative_to(root).as_posix().removesuffix(".gz"): path
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    assets: dict[str, Asset] = {}
    for name in paths:
        _read_asset(name, paths, assets, ())
    return assets


def _read_asset(name: str, paths: Mapping[str, Path], assets: dict[str, Asset], within: tuple[str, ...]) -> Asset:
    """A module names the digests of its imports, so they are part of its own digest."""
    if name in assets:
        return assets[name]
    if name in within:
        raise ValueError(f"modules import each other: {' -> '.join((*within, name))}")
    path = paths[name]
    stored, gzipped, text, needs = path.read_bytes(), path.suffix == ".gz", None, dict[str, None]()
    if path.suffix == ".js":

        def versioned(match: re.Match[str]) -> str:
            imported = _read_asset(match[2], paths, assets, (*within, name))
            needs.update(dict.fromkeys((match[2], *imported.needs)))
            return f'{match[1]}"./{match[2]}?v={imported.digest}"'

        text = _IMPORT.sub(versioned, stored.decode())
        stored = text.encode()
    digest = hashlib.sha256(stored).hexdigest()[:16]
    assets[name] = Asset(path, gzipped, MEDIA_TYPES[Path(name).suffix], digest, text, tuple(needs))
    return assets[name]


ASSETS = _read_assets(STATIC / "assets")


@cache
def version() -> str:
    try:
        return metadata.version("crewship")
    except metadata.PackageNotFoundError:  # a source tree on the path, nothing installed
        return "(source)"


class _Text(str):
    """The text of a page, and the same compressed, made once."""

    @cached_property
    def packed(self) -> bytes:
        return gzip.compress(self.encode(), mtime=0)


def _read_page(name: str) -> _Text:
    """The page with the digest of each asset in its URL, so that browsers can cache assets for ever, and with preloads
    of the modules that its own import, so that they load in parallel.
    """
    text = (STATIC / name).read_text(encoding="utf-8").replace("{{version}}", html.escape(version()))
    text = re.sub(r'( *)<script type="module" src="/static/([^"]+)"></script>', _with_modules, text)
    return _Text(_versioned(text))


def _versioned(text: str) -> str:
    return re.sub(r'"/static/([^"]+)"', lambda match: f'"/static/{match[1]}?v={ASSETS[match[1]].digest}"', text)


def _with_modules(script: re.Match[str]) -> str:
    needed = ASSETS[script[2]].needs
    return "".join(f'{script[1]}<link rel="modulepreload" href="/static/{name}">\n' for name in needed) + script[0]


def _page(request: Request, text: _Text, policy: str = UI_CONTENT_SECURITY_POLICY, *vary: str) -> Response:
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    headers["Vary"] = ", ".join((*vary, "Accept-Encoding"))
    if not _takes_gzip(request):
        return HTMLResponse(text, headers=headers)
    return HTMLResponse(text.packed, headers=headers | {"Content-Encoding": "gzip"})


def _takes_gzip(request: Request) -> bool:
    return takes_gzip(request.headers.get("accept-encoding", "").encode("latin-1"))


_GRAPHIQL, _REFERENCE, _NOT_FOUND = (_read_page(name) for name in ("graphiql.html", "reference.html", "not-found.html"))


def graphiql(request: Request) -> Response:
    """GraphiQL, for a `GET /graphql` that prefers text/html."""
    return _page(request, _GRAPHIQL, UI_CONTENT_SECURITY_POLICY, "Accept")


async def to_console(request: Request) -> Response:
    """The console finds the workspace, and the sign-in or the first start before it; browsers keep the fragment."""
    query = request.url.query
    return RedirectResponse(f"/console/?{query}" if query else "/console/", headers={"Cache-Control": "no-cache"})


async def reference(request: Request) -> Response:
    return _page(request, _REFERENCE)


async def asset(request: Request) -> Response:
    return await _send(request, request.path_params["name"])


async def favicon(request: Request) -> Response:
    return await _send(request, "favicon.ico")


async def robots(request: Request) -> Response:
    return await _send(request, "robots.txt")


async def not_found(request: Request, _missing: Exception) -> Response:
    """For a browser that goes to a page, one; for everything else (a script of a page, a client) a line of text."""
    if "text/html" in request.headers.get("accept", ""):
        answer = _page(request, _NOT_FOUND, OWN_CONTENT_SECURITY_POLICY, "Accept")
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
    if _takes_gzip(request):
        body, headers["Content-Encoding"] = await found.packed(), "gzip"
    else:
        body = await found.plain()
    return Response(body, media_type=found.media_type, headers=headers)


def _door(path: str, title: str) -> Route:
    """A page in front of the sign-in. The console's build has its script, which finds its parameters in the address."""

    @cache
    def page() -> _Text:
        text = console.FILES["doors.html"].plain.decode()
        for name, value in (("version", version()), ("title", title)):
            text = text.replace(f"{{{{{name}}}}}", html.escape(value))
        return _Text(_versioned(text))

    async def endpoint(request: Request) -> Response:
        return _page(request, page(), console.CONTENT_SECURITY_POLICY)

    return Route(path, endpoint, name=path)


routes: list[BaseRoute] = [
    Route("/", to_console),
    _door("/login", "Sign in"),
    _door("/forgot", "Forgot your password"),
    # where mailed links lead
    _door("/reset-password", "Set a new password"),
    _door("/confirm-email", "Confirm your email"),
    _door("/decision", "A decision"),
    _door("/invitation", "Invitation"),
    Route("/api/docs", reference),
    Route("/favicon.ico", favicon),
    Route("/robots.txt", robots),
    Route("/static/{name:path}", asset),
]
"""Everything but GraphiQL, which shares its path with the GraphQL endpoint and is called from there."""
