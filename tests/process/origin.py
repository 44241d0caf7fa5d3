"""An application behind the perimeter, and one request to it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from crewship.perimeter.line import PEER, Peer
from crewship.perimeter.perimeter import KEY, Message, Perimeter, Receive, Scope, Send, Transport
from resolvers.instance.addresses import TrustedProxies


@dataclass
class Origin:
    """An application that answers what it is told to, and remembers what reached it."""

    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    read: bool = True
    fail: Exception | None = None
    seen: list[Transport] = field(default_factory=list)
    body: bytes = b""
    answer: tuple[bytes, ...] = (b"{}",)
    status: int = 200

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope[KEY])
        if scope["type"] == "websocket":
            await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            return
        more, self.body = self.read, b""
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client is gone")
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
        if self.fail is not None:
            raise self.fail
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [(b"content-type", self.content_type), *self.headers],
            }
        )
        for number, piece in enumerate(self.answer, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(self.answer)})


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def perimeter(app: Origin, **options: Any) -> Perimeter:
    return Perimeter(app, proxies=options.pop("proxies", TrustedProxies()), **options)


async def ask(
    app: Perimeter,
    method: str = "GET",
    path: str = "/api/v1/crews",
    headers: Iterable[tuple[str, str]] = (),
    *,
    body: Iterable[bytes] = (b"",),
    client: tuple[str, int] | None = ("203.0.113.9", 50_000),
    server: tuple[str, int | None] = ("192.0.2.1", 8080),
    scheme: str = "http",
    kind: str = "http",
    peer: Peer | None = None,
) -> Response:
    """One request through the ASGI interface; each header of the answer may come once only."""
    chunks, sent = list(body), []
    received = [{"type": "http.request", "body": c, "more_body": i + 1 < len(chunks)} for i, c in enumerate(chunks)]

    async def receive() -> Message:
        return received.pop(0) if received else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(b"host", b"crew.local:8080"), *((k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers)]
    await app(
        {
            "type": kind,
            "method": method,
            "path": path,
            "headers": raw,
            "client": client,
            "server": server,
            "scheme": scheme,
            "extensions": {} if peer is None else {PEER: peer},
        },
        receive,
        send,
    )
    [start, *rest] = sent
    names = [name for name, _ in start["headers"]]
    assert len(names) == len(set(names))
    return Response(
        start["status"],
        {k.decode(): v.decode() for k, v in start["headers"]},
        b"".join(m.get("body", b"") for m in rest),
    )


def security(response: Response) -> dict[str, str]:
    return {
        name: value
        for name, value in response.headers.items()
        if name not in ("content-type", "content-length", "x-request-id", "x-more")
    }


def refusal(status: int, title: str, detail: str, path: str) -> dict[str, str | int]:
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": path,
        "error": detail,
    }
