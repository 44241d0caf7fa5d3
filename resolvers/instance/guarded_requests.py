"""A `requests` session for a library that makes blocking calls itself: on the network of `outbound`, under its policy.

The library works in one of few threads (`calling`), so that slow servers delay no other work; its requests are prepared
by `requests` and sent by `Outbound` in the event loop. Without `calling` around it nothing is sent. The library never
sees a redirect, cookies, a proxy of the environment, or headers of an answer, by which a server could let it wait.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from resolvers.errors import Code, Refusal
from resolvers.instance.outbound import OURS, Outbound

T = TypeVar("T")
MOST_CALLS = 20  # of one message
THREADS, LONGEST = 4, 60.0  # seconds of one message, with the wait for a thread
SLOW = "The message took too long"
REDIRECTED = "The server answered with a redirect, which is not followed"
TOO_MANY = f"The message needs more than {MOST_CALLS} requests"


@dataclass(slots=True)
class Calling:
    """The calls that a thread makes, and the reason why a request was refused."""

    http: Outbound
    loop: asyncio.AbstractEventLoop
    until: float
    calls: int = 0
    status: int = 0
    refused: Refusal | None = None


_CALLING: ContextVar[Calling | None] = ContextVar("calling", default=None)


async def calling(http: Outbound, work: Callable[[], T]) -> tuple[T, int]:
    """Runs `work` in a thread, whose sessions of this module send by `http`. Returns its result, and the status of the
    last answer, 0 without one. Raises the refusal of its last request, if that was not sent or had no answer.
    """
    loop, context = asyncio.get_running_loop(), copy_context()
    mine = Calling(http, loop, time.monotonic() + LONGEST)
    context.run(_CALLING.set, mine)
    try:
        done = await loop.run_in_executor(_threads(), context.run, work)
    except asyncio.CancelledError:
        mine.until = 0.0  # the thread sends nothing more
        raise
    if mine.refused is not None:
        raise mine.refused
    return done, mine.status


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="services")


def _answered(method: str, url: str, headers: dict[str, str], body: bytes | None) -> Any:
    mine = _CALLING.get()
    if mine is None:
        raise RuntimeError("nothing may be sent outside of `calling`")
    if time.monotonic() > mine.until:
        raise Refusal(Code.BAD_GATEWAY, SLOW)
    mine.calls += 1
    if mine.calls > MOST_CALLS:
        raise Refusal(Code.BAD_REQUEST, TOO_MANY)
    sending = mine.http.request(method, url, headers=headers, content=body)
    answer = asyncio.run_coroutine_threadsafe(sending, mine.loop).result()
    if 300 <= answer.status < 400:
        raise Refusal(Code.BAD_REQUEST, REDIRECTED)
    return answer


@cache
def session_type() -> Any:
    """The type of such sessions; `requests` is imported on first use. A session also has the names of the module that
    callers expect: `codes` and the exceptions.
    """
    import requests

    class Adapter(requests.adapters.BaseAdapter):
        """Sends prepared requests by the `Outbound` of the thread."""

        def send(self, request: Any, *_: Any, **__: Any) -> Any:
            mine, body = _CALLING.get(), request.body
            headers = {name: value for name, value in request.headers.items() if name.lower() not in OURS}
            content = body.encode() if isinstance(body, str) else body
            try:
                answer = _answered(request.method, request.url, headers, content)
            except Refusal as refusal:
                if mine is not None:
                    mine.refused = refusal
                raise requests.ConnectionError(refusal.detail) from None
            if mine is not None:
                mine.refused, mine.status = None, answer.status
            made = requests.Response()
            made.status_code, made._content, made.request, made.url = answer.status, answer.body, request, request.url
            made.headers["content-type"] = answer.headers.get("content-type", "")
            return made

        def close(self) -> None:
            """There is nothing to close."""

    class Session(requests.Session):
        codes = requests.codes
        RequestException = requests.RequestException
        ConnectionError = requests.ConnectionError
        Timeout = requests.Timeout
        exceptions = requests.exceptions

        def __init__(self) -> None:
            super().__init__()
            self.trust_env = False
            self.headers.clear()  # among them is the wish for compressed answers
            self.adapters.clear()
            for scheme in ("https://", "http://"):
                self.mount(scheme, Adapter())

        def send(self, request: Any, **options: Any) -> Any:
            return super().send(request, **{**options, "allow_redirects": False, "stream": False})

    return Session
