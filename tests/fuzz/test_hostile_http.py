"""Requests that no client would send: on each path an answer comes, it is clear, and it gives nothing away."""

import json
from typing import Any

import jwt
import pytest

from models.base import new_id
from resolvers.kernel.declarations.operation import Auth
from rest_compat.http.routes import ROUTES
from rest_compat.http.table import PARAMETER, Route
from tests.every import each_of
from tests.fuzz.judgement import EMPTY, clear, clear_graphql
from tests.fuzz.sockets import chunked, request, speak
from tests.generation.estate import LOGS_OF_REFUSALS, Estate
from tests.generation.inputs import valid
from tests.generation.surfaces import content_of

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

NO_ROW = {"emoji"}  # in a path, and names no row
LABELS, GRAPHQL = "/api/v1/labels?workspace_id=workspace", "/graphql"
SURFACES = [pytest.param(LABELS, id="rest"), pytest.param(GRAPHQL, id="graphql")]
PATHS = sorted(
    {PARAMETER.sub("x", route.path) for route in ROUTES} | {"/graphql", "/api/nothing", "/api/", "/api/v1/labels/"}
)
BY_SERVER = b'"instance":""'  # what the protocol says before anybody sees a request
TWO_MEGABYTES = 2 * 1024 * 1024


@pytest.mark.slow
@each_of("path", PATHS)
async def test_every_method_is_answered_everywhere(path: str, estate: Estate) -> None:
    offered = {route.method for route in ROUTES if PARAMETER.sub("x", route.path) == path} or (
        {"GET", "POST"} if path == GRAPHQL else set()
    )
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "QUERY"):
        answer = await speak(estate.world.url, request(method, path, token=estate.world.viewer.token))
        assert answer.status < 500, (method, str(answer))
        if method not in offered | {"HEAD"}:
            assert answer.status == (405 if offered else 404), (method, str(answer))
            if answer.status == 405:
                assert method not in answer.headers["allow"].split(", ")
                assert offered <= set(answer.headers["allow"].split(", "))
        if answer.body and path != GRAPHQL:
            assert b"TRACE /" not in answer.body
            kind = answer.headers.get("content-type", "")
            clear(answer.status, answer.body, kind) if path.startswith("/api/") else None


async def test_methods_nobody_knows_are_refused(estate: Estate) -> None:
    for method in ("get", "FOO", "G ET", "\x00", "GET\r\nX:"):
        assert (await speak(estate.world.url, request(method, LABELS))).status == 400


def forged(estate: Estate) -> dict[str, bytes]:
    """Credentials that are none, or are not (any more) this person's."""
    claims = {"sub": estate.world.owner.user_id, "id": estate.world.owner.user_id, "exp": 4_000_000_000, "iat": 1}
    cli = estate.world.owner.token
    return {
        "nothing": b"",
        "space": b" ",
        "null": b"null",
        "undefined": b"undefined",
        "bytes": b"\xff\xfe\x80",
        "dots": b"..",
        "parts": b"a.b.c",
        "long": b"x" * 30_000,
        "longer by one": cli.encode() + b"a",
        "shorter by one": cli[:-1].encode(),
        "in capitals": cli.upper().encode(),
        "of another tier": cli.replace("_cli_", "_admin_").encode(),
        "unknown": b"crewship_cli_" + b"a" * 64,
        "prefix only": b"crewship_cli_",
        "quoted": b'"%b"' % cli.encode(),
        "twice": cli.encode() + b", Bearer " + cli.encode(),
        "unsigned": jwt.encode(claims, "", algorithm="none").encode(),
        "signed by another": jwt.encode(claims, "k" * 64).encode(),
        "with a path": b"../../etc/passwd",
        "quote": b"' OR '1'='1",
        "accents": "crewship_cli_é".encode("latin-1"),
    }


async def test_no_forged_credential_opens_anything(estate: Estate) -> None:
    document = b'{"query": "{ viewer { email } }"}'
    for name, token in forged(estate).items():
        rest = await speak(estate.world.url, request("GET", LABELS, token=token))
        assert (rest.status, rest.json["detail"]) in ((401, "no_credentials"), (401, "session_invalid")), (
            name,
            str(rest),
        )
        cookie = await speak(estate.world.url, request("GET", LABELS, b"Cookie: authjs.session-token=" + token))
        assert cookie.status == 401, (name, str(cookie))
        graphql = await speak(estate.world.url, request("POST", GRAPHQL, body=document, token=token))
        assert [e["extensions"]["code"] for e in clear_graphql(graphql.status, graphql.body)] == ["UNAUTHENTICATED"], (
            name,
            str(graphql),
        )
        assert graphql.json["data"] == {"viewer": None}


async def test_a_credential_that_is_over_opens_nothing(estate: Estate) -> None:
    person = estate.world.member
    for change in ("expires_at = now() - interval '1 second'", "revoked_at = now()"):
        await estate.world.database.execute(f"UPDATE cli_tokens SET {change} WHERE user_id = $1", person.user_id)
        answer = await speak(estate.world.url, request("GET", LABELS, token=person.token))
        assert answer.status == 401, str(answer)
        await estate.world.database.execute(
            "UPDATE cli_tokens SET expires_at = NULL, revoked_at = NULL WHERE user_id = $1", person.user_id
        )
    assert (await speak(estate.world.url, request("GET", LABELS, token=person.token))).status == 200


HEADERS = {
    "workspace": b"X-Workspace-ID: \xff\xfe",
    "long workspace": b"X-Workspace-ID: " + b"w" * 30_000,
    "version": b"If-Match: \xff",
    "versions": b'If-Match: "v1", "v2"',
    "huge version": b'If-Match: "v99999999999999999999"',
    "not modified": b"If-None-Match: \xff,,,",
    "key": b"Idempotency-Key: \xff\xad",
    "no key": b"Idempotency-Key:",
    "long key": b"Idempotency-Key: " + b"k" * 30_000,
    "agent": b"User-Agent: \xff" + b"u" * 30_000,
    "proxies": b"X-Forwarded-For: \xff, [::1]:99999, 1.2.3.4" + b",1.1.1.1" * 3000,
    "scheme": b"X-Forwarded-Proto: gopher",
    "address": b"X-Real-IP: \xff",
    "forwarded": b'Forwarded: for="[',
    "request id": b"X-Request-ID: \xff\xfe",
    "accept": b"Accept: \xff",
    "accept nothing": b"Accept:",
    "origin": b"Origin: \xff",
    "null origin": b"Origin: null",
    "open address": b"Origin: http://[::1",
    "referer": b"Referer: http://[",
    "port": b"Referer: http://x:99999999/",
    "cookies": b"Cookie: =;;;=;\xff=\xff; authjs.session-token",
    "many cookies": b"Cookie: " + b"a=b; " * 5000,
    "encoding": b"Content-Encoding: gzip",
    "range": b"Range: bytes=0-1",
    "upgrade": b"Upgrade: h2c",
    "trailers": b"TE: trailers",
    "override": b"X-HTTP-Method-Override: DELETE",
    "rewritten": b"X-Original-URL: /api/v1/crews",
    "second host": b"Host: evil.example",
    "many": b"\r\n".join(b"X-%d: y" % n for n in range(500)),
    "folded": b"X-A: b\r\n c",
    "space before the colon": b"X-A : b",
    "NUL": b"X-A: \0",
    "no colon": b"XA",
    "no name": b": b",
    "bare line feed": b"X-A: b\nX-B: c",
}


@each_of("header", HEADERS)
async def test_no_header_breaks_anything(header: str, estate: Estate) -> None:
    document = json.dumps(
        {"query": 'mutation { createLabel(workspaceId: "workspace", input: {name: "h", color: "#fff"}) { id } }'}
    ).encode()
    for method, path, body in (
        ("GET", LABELS, b""),
        ("POST", LABELS, b'{"name": "h", "color": "#fff"}'),
        ("POST", GRAPHQL, document),
        ("DELETE", "/api/v1/labels/x", b""),
    ):
        answer = await speak(
            estate.world.url, request(method, path, HEADERS[header], body=body, token=estate.world.owner.token)
        )
        if BY_SERVER in answer.body:
            assert answer.status in (400, 431)
            clear(answer.status, answer.body)
        elif path == GRAPHQL and answer.status != 403:  # an origin is refused in one way for both
            clear_graphql(answer.status, answer.body)
        else:
            clear(answer.status, answer.body)
        await estate.recorder.undo()


@pytest.mark.parametrize("path", SURFACES)
async def test_a_body_that_is_too_large_is_refused(path: str, estate: Estate) -> None:
    for headers, body, length in (
        ((), b"a" * TWO_MEGABYTES, True),
        ((b"Transfer-Encoding: chunked",), chunked(TWO_MEGABYTES), False),
    ):
        answer = await speak(
            estate.world.url, request("POST", path, *headers, body=body, token=estate.world.owner.token, length=length)
        )
        assert answer.status == 413, str(answer)
        clear(answer.status, answer.body)
    claimed = await speak(
        estate.world.url, request("POST", path, b"Content-Length: 99999999999999999", token=estate.world.owner.token)
    )
    assert claimed.status == 413, str(claimed)


FRAMING = {
    "both lengths": ((b"Transfer-Encoding: chunked", b"Content-Length: 5"), b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
    "two lengths": ((b"Content-Length: 2", b"Content-Length: 3"), b"{}a"),
    "negative": ((b"Content-Length: -1",), b"{}"),
    "signed": ((b"Content-Length: +2",), b"{}"),
    "in hexadecimal": ((b"Content-Length: 0x2",), b"{}"),
    "list": ((b"Content-Length: 2, 2",), b"{}"),
    "no number of a chunk": ((b"Transfer-Encoding: chunked",), b"zz\r\n{}\r\n0\r\n\r\n"),
    "huge chunk": ((b"Transfer-Encoding: chunked",), b"ffffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "unknown coding": ((b"Transfer-Encoding: xchunked",), b"0\r\n\r\n"),
    "chunked twice": ((b"Transfer-Encoding: chunked, chunked",), b"0\r\n\r\n"),
    "not chunked at last": ((b"Transfer-Encoding: chunked, gzip",), b"0\r\n\r\n"),
    "chunk without an end": ((b"Transfer-Encoding: chunked",), b"2\r\n{}XX0\r\n\r\n"),
}


@each_of("path", SURFACES)
@each_of("framing", FRAMING)
async def test_no_framing_hides_a_second_request(framing: str, path: str, estate: Estate) -> None:
    headers, body = FRAMING[framing]
    answer = await speak(
        estate.world.url, request("POST", path, *headers, body=body, token=estate.world.owner.token, length=False)
    )
    assert answer.status == 400, str(answer)


LINES = [
    b"GET %b HTTP/1.0\r\n\r\n",
    b"GET %b HTTP/2.0\r\nConnection: close\r\n\r\n",
    b"GET %b HTTP/1.1\r\nConnection: close\r\n\r\n",
    b"GET %b HTTP/1.1\nHost: x\nConnection: close\n\n",
]
TARGETS = [
    b"*",
    b"/%00",
    b"/%ff",
    b"//api/v1/labels",
    b"/api/v1//labels",
    b"/api/v1/labels/%2e%2e/crews",
    b"/api/v1/../labels",
    b"/api/v1/crews/a%2Fb%00",
    b"http://evil.example/api/v1/labels",
    b"/api/v1/labels;a=b",
    b"/api/v1/labels#a",
    b"/api/v1/labels%20",
    b"/API/V1/LABELS",
    b"/api/v1/labels/" + b"a/" * 2000,
    b"/" + b"a" * 30_000,
    b"/api/v1/crews/\xff",
    b"/graphql/",
    b"/graphql%2f",
]


async def test_every_request_line_and_target_is_answered(estate: Estate) -> None:
    for line in LINES:
        for path in (LABELS, GRAPHQL):
            expected = (505,) if b"HTTP/2.0" in line else (400, 401)
            assert (await speak(estate.world.url, line % path.encode())).status in expected, line
    for target in TARGETS:
        answer = await speak(estate.world.url, request("GET", target, token=estate.world.owner.token))
        assert 400 <= answer.status < 500, (target, str(answer))
        assert answer.body, target


MEDIA = [
    b"text/plain",
    b"",
    b"application/xml",
    b"multipart/form-data; boundary=x",
    b"application/x-www-form-urlencoded",
    b"application/json; charset=utf-16",
    b"\xff",
    b"application/graphql",
]


@each_of("media", MEDIA)
async def test_json_is_read_as_json_by_rest_and_asked_for_by_graphql(media: bytes, estate: Estate) -> None:
    body = b'{"name": "m", "color": "#ffffff", "query": "{ __typename }"}'
    rest = await speak(
        estate.world.url, request("POST", LABELS, b"Content-Type: " + media, body=body, token=estate.world.owner.token)
    )
    assert rest.status == 201, str(rest)
    await estate.recorder.undo()
    graphql = await speak(
        estate.world.url, request("POST", GRAPHQL, b"Content-Type: " + media, body=body, token=estate.world.owner.token)
    )
    assert graphql.status == 415
    clear_graphql(graphql.status, graphql.body)


# The rows of these are the same in every workspace, or the caller names them: none is foreign. Of an unknown person
# there are no data, and a receipt (contract: admin.gdpr_export); without containers nothing is looked for.
WITHOUT_FOREIGN_ROWS = (
    "feature_flags", "instance_settings", "me.preferences", "admin.gdpr_export", "admin.gdpr_delete", "admin.retention",
    "crews.provision", "crews.restart_agents", "cache.images", "crew_templates", "skills.get", "skills.delete",
    "connectors", "recipes", "notification_providers",
    "admin.rate_limit_",
    # by a slug, which another workspace may have, too
    "routines.get", "routines.update", "routines.delete", "routines.approve", "routines.reject", "routines.disable",
    "routines.enable", "routines.export", "routines.version", "routines.diff", "routines.rollback",
    "routines.appearance", "routines.tags_", "routines.run", "routines.dry_run", "routines.step_run",
    "routines.override",
    "routine_state.", "routine_budget.", "routine_trust.",
    # by a hash of bytes that another workspace may have, too
    "memory.version",
    # by an id of a client, likewise
    "routines.batch", "routines.cancel_batch",
)  # fmt: skip


def ids_of(route: Route) -> bool:
    if route.operation.auth is Auth.NONE or route.operation.name.startswith(WITHOUT_FOREIGN_ROWS):
        return False
    return any(name != "workspace_id" for name in route.parameters)


@each_of("route", [r for r in ROUTES if ids_of(r)], ids=lambda r: f"{r.method} {r.path}")
async def test_a_foreign_row_is_answered_like_none(route: Route, estate: Estate) -> None:
    """Status, body and headers, but for the id that was sent and what counts requests."""
    here, there, own = valid(route.operation, estate), dict[str, Any](), estate.home.workspace.id
    home, estate.home = estate.home, estate.away
    try:
        there = valid(route.operation, estate)
    finally:
        estate.home = home
    caller = estate.caller(route.operation)
    told = []
    for raw in (there, {name: value if name in NO_ROW else new_id() for name, value in there.items()}):
        path, values = route.path, dict(here)
        for written, name in zip(PARAMETER.findall(route.path), route.parameters, strict=True):
            path = path.replace(f"{{{written}}}", own if name == "workspace_id" else raw[name])
            values.pop(name, None)
        body = content_of(route, values) if route.takes_body else b""
        answer = await speak(
            estate.world.url,
            request(route.method, f"{path}?workspace_id={own}", body=body, token=caller.token if caller else None),
        )
        clear(answer.status, answer.body)
        if route.operation.name in EMPTY:
            assert (answer.status, answer.json) == (200, EMPTY[route.operation.name])
        else:
            assert 400 <= answer.status < 500, str(answer)
        told.append(
            (
                answer.status,
                answer.json if answer.status == 200 else answer.json | {"instance": ""},
                answer.headers.keys(),
            )
        )
    assert told[0] == told[1]
    changes = await estate.recorder.changes()
    if getattr(route.operation, "refused", None) is not None:
        changes = [change for change in changes if change.table not in LOGS_OF_REFUSALS]
        await estate.recorder.undo()
    assert changes == []
