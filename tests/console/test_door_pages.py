"""The pages before the sign-in as responses: under a strict policy, small, and true to where they lead."""

import gzip
import importlib.metadata
import json
import re
import subprocess

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from crewship.perimeter import console, pages
from tests.architecture.source import ROOT
from tests.every import each_of
from tests.npm import NODE
from tests.process.test_pages import References

pytestmark = pytest.mark.thorough

DOORS = {
    "/login": "Sign in",
    "/forgot": "Forgot your password",
    "/reset-password": "Set a new password",
    "/confirm-email": "Confirm your email",
    "/invitation": "Invitation",
    "/decision": "A decision",
}


@pytest.fixture(scope="module")
def client() -> TestClient:
    served = Starlette(routes=[*console.routes, *pages.routes], exception_handlers={404: pages.not_found})
    return TestClient(served, follow_redirects=False)


@each_of("path", list(DOORS))
def test_a_door_is_html_under_the_policy_of_the_console(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == console.CONTENT_SECURITY_POLICY
    assert response.headers["cache-control"] == "no-cache"
    assert response.text.startswith("<!doctype html>")
    assert '<html lang="en">' in response.text
    assert f"<title>{DOORS[path]} · Crewship</title>" in response.text
    assert '<meta name="referrer" content="same-origin">' in response.text, "mailed links have secrets in the address"
    assert "{{" not in response.text
    assert client.head(path).status_code == 200
    assert client.post(path).status_code == 405


@each_of("path", list(DOORS))
def test_a_door_loads_built_files_alone_and_they_may_be_kept(client: TestClient, path: str) -> None:
    text = client.get(path).text
    references = References(text)
    assert references.inline_handlers == []
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=", text) == []
    files = [url for url in references.loaded if url.startswith("/console/assets/")]
    assert len(files) == 2
    for url in files:
        answer = client.get(url)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, console.KEPT)
    (icon,) = set(references.loaded) - set(files)
    assert client.get(icon).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert all(re.match(r"/(?![/\\])", url) for url in references.linked), references.linked


def test_a_door_travels_compressed(client: TestClient) -> None:
    plain = client.get("/login", headers={"accept-encoding": "identity"})
    packed = client.get("/login", headers={"accept-encoding": "gzip"})
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", plain.content)
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in plain.headers


def test_a_door_is_small(client: TestClient) -> None:
    """Bytes of gzip that a browser loads before the page can be used."""
    loaded = References(client.get("/login").text).loaded
    scripts = [url.removeprefix("/console/") for url in loaded if url.endswith(".js")]
    bytes_ = sum(len(console.FILES[name].packed(b"gzip")) for name in scripts)
    sizes = json.loads((console.ROOT / "sizes.json").read_text())
    assert bytes_ < 30_000
    assert abs(sizes["doors"]["entry"] - bytes_) < 1_000
    text = "".join(gzip.decompress(console.FILES[name].packed(b"gzip")).decode() for name in scripts)
    assert "WorkspaceLive" not in text
    assert "viewerOperations" not in text


def test_the_version_is_that_of_the_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "version", pages.version.__wrapped__)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f'9.9 <"{name}">')
    with TestClient(Starlette(routes=[pages._door("/login", "Sign in")])) as client:
        assert 'content="9.9 &lt;&quot;crewship&quot;&gt;"' in client.get("/login").text


@pytest.mark.slow
@pytest.mark.skipif(NODE is None, reason="needs node")
@each_of(
    ("value", "expected"),
    [
        ("/api/docs?a=1#b", "/api/docs?a=1#b"),
        ("/", "/"),
        (None, "/"),
        ("", "/"),
        ("docs", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\\b", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("/.//evil.example", "/"),
        ("/a/..//evil.example", "/"),
        (" /docs", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_the_sign_in_returns_to_paths_of_this_origin_only(value: str | None, expected: str) -> None:
    source = (ROOT / "console" / "lib" / "door" / "return_path.ts").read_text()
    plain = source.replace("value: string | null, origin: string): string", "value, origin)")
    call = f"console.log(returnPath({json.dumps(value)}, 'http://127.0.0.1:8080'));"
    command = [str(NODE), "--input-type=module", "-e", plain + call]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == expected
