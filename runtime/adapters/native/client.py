"""The common part of the providers: the vendor's SDK, one streamed answer, one kind of failure.

The SDKs are imported at the first call, because that takes seconds. We retry ourselves (`loop.py`), so the SDKs do not.
"""

import asyncio
import functools
import importlib
import json
import ssl
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from resolvers.instance import trace_context
from runtime.adapters.conversation import Delta, ModelReply, ProviderError, Request, TokenUsage, ToolUse
from runtime.adapters.native.prices import price
from runtime.adapters.native.refusals import Refusals
from runtime.runs.keys import ProviderKey
from runtime.runs.known import redactor_of

T = TypeVar("T")
UNAUTHORIZED = 401
CONNECT, SILENCE = 10.0, 300.0  # seconds; a model that thinks may be silent for long
NO_KEY = "none"  # the SDKs want one

Piece = tuple[Literal["text", "thinking"], str]


class AnswerReading(Protocol):
    """An answer that is coming in. `begun`: something of it has come; `ended`: all of it."""

    begun: bool

    @property
    def ended(self) -> bool: ...

    def take(self, item: Any) -> Iterator[Piece]: ...

    def reply(self) -> ModelReply: ...


class StreamingProvider:
    """One model, for one run."""

    sdk: ClassVar[str]
    address: ClassVar[str]

    def __init__(self, name: str, model: str, access: ProviderKey, variable: str, *, workspace_id: str = "") -> None:
        self.name, self.model, self._workspace_id = name, model, workspace_id
        self._base_url = access.base_url or self.address
        self._variable, self._before, self._still = variable, access.before, access.still
        self._use(access.key)
        self._client: Any = None

    def _use(self, key: SecretStr | None) -> None:
        self._key = key.get_secret_value().strip() if key else None
        self._refusals = Refusals(self.name, self.model, self._variable)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def call(self, request: Request, delta: Delta) -> ModelReply:
        """With a key that was rotated and is refused, once more with the one before: a vendor may know the new one
        late. One that was taken away from the agent is not used again.
        """
        if self._still is not None and not await self._still():
            raise self._refusals.of_key_taken()
        try:
            return await self._call(request, delta)
        except ProviderError as refused:
            if refused.status != UNAUTHORIZED or not await self._go_back():
                raise
        return await self._call(request, delta)

    async def _go_back(self) -> bool:
        find, self._before = self._before, None
        before = await find() if find is not None else None
        if before is None:
            return False
        await self.close()
        self._client = None
        self._use(before)
        return True

    async def _call(self, request: Request, delta: Delta) -> ModelReply:
        if not _is_address(self._base_url):
            raise self._refusals.of_address()
        if self._key and not (self._key.isascii() and self._key.isprintable()):
            raise self._refusals.of_key(None)
        sdk, http, tls = await asyncio.to_thread(_load, self.sdk)
        if self._client is None:
            # A redirect would carry the key, and the conversation, to another server.
            client = sdk.DefaultAsyncHttpxClient(verify=tls, follow_redirects=False)
            timeout = sdk.Timeout(SILENCE, connect=CONNECT)
            self._client = self.connect(
                sdk,
                api_key=self._key or NO_KEY,
                base_url=self._base_url,
                max_retries=0,
                timeout=timeout,
                http_client=client,
                default_headers=trace_context.headers(),
            )
        reading = self.reading()
        try:
            async with await self.begin(self._client, request) as stream:
                items = aiter(stream)
                while (item := await anext(items, None)) is not None:
                    for kind, text in self._sane(lambda item=item: list(reading.take(item))):  # type: ignore[misc]
                        await delta(kind, text)
        except http.InvalidURL:
            raise self._refusals.of_address() from None
        except (sdk.APIError, http.HTTPError) as error:
            raise await self._refused(sdk, http, error, reading.begun) from None
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
            raise self._refusals.of_nonsense() from None
        if not reading.ended:
            raise self._refusals.of_stream()
        return self._sane(reading.reply)

    async def cost(self, usage: TokenUsage) -> float | None:
        return await price(self._workspace_id, self._base_url, self.model, usage)

    def connect(self, sdk: Any, **options: Any) -> Any:
        raise NotImplementedError

    async def begin(self, client: Any, request: Request) -> Any:
        raise NotImplementedError

    def reading(self) -> AnswerReading:
        raise NotImplementedError

    def _sane(self, read: Callable[[], T]) -> T:
        """The SDKs check no types, and a provider may send anything."""
        try:
            return read()
        except (AttributeError, TypeError, ValueError, KeyError):
            raise self._refusals.of_nonsense() from None

    async def _refused(self, sdk: Any, http: Any, error: Any, begun: bool) -> ProviderError:
        redactor = await redactor_of([self._key] if self._key else [])
        if isinstance(error, sdk.APIStatusError):
            return self._refusals.of_status(error.status_code, error.body, error.response.headers, redactor)
        if isinstance(error, (sdk.APITimeoutError, http.TimeoutException)):
            return self._refusals.of_timeout()
        if isinstance(error, (sdk.APIConnectionError, http.HTTPError)):
            return self._refusals.of_stream() if begun else self._refusals.of_connection()
        return self._refusals.of_status(None, error.body, {}, redactor)


@functools.cache
def _load(sdk: str) -> tuple[Any, Any, ssl.SSLContext]:
    """In a thread: imports take seconds, and reading all authorities' certificates a tenth of one."""
    http = importlib.import_module("httpx2")
    return importlib.import_module(sdk), http, http.create_ssl_context()


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not any(map(str.isspace, url))
        )
    except ValueError:
        return False


def tool_use(id: str, name: str, arguments: str) -> ToolUse:
    """`arguments`: JSON of an object; empty for an empty one."""
    try:
        given = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        given = None
    return {
        "id": id,
        "name": name,
        "input": given if isinstance(given, dict) else {},
        "unreadable": not isinstance(given, dict),
    }
