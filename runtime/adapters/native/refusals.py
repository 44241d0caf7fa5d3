"""Errors of providers in words for users: without keys, addresses, and facts for the operator only."""

import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resolvers.rules.redaction import Redactor
from runtime.adapters.conversation import ProviderError

LONGEST_MESSAGE = 300
AGAIN = frozenset({408, 409, 425, 429})
AGAIN_TYPES = frozenset(
    {"overloaded_error", "rate_limit_error", "api_error", "server_error", "timeout_error", "internal_server_error"}
)
NO_CREDIT = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active"})
TOO_LONG = (
    "context_length_exceeded",
    "string_above_max_length",
    "model_context_window_exceeded",
    "request_too_large",
    "exceed_context_size_error",
)
TOO_LONG_TEXTS = (
    "prompt is too long",
    "maximum context length",
    "context window",
    "context length",
    "exceeds the available context size",
)


@dataclass(frozen=True, slots=True)
class Refusals:
    """The error texts of one provider."""

    name: str
    model: str
    variable: str

    def of_connection(self) -> ProviderError:
        return ProviderError(f"{self.name} could not be reached.", error="connection_error", again=True)

    def of_timeout(self) -> ProviderError:
        return ProviderError(f"{self.name} did not answer in time.", error="timeout", again=True)

    def of_stream(self) -> ProviderError:
        return ProviderError(f"The answer of {self.name} was interrupted.", error="stream_cut", again=True)

    def of_nonsense(self) -> ProviderError:
        return ProviderError(f"{self.name} sent an answer that cannot be read.", error="unreadable")

    def of_address(self) -> ProviderError:
        return ProviderError(f"The address of {self.name} is not a URL.", error="invalid_url")

    def of_key(self, status: int | None) -> ProviderError:
        return ProviderError(
            f"{self.name} refused the key{f' (HTTP {status})' if status else ''}. Check {self.variable}.",
            status=status,
            error="invalid_key",
        )

    def of_key_taken(self) -> ProviderError:
        return ProviderError(
            f"The agent no longer has a key for {self.name}: its credential was unassigned, disabled or deleted.",
            error="key_taken",
        )

    def of_status(self, status: int | None, body: Any, headers: Mapping[str, str], redactor: Redactor) -> ProviderError:
        """`status` is None, or a success's, for an error within the stream. `redactor` knows the key, which a provider
        may quote.
        """
        error = _error(body)
        words = {str(error.get(field) or "") for field in ("type", "code")} - {""}
        said = _said(str(error.get("message") or ""), redactor)
        code = status if status is not None and status >= 300 else None
        name = str(error.get("type") or error.get("code") or f"http_{status}")
        if code in (401, 403) or words & {"authentication_error", "invalid_api_key", "permission_error"}:
            return self.of_key(code)
        if message := self._explained(code, words, said):
            return ProviderError(message, status=code, error=name)
        again = (code is not None and (code >= 500 or code in AGAIN)) or bool(words & AGAIN_TYPES)
        return ProviderError(
            self._plain(code, said),
            status=code,
            error=name,
            again=again,
            retry_after=retry_after(headers) if again else None,
        )

    def _explained(self, status: int | None, words: set[str], said: str) -> str | None:
        """The text of an error that no retry can resolve; None for others."""
        if words & NO_CREDIT or status == 402:
            return f"The account at {self.name} has no credit left."
        if (
            words & set(TOO_LONG)
            or status == 413
            or (status == 400 and any(text in said.lower() for text in TOO_LONG_TEXTS))
        ):
            return (
                f"The conversation is longer than {self.model} can read. Start a new chat, or send a shorter message."
            )
        if status == 404 or "model_not_found" in words:
            return (
                f'{self.name} has no model "{self.model}" (HTTP {status or 404}). Choose another model for the agent.'
            )
        return None

    def _plain(self, status: int | None, said: str) -> str:
        what = {429: "has too many requests at the moment", 503: "is overloaded", 529: "is overloaded"}.get(status or 0)
        if what is None:
            what = "failed" if status is None or status >= 500 else "refused the request"
        return f"{self.name} {what}{f' (HTTP {status})' if status else ''}{f': {said}' if said else '.'}"


def _said(message: str, redactor: Redactor) -> str:
    text = redactor.redact(" ".join(message.split()))
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 3]}..."


def _error(body: Any) -> Mapping[str, Any]:
    """The error object, wherever the provider puts it."""
    for _ in range(2):
        inner = body.get("error") if isinstance(body, Mapping) else None
        if isinstance(inner, Mapping):
            body = inner
    if isinstance(body, Mapping):
        return {"message": body["error"], **body} if isinstance(body.get("error"), str) else body
    return {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the provider asks (RFC 9110, 10.2.3, and OpenAI's milliseconds); None when it does not."""
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[header]) / unit
        except (KeyError, ValueError):
            continue
        return seconds if 0 <= seconds < float("inf") else None
    try:
        at = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return max(0.0, at.timestamp() - time.time())
