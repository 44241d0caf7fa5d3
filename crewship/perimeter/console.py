"""The console: its page at each address below /console, and its files.

`make console` builds the files from `console/` into `crewship/static/console`, with their compressed forms. Names of
scripts and styles contain a hash of their content, so browsers keep them for ever. Only names found at import are
served: no request path reaches the file system.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from crewship.perimeter.compression import encoding_for

ROOT = Path(__file__).parents[1] / "static" / "console"
KEPT = "public, max-age=31536000, immutable"
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
"""This origin only; neither script nor style in the text of the page."""

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
    ".md": "text/plain",
}
_CODINGS = {b"br": ".br", b"gzip": ".gz"}


@dataclass(frozen=True)
class Built:
    """A built file. `codings`: its compressed forms. The content is loaded with its first request."""

    path: Path
    codings: Mapping[bytes, Path] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        return _TYPES[self.path.suffix]

    @cached_property
    def plain(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def _packed(self) -> dict[bytes, bytes]:
        return {}

    def packed(self, coding: bytes) -> bytes:
        if coding not in self._packed:
            self._packed[coding] = self.codings[coding].read_bytes()
        return self._packed[coding]


def _read(root: Path) -> dict[str, Built]:
    found: dict[str, Built] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix in _TYPES and path.is_file():
            forms = {coding: Path(f"{path}{ending}") for coding, ending in _CODINGS.items()}
            found[path.relative_to(root).as_posix()] = Built(
                path, {c: form for c, form in forms.items() if form.is_file()}
            )
    return found


FILES = _read(ROOT)
PAGE, WORKER = "index.html", "sw.js"
WORKER_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@cache
def documents() -> Mapping[str, str]:
    """The documents of the console, by the sha256 of their text: it sends nothing but names of them."""
    file = ROOT / "documents.json"
    return json.loads(file.read_text()) if file.is_file() else {}


SHORT = 32  # digits


@cache
def known() -> Mapping[str, str]:
    """The same, also by the first digits of the hash: what the scripts send."""
    return {id[:SHORT]: text for id, text in documents().items()} | dict(documents())


async def page(request: Request) -> Response:
    """The page, whichever screen the address names: its script shows that screen."""
    return _send(
        request, FILES[PAGE], {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-cache"}
    )


async def file(request: Request) -> Response:
    found = FILES.get(f"assets/{request.path_params['name']}")
    if found is None:
        raise HTTPException(404)
    return _send(request, found, {"Cache-Control": KEPT})


async def whole(request: Request) -> Response:
    """A file whose name stays while its content changes: the manifest, its icons, and the worker that shows pushes."""
    name = request.url.path.removeprefix("/console/")
    found = FILES.get(name)
    if found is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "no-cache" if name == WORKER else "public, max-age=3600"}
    if name == WORKER:
        # The worker loads nothing, and may have the console itself in its scope, which is above its own folder.
        headers |= {"Content-Security-Policy": WORKER_POLICY, "Service-Worker-Allowed": "/console"}
    return _send(request, found, headers)


async def document(request: Request) -> Response:
    """The text of a document, for people who want to send it themselves."""
    text = known().get(request.path_params["id"])
    if text is None:
        raise HTTPException(404)
    return PlainTextResponse(text, headers={"Cache-Control": KEPT})


def _send(request: Request, built: Built, headers: dict[str, str]) -> Response:
    headers["Vary"] = "Accept-Encoding"
    coding = encoding_for(request.headers.get("accept-encoding", "").encode("latin-1"))
    if coding is not None and coding in built.codings:
        headers["Content-Encoding"] = coding.decode()
        return Response(built.packed(coding), media_type=built.media_type, headers=headers)
    return Response(built.plain, media_type=built.media_type, headers=headers)


OUTSIDE = ("/account", "/terminal", "/welcome")
"""Addresses of its screens outside of workspaces, and of those that lead into one."""

routes: list[BaseRoute] = [
    *(Route(path, page) for path in OUTSIDE),
    Route("/console", page),
    Route("/console/assets/{name:path}", file),
    Route("/console/documents/{id}", document),
    Route("/console/manifest.webmanifest", whole),
    Route("/console/sw.js", whole),
    Route("/console/icons/{name}", whole),
    Route("/console/{screen:path}", page),
]
