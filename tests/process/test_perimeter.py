"""What every request meets before the application, and every answer on its way out."""

import re
from importlib.metadata import version
from ipaddress import ip_network

import orjson
import pytest

from crewship.perimeter.line import UnixSocket
from crewship.perimeter.perimeter import BODY_LIMIT, Message, Perimeter, Receive, Scope, Send
from crewship.perimeter.rate_limit import MINUTE, RateLimits
from resolvers.instance.addresses import TrustedProxies
from tests.every import each_of
from tests.process.origin import Origin, ask, perimeter, refusal, security

pytestmark = pytest.mark.anyio

ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "x-crewship-server-version": version("crewship"),
    "cache-control": "private, no-store",
    "vary": "Authorization, Cookie, Accept-Encoding",
}
ISOLATION = {
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "cross-origin-embedder-policy": "credentialless",
    "cross-origin-resource-policy": "same-origin",
}
API_CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"


class Clock:
    def __init__(self) -> None:
        self.now = 10**18

    def __call__(self) -> int:
        return self.now


# ---- security headers


@pytest.mark.parametrize("path", ["/api/v1/crews", "/api/health", "/graphql", "/ws"])
async def test_answers_of_the_interfaces_may_load_nothing(path: str) -> None:
    assert security(await ask(perimeter(Origin()), path=path)) == ALWAYS | ISOLATION | {
        "content-security-policy": API_CSP,
        "x-xss-protection": "0",
    }


@pytest.mark.parametrize("path", ["/", "/login", "/graphql", "/api/docs"])
async def test_pages_may_load_what_is_their_own(path: str) -> None:
    found = security(await ask(perimeter(Origin(content_type=b"text/html; charset=utf-8")), path=path))
    policy = dict(directive.split(" ", 1) for directive in found.pop("content-security-policy").split("; "))
    assert found == ALWAYS | ISOLATION
    assert policy["default-src"] == "'self'"
    assert policy["script-src"] == policy["style-src"] == "'self' 'unsafe-inline'"
    assert policy["frame-ancestors"] == "'none'"


async def test_exposed_ports_keep_the_first_set_only() -> None:
    assert security(await ask(perimeter(Origin(content_type=b"text/html")), path="/exposed/3000/")) == ALWAYS


async def test_a_policy_of_the_answer_itself_is_kept_and_not_doubled() -> None:
    for path, content_type in (("/graphql", b"text/html"), ("/", b"text/html"), ("/api/x", b"application/json")):
        found = await ask(
            perimeter(
                Origin(
                    content_type=content_type,
                    headers=((b"content-security-policy", b"default-src 'self'"), (b"x-more", b"1")),
                )
            ),
            path=path,
        )
        assert found.headers["content-security-policy"] == "default-src 'self'"
        assert found.headers["x-more"] == "1"
        assert ISOLATION.items() <= found.headers.items()


@each_of("path", ["/api/v1/crews", "/graphql", "/", "/exposed/3000/"])
@each_of(
    ("own", "kept", "varies"),
    [
        ({}, "private, no-store", "Authorization, Cookie, Accept-Encoding"),
        ({"etag": '"v1"'}, "private, no-cache", "Authorization, Cookie, Accept-Encoding"),
        ({"cache-control": "public, max-age=60", "vary": "Accept-Encoding"}, "public, max-age=60", "Accept-Encoding"),
        ({"cache-control": "no-cache", "etag": '"v1"'}, "no-cache", "Authorization, Cookie, Accept-Encoding"),
        ({"vary": "Accept"}, "private, no-store", "Accept"),
    ],
)
async def test_what_is_said_to_one_is_kept_for_nobody_else(
    path: str, own: dict[str, str], kept: str, varies: str
) -> None:
    given = tuple((name.encode(), value.encode()) for name, value in own.items())
    found = (await ask(perimeter(Origin(headers=given)), path=path)).headers
    assert (found["cache-control"], found["vary"], found.get("etag")) == (kept, varies, own.get("etag"))


async def test_refusals_carry_the_headers_too() -> None:
    app = perimeter(Origin(), limits=RateLimits(api=3, clock=Clock()))
    expected = ALWAYS | ISOLATION | {"content-security-policy": API_CSP, "x-xss-protection": "0"}
    answers = [
        await ask(app, path="/api/v1/../x"),
        await ask(app, "POST", headers=[("origin", "http://evil.example")]),
        await ask(app, "POST", headers=[("content-length", "9999999")]),
        await ask(app, "POST", headers=[("content-length", "1e3")]),
        await ask(app),
        await ask(app),
    ]
    assert [a.status for a in answers] == [400, 403, 413, 400, 200, 429]
    for answer in answers:
        assert expected.items() <= answer.headers.items()
    for answer in (a for a in answers if a.status != 200):
        assert answer.headers["content-type"] == "application/json"
        assert int(answer.headers["content-length"]) == len(answer.body)


async def test_a_failure_is_answered_without_its_text_and_passed_on() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/x",
        "headers": [],
        "client": ("203.0.113.9", 1),
        "server": None,
        "scheme": "http",
    }
    with pytest.raises(ValueError, match="a secret"):
        await perimeter(Origin(fail=ValueError("a secret")))(scope, receive, send)
    assert sent[0]["status"] == 500
    assert ALWAYS.items() <= {k.decode(): v.decode() for k, v in sent[0]["headers"]}.items()
    assert orjson.loads(sent[1]["body"]) == refusal(500, "Internal Server Error", "Internal server error", "/api/x")


async def test_a_refused_socket_carries_the_headers() -> None:
    app = Origin()
    assert ALWAYS.items() <= (await ask(perimeter(app), path="/ws", kind="websocket", scheme="ws")).headers.items()
    assert app.seen[0].client == "203.0.113.9"


async def test_the_answers_own_header_list_is_left_alone() -> None:
    shared = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(shared)

    for _ in range(2):
        assert len((await ask(Perimeter(app, proxies=TrustedProxies()))).headers) == 15
    assert shared["headers"] == [(b"content-type", b"text/plain")]


# ---- the path


@each_of("path", ["/..", "/../etc/passwd", "/api/v1/crews/..", "/api/../graphql", "/static/../../x"])
async def test_a_parent_segment_is_refused_before_anything_else(path: str) -> None:
    app = Origin()
    answer = await ask(perimeter(app), "POST", path, [("origin", "http://evil.example")])
    assert (answer.status, answer.json["status"], answer.json["instance"]) == (400, 400, path)
    assert answer.json["error"] == answer.json["detail"]
    assert not app.seen


@pytest.mark.parametrize("path", ["/api/v1/files/a..b", "/api/v1/files/...", "/api/v1/..a", "/api/v1/a.."])
async def test_dots_within_a_name_are_no_parent_segment(path: str) -> None:
    assert (await ask(perimeter(Origin()), path=path)).status == 200


# ---- the origin


@each_of(
    "path", ["/api/v1/crews", "/graphql", "/api/auth/signout", "/api/v1/webhooks/c/a/trigger", "/api/v1/internal/x"]
)
@each_of("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_state_is_changed_from_known_origins_only(method: str, path: str) -> None:
    app = Origin()
    inside = perimeter(app, allowed_origins=["HTTPS://app.example.org/"])
    for origin, status in [
        (None, 200), ("http://crew.local:8080", 200), ("https://app.example.org", 200),
        ("http://CREW.local:8080/", 200), ("http://evil.example", 403),
        ("https://crew.local:8080", 403), ("null", 403),
    ]:  # fmt: skip
        assert (await ask(inside, method, path, [("Origin", origin)] if origin else [])).status == status
        assert (await ask(inside, method, path, [("Referer", f"{origin}/page?q=1")] if origin else [])).status == status
    assert len(app.seen) == 8


async def test_the_refusal_of_an_origin() -> None:
    answer = await ask(
        perimeter(Origin()), "POST", headers=[("Origin", "http://evil.example"), ("X-Forwarded-Proto", "https")]
    )
    assert answer.headers["www-authenticate"] == 'Bearer error="origin_rejected"'
    assert answer.json == refusal(403, "Forbidden", "request origin not allowed", "/api/v1/crews")


async def test_reading_is_allowed_from_anywhere() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert (await ask(perimeter(Origin()), method, headers=[("Origin", "http://evil.example")])).status == 200


async def test_the_scheme_of_the_origin_is_a_trusted_proxys_word() -> None:
    inside = perimeter(Origin(), proxies=TrustedProxies([ip_network("10.1.0.0/16")]))
    forwarded = [("Origin", "https://crew.local:8080"), ("X-Forwarded-Proto", "https")]
    assert (await ask(inside, "POST", headers=forwarded, client=("10.1.0.1", 1))).status == 200
    assert (await ask(inside, "POST", headers=forwarded)).status == 403
    assert (await ask(inside, "POST", headers=forwarded[:1], scheme="https")).status == 200


# ---- the rate


async def test_a_bucket_holds_n_and_refills_n_a_minute() -> None:
    clock = Clock()
    inside = perimeter(Origin(), limits=RateLimits(api=120, clock=clock))
    assert [(await ask(inside)).status for _ in range(121)] == [200] * 120 + [429]
    clock.now += MINUTE // 120
    assert [(await ask(inside)).status for _ in range(2)] == [200, 429]
    clock.now += MINUTE
    assert [(await ask(inside)).status for _ in range(121)] == [200] * 120 + [429]
    assert (await ask(inside, client=("203.0.113.10", 1))).status == 200


async def test_the_refusal_of_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_750_000_000.9)
    inside = perimeter(Origin(), limits=RateLimits(auth=1, clock=Clock()))
    assert (await ask(inside, path="/api/auth/csrf")).status == 200
    answer = await ask(inside, path="/api/auth/csrf")
    limits = {k: v for k, v in answer.headers.items() if k == "retry-after" or k.startswith("x-ratelimit")}
    assert answer.status == 429
    assert limits == {
        "retry-after": "60",
        "x-ratelimit-limit": "1",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1750000060",
    }
    assert (answer.json["error"], answer.json["title"]) == ("Too many requests", "Too Many Requests")


async def test_success_says_nothing_about_rates() -> None:
    assert not [
        name
        for name in (await ask(perimeter(Origin(), limits=RateLimits()))).headers
        if "rate" in name or name == "retry-after"
    ]


@each_of(
    ("size", "paths"),
    [
        (2, ["/api/auth/csrf", "/api/auth/callback/credentials", "/api/v1/auth/cli-tokens", "/api/v1/bootstrap"]),
        (3, ["/api/v1/credentials/test", "/api/v1/credentials/cabc/test"]),
        (
            5,
            [
                "/api/v1/crews",
                "/api/health",
                "/api/v1/credentials",
                "/api/v1/credentials/cabc/x/test",
                "/api/v1/authors",
                "/api/v1/bootstrap/x",
                "/graphql",
                "/ws",
            ],
        ),
        (7, ["/", "/static/app.js", "/nowhere"]),
        (7, ["/readyz", "/readyz"]),
        (None, ["/api/v1/internal/agents", "/healthz", "/metrics", "/exposed/x"]),
    ],
)
async def test_which_route_counts_into_which_bucket(size: int | None, paths: list[str]) -> None:
    inside = perimeter(Origin(), limits=RateLimits(auth=2, credential_test=3, api=5, pages=7, clock=Clock()))
    passed = 0
    for path in paths * 6:
        answer = await ask(inside, path=path)
        passed += answer.status == 200
        assert answer.headers.get("x-ratelimit-limit") in (None, str(size))
    assert passed == (size or len(paths) * 6)


async def test_clients_behind_one_proxy_have_buckets_of_their_own() -> None:
    inside = perimeter(Origin(), limits=RateLimits(api=1, clock=Clock()))
    for client in ("198.51.100.1", "198.51.100.2"):
        forwarded = [("X-Forwarded-For", f"6.6.6.6, {client}")]
        assert [(await ask(inside, headers=forwarded, client=("127.0.0.1", 1))).status for _ in range(2)] == [200, 429]
    spoofed = [(await ask(inside, headers=[("X-Forwarded-For", f"198.51.100.{i}")])).status for i in range(3)]
    assert spoofed == [200, 429, 429]


# ---- the size


@each_of(
    ("length", "status"),
    [
        ("0", 200),
        (str(BODY_LIMIT), 200),
        (str(BODY_LIMIT + 1), 413),
        ("9" * 5000, 413),
        ("-1", 400),
        ("0x10", 400),
        ("", 400),
        ("²", 400),
    ],
)
async def test_the_declared_length(length: str, status: int) -> None:
    app = Origin(read=False)
    answer = await ask(perimeter(app), "POST", headers=[("Content-Length", length)])
    assert (answer.status, len(app.seen)) == (status, int(status == 200))
    if status == 413:
        assert (answer.json["title"], answer.json["error"]) == ("Request Entity Too Large", "Request body too large")


async def test_an_undeclared_length_is_counted() -> None:
    app = Origin()
    half = b"x" * (BODY_LIMIT // 2)
    chunked = [("Transfer-Encoding", "chunked")]
    assert (await ask(perimeter(app), "POST", headers=chunked, body=[half, half])).status == 200
    assert len(app.body) == BODY_LIMIT
    for method, headers in (
        ("POST", chunked),
        ("GET", chunked),
        ("PATCH", []),
        ("POST", [*chunked, ("Content-Length", "2")]),
    ):
        answer = await ask(perimeter(app), method, headers=headers, body=[half, half, b"x", half])
        assert (answer.status, answer.json["error"]) == (413, "Request body too large")
        assert len(app.body) == BODY_LIMIT


async def test_routes_may_take_more() -> None:
    inside = perimeter(
        Origin(read=False),
        limit_of=lambda method, path: 5 * BODY_LIMIT if (method, path) == ("POST", "/api/v1/upload") else BODY_LIMIT,
    )
    for path, length, status in [
        ("/api/v1/upload", 5 * BODY_LIMIT, 200),
        ("/api/v1/upload", 5 * BODY_LIMIT + 1, 413),
        ("/api/v1/crews", 2 * BODY_LIMIT, 413),
    ]:
        assert (await ask(inside, "POST", path, [("Content-Length", str(length))])).status == status
    counted = perimeter(Origin(), limit_of=lambda method, path: 2 * BODY_LIMIT)
    assert (await ask(counted, "POST", body=[b"x" * BODY_LIMIT] * 2)).status == 200
    assert (await ask(counted, "POST", body=[b"x" * BODY_LIMIT] * 3)).status == 413


async def test_an_answer_under_way_is_not_answered_again() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (message := await receive())["type"] != "http.disconnect":
            await send({"type": "http.response.body", "body": message["body"][:1], "more_body": True})
        await send({"type": "http.response.body", "body": b"."})

    answer = await ask(Perimeter(app, proxies=TrustedProxies()), "POST", body=[b"x" * BODY_LIMIT, b"yy", b"zz"])
    assert (answer.status, answer.body) == (200, b"x.")


async def test_the_order_of_refusals() -> None:
    inside = perimeter(Origin(), limits=RateLimits(api=1, clock=Clock()))
    everything = [("Origin", "http://evil.example"), ("Content-Length", "9999999")]
    assert (await ask(inside, "POST", "/api/v1/../x", everything)).status == 400
    assert (await ask(inside, "POST", headers=everything)).status == 403
    assert (await ask(inside, "POST", headers=everything[1:])).status == 413  # the first that the bucket counts
    assert (await ask(inside, "POST", headers=everything[1:])).status == 429


# ---- the transport


async def test_the_application_finds_how_a_request_arrived() -> None:
    app = Origin()
    await ask(
        perimeter(app),
        headers=[("Cookie", "a=1"), ("Authorization", "Bearer x"), ("Cookie", "b=2"), ("Authorization", "Bearer y")],
    )
    [seen] = app.seen
    assert seen.headers == {b"host": b"crew.local:8080", b"cookie": b"a=1; b=2", b"authorization": b"Bearer x"}
    assert (seen.client, seen.scheme, seen.https, seen.local_socket, seen.forwarded, seen.host) == (
        "203.0.113.9",
        "http",
        False,
        False,
        False,
        "crew.local:8080",
    )


@pytest.mark.parametrize(
    ("scheme", "headers", "forced", "seen"),
    [
        ("https", [], False, ("https", True)), ("http", [("X-Forwarded-Proto", "https")], False, ("http", True)),
        ("http", [], True, ("http", True)),
        ("http", [("X-Forwarded-Proto", "http")], False, ("http", False)),
    ],
)  # fmt: skip
async def test_cookies_and_origins_have_each_their_rule_of_the_scheme(
    scheme: str, headers: list[tuple[str, str]], forced: bool, seen: tuple[str, bool]
) -> None:
    app = Origin()
    await ask(perimeter(app, force_secure_cookies=forced), headers=headers, scheme=scheme)
    assert (app.seen[0].scheme, app.seen[0].https) == seen


async def test_callers_over_the_unix_socket_are_told_apart() -> None:
    app = Origin()
    await ask(perimeter(app), peer=UnixSocket())
    await ask(perimeter(app), client=None, server=("/run/crewship.sock", None))
    await ask(perimeter(app), client=None)
    await ask(perimeter(app), client=("127.0.0.1", 1), headers=[("X-Forwarded-For", "127.0.0.1")])
    assert [(t.client, t.local_socket, t.forwarded) for t in app.seen] == [
        ("127.0.0.1", True, False),
        ("", False, False),
        ("", False, False),
        ("127.0.0.1", False, True),
    ]


@each_of(
    ("given_id", "kept"),
    [
        ("abc-1.2_X", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("a b", False),
        ("é", False),
        ("a\tb", False),
        ("--", False),
    ],
)
async def test_a_sane_request_id_is_kept(given_id: str, kept: bool) -> None:
    app = Origin()
    inside = perimeter(app)
    answer = await ask(inside, headers=[("X-Request-Id", given_id)])
    assert (answer.headers["x-request-id"] == given_id) is kept
    assert app.seen[0].request_id == (given_id if kept else None)


async def test_request_ids_are_unique_and_on_refusals_too() -> None:
    app = perimeter(Origin())
    ids = [
        (await ask(inside, path=path)).headers["x-request-id"]
        for inside in (app, perimeter(Origin()))
        for path in ("/api/x", "/..") * 20
    ]
    assert len(set(ids)) == 80
    assert all(re.fullmatch("[0-9a-f]{16}-[0-9a-f]+", i) for i in ids)
