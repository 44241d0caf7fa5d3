"""The built files of the console: cached by name, compressed, under a strict policy, and true to the schema."""

import gzip
import hashlib
import re
from pathlib import Path

import brotli
import pytest
from graphql import parse, validate
from starlette.applications import Starlette
from starlette.testclient import TestClient

from crewship.perimeter import console
from tests.architecture.source import ROOT
from tests.published import published

pytestmark = pytest.mark.thorough

SOURCE = ROOT / "console"
ADDRESSES = ("/console", "/console/", "/console/workspace", "/console/workspace/runs/r1?status=FAILED")


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(Starlette(routes=console.routes), follow_redirects=False)


def test_each_address_is_the_page_under_its_policy(client: TestClient) -> None:
    for address in ADDRESSES:
        answer = client.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["content-security-policy"] == console.CONTENT_SECURITY_POLICY
        assert answer.headers["cache-control"] == "no-cache"
    assert "unsafe" not in console.CONTENT_SECURITY_POLICY
    text = client.get("/console").text
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", text) == []


def test_what_the_page_names_is_there_and_kept(client: TestClient) -> None:
    named = re.findall(r'(?:src|href)="(/console/[^"]+)"', client.get("/console").text)
    assert len([address for address in named if address.startswith("/console/assets/")]) >= 2
    for address in named:
        answer = client.get(address)
        assert answer.status_code == 200
        kept = "public, max-age=31536000, immutable" if "/assets/" in address else "public, max-age=3600"
        assert answer.headers["cache-control"] == kept


def test_it_can_be_installed(client: TestClient) -> None:
    answer = client.get("/console/manifest.webmanifest")
    assert answer.headers["content-type"] == "application/manifest+json"
    said = answer.json()
    assert (said["scope"], said["start_url"], said["display"]) == ("/console", "/console", "standalone")
    tokens = (SOURCE / "lib" / "tokens.css").read_text()
    ((light, dark),) = re.findall(r"--surface: light-dark\((#\w+), (#\w+)\)", tokens)
    assert said["theme_color"] == said["background_color"] == light
    page = client.get("/console").text
    assert re.findall(r'name="theme-color" content="(#\w+)" media="\(prefers-color-scheme: (\w+)\)"', page) == [
        (light, "light"),
        (dark, "dark"),
    ]
    purposes = set()
    for icon in said["icons"]:
        found = client.get(icon["src"])
        assert (found.status_code, found.headers["content-type"].split(";")[0]) == (200, icon["type"])
        if icon["type"] == "image/png":
            width, height = (int.from_bytes(found.content[at : at + 4], "big") for at in (16, 20))
            assert icon["sizes"] == f"{width}x{height}"
        purposes.add((icon.get("purpose", "any"), icon["sizes"]))
    assert {("any", "192x192"), ("any", "512x512"), ("maskable", "192x192"), ("maskable", "512x512")} <= purposes


def test_the_worker_holds_no_data(client: TestClient) -> None:
    """It has no listener that a request passes through, no cache, and may load nothing."""
    answer = client.get("/console/sw.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["service-worker-allowed"] == "/console"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    code = re.sub(r"//.*", "", answer.text)
    assert re.findall(r"fetch|caches|indexedDB|importScripts|eval", code) == []
    assert re.findall(r'addEventListener\("(\w+)"', code) == ["install", "activate", "push", "notificationclick"]


def test_files_come_in_the_form_that_a_client_takes(client: TestClient) -> None:
    for name, built in console.FILES.items():
        if not name.startswith("assets/") or not built.codings:
            continue
        plain = client.get(f"/console/{name}", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == built.plain
        assert brotli.decompress(built.packed(b"br")) == built.plain
        assert gzip.decompress(built.packed(b"gzip")) == built.plain
        for accepted, coding in (("gzip, br", "br"), ("gzip", "gzip"), ("gzip, br;q=0", "gzip")):
            answer = client.get(f"/console/{name}", headers={"accept-encoding": accepted})
            assert (answer.headers["content-encoding"], answer.content) == (coding, built.plain)
            assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("name", ["nothing.js", "..%2findex.html", "%2e%2e%2f%2e%2e%2fvendor.json", "documents.json"])
def test_no_path_reaches_the_file_system(client: TestClient, name: str) -> None:
    assert client.get(f"/console/assets/{name}").status_code == 404


def test_documents_are_named_by_their_text_and_fit_the_schema() -> None:
    schema = published()
    known = console.documents()
    assert len(known) > 5
    for id, text in known.items():
        assert hashlib.sha256(text.encode()).hexdigest() == id
        assert validate(schema, parse(text)) == []


def test_the_scripts_name_documents_by_the_first_digits_of_their_hash(client: TestClient) -> None:
    known = console.known()
    short = {id[: console.SHORT]: text for id, text in console.documents().items()}
    assert len(short) == len(console.documents())
    assert known == short | dict(console.documents())
    scripts = "".join(built.plain.decode() for name, built in console.FILES.items() if name.endswith(".js"))
    named = set(re.findall(rf"[\"'`]([0-9a-f]{{{console.SHORT}}})[\"'`]", scripts))
    assert named == set(short)
    for id, text in known.items():
        assert client.get(f"/console/documents/{id}").text == text
    assert client.get(f"/console/documents/{next(iter(short))[:-1]}").status_code == 404


def test_every_document_of_the_source_was_built() -> None:
    written = "\n".join(
        path.read_text() for folder in ("lib", "screens") for path in (SOURCE / folder).rglob("*.graphql")
    )
    named = set(re.findall(r"^(?:query|mutation|subscription) (\w+)", written, re.MULTILINE))
    built = {text.split("(")[0].split("{")[0].split(" ")[1] for text in console.documents().values()}
    assert named == {name for name in built if not name.startswith(("Do_", "Of_", "All_"))}  # of generated forms


def test_notes_of_generated_forms_are_plain() -> None:
    """Codes of errors and names of columns are words of programs."""
    [script] = [
        text
        for name, built in console.FILES.items()
        if name.endswith(".js") and "bulkImportSkills:{" in (text := built.plain.decode())
    ]
    notes = re.findall(r"""note:(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`|'([^']*)')""", script)
    found = ["".join(note) for note in notes]
    assert len(found) > 20
    of_programs = re.compile(r"`|\b(?!node_modules)\w+_\w|CONFLICT|UNAVAILABLE|Idempotent")
    assert [note for note in found if of_programs.search(note)] == []


def components() -> list[Path]:
    return [path for path in SOURCE.rglob("*.svelte") if "node_modules" not in path.parts]


def test_code_that_cannot_be_loaded_says_so() -> None:
    """Each part that is loaded when it is shown has a place for its failure: `Later`, or a branch of its own."""
    awaits = re.compile(r"\{#await ((?:(?!\{/await\}).)*)\{/await\}", re.DOTALL)
    found = [(path.name, block) for path in components() for block in awaits.findall(path.read_text())]
    assert len(found) > 3
    assert [(name, block[:60]) for name, block in found if ":catch" not in block] == []


def test_components_are_short_and_parse_no_markup() -> None:
    found = {str(path.relative_to(ROOT)): path.read_text() for path in components()}
    assert len(found) > 10
    assert {name for name, text in found.items() if text.count("\n") >= 200} == set()
    assert {name for name, text in found.items() if re.search(r"\{@html|innerHTML|\bstyle=", text)} == set()
