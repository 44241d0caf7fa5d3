"""The pages as files and responses: they load nothing from elsewhere, and all they name is there, typed, cacheable."""

import gzip
import hashlib
import importlib.metadata
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from crewship.perimeter import console, pages
from tests.every import each_of

ROOT = Path(__file__).parents[2]
ASSETS = pages.STATIC / "assets"
OWN = [path for path in ASSETS.iterdir() if path.suffix in {".js", ".css"}]
PAGES = ["/api/docs", "/graphql"]


async def graphql_endpoint(request: Request) -> Response:
    return pages.graphiql(request)


@pytest.fixture(scope="module")
def client() -> TestClient:
    served = Starlette(
        routes=[*pages.routes, Route("/graphql", graphql_endpoint)], exception_handlers={404: pages.not_found}
    )
    return TestClient(served, follow_redirects=False)


class References(HTMLParser):
    """What a page makes the browser load, and where its links and forms lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.inline_handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name.startswith("on"):
                self.inline_handlers.append(f"{tag} {name}")
            if value is not None and (
                name in {"src", "srcset", "data", "poster"} or (name == "href" and tag == "link")
            ):
                self.loaded.append(value)
            elif value is not None and name in {"href", "action", "formaction"}:
                self.linked.append(value)


@each_of("path", PAGES)
def test_a_page_is_html_under_the_policy_of_pages(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == pages.UI_CONTENT_SECURITY_POLICY
    assert response.headers["cache-control"] == "no-cache"
    assert response.text.startswith("<!doctype html>")
    assert '<html lang="en">' in response.text
    assert re.search(r"<title>[^<]*Crewship</title>", response.text)
    assert client.head(path).status_code == 200


def test_the_policy_names_no_origin_but_its_own_and_no_eval() -> None:
    directives = dict(part.split(" ", 1) for part in pages.UI_CONTENT_SECURITY_POLICY.split("; "))
    assert directives["default-src"] == "'self'"
    assert directives["script-src"] == "'self' 'unsafe-inline'"
    assert "unsafe" not in pages.OWN_CONTENT_SECURITY_POLICY
    allowed = {"'self'", "'none'", "'unsafe-inline'", "data:", "blob:"}
    assert {source for sources in directives.values() for source in sources.split()} <= allowed


@pytest.mark.slow
@each_of("path", PAGES)
def test_a_page_loads_only_assets_that_exist_and_may_be_kept(client: TestClient, path: str) -> None:
    references = References(client.get(path).text)
    assert references.loaded
    assert references.inline_handlers == []
    for url in references.loaded:
        assert re.fullmatch(r"/static/[\w./-]+\?v=[0-9a-f]{16}", url)
        response = client.get(url)
        assert response.status_code == 200, url
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable", url
        assert response.headers["content-type"].split(";")[0] == pages.MEDIA_TYPES[Path(url.split("?")[0]).suffix]
    assert all(re.match(r"#\w+$|/(?![/\\])", url) for url in references.linked), references.linked


@each_of("path", OWN, ids=lambda path: path.name)
def test_our_scripts_and_styles_name_no_other_origin_and_compile_no_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    code = re.sub(r"^\s*(//|/?\*).*$", "", text, flags=re.MULTILINE)
    assert not re.search(r"(https?:)?//[\w.]+\.\w", code)
    assert not re.search(
        r"\beval\b|\bFunction\(|setTimeout\(\s*[\"'`]|innerHTML|outerHTML|insertAdjacentHTML|document\.write", code
    )
    for name in re.findall(r"from \"\./([\w.]+)\"", code):
        assert name in pages.ASSETS


def test_the_styles_of_others_load_nothing() -> None:
    styles = [
        gzip.decompress(asset.stored).decode()
        for name, asset in pages.ASSETS.items()
        if name.startswith("vendor/") and name.endswith(".css")
    ]
    assert len(styles) == 3
    for text in styles:
        assert "@import" not in text
        assert all(target.startswith("data:") for target in re.findall(r"url\([\"']?([^)]{5})", text))


def test_third_party_files_are_the_pinned_ones_and_credited() -> None:
    entries = json.loads((pages.STATIC / "vendor.json").read_text())
    assert {f"{entry['file']}.gz" for entry in entries} == {path.name for path in (ASSETS / "vendor").iterdir()}
    notice = (pages.STATIC / "NOTICE").read_text()
    for entry in entries:
        content = gzip.decompress((ASSETS / "vendor" / f"{entry['file']}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], entry["file"]
        assert re.search(rf"^(.*, )?{re.escape(entry['package'])}[ ,].*Copyright", notice, re.MULTILINE), entry[
            "package"
        ]


def test_assets_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in pages.STATIC.rglob("*") if path.is_file()}
    built = {path: size for path, size in sizes.items() if path.is_relative_to(console.ROOT)}
    assert sum(built.values()) < 2_200_000
    assert sum(sizes.values()) - sum(built.values()) < 3_000_000


def test_a_compressed_asset_reaches_clients_that_cannot_decompress(client: TestClient) -> None:
    plain = client.get("/static/vendor/react.js", headers={"accept-encoding": "identity"})
    packed = client.get("/static/vendor/react.js", headers={"accept-encoding": "gzip, br"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert plain.content == packed.content


@each_of("path", PAGES)
def test_every_module_of_a_page_is_named_by_it_and_may_be_kept(client: TestClient, path: str) -> None:
    """All are asked for at once, by the addresses that the imports have, and none a second time."""
    page = client.get(path).text
    begun = re.findall(r'<script type="module" src="([^"]+)"', page)
    preloaded = re.findall(r'<link rel="modulepreload" href="([^"]+)"', page)
    waiting, reached = list(begun), set()
    while waiting:
        url = waiting.pop()
        reached.add(url)
        answer = client.get(url)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable", url
        for name in re.findall(r"""(?:from|import) ?\(?["']\./([^"']+)["']""", answer.text):
            if f"/static/{name}" not in reached:
                waiting.append(f"/static/{name}")
    assert sorted(reached - set(begun)) == sorted(preloaded)


def test_a_digest_changes_with_what_a_module_imports(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\n')
    (tmp_path / "b.js").write_text("export const b = 1;\n")
    before = pages._read_assets(tmp_path)
    assert before["a.js"].stored.decode() == f'import {{ b }} from "./b.js?v={before["b.js"].digest}";\n'
    (tmp_path / "b.js").write_text("export const b = 2;\n")
    after = pages._read_assets(tmp_path)
    assert {name: asset.digest for name, asset in after.items()}.items().isdisjoint(
        {name: asset.digest for name, asset in before.items()}.items()
    )
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\n')
    with pytest.raises(ValueError, match=r"a\.js -> b\.js -> a\.js"):
        pages._read_assets(tmp_path)


def test_our_own_files_travel_compressed(client: TestClient) -> None:
    for url in ("/static/graphiql.js", "/static/graphiql.css", "/static/favicon.svg", "/graphql", "/api/docs"):
        plain = client.get(url, headers={"accept-encoding": "identity"})
        packed = client.get(url, headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in plain.headers["vary"]
        assert packed.headers["vary"] == plain.headers["vary"]
        assert packed.content == plain.content
        assert int(packed.headers["content-length"]) < len(plain.content)
        assert client.get(url, headers={"accept-encoding": "gzip;q=0"}).headers.get("content-encoding") is None


def test_an_asset_is_revalidated_by_its_content(client: TestClient) -> None:
    first = client.get("/static/graphiql.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/static/graphiql.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/home.css", headers={"if-none-match": first.headers["etag"]}).status_code == 200
    assert client.get("/static/graphiql.js?v=0000000000000000").headers["cache-control"] == "no-cache"


@each_of(
    "name",
    [
        "",
        "absent.js",
        "not-found.html",
        "vendor",
        "../not-found.html",
        "%2e%2e/not-found.html",
        "vendor/..%2f..%2fvendor.json",
        "/etc/passwd",
    ],
)
def test_nothing_but_assets_is_served(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_an_address_without_a_page_is_one_for_browsers_and_a_line_for_others(client: TestClient) -> None:
    shown = client.get("/nowhere", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert shown.status_code == 404
    assert shown.headers["content-security-policy"] == pages.OWN_CONTENT_SECURITY_POLICY
    assert "There is no page at this address" in shown.text
    found = References(shown.text)
    assert found.loaded
    whole = TestClient(Starlette(routes=[*console.routes, *pages.routes, Route("/graphql", graphql_endpoint)]))
    assert {whole.get(url).status_code for url in (*found.loaded, *found.linked)} == {200}
    plain = client.get("/nowhere", headers={"accept": "*/*"})
    assert (plain.status_code, plain.text, plain.headers["vary"]) == (404, "Not Found", "Accept")


def test_the_root_leads_to_the_console(client: TestClient) -> None:
    for asked, led in (("/", "/console/"), ("/?chat=c1&agent=a%20b", "/console/?chat=c1&agent=a%20b")):
        answer = client.get(asked)
        assert (answer.status_code, answer.headers["location"]) == (307, led)
        assert answer.headers["cache-control"] == "no-cache"


def test_assets_are_only_read(client: TestClient) -> None:
    assert client.post("/static/graphiql.js").status_code == 405


def test_graphiql_shares_its_address_with_the_endpoint(client: TestClient) -> None:
    assert client.get("/graphql").headers["vary"] == "Accept, Accept-Encoding"


def test_icons_and_robots(client: TestClient) -> None:
    icon = client.get("/favicon.ico")
    assert icon.headers["content-type"] == "image/x-icon"
    assert icon.content[:4] == b"\x00\x00\x01\x00"
    assert client.get("/static/favicon.svg").headers["content-type"] == "image/svg+xml"
    robots = client.get("/robots.txt")
    assert robots.headers["content-type"] == "text/plain; charset=utf-8"
    assert robots.text == "User-agent: *\nDisallow: /\n"


def test_the_version_is_that_of_the_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "version", pages.version.__wrapped__)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"9.9 <{name}>")
    assert "Version 9.9 &lt;crewship&gt;" in pages._read_page("not-found.html")


def test_the_wheel_contains_every_page_and_asset() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    included = {file.distribution_path for file in wheel.WheelBuilder(str(ROOT)).recurse_included_files()}
    on_disk = {path.relative_to(ROOT).as_posix() for path in pages.STATIC.rglob("*") if path.is_file()}
    assert len(on_disk) > 15
    assert on_disk <= included
