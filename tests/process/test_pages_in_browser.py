"""The pages in a real browser: they render under their own policy, and ask nothing of any other origin."""

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from strawberry.asgi import GraphQL

from crewship.perimeter import console, pages

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

SHIPS = {
    "operationId": "ships.list",
    "summary": "List the ships",
    "security": [{"session": []}, {"bearer": []}],
    "responses": {"200": {"description": "Ships"}},
}
SCHEMES = {
    "session": {"type": "apiKey", "in": "cookie", "name": "session"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Ships of the line", "version": "1"},
    "paths": {"/api/v1/ships": {"get": SHIPS}},
    "components": {"securitySchemes": SCHEMES},
}


@strawberry.type
class Query:
    @strawberry.field
    def ship(self) -> str:
        return "Victory"


async def graphql_page(request: Request) -> Response:
    return pages.graphiql(request)


async def document(request: Request) -> Response:
    return JSONResponse(DOCUMENT)


violations: list[str] = []


async def report(request: Request) -> Response:
    """Takes what the browser refused; unlike the console this includes compiling text, which a script got over."""
    violations.append((await request.body()).decode())
    return Response(status_code=204)


def reporting(app: ASGIApp) -> ASGIApp:
    """Asks the browser to report violations of the policy that the pages set."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_report(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if policy := headers.get("content-security-policy"):
                    headers["content-security-policy"] = f"{policy}; report-uri /violations"
            await send(message)

        await app(scope, receive, send_with_report)

    return wrapped


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    endpoint = GraphQL[Any, Any](strawberry.Schema(Query), graphql_ide=None)
    routes = [
        *console.routes,
        *pages.routes,
        Route("/graphql", graphql_page, methods=["GET"]),
        Route("/graphql", endpoint, methods=["POST"]),
        Route("/api/openapi.json", document),
        Route("/violations", report, methods=["POST"]),
    ]
    server = uvicorn.Server(
        uvicorn.Config(reporting(Starlette(routes=routes)), host="127.0.0.1", port=0, log_level="warning", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


class Visit:
    """One page load: the document after its scripts ran, the console's complaints, and the page's own requests."""

    def __init__(self, url: str, directory: Path) -> None:
        assert CHROMIUM is not None
        violations.clear()
        log = directory / "network.json"
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
        ]
        command += [
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={directory / 'profile'}",
            f"--log-net-log={log}",
        ]
        # the browser's own errands end here; a page's request to elsewhere would still be in the log
        command += [
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            "--dump-dom",
            url,
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        self.document = done.stdout
        console = [line for line in done.stderr.splitlines() if ":CONSOLE:" in line]
        self.complaints = [
            line for line in console if re.search("Content Security Policy|Uncaught|Failed to load|[Ee]rror", line)
        ]
        origin = "/".join(url.split("/")[:3])
        events = [
            event["params"] for event in json.loads(log.read_text())["events"] if "url" in event.get("params", {})
        ]
        self.requests = {params["url"] for params in events if params.get("initiator") == origin}
        self.elsewhere = {url for url in self.requests if not url.startswith(f"{origin}/")}


def test_graphiql_reads_the_schema_under_the_policy(origin: str, tmp_path: Path) -> None:
    visit = Visit(f"{origin}/graphql", tmp_path)
    assert "graphiql-execute-button" in visit.document
    assert "Show GraphiQL Explorer" in visit.document
    assert "Bearer crewship_cli_" in visit.document
    assert f"{origin}/graphql" in visit.requests  # the introspection
    assert (visit.elsewhere, violations) == (set(), [])
    assert visit.complaints == []


def test_the_reference_renders_the_document_under_the_policy(origin: str, tmp_path: Path) -> None:
    visit = Visit(f"{origin}/api/docs", tmp_path)
    assert "Ships of the line" in visit.document
    assert "List the ships" in visit.document
    assert "Bearer Token" in visit.document  # the field for one that all operations use
    assert f"{origin}/api/openapi.json" in visit.requests
    assert (visit.elsewhere, violations) == (set(), [])
    assert visit.complaints == []


def test_the_sign_in_says_so_when_there_is_no_api(origin: str, tmp_path: Path) -> None:
    visit = Visit(f"{origin}/login", tmp_path)
    assert "The API does not answer yet" in visit.document
    assert "Try again" in visit.document
    assert (visit.elsewhere, violations) == (set(), [])
    assert not [line for line in visit.complaints if "404" not in line]


def test_the_console_says_so_when_there_is_no_api(origin: str, tmp_path: Path) -> None:
    visit = Visit(f"{origin}/", tmp_path)
    assert "This did not work" in visit.document
    assert "Try again" in visit.document
    assert (visit.elsewhere, violations) == (set(), [])
    assert not [line for line in visit.complaints if "400" not in line]
